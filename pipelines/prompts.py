"""Problems to chat messages. Both stages prompt so, so that training sees what was profiled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError
from pipelines.samples import Failed

IMAGE_MARK = "<image>"


@dataclass(frozen=True)
class PromptTemplate:
    """Text around each problem, as EasyR1's format prompts: Jinja2, `content` is the problem."""

    path: str
    compiled: Any

    def around(self, problem: str) -> str:
        """The problem in its template. The problem is data: it is never read as a template."""
        return str(self.compiled.render(content=problem, problem=problem))


def load_template(path: str) -> PromptTemplate:
    """Read a prompt template.

    Raises:
        ConfigError: not there, not Jinja2, or it never places the problem.
    """
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=False
    )
    try:
        template = PromptTemplate(
            path, environment.from_string(Path(path).read_text(encoding="utf-8"))
        )
        placed = template.around(IMAGE_MARK)
    except OSError as error:
        raise ConfigError(f"prompt-template: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"prompt-template: {path} is not UTF-8 text") from error
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"prompt-template: {path}:{error.lineno}: {error.message}") from error
    except jinja2.TemplateError as error:
        raise ConfigError(f"prompt-template: {path}: {error.message}") from error
    if IMAGE_MARK not in placed:
        raise ConfigError(f"prompt-template: {path} never uses {{{{ content }}}}, the problem")
    return template


def build_messages(
    problem: str, n_images: int, *, system_prompt: str, template: PromptTemplate | None
) -> list[dict[str, Any]] | Failed:
    """Hugging Face chat messages of one sample, with an image part where each image goes.

    The problem's `<image>` marks place the images; without a mark they come first.

    Returns:
        A system message (none if `system_prompt` is empty) and a user message; or why the
        problem's marks do not fit its images.
    """
    marks = problem.count(IMAGE_MARK)
    if marks not in (0, n_images):
        return Failed(f"{marks} {IMAGE_MARK} marks for {n_images} images")
    marked = problem if marks else IMAGE_MARK * n_images + problem
    text = template.around(marked) if template else marked
    first, *rest = text.split(IMAGE_MARK)
    parts: list[dict[str, Any]] = [{"type": "text", "text": first}] if first else []
    for piece in rest:
        parts.append({"type": "image"})
        if piece:
            parts.append({"type": "text", "text": piece})
    system = [{"role": "system", "content": [{"type": "text", "text": system_prompt}]}]
    return [*(system if system_prompt else []), {"role": "user", "content": parts}]
