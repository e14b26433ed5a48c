"""How far a policy has moved away from the groups that another one's profile cut.

Two profiles of the same samples, A (the older) and B (the policy in hand): who changed group, what
was learned, which measures kept their meaning, and whether A's groups still serve B.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, fisher_exact, kendalltau

from pipelines.analysis.bootstrap import (
    Estimate,
    resampled_weights,
    resamples_for,
    with_interval,
)
from pipelines.analysis.error_share import error_rate
from pipelines.analysis.floor import Drawn, Redraw, redraws, redraws_for, spread_of
from pipelines.analysis.pass_rates import pass_rate_shares
from pipelines.groups import PERCEPTUAL, Harder

RIGHT = 0.5  # a sample is mostly right above this pass rate
FALSE_DISCOVERIES = 0.05
TAU_SAMPLES, TAU_RESAMPLES = 5000, 200
MARGIN = 0.02  # AUROC that fresh groups must gain to be worth a profile
FEW = 100  # samples

Floats = NDArray[np.float64]
Label = str | int
Statistic = Callable[[Floats], Floats]  # weights (b, N) -> values (b,) or (b, ...)


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one profile says of N samples, in an order that both sides share."""

    wrong: Floats  # (N,) wrong completions; NaN where none were scored
    total: Floats  # (N,) completions; NaN where none were scored
    groups: Mapping[str, Sequence[Label | None]]  # "perceptual", "reasoning": (N,), None: in none
    measures: Mapping[str, Floats]  # (N,) each, NaN where missing

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which samples have scored completions."""
        return ~np.isnan(self.wrong)

    @property
    def pass_rate(self) -> Floats:
        """Share of right completions of each sample."""
        return 1 - self.wrong / self.total


def drift(
    a: Side,
    b: Side,
    *,
    harder: Mapping[str, Harder],
    clusters: NDArray[np.intp],
    drawn: Drawn | None,
    no_floor: Mapping[str, str],
    seed: int = 0,
) -> dict[str, Any]:
    """All that two profiles of the same samples say of drift, as JSON values without NaN.

    Args:
        harder: the hard end of each measure to compare.
        clusters: (N,), numbers from 0; samples of one number (one image) are drawn again together.
        drawn: A's completions, for the noise floor; None where there is none to be had.
        no_floor: for a grouping that `drawn` lacks: "fixed" where its measure does not depend on
            completions, or else why its floor is not known.
    """
    bootstrap = _Bootstrap(clusters, seed)
    floor = _Floor(drawn, a, b, no_floor, seed)
    groups = {kind: _Pair.of(a, b, kind) for kind in ("perceptual", "reasoning")}
    summary: dict[str, Any] = {
        "seed": seed,
        "resamples": resamples_for(bootstrap.n),
        "redraws": floor.redraws,
        "a": _outcome(a, seed),
        "b": _outcome(b, seed),
        "change": _change(a, b, bootstrap),
        "flows": {kind: _flow(pair, bootstrap, floor) for kind, pair in groups.items()},
        "changes": {
            kind: _changes_by_group(a, b, pair, bootstrap, floor) for kind, pair in groups.items()
        },
        "learned": _learned(a, b, bootstrap, floor),
        "measures": {name: _measure(name, a, b, end, bootstrap) for name, end in harder.items()},
        "gains": {kind: _gain(b, pair, bootstrap, floor) for kind, pair in groups.items()},
    }
    summary["verdict"] = verdict(summary["gains"])
    return summary


def verdict(gains: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Whether A's groups still serve B: "keep the groups" or "profile again".

    The rule: profile again when, for either grouping, fresh groups would order B's errors clearly
    better than A's groups do. The gain is the AUROC of B's wrong completions by B's own groups
    less that by A's groups, on the same samples. A second profile of an unchanged policy would
    gain a little too, since B's groups and errors come from the same completions: that noise
    floor is taken off. What is left must exceed 0.02, and its 95 % interval lie above 0.
    Otherwise the groups are kept.

    The evidence is thin where an interval is missing or holds 0.02, or with fewer than 100 samples.

    Args:
        gains: `excess` (an Estimate as dict) and `samples` by grouping.
    Returns:
        `verdict` (None where no grouping can be judged), `thin` and why (`thin_because`), `because`
        (the grouping that decides) and `margin`.
    """
    known = {kind: gain for kind, gain in gains.items() if gain["excess"]["value"] is not None}
    if not known:
        reasons = "; ".join(f"{k}: {gain['excess']['reason']}" for k, gain in gains.items())
        return {"verdict": None, "reason": reasons, "margin": MARGIN}
    because = max(known, key=lambda kind: _case(known[kind]["excess"]))
    excess, samples = known[because]["excess"], known[because]["samples"]
    thin = []
    if samples < FEW:
        thin.append(f"only {samples} samples")
    if excess["low"] is None:
        if known[because].get("identical") is not True:
            thin.append("no interval")
    elif excess["low"] <= MARGIN <= excess["high"]:
        thin.append(f"the interval holds {MARGIN}")
    return {
        "verdict": "profile again" if _case(excess)[0] else "keep the groups",
        "because": because,
        "thin": bool(thin),
        "thin_because": thin,
        "margin": MARGIN,
    }


