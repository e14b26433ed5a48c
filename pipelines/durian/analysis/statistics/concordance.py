"""Kendall's tau-b under weights: how much more often two rankings agree on a pair than differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class _Split:
    """Pairs whose levels first differ at one binary digit, all such pairs at once.

    A segment is a set of samples whose levels agree in all higher digits.
    """

    low: Ints  # samples with digit 0, by segment and then score
    high: Ints  # samples with digit 1, likewise
    below: Ints  # (high,): of `low`, how many come before the sample's segment and score
    through: Ints | None  # (high,): and with its score; None where no score is tied
    starts: Ints  # first place in `high` of each segment
    sides: Ints  # (2, segments): where the segment begins and ends in `low`


class Concordance:
    """Concordant less discordant pairs of a score and a level, of samples drawn again.

    Pairs are counted as in a merge sort, one binary digit of the level at a time, so that M samples
    with R distinct levels take M log2 R steps and no pair is visited.
    """

    def __init__(self, blocks: Ints, levels: Ints) -> None:
        """Lay the pairs out.

        Args:
            blocks: (M,), rank of each sample's score, rising; equal scores have equal ranks.
            levels: (M,), rank of each sample's other value, from 0.
        """
        digits = int(levels.max(initial=0)).bit_length()
        self._splits = [
            split for digit in range(digits) if (split := _split(blocks, levels, digit)) is not None
        ]

    def __call__(self, weights: Floats) -> Floats:
        """(b, M) weights in the order of the score to (b,) differences."""
        difference = np.zeros(len(weights))
        for split in self._splits:
            counted = np.zeros((len(weights), len(split.low) + 1))
            np.cumsum(np.take(weights, split.low, axis=1), axis=1, out=counted[:, 1:])
            high = np.take(weights, split.high, axis=1)
            below = np.take(counted, split.below, axis=1)
            through = below if split.through is None else np.take(counted, split.through, axis=1)
            # Of a segment's low samples, those below less those above: below - (all - through),
            # counted from the segment's start.
            difference += np.einsum("bi,bi->b", high, below + through)
            around = counted[:, split.sides[0]] + counted[:, split.sides[1]]
            difference -= (np.add.reduceat(high, split.starts, axis=1) * around).sum(axis=1)
        return difference


def _split(blocks: Ints, levels: Ints, digit: int) -> _Split | None:
    segment, is_high = levels >> (digit + 1), (levels >> digit) & 1 == 1
    # Only a segment that has samples of either digit holds pairs that this digit decides.
    both = np.intersect1d(segment[is_high], segment[~is_high])
    if not len(both):
        return None
    kept = np.isin(segment, both)
    low, high = np.flatnonzero(kept & ~is_high), np.flatnonzero(kept & is_high)
    low = low[np.argsort(segment[low], kind="stable")]
    high = high[np.argsort(segment[high], kind="stable")]
    # One number that orders by segment and then score.
    place = segment * (int(blocks.max()) + 1) + blocks
    below = np.searchsorted(place[low], place[high], side="left")
    through = np.searchsorted(place[low], place[high], side="right")
    sides = [np.searchsorted(segment[low], both, side=side) for side in ("left", "right")]
    return _Split(
        low=low,
        high=high,
        below=below,
        through=None if (below == through).all() else through,
        starts=np.searchsorted(segment[high], both, side="left"),
        sides=np.array(sides),
    )
