"""Find the columns of a sample's parts: as named, by the contract's names, or by a known form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from durian.config import DatasetConfig
from durian.errors import DatasetError
from durian.readers.cells import parsed, reach, text_field
from durian.readers.forms import found_forms
from durian.readers.head import Head
from durian.readers.image_cells import image_cells, looks_like_image
from durian.readers.messages import messages_of, read_turns
from durian.readers.options import UnreadableOptions, first_index, read_options
from durian.readers.references import reference_field

MOST_FURTHER = 32  # columns beside those of a sample, the first ones

# What datasets call these columns, the likeliest first: to suggest, never to take silently.
_USUAL = {
    "problem": ("problem", "question", "query", "prompt", "instruction", "input", "text"),
    "answer": ("answer", "solution", "ground_truth", "gt_answer", "final_answer", "label", "target",
               "answers", "response", "output"),
    "images": ("images", "image", "img", "imgs", "picture", "pictures", "figure", "decoded_image",
               "image_path", "image_paths", "image_bytes", "image_url", "image_urls", "file_name",
               "file_names", "jpg", "png"),
    "options": ("options", "choices", "option", "choice", "candidates"),
    "id": ("id", "uid", "uuid", "sample_id", "question_id", "index"),
}  # fmt: skip
PLAIN = "columns"  # the form of rows that have a column for each part of a sample
_SYSTEM = "system"  # as ms-swift and LLaMA-Factory call the column
_NUMBERED = re.compile(r"image_?\d+")
_EXPORTED = ("sample_id", "durian_perceptual_group", "durian_reasoning_group")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns that hold the parts of a sample; `a.b` is a field of a struct."""

    problem: str
    answer: str | None  # None: the last message of the assistant is the answer
    images: tuple[tuple[str, ...], ...]  # the first group of which a row has anything
    id: str | None
    options: tuple[str, ...] = ()
    system: str | None = None  # beside messages: the sample's own system prompt
    exported: bool = False  # durian export wrote the rows: its messages hold the prompt template
    indexed_from: int | None = None  # numbers in place of answers are indices of options; this is A
    form: str = PLAIN  # what the rows are known as
    read: tuple[str, ...] = ()  # the file's columns that all of these need, whole
    cells: tuple[str, ...] = ()  # all other columns without images, for templates and rewards
    further: tuple[str, ...] = ()  # of these the plain ones that a report can hold against error

    @property
    def needed(self) -> list[str]:
        """The columns that make a sample, each once."""
        named = [
            self.problem, self.answer, *sum(self.images, ()), self.id, self.system, *self.options,
        ]  # fmt: skip
        return list(dict.fromkeys(name for name in named if name is not None))


def choose_columns(head: Head, config: DatasetConfig, source: str) -> Columns:
    """The columns to read, after a look at the first rows.

    Args:
        source: the name of the data file, for messages.
    Raises:
        DatasetError: a column is not there, or rows have two of equal rank.
    """
    problem, form, answers = _problem(head, config, source)
    answer = _answer(head, config, source, problem, answers)
    if config.id_column is not None:
        _check(source, head, "id", config.id_column)
    beside = head.holds_messages(problem) and head.holds_text(_SYSTEM) and answer != _SYSTEM
    written_id = exported_id(head)
    columns = Columns(
        problem=problem, answer=answer, images=(), id=config.id_column or written_id,
        form=form, system=_SYSTEM if beside else None, exported=written_id is not None,
    )  # fmt: skip
    columns = replace(columns, images=_images(head, config, source, columns))
    if not config.options_column:
        return columns
    options = tuple(_named(head, source, "options", config.options_column))
    return replace(columns, options=options, indexed_from=_first_index(head, answer, options))


def exported_id(head: Head) -> str | None:
    """The column of the sample ids that `durian export` wrote; None where it wrote no such rows."""
    # Its forms hold the problem in other words than the dataset did (messages, a system prompt), so
    # that a hash of the content would be another id, and no table would know the sample.
    for within in ("", "extra_info.", "metadata."):
        if all(head.has(within + name) for name in _EXPORTED):
            return within + _EXPORTED[0]
    return None