def _case(excess: Mapping[str, Any]) -> tuple[bool, float]:
    """Does this grouping ask for a new profile, and how strongly."""
    sure = excess["low"] is not None and excess["low"] > 0
    return sure and excess["value"] > MARGIN, excess["value"]


def learned_samples(a: Side, b: Side) -> tuple[list[int], list[int]]:
    """Places of the samples learned and unlearned, the largest change of pass rate first."""
    change = b.pass_rate - a.pass_rate
    known = ~np.isnan(change)
    learned = known & (a.pass_rate <= RIGHT) & (b.pass_rate > RIGHT)
    unlearned = known & (a.pass_rate > RIGHT) & (b.pass_rate <= RIGHT)
    places = np.argsort(-np.abs(np.where(known, change, 0)), kind="stable")
    return places[learned[places]].tolist(), places[unlearned[places]].tolist()


class _Bootstrap:
    """Estimates whose resamples draw whole clusters of samples."""

    def __init__(self, clusters: NDArray[np.intp], seed: int) -> None:
        self.clusters, self.seed = clusters, seed
        self.n = int(clusters.max()) + 1 if len(clusters) else 0

    def draws(self, statistic: Statistic) -> Floats:
        """The statistic of every resample, stacked."""
        with np.errstate(invalid="ignore", divide="ignore"):  # an empty resample: NaN
            return np.concatenate(
                [
                    statistic(weights[:, self.clusters])
                    for weights in resampled_weights(self.n, seed=self.seed)
                ]
            )

    def estimate(self, statistic: Statistic, undefined: str) -> Estimate:
        """The statistic of the samples as they are, with its interval."""
        with np.errstate(invalid="ignore", divide="ignore"):
            value = statistic(np.ones((1, len(self.clusters))))[0] if self.n else np.nan
        if np.isnan(value):
            return Estimate(value=None, reason=undefined)
        return with_interval(float(value), self.draws(statistic))


