"""Count how much more often two rankings agree on a pair than differ, for Kendall's tau."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.intp]


def concordance(blocks: Ints, levels: Ints) -> NDArray[np.float64]:
    """Count each sample's concordant pairs with all others, less its discordant ones.

    Pairs are counted as in a merge sort, one binary digit of the level at a time, so that M samples
    with R distinct levels take M log2 R steps and no pair is visited.

    Args:
        blocks: (M,), rank of each sample's score, rising; equal scores have equal ranks.
        levels: (M,), rank of each sample's other value, from 0.
    """
    counted = np.zeros(len(blocks))
    for digit in range(int(levels.max(initial=0)).bit_length()):
        # Levels that first differ at this digit share all higher ones: their segment.
        segment, is_high = levels >> (digit + 1), (levels >> digit) & 1 == 1
        order = np.argsort(segment, kind="stable")  # by segment, and in it by score
        place = segment[order] * (int(blocks[-1]) + 1) + blocks[order]
        sides = [order[is_high[order] == high] for high in (False, True)]
        places = [place[is_high[order] == high] for high in (False, True)]
        for side, sign in ((0, -1), (1, 1)):
            others, own = places[1 - side], segment[sides[side]]
            first = own * (int(blocks[-1]) + 1)  # the segment's ends
            last = first + int(blocks[-1]) + 1
            # Those of the other digit that come before in score, less those that come after.
            before, through = (
                np.searchsorted(others, places[side], side=end) for end in ("left", "right")
            )
            around = np.searchsorted(others, first) + np.searchsorted(others, last)
            counted[sides[side]] += sign * (before + through - around)
    return counted
