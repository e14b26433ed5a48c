"""The one form in which a number with its uncertainty travels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from durian.records import left_out

Label = str | int  # of a group
AGREED = "it is the same in every cluster"  # why a number that does not vary has no interval


@dataclass(frozen=True, kw_only=True)
class DrawnTogether:
    """The kind and number of clusters that intervals take as a whole."""

    of: Literal["sample", "image"]
    n: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval, or the reason why either is missing."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = left_out()
    n: int | None = left_out()  # samples behind it, where they are not told beside it

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the interval; None where there is none."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def turned(self) -> Estimate:
        """The estimate of the same number with the other sign."""
        ends = self.interval
        return Estimate(
            value=None if self.value is None else -self.value,
            low=None if ends is None else -ends[1],
            high=None if ends is None else -ends[0],
            reason=self.reason,
            n=self.n,
        )


def plural(count: int, thing: str) -> str:
    """'image', or 'images' for any number but one."""
    return thing if count == 1 else f"{thing}s"