@dataclass(frozen=True)
class _Pair:
    """One grouping in both runs: codes 0, 1, ... of the samples that are in a group of both."""

    kind: str
    orders: tuple[list[Label], list[Label]]  # the groups of A and of B, in order
    codes: tuple[NDArray[np.intp], NDArray[np.intp]]  # (N,) each; -1: not in a group of both
    only: tuple[int, int]  # samples in a group of A alone, of B alone

    @classmethod
    def of(cls, a: Side, b: Side, kind: str) -> _Pair:
        sides = (a.groups[kind], b.groups[kind])
        orders = (_order(sides[0]), _order(sides[1]))
        first, second = (
            np.array([-1 if g is None else order.index(g) for g in labels], np.intp)
            for labels, order in zip(sides, orders, strict=True)
        )
        both = (first >= 0) & (second >= 0)
        only = int((first[~both] >= 0).sum()), int((second[~both] >= 0).sum())
        return cls(kind, orders, (np.where(both, first, -1), np.where(both, second, -1)), only)

    @property
    def both(self) -> NDArray[np.bool_]:
        return self.codes[0] >= 0

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.orders[0]), len(self.orders[1])

    @property
    def comparable(self) -> bool:
        """Whether the same labels mean the same: as many groups in both."""
        return self.orders[0] == self.orders[1] and len(self.orders[0]) > 0

    def rising(self, side: int) -> NDArray[np.intp]:
        """Codes that rise with difficulty: bin 0 is the hardest, "easy" is the easiest."""
        codes = self.codes[side]
        return self.sizes[side] - 1 - codes if self.kind == "reasoning" else codes


def _order(labels: Sequence[Label | None]) -> list[Label]:
    found = {label for label in labels if label is not None}
    if found & set(PERCEPTUAL):
        return list(PERCEPTUAL)
    return sorted(found, key=lambda label: (str(type(label)), label))


class _Floor:
    """What the same numbers come to between two profiles of A's own policy."""

    def __init__(
        self, drawn: Drawn | None, a: Side, b: Side, no_floor: Mapping[str, str], seed: int
    ) -> None:
        self.missing = no_floor
        self.redraws = 0
        self._numbers: dict[tuple[str, ...], list[float]] = {}
        if drawn is None or not len(drawn.wrong):
            return
        completions = int(np.nanmax(b.total)) if b.scored.any() else drawn.wrong.shape[1]
        self.redraws = redraws_for(len(drawn.wrong))
        for redraw in redraws(drawn, completions, seed=seed):
            for key, value in _numbers_of(redraw, drawn).items():
                self._numbers.setdefault(key, []).append(value)

    def of(self, *key: str) -> dict[str, Any]:
        """Mean and 95 % range over redraws, as an Estimate's dict."""
        if key in self._numbers:
            return spread_of(self._numbers[key])
        if self.missing.get(key[0]) == "fixed":
            return Estimate(value=1.0 if key[1] == "kappa" else 0.0).as_dict()
        reason = self.missing.get(key[0], "A has no completions to redraw")
        return Estimate(value=None, reason=reason).as_dict()


def _numbers_of(redraw: Redraw, drawn: Drawn) -> dict[tuple[str, ...], float]:
    before, after = (1 - rate for rate in redraw.spread_rates)
    numbers = {
        ("all", "learned"): float(((before <= RIGHT) & (after > RIGHT)).mean()),
        ("all", "unlearned"): float(((before > RIGHT) & (after <= RIGHT)).mean()),
    }
    for kind, (first, second) in redraw.codes.items():
        size = len(drawn.sizes[kind])
        once = np.ones((1, len(first)))
        wrong, right = redraw.rates[1][None], (1 - redraw.rates[1])[None]
        areas = []
        with np.errstate(invalid="ignore", divide="ignore"):
            for codes in (first, second):
                rising = size - 1 - codes if kind == "reasoning" else codes
                areas.append(float(_area(_by_code(wrong, rising, size),
                                         _by_code(right, rising, size))[0]))  # fmt: skip
            table = _by_code(once, first * size + second, size * size).reshape(1, size, size)
            numbers |= {
                (kind, "moved"): float((first != second).mean()),
                (kind, "kappa"): float(_kappa(table)[0]),
                (kind, "gain"): areas[1] - areas[0],
            }
            for code in range(size):
                inside = first == code
                change = redraw.rates[1][inside] - redraw.rates[0][inside]
                numbers[(kind, "change", str(code))] = (
                    float(change.mean()) if inside.any() else np.nan
                )
    return numbers


