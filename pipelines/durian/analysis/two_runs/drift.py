"""How far a policy has moved away from the groups that another one's profile cut.

Two profiles of the same samples, A (the older) and B (the policy in hand): who changed group, what
was learned, which measures kept their meaning, and whether A's groups still serve B.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, fisher_exact

from durian.analysis.statistics.agreement import Tau, auroc_statistic
from durian.analysis.statistics.bootstrap import Estimate
from durian.analysis.statistics.error_share import error_rate
from durian.analysis.statistics.paired import Bootstrap, Side
from durian.analysis.statistics.pass_rates import pass_rate_shares
from durian.analysis.two_runs.floor import RIGHT, Drawn, Floor
from durian.analysis.two_runs.group_flow import GroupPair, fresh_gain, group_flow
from durian.analysis.two_runs.verdict import verdict
from durian.groups import Harder

FALSE_DISCOVERIES = 0.05
_UNPAIRED = "no sample was scored in both runs"

Floats = NDArray[np.float64]


def drift(
    a: Side,
    b: Side,
    *,
    harder: Mapping[str, Harder],
    clusters: NDArray[np.intp],
    drawn: tuple[Drawn | None, Drawn | None],
    missing: tuple[Mapping[str, str], Mapping[str, str]],
    seed: int = 0,
) -> dict[str, Any]:
    """All that two profiles of the same samples say of drift, as JSON values without NaN.

    Args:
        harder: the hard end of each measure to compare.
        clusters: (N,), N >= 1, numbers from 0 without gaps; samples of one number (one image) are
            drawn again together.
        drawn: the completions of A and of B, for the noise floors: of A for moves, of B for what
            its own groups gain by luck.
        missing: for A and for B, grouping or measure -> why it has no floor, as `floor.Floor`.
    Returns:
        `seed`, `resamples`, `redraws`; of each run (`a`, `b`) its error rate and shares of extreme
        samples; `change` of the error rate, and `changes` by group of A; `flows` and `gains` by
        grouping (`group_flow`); `learned`; `measures`; `verdict`. Floors are of two profiles of one
        policy.
    """
    bootstrap = Bootstrap(clusters, seed)
    completions = _completions(a, drawn[0]), _completions(b, drawn[1])
    moves, luck = (
        Floor(of, completions, why, seed=seed) for of, why in zip(drawn, missing, strict=True)
    )
    pairs = {kind: GroupPair.of(a, b, kind) for kind in ("perceptual", "reasoning")}
    gains = {kind: fresh_gain(pair, b, bootstrap, luck) for kind, pair in pairs.items()}
    change = a.pass_rate - b.pass_rate  # of the error rate
    return {
        "seed": seed,
        "resamples": bootstrap.resamples,
        "redraws": max(moves.redraws, luck.redraws),
        "a": _outcome(a, seed),
        "b": _outcome(b, seed),
        "change": bootstrap.means(change[:, None], _UNPAIRED)[0].as_dict(),
        "changes": {kind: _by_group(a, b, kind, bootstrap, moves) for kind in pairs},
        "flows": {kind: group_flow(pair, bootstrap, moves) for kind, pair in pairs.items()},
        "learned": _learned(a, b, bootstrap, moves),
        "measures": {
            name: _measure(name, a, b, end, bootstrap, moves, luck) for name, end in harder.items()
        },
        "gains": gains,
        "verdict": verdict(gains),
    }


def learned_samples(a: Side, b: Side) -> tuple[list[int], list[int]]:
    """Places of the samples learned and unlearned, the largest change of pass rate first.

    Learned: right in at most half of A's completions, in more than half of B's.
    """
    change = np.nan_to_num(b.pass_rate - a.pass_rate)
    both = a.scored & b.scored
    places = np.argsort(-np.abs(change), kind="stable")
    learned = both & (a.pass_rate <= RIGHT) & (b.pass_rate > RIGHT)
    unlearned = both & (a.pass_rate > RIGHT) & (b.pass_rate <= RIGHT)
    return places[learned[places]].tolist(), places[unlearned[places]].tolist()


def _completions(side: Side, drawn: Drawn | None) -> int | None:
    """Of each sample; None where they are not the same number."""
    if side.scored.any():
        most = int(np.nanmax(side.total))
        return most if most == np.nanmin(side.total) else None
    return 1 if drawn is None else drawn.wrong.shape[1]


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


def _by_group(
    a: Side, b: Side, kind: str, bootstrap: Bootstrap, floor: Floor
) -> list[dict[str, Any]]:
    """Mean error rate of both runs within each group of A that has samples scored in both."""
    pair = GroupPair.of(a, a, kind)
    scored = a.scored & b.scored
    shown = pair.orders[0][:: -1 if kind == "reasoning" else 1]
    members = {group: scored & (pair.codes[0] == pair.orders[0].index(group)) for group in shown}
    members = {group: member for group, member in members.items() if member.any()}
    if not members:
        return []
    change = a.pass_rate - b.pass_rate
    columns = np.stack([np.where(m, change, np.nan) for m in members.values()], axis=1)
    changes = bootstrap.means(columns, _UNPAIRED)
    return [
        {
            "group": group,
            "samples": int(member.sum()),
            "a": float((1 - a.pass_rate[member]).mean()),
            "b": float((1 - b.pass_rate[member]).mean()),
            "change": estimate.as_dict(),
            "floor": floor.of(kind, f"change {pair.orders[0].index(group)}"),
        }
        for (group, member), estimate in zip(members.items(), changes, strict=True)
    ]


def _learned(a: Side, b: Side, bootstrap: Bootstrap, floor: Floor) -> dict[str, Any]:
    """Samples that crossed to mostly right, and back; those whose own change is beyond doubt."""
    both = a.scored & b.scored
    places = dict(zip(("learned", "unlearned"), learned_samples(a, b), strict=True))
    columns = np.full((len(both), 3), np.nan)
    columns[both] = 0.0
    for column, (of, sign) in enumerate(zip(places.values(), (1, -1), strict=True)):
        columns[of, column] = 1.0
        columns[of, 2] = sign
    *shares, net = bootstrap.means(columns, _UNPAIRED)
    up, down = _beyond_doubt(a, b)
    return {
        "samples": int(both.sum()),
        "above": RIGHT,
        **{
            name: {
                "samples": len(of),
                "share": share.as_dict(),
                "floor": floor.of("all", name),
            }
            for (name, of), share in zip(places.items(), shares, strict=True)
        },
        "net": net.as_dict(),
        "beyond_doubt": {"up": up, "down": down, "false_discoveries": FALSE_DISCOVERIES},
    }


def _beyond_doubt(a: Side, b: Side) -> tuple[int, int]:
    """Samples whose pass rate rose, and fell: Fisher's exact test on each one's completions.

    Of those named, at most 5 % are false on average (Benjamini and Hochberg, 1995).
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


