"""Coverage of each kind of 95 % interval on planted data: the table of docs/statistics.md.

A world: images, each of 1 to 4 samples of 8 completions; an image's difficulty and a sample's own
decide how often completions are wrong, a score follows them with noise, a second policy differs a
little. The truth is the same number of a world of 60,000 images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from durian.analysis.statistics.accuracy import Judged, accuracy, difference
from durian.analysis.statistics.agreement import kappa, tau
from durian.analysis.statistics.association import NUMBERS, ScoreOrder, auroc
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.error_share import contrast, errors_by_group
from durian.analysis.statistics.estimate import Estimate
from durian.analysis.statistics.influence import mean_of
from durian.analysis.statistics.shares import paired_difference, share

G, WORLDS, TRUTH = 8, 2000, 60_000
SIZES = (10, 15, 20, 50, 200)  # images
EASES = {"half wrong": 0.0, "a tenth wrong": 3.2}  # how much easier than even samples are
GROUPS = ("easy", "medium", "hard")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """The samples of some images, judged twice; (N,) each."""

    clusters: Clusters
    wrong: Floats
    other_wrong: Floats  # of a second policy
    score: Floats
    other_score: Floats
    total: Floats


def world(rng: np.random.Generator, images: int, ease: float) -> World:
    """Draw the samples of so many images."""
    image = np.repeat(np.arange(images), rng.integers(1, 5, images))
    n = len(image)
    hard = rng.normal(size=images)[image] + 0.7 * rng.normal(size=n)
    turned = hard + 0.5 * rng.normal(size=n) + 0.2
    spread = 1.5
    return World(
        Clusters(image),
        *(rng.binomial(G, expit(spread * h - ease)).astype(float) for h in (hard, turned)),
        np.round(hard + rng.normal(size=n), 1),
        np.round(hard + 1.5 * rng.normal(size=n), 1),
        np.full(n, float(G)),
    )


def _judged(wrong: Floats, completions: int) -> Judged:
    return Judged(
        completions=completions, right=completions - wrong, formatted=wrong, tokens=wrong,
        truncated=wrong,
    )  # fmt: skip


def _order(w: World, second: bool = False) -> ScoreOrder:
    return ScoreOrder(w.other_score if second else w.score, w.wrong, w.total)


def _labels(score: Floats) -> list[str | None]:
    return [GROUPS[k] for k in np.digitize(score, (-1.0, 1.0))]


def _number(name: str) -> Callable[[World], Estimate]:
    number, scale = NUMBERS[name]
    return lambda w: _order(w).shown(number(_order(w)), w.clusters, scale)


def _auroc_difference(w: World) -> Estimate:
    orders = _order(w), _order(w, second=True)
    return orders[0].shown(auroc(orders[0]).less(auroc(orders[1])), w.clusters, "plain")


def _split_half(w: World) -> Estimate:
    # Two splits: the errors of half of the completions, told by the score.
    order, half = ScoreOrder(w.score, np.ceil(w.wrong / 2), w.total / 2), np.floor(w.wrong / 2)
    return order.shown(mean_of([auroc(order), auroc(order, half)]), w.clusters, "unit")


def _moved(w: World) -> Estimate:
    moved = np.digitize(w.score, (-1.0, 1.0)) != np.digitize(w.other_score, (-1.0, 1.0))
    return share(moved.astype(float), np.ones(len(w.score)), w.clusters)


def _kappa(w: World) -> Estimate:
    found = kappa(np.digitize(w.score, (-1.0, 1.0)), np.digitize(w.other_score, (-1.0, 1.0)))
    return Estimate(value=None) if found is None else found.estimate(w.clusters, "plain")


def _tau(w: World) -> Estimate:
    found = tau(w.score, w.other_score, seed=0)
    return Estimate(value=None) if found is None else found.estimate(w.clusters, "correlation")


def _learned(w: World) -> tuple[Floats, Floats]:
    before, after = (wrong < G / 2 for wrong in (w.wrong, w.other_wrong))
    return (~before & after).astype(float), (before & ~after).astype(float)


def _one(w: World, wrong: Floats) -> Floats:
    """One completion of each sample, by a rule that has nothing to do with the others."""
    turn = np.arange(len(wrong)) * 5 % G
    return (turn < wrong).astype(float)


KINDS: dict[str, Callable[[World], Estimate]] = {
    "share of completions": lambda w: accuracy(w.total - w.wrong, w.total, w.clusters).estimate,
    "share, one completion a sample": lambda w: share(
        _one(w, w.wrong), np.ones(len(w.wrong)), w.clusters
    ),
    "share within a group": lambda w: (
        errors_by_group(_labels(w.score), GROUPS, w.wrong, w.total, w.clusters)[2].error_rate
    ),
    "part of all errors": lambda w: (
        errors_by_group(_labels(w.score), GROUPS, w.wrong, w.total, w.clusters)[2].error_share
    ),
    "hard less easy group": lambda w: contrast(
        _labels(w.score), "hard", "easy", w.wrong, w.total, w.clusters
    ),
    "AUROC": _number("auroc"),
    "Spearman": _number("spearman"),
    "Kendall": _number("kendall"),
    "AURC": _number("aurc"),
    "excess AURC": _number("excess_aurc"),
    "AUROC, split halves": _split_half,
    "difference of AUROCs": _auroc_difference,
    "two policies, sampled": lambda w: difference(
        _judged(w.wrong, G), _judged(w.other_wrong, G), w.clusters
    ),
    "two policies, greedy": lambda w: difference(
        _judged(_one(w, w.wrong), 1), _judged(_one(w, w.other_wrong), 1), w.clusters
    ),
    "learned samples": lambda w: share(_learned(w)[0], np.ones(len(w.wrong)), w.clusters),
    "learned less unlearned": lambda w: paired_difference(*_learned(w), w.clusters),
    "samples that moved": _moved,
    "kappa of groups": _kappa,
    "tau of a measure": _tau,
}


def coverages(
    kinds: list[str], images: int, ease: float, worlds: int, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Of each kind the share of intervals that hold the truth, and of worlds that have one."""
    rng = np.random.default_rng([seed, images])
    whole = world(np.random.default_rng(99), TRUTH, ease)
    truth = {kind: KINDS[kind](whole).value for kind in kinds}
    held, shown = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0)
    for _ in range(worlds):
        drawn = world(rng, images, ease)
        if not 0 < drawn.wrong.sum() < drawn.total.sum():
            continue
        for kind in kinds:
            if (ends := KINDS[kind](drawn).interval) is not None:
                shown[kind] += 1
                held[kind] += ends[0] <= truth[kind] <= ends[1]  # type: ignore[operator]
    return {k: (held[k] / shown[k] if shown[k] else float("nan"), shown[k] / worlds) for k in kinds}


def run() -> list[dict[str, Any]]:
    """Every kind, both worlds, all sizes."""
    rows = []
    for name, ease in EASES.items():
        for images in SIZES:
            for kind, (covered, shown) in coverages(list(KINDS), images, ease, WORLDS).items():
                rows.append(
                    {
                        "what": f"coverage: {kind}, {name}, {images} images",
                        "value": covered,
                        "aim": ">= 0.93" if images >= 50 else ">= 0.9",
                        "detail": f"an interval in {100 * shown:.0f} % of {WORLDS:,} worlds",
                    }
                )
    return rows
