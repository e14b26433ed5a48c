"""Had the rollouts been drawn again: would pass rates and groups be the same?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.analysis.rollouts import RolloutArrays
from pipelines.groups import Harder, perceptual_groups, reasoning_groups

REDRAWS = 200
CERTAIN = 0.95
# Columns that come from rollouts; those that can be taken again from what is kept of each.
FROM_ROLLOUTS = {
    "mean_logprob", "sum_logprob", "answer_entropy", "rollouts", "pass_rate", "format_rate",
    "reward_mean", "reward_std", "mean_tokens", "truncated",
}  # fmt: skip
RETAKEN = ("mean_logprob", "sum_logprob", "pass_rate", "mean_tokens")

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]  # (N,), the group of each sample as a number, -1 for none
Cut = Callable[[Floats], Codes]


def pass_rate_reliability(wrong: Floats, total: Floats) -> dict[str, Any]:
    """How much of the spread of pass rates is between samples rather than luck of the draw.

    One-way variance components of the 0/1 completions: with MSB the mean square between samples and
    MSW within them, the intraclass correlation of one completion is
    r = (MSB - MSW) / (MSB + (G - 1) MSW), and Spearman and Brown's formula G r / (1 + (G - 1) r)
    makes that of the mean of G completions (MSB - MSW) / MSB. Less spread than luck alone gives is
    0. With unequal G the last form is taken as it stands.

    Args:
        wrong, total: (N,), a sample's wrong completions, and all of them.
    Returns:
        `reliability`: 0 to 1, or null with its `reason`; `standard_error` of a sample's pass rate:
        the square root of the mean of p (1 - p) / (G - 1), null where no sample has two.
    Source: Shrout and Fleiss, "Intraclass correlations: uses in assessing rater reliability", 1979,
    ICC(1, 1) and ICC(1, k).
    """
    repeated = total > 1
    if not repeated.any():
        reason = "no sample has two rollouts"
        return {"reliability": None, "standard_error": None, "reason": reason}
    rate = wrong / total
    variance = (rate * (1 - rate))[repeated] / (total[repeated] - 1)
    known = {"reliability": None, "standard_error": float(np.sqrt(variance.mean()))}
    if rate.min() == rate.max():
        reason = "there is one sample" if len(rate) == 1 else "all samples have one pass rate"
        return {**known, "reason": reason}
    n, mean = len(rate), wrong.sum() / total.sum()
    between = (total * (rate - mean) ** 2).sum() / (n - 1)
    within = (total * rate * (1 - rate)).sum() / (total.sum() - n)
    return {**known, "reliability": float(max(0.0, 1 - within / between))}


def group_reliability(
    grouping: Mapping[str, Any] | None,
    measures: Mapping[str, Harder],
    rollouts: RolloutArrays | None,
    labels: Mapping[str, Sequence[Any]],
    *,
    seed: int,
) -> dict[str, Any]:
    """Draw each sample's rollouts again, cut the groups again, and count who stays.

    G of a sample's G rollouts are drawn with replacement, 200 times, and groups are cut as the
    table's were: at quantiles of the new values where that gives the table's groups on the old
    ones, else (merged bins, say) at the table's own edges.

    Args:
        grouping: the manifest's `groups`: `perceptual` and `reasoning`, each with its `measure` and
            `edges`, and `percentiles` or `bins`.
        measures: which end of a measure is the hard one.
        labels: of the table, `perceptual` and `reasoning`; (N,), None for no group.
    Returns:
        For each grouping `fixed` where its measure does not come from rollouts, else `same_group`
        (share of samples that keep their group, mean over redraws), `certain` (share that keep it
        in 95 % of redraws) and `neighbours` (share within one group, mean over redraws); null with
        its `reason` where they cannot be taken.
    """
    found: dict[str, Any] = {}
    waiting: dict[str, tuple[str, Cut, Codes]] = {}
    for kind, described in (grouping or {}).items():
        name, table = described["measure"], _codes(labels[kind])
        if name not in FROM_ROLLOUTS:
            found[kind] = {"fixed": True}
        elif reason := _why_not(name, rollouts, table):
            found[kind] = dict.fromkeys(("same_group", "certain", "neighbours")) | {
                "reason": reason
            }
        else:
            assert rollouts is not None  # `_why_not` says so
            harder = measures.get(name, "higher" if kind == "perceptual" else "lower")
            now = _retaken(rollouts, np.arange(rollouts.present.shape[1])[None], (name,))[name]
            waiting[kind] = name, _cut(kind, described, harder, now, table), table
    if waiting and rollouts is not None:
        found |= _redraw(waiting, rollouts, seed)
    return found


def _why_not(name: str, rollouts: RolloutArrays | None, table: Codes) -> str | None:
    if name not in RETAKEN:
        return f"{name} cannot be taken again from the rollouts that are kept"
    if rollouts is None or not rollouts.present.any():
        return "there are no rollouts"
    if (rollouts.present.sum(axis=1) < 2).all():
        return "no sample has two rollouts"
    return None if (table >= 0).any() else "no sample is in a group"


def _redraw(
    waiting: Mapping[str, tuple[str, Cut, Codes]], rollouts: RolloutArrays, seed: int
) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 2])
    counts = rollouts.present.sum(axis=1)
    names = {name for name, _, _ in waiting.values()}
    kept = {kind: np.zeros(len(counts)) for kind in waiting}
    near = dict.fromkeys(waiting, 0.0)
    for _ in range(REDRAWS):
        # A sample's rollouts stand first in its row, so any place below its count is one of them.
        drawn = (rng.random(rollouts.present.shape) * counts[:, None]).astype(np.intp)
        values = _retaken(rollouts, drawn, names)
        for kind, (name, cut, table) in waiting.items():
            new, grouped = cut(values[name]), table >= 0
            kept[kind] += new == table
            near[kind] += float((np.abs(new - table) <= 1)[grouped].mean())
    found = {}
    for kind, (_, _, table) in waiting.items():
        share = kept[kind][table >= 0] / REDRAWS
        found[kind] = {
            "same_group": float(share.mean()),
            "certain": float((share >= CERTAIN).mean()),
            "neighbours": near[kind] / REDRAWS,
        }
    return found


def _retaken(rollouts: RolloutArrays, drawn: Codes, names: Any) -> dict[str, Floats]:
    """Measures of the drawn rollouts, (N,) each; NaN where a sample has none."""
    counts = rollouts.present.sum(axis=1)
    inside = np.arange(rollouts.present.shape[1]) < counts[:, None]
    places = np.broadcast_to(drawn, rollouts.present.shape)
    taken = {}
    for name in names:
        values = np.take_along_axis(_of_each(name, rollouts), places, axis=1)
        with np.errstate(invalid="ignore"):
            taken[name] = np.where(inside, values, 0.0).sum(axis=1) / counts
    return taken


def _of_each(name: str, rollouts: RolloutArrays) -> Floats:
    """What each completion brings to a measure that is their mean, (N, G)."""
    if name == "pass_rate":
        return 1 - rollouts.wrong
    return rollouts.n_tokens if name == "mean_tokens" else rollouts.confidence(name)


def _cut(kind: str, described: Mapping[str, Any], harder: Harder, now: Floats, table: Codes) -> Cut:
    def at_quantiles(values: Floats) -> Codes:
        if kind == "perceptual":
            low, high = described["percentiles"]
            return _codes(perceptual_groups(values, (low, high), harder=harder).labels)
        return _codes(reasoning_groups(values, described["bins"], harder=harder).labels)

    def at_edges(values: Floats) -> Codes:
        # Perceptual groups are numbered from the easiest, reasoning bins from the hardest.
        sign = 1.0 if (harder == "higher") == (kind == "perceptual") else -1.0
        edges, turned = np.sort(sign * np.array(described["edges"], np.float64)), sign * values
        if kind == "perceptual" and len(edges):  # the lower cut belongs to easy (eq. 10)
            codes = 1 * (turned > edges[0]) + ((turned > edges[0]) & (turned >= edges[-1]))
        else:
            codes = np.searchsorted(edges, turned, side="right")
        return np.where(np.isnan(values), -1, codes)

    try:
        agreed = float((at_quantiles(now) == table).mean())
    except (KeyError, TypeError, ValueError):  # no numbers to cut by
        agreed = 0.0
    # Sums in another order can part what was tied: a few samples may differ.
    return at_quantiles if agreed > 0.99 else at_edges


def _codes(labels: Sequence[Any]) -> Codes:
    numbers = {"easy": 0, "medium": 1, "hard": 2, None: -1}
    return np.array([numbers.get(label, label) for label in labels], np.intp)
