"""Find a mistake that spoils every row in the first rows, before anything is loaded.

One bad row is a row with its reason. A mistake that spoils all of them (a wrong folder, a wrong
column, a template that refuses the prompt, a reward that raises) would be told after hours, row by
row; so the first rows are read, prompted and graded here, without the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol

from durian.analysis.reasons import grouped
from durian.engines.base import RefusedPrompt, Renderer
from durian.engines.prompts import PromptTemplate, ask, load_template
from durian.errors import ConfigError, DatasetError, one_line
from durian.images.decode import decode, size
from durian.measuring.blinding import Blinding
from durian.measuring.look import look
from durian.measuring.sampling import build_prompt
from durian.readers.dataset import SampleReader
from durian.readers.image_files import NAME_FOLDER
from durian.rewards import Attempts, answers_equal, open_reward
from durian.rewards.custom import DEFAULT
from durian.rewards.extract import extract_answer
from durian.rewards.grade import Reference
from durian.rewards.located import read_places
from durian.samples import Failed, Prompt, Sample

FIRST = 100  # rows
TRIED = 4  # rows with images, and as many without, whose prompts the chat template may refuse


class Asked(Protocol):
    """The settings of a stage that asks a policy."""

    @property
    def system_prompt(self) -> str | None: ...
    @property
    def prompt_template(self) -> str | None: ...
    @property
    def reward(self) -> str | None: ...
    @property
    def options_column(self) -> str | None: ...


@dataclass
class _Seen:
    """Counts of the first rows: how many could be used, and why the others could not."""

    rows: int = 0
    with_images: int = 0
    images: list[str] = field(default_factory=list)  # why the images of a row cannot be read
    whole: list[str] = field(default_factory=list)  # why a row cannot be read
    questions: list[str] = field(default_factory=list)  # why a row cannot be asked
    prompts: list[str] = field(default_factory=list)  # why a row has no prompt
    graded: list[Sample] = field(default_factory=list)  # those that can be asked
    tried: dict[bool, list[Sample]] = field(default_factory=lambda: {True: [], False: []})


def check_first_rows(
    reader: SampleReader,
    asked: Asked | None,
    *,
    pixel_limit: int,
    chat: Callable[[], Renderer] | None = None,
    say: Callable[[str], None] | None = None,
    blind: str | None = None,
) -> None:
    """Refuse a dataset whose first rows are all spoilt by one mistake.

    Args:
        asked: what a policy is asked and how it is judged; None where only images are measured.
        chat: loads what tells whether the policy's chat template takes a prompt.
        say: told what the template does about the system prompt unasked.
        blind: what stands in for the image where samples are asked so, too.
    Raises:
        DatasetError, ConfigError: one line that names what was found and what to pass.
    """
    template = load_template(asked.prompt_template) if asked and asked.prompt_template else None
    seen = _look(reader, asked, template, pixel_limit)
    if seen.rows == 0:
        return
    _check_images(reader, seen)
    if asked is None:
        return
    _check_all(reader, seen, seen.whole + seen.questions, "can be asked", _columns(reader))
    failed = seen.whole + seen.questions + seen.prompts
    _check_all(reader, seen, failed, "has a prompt", "see --prompt-template, --images-column")
    if chat is not None and seen.graded:
        loaded = chat()
        _check_chat(loaded, seen, asked, template, pixel_limit)
        if blind == "none":
            _check_blind(loaded, seen, asked, template, pixel_limit)
        for line in loaded.notes(asked.system_prompt):
            if say is not None:
                say(line)
    if asked.options_column is None:
        _check_letters(reader, seen.graded)
    _check_reward(asked.reward, seen.graded, reader.name)


def _look(
    reader: SampleReader, asked: Asked | None, template: PromptTemplate | None, pixel_limit: int
) -> _Seen:
    seen, some_image = _Seen(), False
    # A row counts once, by the first thing that is wrong with it, in the order in which a run would
    # find it: so what is said to be wrong of all rows is what to mend first.
    for sample in islice(reader.samples(), FIRST):
        seen.rows += 1
        seen.with_images += bool(sample.images)
        if sample.error is not None:
            (seen.images if sample.images else seen.whole).append(sample.error)
            continue
        if sample.images and not some_image:
            if (error := _unreadable(sample.images[0], pixel_limit)) is not None:
                seen.images.append(error)
                continue
            some_image = True  # one that can be decoded is enough: the run looks at the others
        if sample.question_error is not None:
            seen.questions.append(sample.question_error)
        elif asked is not None:
            messages = ask(
                sample,
                len(sample.images),
                system_prompt=asked.system_prompt or "",
                template=template,
            )
            if isinstance(messages, Failed):
                seen.prompts.append(messages.error)
                continue
            # Few keep their images, which may be large: to be graded, their rows need none.
            alike = seen.tried[bool(sample.images)]
            if len(alike) < TRIED:
                alike.append(sample)
                seen.graded.append(sample)
            else:
                seen.graded.append(replace(sample, images=()))
    return seen


def _unreadable(data: bytes, pixel_limit: int) -> str | None:
    if size(data) is not None:
        return None
    found = decode(data, pixel_limit=pixel_limit, keep=False)
    return found.error if isinstance(found, Failed) else None


def _check_images(reader: SampleReader, seen: _Seen) -> None:
    # Rows of text alone may stand between; where they are most, the others are their own matter.
    if not seen.images or len(seen.images) < seen.with_images or 2 * seen.with_images <= seen.rows:
        return
    reason = next(iter(grouped(error.replace(NAME_FOLDER, "") for error in seen.images)))
    said = f"{reader.name}: no image of the first {_rows(seen.rows)} can be read"
    if reason.startswith("image "):  # it was not found, or is of another type
        raise DatasetError(one_line(f"{said}; {reader.image_hint()} ({reason})"))
    raise DatasetError(one_line(f"{said}: {reason}"))


def _check_all(
    reader: SampleReader, seen: _Seen, reasons: Sequence[str], what: str, hint: str
) -> None:
    if len(reasons) + len(seen.images) < seen.rows or not reasons:
        return
    reason = next(iter(grouped(reasons)))
    raise DatasetError(
        one_line(f"{reader.name}: none of the first {_rows(seen.rows)} {what}: {reason}; {hint}")
    )


def _columns(reader: SampleReader) -> str:
    read = reader.described
    options = f", options from {','.join(read['options'])}" if read["options"] else ""
    return (
        f"problem is read from {read['problem']}, answer from {read['answer']}{options}: pass "
        "another --problem-column or --answer-column" + (" or --options-column" if options else "")
    )


def _prompts(
    samples: Iterable[Sample], asked: Asked, template: PromptTemplate | None, pixel_limit: int
) -> Iterator[tuple[Sample, Prompt]]:
    """The prompts of some first rows; a row that has none, by another of its images, tells so."""
    for sample in samples:
        prompt = build_prompt(
            sample,
            look(sample, pixel_limit=pixel_limit, keep=True),
            system_prompt=asked.system_prompt or "",
            template=template,
        )
        if not isinstance(prompt, Failed):
            yield sample, prompt


def _check_chat(
    chat: Renderer, seen: _Seen, asked: Asked, template: PromptTemplate | None, pixel_limit: int
) -> None:
    """Refuse a chat template that takes no first row with images, or none without.

    A template may refuse images beside a system message, and take either alone.
    """
    for alike in seen.tried.values():
        refused: tuple[Sample, Prompt, RefusedPrompt] | None = None
        for sample, prompt in _prompts(alike, asked, template, pixel_limit):
            rendered = chat.render(prompt)
            if not isinstance(rendered, RefusedPrompt):
                refused = None
                break  # a special token in one problem is that row's matter, too
            refused = refused or (sample, prompt, rendered)
        if refused is not None:
            raise _refusal(chat, *refused)


def _check_blind(
    chat: Renderer, seen: _Seen, asked: Asked, template: PromptTemplate | None, pixel_limit: int
) -> None:
    """Refuse a chat template that takes no first row with images once these are left out."""
    why: str | None = None
    for sample, prompt in _prompts(seen.tried[True], asked, template, pixel_limit):
        blind = Blinding("none").prompt(sample, prompt)
        found = blind if isinstance(blind, Failed) else chat.render(blind)
        if not isinstance(found, Failed):
            return
        why = why or found.error
    if why is not None:
        raise ConfigError(
            f"blind is none, and without the image no first row can be asked: "
            f"{one_line(why, longest=160)}; pass --blind gray"
        )


def _refusal(chat: Renderer, sample: Sample, prompt: Prompt, refused: RefusedPrompt) -> ConfigError:
    """Name the way out where a template refuses a prompt, whatever that says."""
    why = refused.error
    if refused.way_out is not None:
        return ConfigError(f"{one_line(why, longest=160)}; {refused.way_out}")
    # Some templates raise on any system message, and the default prompt has one. That is the
    # likeliest cause and the one the user can mend, so it is tried before the model is blamed.
    asked = [message for message in prompt.messages if message["role"] != "system"]
    takes_it = len(asked) < len(prompt.messages) and not isinstance(
        chat.render(replace(prompt, messages=asked)), Failed
    )
    if takes_it and sample.system is None:
        way_out = (
            "it takes no system message: pass --system-prompt '', and say what it says in a "
            "--prompt-template"
        )
    elif takes_it:
        way_out = (
            "it takes no system message, and the rows bring their own: choose another model, or "
            "mend its chat template"
        )
    else:
        way_out = "choose another model, or mend its chat template"
    return ConfigError(f"{one_line(why, longest=160)}; {way_out}")


def _check_letters(reader: SampleReader, samples: Sequence[Sample]) -> None:
    """Refuse references that are letters of options which the policy is not shown."""
    unshown = reader.unshown_options
    if unshown is None or not samples:
        return
    if all(len(s.answer.strip(" ().")) == 1 and s.answer.strip(" ().").isalpha() for s in samples):
        raise DatasetError(
            f"{reader.name}: the answers are letters, like '{samples[0].answer[:20]}', and the "
            f"problems do not show their options; pass --options-column {unshown}, or '' to ask so"
        )


def _check_reward(name: str | None, samples: Sequence[Sample], dataset: str) -> None:
    """Refuse a reward that raises on the first row, or references that not even they equal."""
    if not samples:
        return
    first = samples[0]
    if ":" in (name or ""):  # a user's own: it may ask for any form, so that one that works will do
        # A user's own reward may ask for any form of completion and raise on others. It is refused
        # only if it raises on all of these: boxed after thinking, bare, and empty.
        errors, reward = [], open_reward(name)
        for completion in (f"<think></think>\\boxed{{{first.answer}}}", first.answer, ""):
            try:
                reward.start(_attempt(first, completion))()
                return
            except ValueError as error:
                errors.append(str(error))
        raise ConfigError(one_line(f"reward {name}: it raises on the first row: {errors[0]}"))
    if name in ("iou", "point"):
        _check_places(name, samples, dataset)
    if (name or DEFAULT).startswith(DEFAULT) and not any(map(_equals_itself, samples)):
        raise DatasetError(
            one_line(
                f"{dataset}: no answer of the first {_rows(len(samples))} equals itself in a box, "
                f"like '{first.answer[:80]}'; pass another --answer-column, or a --reward that "
                "reads it"
            )
        )


def _check_places(name: str, samples: Sequence[Sample], dataset: str) -> None:
    """Refuse references that are no boxes or points, where completions must be."""
    if any(read_places(sample.answer, boxes=name == "iou") for sample in samples):
        return
    what = "a box of four numbers" if name == "iou" else "a point of two numbers, or a box"
    raise DatasetError(
        one_line(
            f"{dataset}: no answer of the first {_rows(len(samples))} is {what}, like "
            f"'{samples[0].answer[:80]}': pass another --answer-column, or another --reward"
        )
    )


def _attempt(sample: Sample, completion: str) -> Attempts:
    return Attempts(
        completions=[completion],
        n_tokens=[1],
        answer=sample.answer,
        options=sample.options,
        question=sample.problem,
        finish_reasons=["stop"],
        columns=sample.cells,
        image_sizes=[known for image in sample.images if (known := size(image))],
    )


def _equals_itself(sample: Sample) -> bool:
    # The right answer, boxed as the prompt asks for it, is graded against itself. A column of ids,
    # or of explanations that no rule reads, fails here; in a run it would show as a dataset that no
    # policy can solve.
    wanted = Reference.of(sample.answer, sample.options)
    return answers_equal(extract_answer(f"\\boxed{{{wanted.text}}}") or "", wanted)


def _rows(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"