def _measure(
    name: str,
    a: Side,
    b: Side,
    harder: Harder,
    bootstrap: Bootstrap,
    moves: Floor,
    luck: Floor,
) -> dict[str, Any]:
    """Whether a measure orders the samples as before, and still says what B gets wrong."""
    sign = 1.0 if harder == "higher" else -1.0
    first, second = sign * a.measures[name], sign * b.measures[name]
    both = ~np.isnan(first) & ~np.isnan(second)
    if not both.any():
        none = Estimate(value=None, reason="no sample has it in both runs").as_dict()
        keys = ("tau", "tau_floor", "auroc_a", "auroc_b", "difference", "difference_floor")
        return {"n": 0, "identical": False, **dict.fromkeys(keys, none)}
    (tau,) = bootstrap.estimates(
        Tau(first, second, seed=bootstrap.seed), "the measure is constant in a run"
    )
    if not (both & b.scored).any():
        by_a = by_b = difference = Estimate(value=None, reason="B has no scored completions")
    else:
        old, new = (
            auroc_statistic(np.where(both, score, np.nan), b.wrong, b.total)
            for score in (first, second)
        )

        def told_apart(weights: Floats) -> Floats:
            by_a, by_b = old(weights), new(weights)
            return np.concatenate([by_a, by_b, by_b - by_a], axis=1)

        by_a, by_b, difference = bootstrap.estimates(
            told_apart, "all of B's completions are right, or all wrong"
        )
    return {
        "n": int(both.sum()),
        "identical": bool((first[both] == second[both]).all()),
        "tau": tau.as_dict(),
        "tau_floor": moves.of(name, "tau", unmoved=1.0),
        "auroc_a": by_a.as_dict(),
        "auroc_b": by_b.as_dict(),
        "difference": difference.as_dict(),
        "difference_floor": luck.of(name, "difference"),
    }