def _outcome(side: Side, seed: int) -> dict[str, Any]:
    known = side.scored
    if not known.any():
        return {"scored": 0}
    wrong, total = side.wrong[known], side.total[known]
    shares = pass_rate_shares(wrong, total)
    return {
        "scored": int(known.sum()),
        "completions": int(total.sum()),
        "error_rate": error_rate(wrong, total, seed=seed),
        **{key: shares[key] for key in ("never_right", "always_right", "no_variance", "extreme")},
    }


def _change(a: Side, b: Side, bootstrap: _Bootstrap) -> dict[str, Any]:
    """Error rate of B less that of A: the mean over samples, paired."""
    return _mean_of(a.pass_rate - b.pass_rate, bootstrap).as_dict()


def _mean_of(values: Floats, bootstrap: _Bootstrap) -> Estimate:
    """Mean over the samples whose value is known."""
    known = ~np.isnan(values)
    filled, counted = np.where(known, values, 0.0), known.astype(np.float64)
    return bootstrap.estimate(
        lambda w: (w @ filled) / (w @ counted), "no sample was scored in both runs"
    )


def _changes_by_group(
    a: Side, b: Side, pair: _Pair, bootstrap: _Bootstrap, floor: _Floor
) -> list[dict[str, Any]]:
    """Change of the error rate within each group of A."""
    scored = a.scored & b.scored
    labels = a.groups[pair.kind]
    rows = []
    for code, group in enumerate(pair.orders[0]):
        inside = scored & np.array([label == group for label in labels], bool)
        if not inside.any():
            continue
        change = np.where(inside, a.pass_rate - b.pass_rate, np.nan)
        rows.append(
            {
                "group": group,
                "samples": int(inside.sum()),
                "a": float((1 - a.pass_rate[inside]).mean()),
                "b": float((1 - b.pass_rate[inside]).mean()),
                "change": _mean_of(change, bootstrap).as_dict(),
                "floor": floor.of(pair.kind, "change", str(code)),
            }
        )
    return rows


def _flow(pair: _Pair, bootstrap: _Bootstrap, floor: _Floor) -> dict[str, Any]:
    """Who went from which group of A to which of B, and how far beyond the noise."""
    rows, columns = pair.sizes
    both = pair.both
    joint = np.where(both, pair.codes[0] * columns + pair.codes[1], 0)
    counts = np.bincount(joint[both], minlength=rows * columns).reshape(rows, columns)
    flow: dict[str, Any] = {
        "groups_a": pair.orders[0],
        "groups_b": pair.orders[1],
        "counts": counts.tolist(),
        "samples": int(both.sum()),
        "only_a": pair.only[0],
        "only_b": pair.only[1],
    }
    if not both.any():
        undefined = Estimate(value=None, reason="no sample is in a group of both runs").as_dict()
    elif not pair.comparable:
        undefined = Estimate(value=None, reason="the runs have different groups").as_dict()
    else:
        changed, counted = (pair.codes[0] != pair.codes[1]) & both, both.astype(np.float64)
        moved = bootstrap.estimate(lambda w: (w @ changed) / (w @ counted), "no sample")
        kappa = bootstrap.estimate(
            lambda w: _kappa(_by_code(w * both, joint, rows * columns).reshape(-1, rows, columns)),
            "all samples are in one group",
        )
        return flow | {
            "moved": moved.as_dict(),
            "moved_floor": floor.of(pair.kind, "moved"),
            "kappa": kappa.as_dict(),
            "kappa_floor": floor.of(pair.kind, "kappa"),
        }
    return flow | dict.fromkeys(("moved", "moved_floor", "kappa", "kappa_floor"), undefined)


