"""Find a mistake that spoils every row in the first rows, before anything is loaded.

One bad row is a row with its reason. A mistake that spoils all of them (a wrong folder, a wrong
column, a template that refuses the prompt, a reward that raises) would be told after hours, row by
row; so the first rows are read, prompted and graded here, without the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from durian.analysis.reasons import grouped
from durian.engines.chat import Chat
from durian.engines.prompts import PromptTemplate, build_messages, load_template
from durian.errors import ConfigError, DatasetError, one_line
from durian.images.decode import decode, size
from durian.readers.dataset import SampleReader
from durian.readers.image_files import NAME_FOLDER
from durian.rewards import Attempts, answers_equal, open_reward
from durian.rewards.custom import DEFAULT
from durian.rewards.extract import extract_answer
from durian.rewards.grade import Reference
from durian.samples import Failed, Prompt, Sample

FIRST = 100  # rows


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
    first: tuple[Sample, Prompt] | None = None  # the first row that can be asked
    graded: list[Sample] = field(default_factory=list)  # those that can, without their images


def check_first_rows(
    reader: SampleReader,
    asked: Asked | None,
    *,
    pixel_limit: int,
    chat: Callable[[], Chat] | None = None,
) -> None:
    """Refuse a dataset whose first rows are all spoilt by one mistake.

    Args:
        asked: what a policy is asked and how it is judged; None where only images are measured.
        chat: loads the policy's chat template, where it is at hand.
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
    if chat is not None and seen.first is not None:
        _check_template(chat(), seen.first[1])
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
            messages = build_messages(
                sample.problem,
                len(sample.images),
                system_prompt=asked.system_prompt or "" if sample.system is None else sample.system,
                template=template,
                row=sample.cells,
            )
            if isinstance(messages, Failed):
                seen.prompts.append(messages.error)
                continue
            if seen.first is None:
                prompt = Prompt(sample_id=sample.sample_id, messages=messages, images=())
                seen.first = sample, prompt
            seen.graded.append(sample)
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
    return (
        f"problem is read from {read['problem']}, answer from {read['answer']}: pass another "
        "--problem-column or --answer-column"
    )


def _check_template(chat: Chat, prompt: Prompt) -> None:
    """Refuse a chat template that raises on the first prompt, whatever it says."""
    rendered = chat.render(prompt)
    if not isinstance(rendered, Failed) or not rendered.error.startswith(Chat.TEMPLATE_FAILED):
        return  # a special token in one problem is that row's matter
    # Some templates raise on any system message, and the default prompt has one. That is the
    # likeliest cause and the one the user can mend, so it is tried before the model is blamed.
    without = [message for message in prompt.messages if message["role"] != "system"]
    plain = Prompt(sample_id=prompt.sample_id, messages=without, images=())
    if len(without) < len(prompt.messages) and not isinstance(chat.render(plain), Failed):
        raise ConfigError(
            f"{rendered.error}; it takes no system message: pass --system-prompt '', and say what "
            "it says in a --prompt-template"
        )
    raise ConfigError(f"{rendered.error}; choose another model, or mend its chat template")


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
    if (name or DEFAULT).startswith(DEFAULT) and not any(map(_equals_itself, samples)):
        raise DatasetError(
            one_line(
                f"{dataset}: no answer of the first {_rows(len(samples))} equals itself in a box, "
                f"like '{first.answer[:80]}'; pass another --answer-column, or a --reward that "
                "reads it"
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
