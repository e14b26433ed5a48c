"""All that a comparison of two runs found: what its summary.json holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from durian.analysis.one_run.summary import Missing
from durian.analysis.statistics.estimate import DrawnTogether
from durian.analysis.statistics.seeing import Learned, Seeing
from durian.analysis.two_runs.drift import Drift
from durian.causes.rules import CAUSES
from durian.groups import GroupCuts
from durian.records import left_out

KIND: Literal["comparison"] = "comparison"
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Both(Generic[Item]):
    """A pair of values of one kind, of run A and of run B."""

    a: Item
    b: Item


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One of the two runs."""

    run: str  # its folder
    model: str | None
    dataset: str
    created: str
    samples: int


@dataclass(frozen=True, kw_only=True)
class SharedSamples:
    """Counts of the samples that both runs have, and one of them alone."""

    both: int
    only_a: int
    only_b: int


@dataclass(frozen=True, kw_only=True)
class CauseFlow:
    """How the causes of the samples moved that have one in both runs."""

    samples: int
    stayed: int  # those whose cause is the same
    moved: dict[str, dict[str, int]]  # cause in A -> cause in B -> samples, those that there are


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The numbers of a comparison, with what they say in words."""

    out: str | None = left_out()  # the folder of its page; the file in it does not say
    kind: Literal["comparison"] = KIND
    a: ComparedRun
    b: ComparedRun
    samples: SharedSamples
    clusters: DrawnTogether
    warnings: list[str]  # what differs between the runs beside the policy
    missing: Both[list[Missing]]
    grouping: Both[GroupCuts]
    drift: Drift
    causes: CauseFlow | None = left_out()  # where both tables tell some
    seeing: Both[Seeing | None] | None = left_out()  # where a run was asked blind
    learned: Learned | None = left_out()  # from A to B, where both were asked blind, and alike
    sentences: list[str] = field(default_factory=list)


def cause_flow(a: Sequence[str | None], b: Sequence[str | None]) -> CauseFlow | None:
    """Count how causes moved; None where no sample has one in both runs.

    Args:
        a, b: the cause of each sample in either run, in the same order.
    """
    counts = Counter((x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None)
    if not counts:
        return None
    moved = {
        first: {second: counts[first, second] for second in CAUSES if counts[first, second]}
        for first in CAUSES
    }
    return CauseFlow(
        samples=counts.total(),
        stayed=sum(number for (first, second), number in counts.items() if first == second),
        moved={first: row for first, row in moved.items() if row},
    )