def _kappa(tables: Floats) -> Floats:
    """Cohen's kappa with linear weights: agreement beyond chance, a move by one counting 1.

    Args:
        tables: (b, K, K), counts by group in A and in B.
    Returns:
        (b,): 1 is the same groups, 0 what chance would give; NaN where chance alone agrees.
    Source: J. Cohen, "Weighted kappa", 1968.
    """
    size = tables.shape[1]
    apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    seen = (tables * apart).sum(axis=(1, 2)) * tables.sum(axis=(1, 2))
    chance = np.einsum("bi,ij,bj->b", tables.sum(axis=2), apart, tables.sum(axis=1))
    return np.asarray(1 - seen / chance, np.float64)


def _learned(a: Side, b: Side, bootstrap: _Bootstrap, floor: _Floor) -> dict[str, Any]:
    """Samples that crossed to mostly right, and back; those whose own change is significant."""
    both = a.scored & b.scored
    learned, unlearned = learned_samples(a, b)
    numbers: dict[str, Any] = {"samples": int(both.sum()), "above": RIGHT}
    net = np.where(both, 0.0, np.nan)
    for sign, name, places in ((1, "learned", learned), (-1, "unlearned", unlearned)):
        crossed = np.where(both, 0.0, np.nan)
        crossed[places] = 1.0
        net[places] = sign
        numbers[name] = {
            "samples": len(places),
            "share": _mean_of(crossed, bootstrap).as_dict(),
            "floor": floor.of("all", name),
        }
    up, down = _significant(a, b)
    return numbers | {
        "net": _mean_of(net, bootstrap).as_dict(),
        "significant": {"up": up, "down": down, "false_discoveries": FALSE_DISCOVERIES},
    }


def _significant(a: Side, b: Side) -> tuple[int, int]:
    """Samples whose pass rate rose, and fell, beyond chance: Fisher's exact test on each.

    Of those named, 5 % are expected to be false (Benjamini and Hochberg, 1995).
    """
    both = a.scored & b.scored
    if not both.any():
        return 0, 0
    counts = np.stack([a.wrong, a.total, b.wrong, b.total], axis=1)[both].astype(int)
    kinds, inverse = np.unique(counts, axis=0, return_inverse=True)
    p = np.array([fisher_exact([[w, n - w], [v, m - v]]).pvalue for w, n, v, m in kinds])
    named = false_discovery_control(p[inverse.ravel()]) <= FALSE_DISCOVERIES
    change = (b.pass_rate - a.pass_rate)[both][named]
    return int((change > 0).sum()), int((change < 0).sum())


def _measure(name: str, a: Side, b: Side, harder: Harder, bootstrap: _Bootstrap) -> dict[str, Any]:
    """Whether a measure orders the samples as before, and still says what B gets wrong."""
    sign = 1.0 if harder == "higher" else -1.0
    first, second = sign * a.measures[name], sign * b.measures[name]
    both = ~np.isnan(first) & ~np.isnan(second)
    if not both.any():
        missing = Estimate(value=None, reason="no sample has it in both runs").as_dict()
        return {"n": 0, "identical": False,
                **dict.fromkeys(("tau", "auroc_a", "auroc_b", "difference"), missing)}  # fmt: skip
    scored = both & b.scored
    wrong = np.where(scored, b.wrong, 0.0)
    right = np.where(scored, b.total - b.wrong, 0.0)
    by_a, by_b = (_auroc(np.where(both, score, 0.0), wrong, right) for score in (first, second))
    reason = "all of B's completions are right, or all wrong"
    return {
        "n": int(both.sum()),
        "identical": bool((first[both] == second[both]).all()),
        "tau": _tau(first, second, both, bootstrap).as_dict(),
        "auroc_a": bootstrap.estimate(by_a, reason).as_dict(),
        "auroc_b": bootstrap.estimate(by_b, reason).as_dict(),
        "difference": bootstrap.estimate(lambda w: by_b(w) - by_a(w), reason).as_dict(),
    }


