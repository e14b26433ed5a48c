"""The objects that travel between rooms: Sample, Prompt, Rollout, Score, Failed; the sample id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from PIL import Image

from durian.records import JsonObject

NO_IMAGE = "no image"  # why a sample of text alone lacks a measure of images
NOT_LOGGED = "no completion is logged"

FinishReason = Literal["stop", "length", "repetition", "error"]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One item of a dataset, its images still encoded. Never a draw from the policy."""

    sample_id: str
    row: int  # position of the dataset row, from 0
    problem: str
    answer: str  # a JSON list where several texts are accepted
    options: tuple[str, ...] = ()  # the contents of the choices, from A on
    images: tuple[bytes, ...] = ()  # encoded, in order; b"" for one that could not be read
    error: str | None = None  # why the row or its images could not be read, a short phrase
    question_error: str | None = None  # why it cannot be asked or judged; its images may be whole
    system: str | None = None  # its own system prompt, in place of the run's
    templated: bool = field(default=False, compare=False)  # its problem holds the prompt template
    columns: Mapping[str, float | str] = field(default_factory=dict)  # the dataset's own further
    # All cells of the row that hold no image, as they stand there: for templates and rewards.
    cells: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    user_turns: int = field(default=1, compare=False)  # of its messages, joined as the problem
    source_file: str = field(default="", compare=False)  # within the dataset's folder

    @property
    def image_id(self) -> str:
        """Ids of its images, with a space between; the sample's own id where it has none.

        Samples that share an id show the same image. Versions of before gave several images one id.
        """
        ids = [sample_id("", "", (image,)) for image in self.images if image]
        return " ".join(dict.fromkeys(ids)) or self.sample_id


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """The prompt of one sample: chat messages and the decoded images."""

    sample_id: str
    messages: list[JsonObject]  # content parts: {"type": "image"} or {"type": "text", "text"}
    images: tuple[Image.Image, ...]  # RGB, one for each image part, in order


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One completion with its log-probability under the policy at temperature 1."""

    completion: str
    n_tokens: int  # completion tokens, the end token included when it was sampled
    sum_logprob: float  # nats, over those tokens (eq. 14)
    finish_reason: FinishReason
    prompt_tokens: int | None = None  # of its prompt, image tokens included; None: not counted
    opened: bool = False  # the prompt ends with the opening think tag, which counts as written


@dataclass(frozen=True)
class Score:
    """One completion, judged."""

    reward: float  # finite; 0 to 1 for the boxed reward, any range for a custom one
    correct: bool
    formatted: bool | None  # None: the reward does not judge the format
    answer: str | None  # the final answer as written; None if there is none
    kind: str | None = None  # of the reference, by whose rule it was judged; None: by none of ours
    judged: bool | None = None  # a served model was asked; None: the reward has no judge


@dataclass(frozen=True)
class Failed:
    """A sample that could not be measured, and why: a short phrase for the `error` column."""

    error: str


def sample_id(problem: str, answer: str, images: Iterable[bytes]) -> str:
    """Stable key of a sample: it survives shuffling, filtering and re-sharding.

    Each field (problem, answer, every image's encoded bytes) is fed to blake2b as its length in
    8 little-endian bytes and then the field, so that no two different samples feed equal bytes.

    Returns:
        32 hex digits.
    """
    digest = blake2b(digest_size=16)
    for part in (_utf8(problem), _utf8(answer), *images):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _utf8(text: str) -> bytes:
    # Lone surrogates (broken JSON escapes) have no UTF-8; "surrogatepass" still tells them apart.
    return text.encode("utf-8", "surrogatepass")
