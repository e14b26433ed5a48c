"""Problems to chat messages. Both stages prompt so, so that training sees what was profiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from jinja2 import (
    ChainableUndefined,
    StrictUndefined,
    Template,
    TemplateSyntaxError,
    Undefined,
    meta,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from durian.errors import ConfigError
from durian.records import JsonObject
from durian.samples import Failed, Sample

IMAGE_MARK = "<image>"
_TRIAL = "a problem that no template holds"


@dataclass(frozen=True, kw_only=True)
class PromptTemplate:
    """Text around each problem, as EasyR1's format prompts: Jinja2, `content` is the problem.

    `row` is the row of the dataset without its images: `{{ row.options }}`.
    """

    path: str
    _compiled: Template = field(repr=False, compare=False)

    def render(self, problem: str, row: Mapping[str, Any] | Undefined) -> str:
        """The problem in its template. Problem and row are data: never read as a template.

        Raises:
            jinja2.TemplateError: the template fails on this problem; its expressions can also
                raise what Python's own raise.
        """
        return self._compiled.render(content=problem, problem=problem, row=row)


def load_template(path: str) -> PromptTemplate:
    """Read a prompt template: Jinja2 around `{{ content }}`, or its alias `{{ problem }}`.

    Raises:
        ConfigError: not there, not UTF-8, not Jinja2, or it never places the problem.
    """
    try:
        source = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"prompt-template: {path}: {error.strerror}; pass a Jinja2 file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"prompt-template: {path}: not UTF-8 at byte {error.start}") from error
    # No escaping: the text is for a policy, not for a browser.
    # Compiled and tried once, on a made-up problem: a template that never places the problem would
    # ask every sample the same, and the first sign would be a table of zeros. Unknown names fail
    # (`StrictUndefined`) but for those of the row, which only the dataset can tell. Sandboxed,
    # since templates are passed around with datasets.
    environment = ImmutableSandboxedEnvironment(autoescape=False, undefined=StrictUndefined)
    try:
        template = PromptTemplate(path=path, _compiled=environment.from_string(source))
        placed = template.render(_TRIAL, ChainableUndefined(name="row"))
    except TemplateSyntaxError as error:
        raise ConfigError(f"prompt-template: {path}:{error.lineno}: {error.message}") from error
    except Exception as error:  # an expression can fail in any way, not only by TemplateError
        if _reads_row(environment, source):
            return template  # it wants a row that is one: the first rows of the dataset will tell
        raise ConfigError(f"prompt-template: {path}:{_line(error)}: {error}") from error
    if _TRIAL not in placed:
        raise ConfigError(f"prompt-template: {path}: no {{{{ content }}}}, the problem's place")
    return template


def _reads_row(environment: ImmutableSandboxedEnvironment, source: str) -> bool:
    try:
        return "row" in meta.find_undeclared_variables(environment.parse(source))
    except (TemplateSyntaxError, RecursionError):  # nested too deep to be parsed at all
        return False


def build_messages(
    problem: str,
    n_images: int,
    *,
    system_prompt: str,
    template: PromptTemplate | None,
    row: Mapping[str, Any] | None = None,
) -> list[JsonObject] | Failed:
    """Hugging Face chat messages of one sample, with a content part for each text and image.

    Args:
        problem: as in the dataset; its `<image>` marks place the images, none puts them first.
        n_images: how many images the sample has.
        system_prompt: the system message; "" for none.
        template: put around the problem; None leaves the problem as it is.
        row: what the template may read beside the problem.
    Returns:
        The messages, or why the sample cannot be prompted.
    """
    try:
        text = problem if template is None else template.render(problem, row or {})
    except Exception as error:  # an expression can fail in any way, not only by TemplateError
        return Failed(f"prompt template: {error}")
    # The marks are counted in the finished text, so that a template can place the images too. A
    # count that does not fit is the row's error: to guess the place of an image would be to ask
    # another question than the dataset does.
    pieces = text.split(IMAGE_MARK)
    marks = len(pieces) - 1
    if marks == 0:
        pieces = [""] * n_images + [text]
    elif marks != n_images:
        return Failed(f"{_count(marks, IMAGE_MARK + ' mark')} for {_count(n_images, 'image')}")
    content: list[JsonObject] = []
    for number, piece in enumerate(pieces):
        if number > 0:
            content.append({"type": "image"})
        if piece:
            content.append({"type": "text", "text": piece})
    if not content:
        return Failed("the problem is empty")
    system = [{"role": "system", "content": [{"type": "text", "text": system_prompt}]}]
    return [*(system if system_prompt else []), {"role": "user", "content": content}]


def ask(
    sample: Sample, n_images: int, *, system_prompt: str, template: PromptTemplate | None
) -> list[JsonObject] | Failed:
    """Messages of a sample: by its own system prompt and template where its row brings them.

    Args:
        system_prompt, template: of the run, for all other rows.
    Returns:
        As `build_messages`.
    """
    return build_messages(
        sample.problem,
        n_images,
        system_prompt=system_prompt if sample.system is None else sample.system,
        # What an export has put around the problem must not be put there again.
        template=None if sample.templated else template,
        row=sample.cells,
    )


def without_images(messages: Sequence[JsonObject]) -> list[JsonObject] | Failed:
    """The same messages with nothing where images stood, as a question of text alone is asked.

    The texts beside an image are joined by the longer of the two spaces that held it, and none
    begins or ends with one.

    Returns:
        The messages, or why nothing is left to ask.
    """
    asked: list[JsonObject] = []
    for message in messages:
        parts = message["content"]
        if all(part["type"] == "text" for part in parts):
            asked.append(message)
            continue
        pieces = [part["text"] for part in parts if part["type"] == "text"]
        text = reduce(_joined, pieces, "").strip()
        if not text:
            return Failed("the problem is empty without its image")
        asked.append({**message, "content": [{"type": "text", "text": text}]})
    return asked


def _joined(before: str, after: str) -> str:
    left, right = before.rstrip(), after.lstrip()
    spaces = before[len(left) :], after[: len(after) - len(right)]
    return f"{left}{max(spaces, key=len)}{right}"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _line(error: BaseException) -> int:
    # Jinja2 rewrites the traceback so that its last frame is the template's own line.
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