def _tau(first: Floats, second: Floats, both: NDArray[np.bool_], bootstrap: _Bootstrap) -> Estimate:
    """Kendall's tau-b between the runs; of 5,000 samples at most, 200 resamples."""
    places = np.flatnonzero(both)
    if len(places) > TAU_SAMPLES:
        places = np.random.default_rng(bootstrap.seed).choice(places, TAU_SAMPLES, replace=False)
    x, y = first[places], second[places]
    if x.min() == x.max() or y.min() == y.max():
        return Estimate(value=None, reason="the measure is constant")
    value, draws = float(kendalltau(x, y).statistic), []
    for weights in resampled_weights(bootstrap.n, seed=bootstrap.seed):
        for drawn in weights[: TAU_RESAMPLES - len(draws), bootstrap.clusters[places]]:
            again = np.repeat(np.arange(len(places)), drawn.astype(int))
            same = not len(again) or np.ptp(x[again]) == 0 or np.ptp(y[again]) == 0
            draws.append(np.nan if same else kendalltau(x[again], y[again]).statistic)
    return with_interval(value, np.array(draws))


def _gain(b: Side, pair: _Pair, bootstrap: _Bootstrap, floor: _Floor) -> dict[str, Any]:
    """What fresh groups would add: AUROC of B's error by B's groups less that by A's."""
    scored = pair.both & b.scored
    wrong = np.where(scored, b.wrong, 0.0)
    right = np.where(scored, b.total - b.wrong, 0.0)
    stale, own = (
        _grouped_auroc(np.where(scored, pair.rising(side), 0), pair.sizes[side], wrong, right)
        for side in (0, 1)
    )
    if not scored.any():
        reason = "no sample is in a group of both runs and scored in B"
    else:
        reason = "all of B's completions are right, or all wrong"
    numbers: dict[str, Any] = {
        "samples": int(scored.sum()),
        "identical": bool((pair.codes[0] == pair.codes[1]).all()) and pair.comparable,
        "stale": bootstrap.estimate(stale, reason).as_dict(),
        "own": bootstrap.estimate(own, reason).as_dict(),
    }
    gain = bootstrap.estimate(lambda w: own(w) - stale(w), reason)
    luck = floor.of(pair.kind, "gain")
    if gain.value is None or luck["value"] is None:
        excess = Estimate(value=None, reason=gain.reason or luck["reason"])
    else:
        off = luck["value"]
        excess = Estimate(
            value=gain.value - off,
            low=None if gain.low is None else gain.low - off,
            high=None if gain.high is None else gain.high - off,
            reason=gain.reason,
        )
    return numbers | {"gain": gain.as_dict(), "floor": luck, "excess": excess.as_dict()}


def _grouped_auroc(codes: NDArray[np.intp], size: int, wrong: Floats, right: Floats) -> Statistic:
    size = max(size, 1)
    return lambda w: _area(_by_code(w * wrong, codes, size), _by_code(w * right, codes, size))


def _auroc(score: Floats, wrong: Floats, right: Floats) -> Statistic:
    """AUROC of completions by their sample's score, as a function of the samples' weights."""
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])

    def area(weights: Floats) -> Floats:
        pos, neg = ((weights * kind)[:, order] for kind in (wrong, right))
        return _area(np.add.reduceat(pos, starts, axis=1), np.add.reduceat(neg, starts, axis=1))

    return area


def _area(pos: Floats, neg: Floats) -> Floats:
    """Chance that a wrong completion lies above a right one; (b, values), rising; ties half."""
    below = np.cumsum(neg, axis=1) - neg
    pairs = pos.sum(axis=1) * neg.sum(axis=1)
    return np.asarray((pos * (below + neg / 2)).sum(axis=1) / pairs, np.float64)


def _by_code(weights: Floats, codes: NDArray[np.intp], size: int) -> Floats:
    """(b, N) summed by code to (b, size)."""
    order = np.argsort(codes, kind="stable")
    found, starts = np.unique(codes[order], return_index=True)
    summed = np.zeros((len(weights), size))
    summed[:, found] = np.add.reduceat(weights[:, order], starts, axis=1)
    return summed
