"""All that `durian eval` found: how often policies are right, and what it was judged on."""

from __future__ import annotations

from dataclasses import dataclass, field

from durian.analysis.statistics.estimate import DrawnTogether, Estimate, Label
from durian.analysis.statistics.seeing import Learned, Seeing
from durian.config import EvalConfig
from durian.records import left_out


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Share of right completions with its 95 % interval, or the reason why there is none."""

    accuracy: float
    low: float | None
    high: float | None
    reason: str | None = left_out()
    n: int  # samples
    interval: str  # how it was taken

    @property
    def estimate(self) -> Estimate:
        """The same as what all other numbers with intervals are."""
        return Estimate(
            value=self.accuracy, low=self.low, high=self.high, reason=self.reason, n=self.n
        )


@dataclass(frozen=True, kw_only=True)
class Rates(Accuracy):
    """Accuracy of a policy, and the length and form of its completions."""

    completions: int
    format_rate: float | None  # None where the reward does not judge it
    mean_tokens: float | None
    truncated: float | None


@dataclass(frozen=True, kw_only=True)
class GroupAccuracy:
    """Accuracy of a policy within one group, by the way its completions were drawn."""

    group: Label
    n: int  # samples
    greedy: Accuracy | None = left_out()
    sampled: Accuracy | None = left_out()


@dataclass(frozen=True, kw_only=True)
class PassAt:
    """Share of samples with a right one among K completions: of all, or within one group."""

    group: Label
    kind: str | None  # perceptual or reasoning; None of all samples
    n: int  # samples
    shares: list[Estimate]  # one a K, in the order of the settings' `pass_at`

    @property
    def label(self) -> str:
        """'all', or the group by its kind: 'perceptual hard'."""
        return str(self.group) if self.kind is None else f"{self.kind} {self.group}"


@dataclass(frozen=True, kw_only=True)
class GreedyDifference:
    """One policy's accuracy minus another's on the same samples, one completion each."""

    difference: Estimate
    only_first_right: int  # samples
    only_second_right: int
    p: float  # two-sided
    test: str


@dataclass(frozen=True, kw_only=True)
class SampledDifference:
    """One policy's pass rates minus another's on the same samples."""

    difference: Estimate
    p: float  # two-sided
    test: str
    flips: int


@dataclass(frozen=True, kw_only=True)
class GroupDifference:
    """One policy's accuracy minus another's within one group."""

    group: Label
    n: int  # samples
    greedy: Estimate | None = left_out()
    sampled: Estimate | None = left_out()


@dataclass(frozen=True, kw_only=True)
class JudgedDataset:
    """The dataset that the samples are of."""

    name: str
    split: str | None
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class JudgedCounts:
    """Counts of the samples that there are, and of those that the rates are over."""

    rows: int
    samples: int
    duplicate_rows: int
    judged: int
    failed: int
    failed_by_reason: dict[str, int]  # the most frequent first


@dataclass(frozen=True, kw_only=True)
class JudgedTable:
    """The table whose groups the rates are given by, and the judged samples it says nothing of."""

    run: str
    model: str | None
    dataset: str
    perceptual: str  # the measures behind the groups
    reasoning: str
    not_in_table: int
    in_no_perceptual_group: int
    in_no_reasoning_group: int


@dataclass(frozen=True, kw_only=True)
class JudgedModel:
    """Accuracy of one policy: in all, and by the groups of the table."""

    name: str
    fingerprint: str
    greedy: Rates
    sampled: Rates | None = left_out()
    pass_at: list[PassAt] | None = left_out()  # all samples first, then each group
    # With and without the image, by the way of drawing; None where it was not asked blind.
    seeing: dict[str, Seeing] | None = left_out()
    perceptual: list[GroupAccuracy] | None = left_out()
    reasoning: list[GroupAccuracy] | None = left_out()


@dataclass(frozen=True, kw_only=True)
class JudgedDifference:
    """The accuracy of the first policy less that of the second, on the same samples."""

    first: str
    second: str
    difference: str = "accuracy of the first minus that of the second, on the same samples"
    greedy: GreedyDifference
    sampled: SampledDifference | None = left_out()
    # From the second to the first, by the way of drawing; None where it was not asked blind.
    learned: dict[str, Learned] | None = left_out()
    perceptual: list[GroupDifference] | None = left_out()
    reasoning: list[GroupDifference] | None = left_out()


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The numbers of an evaluation, with what they say in words."""

    durian: str
    created: str
    dataset: JudgedDataset
    settings: EvalConfig
    counts: JudgedCounts
    clusters: DrawnTogether  # what intervals and tests take as a whole
    table: JudgedTable | None
    models: list[JudgedModel]
    comparison: JudgedDifference | None
    seconds: dict[str, float]
    sentences: list[str] = field(default_factory=list)