def describe_columns(head: Head, columns: Columns) -> dict[str, Any]:
    """Name the columns of each part, for the dry run and the manifest, and those not read."""
    groups = (group for group in columns.images if any(head.values(name) for name in group))
    images = [name for name in next(groups, ()) if head.has(name)]
    if not images and any(_holds_images(cell) for cell in head.values(columns.problem)):
        images = [columns.problem]
    notes = []
    if head.holds_messages(columns.problem):
        read = [read_turns(messages_of(cell) or []) for cell in head.values(columns.problem)]
        if columns.system or any(turns.system for turns in read):
            notes.append("system messages stand in place of --system-prompt")
    if columns.id is not None and columns.id == exported_id(head):
        notes.append(f"sample ids from {columns.id}, as durian export wrote them")
    if columns.options:
        notes.append(
            f"options in {', '.join(columns.options)} stand below the problem, lettered, one a line"
        )
    if (base := columns.indexed_from) is not None:
        notes.append(
            f"numbers in {columns.answer} are {base}-based indices of the options: {base} is A"
        )
    if unread := unread_images(head, columns):
        within = {name.partition(".")[0] for name in unread if "." in name}
        names = ",".join([*(name for name in images if name not in within), *unread])
        notes.append(
            f"images in {', '.join(unread)} are not read; --images-column {names} reads them too"
        )
    return {
        "form": columns.form,
        "problem": columns.problem,
        "answer": columns.answer or f"{columns.problem} (last message of the assistant)",
        "images": images,
        "options": list(columns.options),
        "notes": notes,
    }


def unshown_options(head: Head, columns: Columns) -> str | None:
    """A column, or columns like A,B,C,D, of options that the problems do not hold."""
    names = [name for name in _USUAL["options"] if name in head.columns]
    lettered = [letter for letter in "ABCDEFGH" if letter in head.columns]
    groups = [[name] for name in names] + ([lettered] if len(lettered) > 1 else [])
    for group in groups if not columns.options else []:
        for row in head.rows:
            with suppress(UnreadableOptions):
                options = read_options(row, group)
                problem = str(reach(row, columns.problem))
                if len(options) > 1 and not all(text in problem for text in options.values()):
                    return ",".join(group)
    return None


def unread_images(head: Head, columns: Columns) -> list[str]:
    """Columns of images, by their content or their type, that some row has and that it is not read.

    An image in a struct, under a key that says nothing of images, is named as `a.b`.
    """
    groups = {name for group in columns.images for name in group}
    others = {path for name in columns.needed if name not in groups for path in _paths(name)}
    found = dict.fromkeys(name for name in head.typed if name not in groups | others)
    for row in head.rows:
        read = others | {path for name in read_group(row, columns) for path in _paths(name)}
        for name in head.columns:
            places = _image_paths(name, row.get(name))
            found |= dict.fromkeys(place for place in places if place not in read)
    return [name for name in head.columns if name in found] + [n for n in found if "." in n]


def read_group(row: Mapping[str, Any], columns: Columns) -> tuple[str, ...]:
    """The columns of a row that its images are read from: the first group that has any."""
    groups = (g for g in columns.images if any(image_cells(reach(row, name)) for name in g))
    return next(groups, ())


def _paths(name: str) -> tuple[str, str]:
    return name, name.partition(".")[0]


def _image_paths(name: str, cell: Any) -> Iterator[str]:
    if looks_like_image(cell):
        yield name
    elif isinstance(cell, dict):
        yield from (f"{name}.{key}" for key, value in cell.items() if looks_like_image(value))


def _problem(
    head: Head, config: DatasetConfig, source: str
) -> tuple[str, str, tuple[str, ...] | None]:
    """The problem's column, the name of the rows' form, and the answer's columns by that form."""
    # A name that the user gave wins, then the contract's `problem`, then a form that is known by
    # its columns. A guess never beats a name, and two forms that fit are refused: a wrong column of
    # text would be measured without complaint, and every answer be wrong.
    forms = found_forms(head)
    named = config.problem_column
    by_default = named == DatasetConfig.problem_column and not head.has(named)
    if not by_default or not forms:
        _check(source, head, "problem", named)
        of_named = [form for form in forms if form.problem == named]
        if of_named:
            return named, of_named[0].form, of_named[0].answers
        return (named, "messages", ()) if head.holds_messages(named) else (named, PLAIN, None)
    if len(forms) > 1:
        raise _equal_rank(source, "problem", [form.problem for form in forms])
    [form] = forms
    return form.problem, form.form, form.answers


def _answer(
    head: Head,
    config: DatasetConfig,
    source: str,
    problem: str,
    answers: tuple[str, ...] | None,
) -> str | None:
    named = config.answer_column
    if named != DatasetConfig.answer_column or head.has(named) or answers is None:
        _check(source, head, "answer", named)
        return named
    # The answer follows the same order: the named column, or the form's. No column at all means the
    # assistant's last message, and then one of the first rows must have it, or the whole dataset
    # would be rows without an answer.
    if len(answers) > 1:
        raise _equal_rank(source, "answer", answers)
    if answers:
        return answers[0]
    lists = filter(None, map(messages_of, head.values(problem)))
    if not any(read_turns(messages).reply is not None for messages in lists):
        _check(source, head, "answer", named)
    return None


