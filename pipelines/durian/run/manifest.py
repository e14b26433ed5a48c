"""A profile's manifest.json: what the run was of, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from durian.groups import GroupCuts
from durian.records import JsonObject, from_json, left_out
from durian.run.tokens import Tokens

Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, kw_only=True)
class ProfiledDataset:
    """The dataset that was profiled."""

    name: str
    split: str | None = None
    fingerprint: str  # of its rows
    read: JsonObject | None = left_out()  # how its columns were read


@dataclass(frozen=True, kw_only=True)
class ProfiledModel:
    """The policy that was judged; None where none was."""

    name: str | None
    fingerprint: str | None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Rows and samples, and how many of them lack a measure."""

    rows: Count
    samples: Count
    duplicate_rows: Count = 0
    failed: Count = 0
    failed_by_reason: dict[str, Count] = field(default_factory=dict)  # the most frequent first


@dataclass(frozen=True, kw_only=True)
class ImportedLogs:
    """A log whose completions a run was made of, and how they were matched to samples."""

    form: str  # of the program that wrote it
    files: Count
    completions: Count  # all that were read
    matched: dict[str, Count]  # to one sample, by what: key, sample_id, prompt
    unmatched: dict[str, Count]  # by why
    unread: dict[str, Count]  # lines without a completion, by why
    repeated: Count  # completions that the log holds again: left out
    with_reward: Count  # of the matched ones
    with_logprob: Count  # of the matched ones: a log-probability and a length
    steps: tuple[int, int] | None  # of the training: the first and the last
    opened: bool  # the chat template wrote the opening think tag: no completion has it


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """The making of one estimated column."""

    model: Literal["ridge", "trees"]  # that predicts it, in most of the folds
    explained: float  # part of the variance seen, on samples that the model was not fitted to
    own_weight: float | None  # of a sample's own completions; None where one each cannot tell
    # The following are missing where one completion each cannot tell, or an older Durian was asked.
    coverage: dict[str, float] | None = left_out()  # level -> part of the intervals that hold
    error_alone: float | None = left_out()  # rms, of a sample's own completions without a model
    error: float | None = left_out()  # rms, as the standard deviations have it
    reliability_alone: float | None = left_out()  # squared correlation with the truth, likewise
    reliability: float | None = left_out()
    error_predicted: float | None = left_out()  # likewise, of a sample without completions
    leans: dict[str, float] | None = left_out()  # on what, and the variance lost without it


@dataclass(frozen=True, kw_only=True)
class FewerDraws:
    """A number of completions that would do, as tried on the others of the same run."""

    rollouts: Count  # that are estimated from
    of: Count  # that were drawn, and whose plain pass rates err more
    error: float  # rms of the estimated difficulty
    error_alone: float  # rms of the pass rates


@dataclass(frozen=True, kw_only=True)
class EstimatesMade:
    """The estimates of a run: of how many samples, from what."""

    samples: Count  # with completions
    predicted: Count = 0  # without any
    rollouts: float  # of a sample with completions, mean
    features: list[str]  # in words, but the dataset's own columns by name
    difficulty: Estimated
    confidence: Estimated | None  # None where no log-probabilities are known
    enough: FewerDraws | None = left_out()  # None where fewer would not surely do


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """The part of the samples that completions were drawn of; the others are estimated."""

    asked: float | int  # as `--sample` had it: a share or a number
    drawn: Count


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The processes that measured a run side by side."""

    count: Count
    seconds: list[dict[str, float]]  # of each shard's parts, by stage


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Samples over nearly the same images, and labels in conflict among them."""

    clusters: Count  # of two samples or more
    samples: Count  # in these
    conflicts: Count  # samples whose image and question another has too, with another answer


@dataclass(frozen=True, kw_only=True)
class ComparedSet:
    """Another dataset in which the samples were looked for."""

    name: str  # as the column `also_in` has it
    split: str
    fingerprint: str  # of its rows
    rows: Count
    held: Count  # samples of the run that it holds too
    by: dict[str, Count] = field(default_factory=dict)  # of them by way: bytes, pixels, near, words


@dataclass(frozen=True, kw_only=True)
class Rescored:
    """The run whose completions another one scores by another reward."""

    run: str
    reward: str  # its own
    completions: str  # fingerprint of its table of completions


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that is known of a finished profile beside its tables.

    What only some versions wrote, or what some runs have no use for, may be None.
    """

    kind: str | None = left_out()  # import, where the rollouts are of a log
    durian: str | None = left_out()  # its version
    schema: Count
    created: str
    dataset: ProfiledDataset
    model: ProfiledModel
    config: JsonObject  # the settings, as that version of Durian had them
    identity: JsonObject | None = left_out()  # all that the numbers depend on
    logs: ImportedLogs | None = left_out()
    rescored: Rescored | None = left_out()  # None where completions were drawn, or of a log
    judge: JsonObject | None = left_out()  # the served model that was asked, and its prompt
    logprobs_mode: str | None = None
    counts: Counts
    tokens: Tokens | None = None
    sampled: Sampled | None = left_out()  # None where all are drawn
    estimates: EstimatesMade | None = left_out()
    duplicates: NearDuplicates | None = left_out()  # None where they were not looked for
    against: list[ComparedSet] | None = left_out()
    groups: GroupCuts
    determinism: list[str] | None = left_out()  # what another run of the same may give otherwise
    versions: dict[str, str] | None = left_out()
    seconds: dict[str, float] | None = left_out()  # by stage
    shards: Shards | None = left_out()
    locks: str | None = left_out()  # that were not flocks, and why
    regrouped: list[GroupCuts] | None = left_out()  # earlier groupings


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """The settings that later stages take from a profile's config."""

    system_prompt: str | None = None
    prompt_template: str | None = None
    reward: str | None = None
    min_pixels: Count | None = None
    max_pixels: Count | None = None
    max_tokens: Count | None = None
    temperature: float | None = None
    top_p: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Configured:
    config: _Settings


def manifest_of(value: JsonObject) -> Manifest:
    """The manifest in a JSON object.

    Raises:
        ValueError: a key is missing or of no use; names it.
    """
    manifest = from_json(Manifest, value)
    from_json(_Configured, {"config": manifest.config})
    return manifest
