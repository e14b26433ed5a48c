"""Errors by group: a group's part of all wrong completions, and how often it is wrong."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.analysis.bootstrap import Estimate, resampled_weights, with_interval
from pipelines.groups import reasoning_groups

CURVE_BINS = 12


def error_rate(
    wrong: NDArray[np.float64], total: NDArray[np.float64], *, seed: int
) -> dict[str, Any]:
    """Share of wrong completions, with its interval.

    Args:
        wrong, total: shape (N,): a sample's wrong completions, and all of them.
    """
    draws = [(w @ wrong) / (w @ total) for w in resampled_weights(len(wrong), seed=seed)]
    return _rate(wrong.sum(), total.sum(), len(wrong), np.concatenate(draws))


def errors_by_group(
    labels: Sequence[Hashable | None],
    order: Sequence[Hashable],
    wrong: NDArray[np.float64],
    total: NDArray[np.float64],
    *,
    seed: int,
) -> list[dict[str, Any]]:
    """One entry a group, in `order`: counts, error share and error rate with intervals.

    The error share is the group's part of all wrong completions of grouped samples (the paper's
    tables 5 and 6); the error rate is wrong over all completions within the group. Samples in no
    group (None) are left out.

    Args:
        labels: (N,), the group of each sample.
        wrong, total: (N,), a sample's wrong completions, and all of them.
    """
    member = np.array([[label == group for group in order] for label in labels], np.float64)
    member = member.reshape(len(labels), len(order))  # (N, K), also where either is 0
    kept = member.any(axis=1)
    member, wrong, total = member[kept], wrong[kept], total[kept]
    errors, completions = wrong @ member, total @ member  # (K,)
    all_draws = []
    for weights in resampled_weights(len(wrong), seed=seed) if kept.any() else ():
        drawn = (weights * wrong) @ member  # (b, K)
        with np.errstate(invalid="ignore"):  # an empty group, or no error at all: NaN
            shares = drawn / drawn.sum(axis=1, keepdims=True)
            rates = drawn / ((weights * total) @ member)
        all_draws.append(np.stack([shares, rates]))
    draws = np.concatenate(all_draws, axis=1) if all_draws else np.empty((2, 0, len(order)))
    rows = []
    for k, group in enumerate(order):
        row: dict[str, Any] = {
            "group": group,
            "samples": int(member[:, k].sum()),
            "completions": int(completions[k]),
            "errors": int(errors[k]),
            "error_share": (
                with_interval(errors[k] / errors.sum(), draws[0, :, k])
                if errors.any()
                else Estimate(value=None, reason="nothing is wrong")
            ).as_dict(),
            "error_rate": _rate(errors[k], completions[k], member[:, k].sum(), draws[1, :, k]),
        }
        rows.append(row)
    return rows


def error_curve(
    values: NDArray[np.float64],
    wrong: NDArray[np.float64],
    total: NDArray[np.float64],
    *,
    seed: int,
) -> list[dict[str, Any]]:
    """Error rate along a measure: up to 12 quantile bins, from its lowest value to its highest.

    Each entry is as `errors_by_group`'s, with the bin's mean of the measure as `mean`.
    """
    bins = reasoning_groups(values, CURVE_BINS).labels  # numbered from the lowest value
    order = sorted({label for label in bins if label is not None})
    rows = errors_by_group(bins, order, wrong, total, seed=seed)
    numbers = np.array([-1 if label is None else label for label in bins])
    return [{**row, "mean": float(values[numbers == row["group"]].mean())} for row in rows]


def _rate(
    errors: float, completions: float, samples: float, draws: NDArray[np.float64]
) -> dict[str, Any]:
    """An error rate; where nothing or all is wrong, resamples cannot show how sure that is.

    The bound is then Clopper and Pearson's with each sample as one trial, "has an error": it holds
    however alike the rollouts of a sample are.
    """
    if not completions:
        return Estimate(value=None, reason="the group is empty").as_dict()
    margin = float(1 - 0.025 ** (1 / samples))
    if errors == 0:
        return Estimate(value=0.0, low=0.0, high=margin).as_dict()
    if errors == completions:
        return Estimate(value=1.0, low=1 - margin, high=1.0).as_dict()
    return with_interval(errors / completions, draws).as_dict()
