"""What the image adds, from half of the completions, held against the errors of the other half.

The gain is the pass rate less that without the image, and the error is one less the pass rate. Of
the same completions the two fall together by luck alone, even where all samples are alike; of two
halves only what is true of the samples is left. That still holds a truth of little worth: where the
policy is never right, the image adds nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from durian.analysis.one_run.against_error import AgainstError, Predictor
from durian.analysis.one_run.columns import Candidate
from durian.analysis.one_run.rollouts import RolloutArrays
from durian.analysis.one_run.split_half import halved
from durian.analysis.statistics.clusters import Clusters

Floats = NDArray[np.float64]


def gain_against_error(
    rollouts: RolloutArrays, blind: Floats, clusters: Clusters, *, seed: int
) -> Predictor | None:
    """Hold the image gain from one half of each sample's completions against the other's errors.

    Args:
        rollouts: of N samples, with the image.
        blind: (N,), pass rates without it, which share no completion with either half; NaN where
            they were not asked so.
        seed: of the split.
    Returns:
        None where no sample was asked both ways and has two completions.
    """
    (first, second), size = halved(rollouts.present, np.random.default_rng([seed, 3]))
    usable = (size > 0) & ~np.isnan(blind)
    if not usable.any():
        return None
    wrong_1, wrong_2 = (np.where(half, rollouts.wrong, 0.0).sum(axis=1) for half in (first, second))
    gain = np.full(len(blind), np.nan)
    gain[usable] = 1 - wrong_1[usable] / size[usable] - blind[usable]
    candidate = Candidate(kind="measure", values=gain, harder="lower")
    return AgainstError(candidate, wrong_2, size.astype(np.float64), clusters).described()
