"""A row as it stands in its file to a Sample, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any

from durian.readers.cells import Field, canonical, label, reach, text_field
from durian.readers.columns import Columns, image_numbers
from durian.readers.image_cells import image_cells, read_image
from durian.readers.image_files import ImageFiles
from durian.readers.marks import place_images
from durian.readers.messages import Turns, messages_of, read_turns
from durian.readers.options import (
    UnreadableOptions,
    in_order,
    is_index,
    letter_at,
    read_options,
    with_options,
)
from durian.readers.references import reference_field, reply_field
from durian.readers.rows import BadRow
from durian.samples import Sample, sample_id

LONGEST_ERROR = 300  # characters


def to_sample(
    row: int,
    values: Mapping[str, Any] | BadRow,
    columns: Columns,
    files: ImageFiles,
    source_file: str,
) -> Sample:
    """Make a sample of one row: read its image files, say what is wrong with it.

    A field that cannot be read goes into the sample id as what stands there (a missing image as
    its path), so that samples which differ are never taken for one.
    """
    if isinstance(values, BadRow):
        key = sample_id("", "", [values.content])
        return Sample(
            sample_id=key, row=row, problem="", answer="", error=values.error,
            source_file=source_file,
        )  # fmt: skip
    # Nothing here raises for a bad row: each part becomes a Field with its value, the key that the
    # id is made of, and its error. The errors are joined at the end, so that a row names all that
    # is wrong with it, and the rows after it are read.
    problem, turns = _problem(reach(values, columns.problem))
    if columns.answer is None:
        answer = reply_field(turns)
    else:
        answer = reference_field(reach(values, columns.answer))
    images, clash = _images(values, columns, turns, files)
    own_id = None if columns.id is None else text_field(reach(values, columns.id), "id")
    options, unreadable_options = _options(values, columns)
    # The key stays that of the cell while the value becomes the letter: the id of a sample does not
    # change with how its answer is understood.
    if columns.indexed_from is not None:
        cell = reach(values, columns.answer or "")
        answer = _of_index(cell, columns.indexed_from, options, answer)
    beyond = _beyond(answer.value, options)
    fed = [image.key for _, image in images]
    if options:  # or one question with other options below it would be the same sample
        fed.append(canonical([reach(values, name) for name in columns.options]).encode())
    key = sample_id(problem.key, answer.key, fed)
    if own_id is not None and own_id.error is None:
        key = own_id.key
    system = turns.system if turns else None
    if system is None and columns.system is not None:
        system = text_field(reach(values, columns.system), "system").value or None
    unreadable = turns.error if turns else None  # then nothing else of the messages is known
    text, placed, misplaced = place_images(
        with_options(problem.value, options) if options else problem.value, images
    )
    return Sample(
        sample_id=key,
        row=row,
        problem=text,
        answer=answer.value,
        options=in_order(options) if options else (),
        images=tuple(image.value for image in placed),
        error=_joined(
            *(image.error for _, image in images), clash, own_id.error if own_id else None
        ),
        question_error=unreadable
        or _joined(problem.error, answer.error, unreadable_options, beyond, misplaced),
        system=system,
        templated=columns.exported and turns is not None,
        user_turns=turns.asked if turns else 1,
        columns={
            name: plain
            for name in columns.further
            if (plain := label(values.get(name))) is not None
        },
        cells={name: values.get(name) for name in columns.cells},
        source_file=source_file,
    )


def _options(values: Mapping[str, Any], columns: Columns) -> tuple[dict[str, str], str | None]:
    try:
        return (read_options(values, columns.options) if columns.options else {}), None
    except UnreadableOptions as error:
        return {}, str(error)


def _beyond(answer: str, options: Mapping[str, str]) -> str | None:
    """Say of a letter that no option of its row has it: the policy cannot choose what is not there.

    A row without any option may ask for a name, as of an angle, so nothing is said of it.
    """
    if not options or answer in options or answer in options.values():
        return None
    if len(answer) == 1 and answer in ascii_uppercase:
        return f"answer {answer} is none of its options {', '.join(options)}"
    return None


def _of_index(cell: Any, first: int, options: Mapping[str, str], answer: Field) -> Field:
    """The letter that a number stands for; the answer itself where there are no options."""
    if not options or answer.error is not None or not is_index(cell):
        return answer
    letter = letter_at(int(cell) - first, options)
    if letter is not None:
        return Field(letter, answer.key)
    return Field("", answer.key, f"answer {cell} is no index of {len(options)} options")


def _problem(cell: object) -> tuple[Field, Turns | None]:
    messages = messages_of(cell)
    if messages is None:
        return text_field(cell, "problem"), None
    turns = read_turns(messages)
    return text_field(turns.problem, "problem"), turns


def _images(
    values: Mapping[str, Any], columns: Columns, turns: Turns | None, files: ImageFiles
) -> tuple[list[tuple[int, Field]], str | None]:
    """The images of a row, each with the number that a mark calls it by."""
    found: list[tuple[int, object]] = []
    for group in columns.images:
        cells = [image_cells(reach(values, name)) for name in group]
        if not any(cells):
            continue
        found = list(enumerate((image for of_cell in cells for image in of_cell), start=1))
        # Columns such as image_1 and image_3 carry the numbers that marks in the problem call, also
        # where the row leaves image_2 empty. Where there are more images than columns, some cell
        # holds a list, the numbers mean nothing, and images are counted in order.
        if 1 < len(group) >= len(found):
            pairs = zip(image_numbers(group), cells, strict=True)
            found = [(number, image) for number, of_cell in pairs for image in of_cell]
        break
    in_messages = turns.images if turns else ()
    clash = None
    if found and in_messages:
        clash = "images stand both in the messages and in a column of their own"
    elif in_messages:
        found = list(enumerate(in_messages, start=1))
    return [(number, read_image(image, files)) for number, image in found], clash


def _joined(*errors: str | None) -> str | None:
    if not any(errors):
        return None
    text = "; ".join(dict.fromkeys(filter(None, errors)))
    text = text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 3]}..."
    return text
