"""The result of a profile's dry run: counts, prompts, time and money."""

from __future__ import annotations

from dataclasses import dataclass, field

from durian.analysis.statistics.estimate import Estimate
from durian.records import JsonObject, left_out, merged


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A quantity as it is expected, and at most; None where it is not known."""

    expected: float | None
    at_most: float | None


@dataclass(frozen=True, kw_only=True)
class NamedImage:
    """One image that the policy will not see as it is."""

    row: int
    image: int  # of its row, from 1
    fate: str  # shrunk, enlarged or refused
    size: tuple[int, int]
    becomes: tuple[int, int] | None  # None: refused


@dataclass(frozen=True, kw_only=True)
class ImageFates:
    """Counts of images that the policy sees smaller or larger than they are, repeats included."""

    min_pixels: int | None
    max_pixels: int | None
    all: int
    shrunk: int
    enlarged: int
    refused: int
    unreadable: int
    named: list[NamedImage]  # the first of them


@dataclass(frozen=True, kw_only=True)
class OnePrompt:
    """The length of a single prompt."""

    mean: float  # tokens
    largest: int  # tokens
    image_share: float  # of all tokens


@dataclass(frozen=True, kw_only=True)
class PromptCount:
    """The tokens of all prompts, each counted once; from some prompts, or as a run had them."""

    prompts_sampled: int | None = left_out()
    prompts_failed: dict[str, int] | None = left_out()  # by reason, of those sampled
    prompt_tokens: Estimate | None = left_out()  # None: a server counts them
    prompt_tokens_of_one: OnePrompt | None = left_out()
    reads_of_a_prompt: int | None = left_out()
    first_prompt: str | None = left_out()  # as the policy would read it
    blind_prompt_tokens: Estimate | None = left_out()  # of all prompts as they are asked blind
    first_blind_prompt: str | None = left_out()


@dataclass(frozen=True, kw_only=True)
class Price:
    """Completions, seconds and money: as a finished run had it, and at most.

    A prompt is priced once for all of its rollouts, as servers bill it; at most: the upper bound of
    the prompts' interval.
    """

    completion_tokens: Bounds
    tokens_per_second: float | None
    seconds: Bounds  # of the rollouts
    gpu_hours: Bounds | None  # None: a server's
    rate_from: str | None
    rate_differs: list[str]
    money: dict[str, Bounds]
    not_known: dict[str, str] = field(default_factory=dict)  # what is missing -> how to have it


@dataclass(frozen=True, kw_only=True)
class SigningCost:
    """Time of one core to decode and sign images for near-duplicates, by the first images."""

    images: int  # of the dataset and of those it is held against, about
    images_tried: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ProfilePlan:
    """The plan of a profile; parts are None where no completions are drawn, or none has a price."""

    dataset: str
    read: JsonObject
    rows: int
    samples: int
    parts: int
    parts_finished: int
    complete: bool
    measures: list[str]
    model: str | None = left_out()
    engine: str | None = left_out()
    drawn: int | None = left_out()  # samples of which completions would be drawn; None: of all
    completions: int | None = left_out()
    blind_completions: int | None = left_out()  # without the image; at most: if all have one
    judged_at_most: int | None = left_out()  # answers that a judge is asked about
    judge_reads: int | None = left_out()  # characters beside the answer, mean of one question
    judge_writes_at_most: int | None = left_out()  # tokens of one verdict
    signing: SigningCost | None = left_out()  # None: near-duplicates are not asked for
    coords: dict[str, int] | None = left_out()  # references, and how many fit each system
    images: ImageFates | None = left_out()
    prompts: PromptCount | None = merged()
    price: Price | None = merged()