def _equal_rank(source: str, field: str, names: Sequence[str]) -> DatasetError:
    ways = " or ".join(f"--{field}-column {name}" for name in names)
    return DatasetError(f"{source}: {' and '.join(names)} could each be the {field}; pass {ways}")


def _images(
    head: Head, config: DatasetConfig, source: str, columns: Columns
) -> tuple[tuple[str, ...], ...]:
    named = config.images_column
    if not named:
        return ()  # asked without its images
    if named != DatasetConfig.images_column:
        return (tuple(_named(head, source, "images", named)),)
    # The groups are tried row by row in this order, and the first that has anything gives the row's
    # images: datasets that were joined from several have `images` in some rows and `image` in
    # others.
    groups: list[tuple[str, ...]] = [(named,), ("image",)]
    if numbered := [name for name in head.columns if _NUMBERED.fullmatch(name)]:
        groups.append(tuple(sorted(numbered, key=_by_number)))
    if Path(source).stem == "metadata":  # of an image folder
        groups += [("file_names",), ("file_name",)]
    if not head.columns or any(head.has(name) for group in groups for name in group):
        return tuple(groups)
    if any(_holds_images(cell) for cell in head.values(columns.problem)):
        return tuple(groups)
    # None of these columns is there. That is as it should be for a dataset of text; one whose
    # images stand under another name would be asked blind, and all of it would seem hard. So a
    # column that holds images, or is called as if it did, ends in an error that names it.
    unread = unread_images(head, columns)
    if unread or not set(_USUAL["images"]).isdisjoint(head.columns):
        _check(source, head, "images", named, unread)  # neither: a dataset of text
    return tuple(groups)


def _named(head: Head, source: str, field: str, named: str) -> list[str]:
    """The columns that a list of names or patterns means."""
    if head.has(named) or not head.columns:
        return [named]
    found: list[str] = []
    for name in filter(None, (part.strip() for part in named.split(","))):
        matching = [column for column in head.columns if fnmatchcase(column, name)]
        if not matching:
            _check(source, head, field, name)
            matching = [name]
        found += sorted(matching, key=_by_number)
    return list(dict.fromkeys(found))


def _first_index(head: Head, answer: str | None, columns: Sequence[str]) -> int | None:
    answers, options = [], []
    for row in head.rows if answer is not None else ():
        with suppress(UnreadableOptions):
            options.append(read_options(row, columns))
            answers.append(reach(row, answer or ""))
    return first_index(answers, options)


def _by_number(name: str) -> tuple[int, str]:
    digits = re.search(r"\d+$", name)
    return int(digits.group()) if digits else 0, name


def image_numbers(group: Sequence[str]) -> list[int]:
    """Number the image of each column as `<image 3>` would: its own number, or else its place."""
    own = [_by_number(name)[0] for name in group]
    if len(group) > 1 and len(set(own)) == len(own) and 0 not in own:
        return own
    return list(range(1, len(group) + 1))


def _holds_images(cell: object) -> bool:
    messages = messages_of(cell)
    return messages is not None and bool(read_turns(messages).images)


def _check(source: str, head: Head, field: str, column: str, likely: Sequence[str] = ()) -> None:
    """Refuse a column that is not there, and name one that can stand for it."""
    if head.has(column) or not head.columns:
        return
    # Of the columns that are there, only those whose cells can serve are suggested, a usual name
    # before a similar one: the message ends in an option that works.
    serving = [name for name in head.columns if _serves(field, head.values(name))]
    usual = [name for name in _USUAL[field] if name in serving]
    if field == "problem":
        usual += [name for name in serving if head.holds_messages(name)]
    close = get_close_matches(column, serving, n=1)
    found = ", ".join(head.columns) or "none"
    found = found if len(found) <= 150 else f"{found[:147]}..."
    raise DatasetError(
        f"{source}: no column '{column}' (found: {found}); "
        f"pass --{field}-column {[*usual, *likely, *close, 'COLUMN'][0]}"
    )


def _serves(field: str, cells: Sequence[Any]) -> bool:
    """Whether cells can be what is asked for; none at all say nothing against it."""
    return not cells or any(_SERVES[field](cell) for cell in cells)


def _serves_as_image(cell: object) -> bool:
    values = image_cells(cell)
    return any(isinstance(value, str) for value in values) or looks_like_image(cell)


_SERVES: dict[str, Callable[[Any], bool]] = {
    "problem": lambda cell: isinstance(cell, str) or messages_of(cell) is not None,
    "answer": lambda cell: reference_field(cell).error is None,
    "images": _serves_as_image,
    "id": lambda cell: text_field(cell, "id").error is None,
    "options": lambda cell: isinstance(cell, list | dict) or parsed(str(cell)) is not None,
}
