"""Samples with unequal numbers of completions, made to weigh alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def even(wrong: Floats, total: Floats) -> tuple[Floats, Floats]:
    """Counts in which every sample has as many completions, and its own error rate.

    Adaptive rollouts draw more of the samples whose groups are uncertain, so that a share of all
    completions would be a share of those most of all: an error rate is the mean over samples of
    theirs. Counts that are equal already are given back as they are.

    Args:
        wrong, total: (N,), a sample's wrong completions, and all of them; 0 of 0 stays so.
    Returns:
        (N,) each: wrong completions, no longer whole numbers, of g a sample: the mean of `total`,
        rounded.
    """
    scored = total > 0
    if not scored.any() or total[scored].min() == total[scored].max():
        return wrong, total
    g = float(np.round(total[scored].mean()))
    # The rate first: samples of equal rates keep equal ones, to the last bit.
    rate = np.divide(wrong, total, out=np.zeros(len(total)), where=scored)
    return rate * g, np.where(scored, g, 0.0)
