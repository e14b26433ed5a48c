"""Confidence: how probable the policy finds what it wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durian.measures.base import Column, Completions, RolloutMeasure, Values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


def mean_logprob(sum_logprobs: ArrayLike, n_tokens: ArrayLike) -> float:
    """Confidence per token: the mean over completions of each one's mean token log-probability.

    L = (1/G) sum_i s_i / n_i, where completion i has n_i tokens of summed log-probability s_i.
    Its negative estimates the policy's predictive entropy, whatever the length of the answers.

    Args:
        sum_logprobs: shape (G,), nats, each at most 0.
        n_tokens: shape (G,), tokens of each completion, each at least 1.
    Returns:
        Nats a token, at most 0.
    Raises:
        ValueError: not of shape (G,), no completion, a length below 1, or not finite.
    Source: eq. 14-15, with the length normalised as in the paper's figure 2.
    """
    import numpy as np  # here, as in all functions: the declaration below is read by `--help`

    sums, lengths = _completions(sum_logprobs), np.asarray(n_tokens)
    if lengths.shape != sums.shape:
        raise ValueError(f"n_tokens has shape {lengths.shape}, sum_logprobs {sums.shape}")
    if not (lengths >= 1).all():
        raise ValueError(f"n_tokens has {lengths.min()}; a completion has at least 1 token")
    return float((sums / lengths).mean())


def sum_logprob(sum_logprobs: ArrayLike) -> float:
    """Confidence of whole completions: the mean of their summed log-probabilities (eq. 14-15).

    Long completions weigh it down: a policy that reasons at length looks less confident.

    Args:
        sum_logprobs: shape (G,), nats, each at most 0.
    Returns:
        Nats, at most 0.
    Raises:
        ValueError: not of shape (G,), no completion, or not finite.
    """
    return float(_completions(sum_logprobs).mean())


def _completions(sum_logprobs: ArrayLike) -> NDArray[np.float64]:
    import numpy as np

    sums = np.asarray(sum_logprobs, dtype=np.float64)
    if sums.ndim != 1 or sums.size == 0:
        raise ValueError(f"sum_logprobs has shape {sums.shape}; it must be (G,) with G >= 1")
    if not np.isfinite(sums).all():
        raise ValueError("sum_logprobs has a value that is not finite")
    return sums


def _of_sample(written: Completions) -> Values:
    sums = [rollout.sum_logprob for rollout in written.rollouts]
    return {
        "mean_logprob": mean_logprob(sums, [rollout.n_tokens for rollout in written.rollouts]),
        "sum_logprob": sum_logprob(sums),
    }


CONFIDENCE = RolloutMeasure(
    name="confidence",
    help="log-probability of the policy's completions, and whether they are right",
    take=_of_sample,
    columns=(
        Column(
            name="mean_logprob",
            unit="nats per token",
            meaning="mean over completions of the per-token mean log-probability",
            harder="lower",
            words="confidence per token",
            card="confidence",
        ),
        Column(
            name="sum_logprob",
            unit="nats",
            meaning="mean over completions of the sequence log-probability (eq. 14-15)",
            harder="lower",
            words="confidence of whole completions",
        ),
    ),
)
