"""Choose among the samples of a pool: filter, draw with quotas, order, parts, control.

Nothing here reads a dataset: a choice is of places in the pool, and the same for the same seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from durian.analysis.statistics.clusters import Clusters
from durian.config import ExportConfig
from durian.config.export import CONTROL
from durian.errors import ConfigError
from durian.exporting.pool import Bools, Places, Pool


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The sets of samples that are written, each in its order."""

    sets: Mapping[str, Places]  # the parts, and the control
    eligible: Bools  # (N,), samples that may be taken: by filter, ids, and what the form needs
    drawn: int  # of these

    def wanted(self, samples: int) -> Bools:
        """Mark the samples that are in any set. (N,)"""
        marked = np.zeros(samples, np.bool_)
        for places in self.sets.values():
            marked[places] = True
        return marked


def choose(config: ExportConfig, pool: Pool, usable: Bools) -> Chosen:
    """Choose the samples of each set.

    Args:
        usable: samples of which the form can be written at all.
    Raises:
        ConfigError: no sample is left, fewer than are to be drawn, or a part would be empty.
    """
    rng = np.random.default_rng(config.seed)
    drawing = any(asked is not None for asked in (config.select, config.balance, config.mix))
    if drawing or config.control is not None:  # or fewer would be written than are drawn
        usable = usable & ~pool.failed
    eligible = pool.passes & usable
    if not eligible.any():
        raise ConfigError(
            f"to is {config.to}, and no sample of {len(pool):,} that is left can be written "
            "so, for want of completions or of an image; loosen the filter, or choose another form"
        )
    places = np.flatnonzero(eligible)
    if drawing:
        places = _drawn(config, pool, places, rng)
    places = _in_order(config, pool, places, rng)[: config.limit]
    sets = _parts(config.shares, places, pool.clusters, rng)
    if config.control is not None:
        sets[CONTROL] = _control(config, pool, sets, usable, rng)
    return Chosen(sets=sets, eligible=eligible, drawn=len(places))


def quotas(
    total: int | None, shares: NDArray[np.float64], available: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Divide a number of samples by shares, as far as there are so many of each.

    What a kind lacks goes to the others, by their shares.

    Args:
        total: None for the largest number of which all shares hold.
        shares: (k,), 0 or more, not all 0.
        available: (k,).
    Returns:
        (k,), whole numbers that sum to `total` where there are so many.
    """
    wanted = shares / shares.sum()
    if total is None:
        asked = wanted > 0
        most = float((available[asked] / wanted[asked]).min())
        # A hair above, or 0.7 of 10 / 0.7 would be 6.999...
        return np.asarray(np.floor(wanted * most + 1e-9), np.int64)
    given = np.zeros(len(shares))
    while (left := total - given.sum()) > 1e-9:
        open_ = (given < available - 1e-9) & (wanted > 0)
        if not open_.any():
            break
        share = np.where(open_, wanted, 0)
        given = np.minimum(available, given + left * share / share.sum())
    whole = np.floor(given + 1e-9).astype(np.int64)
    # The rest goes to the largest remainders.
    rest = int(round(given.sum())) - int(whole.sum())
    for kind in np.argsort(whole - given, kind="stable")[:rest]:
        whole[kind] += 1
    return np.asarray(whole, np.int64)


def _drawn(config: ExportConfig, pool: Pool, places: Places, rng: np.random.Generator) -> Places:
    """Draw samples without replacement, by weight, within quotas of runs and categories."""
    weights = _log_weights(config, pool, places)
    possible = ~np.isnan(weights)
    places, weights = places[possible], weights[possible]
    if config.select is not None and config.select > len(places):
        column = "" if config.wanted is None else f" that have {config.wanted.column}"
        raise ConfigError(
            f"select is {config.select}, and {len(places):,} samples{column} are left to draw "
            "from; lower it, or loosen the filter"
        )
    # Gumbel noise on log-weights, and the largest keys win: that is drawing without replacement
    # with these weights (Efraimidis and Spirakis), stable where weights are tiny.
    keys = weights + rng.gumbel(size=len(places))
    best = places[np.argsort(-keys, kind="stable")]
    run, kind = pool.run[best], pool.category[best]
    n_runs, n_kinds = len(pool.manifests), len(pool.categories)
    shares = _shares(config, pool)
    counts = np.zeros((n_runs, n_kinds), np.int64)
    np.add.at(counts, (run, kind), 1)
    if config.mix is None:  # one pool, whichever run a sample is of
        quota = quotas(config.select, shares, counts.sum(axis=0))
        cell = kind
    else:
        most = counts[:, shares > 0].sum(axis=1)
        if config.select is None and config.balance is not None:  # of which the balance holds
            most = np.array([quotas(None, shares, of_run).sum() for of_run in counts])
        by_run = quotas(config.select, np.array(config.mix), most)
        quota = np.concatenate(
            [quotas(int(n), shares, counts[number]) for number, n in enumerate(by_run)]
        )
        cell = run * n_kinds + kind
    kept = _first_of_each(cell, quota)
    if not kept.any():
        raise ConfigError("no sample is left to draw; loosen filter, balance or mix")
    return np.sort(best[kept])


def _shares(config: ExportConfig, pool: Pool) -> NDArray[np.float64]:
    """The share of each category: equal, as given, or all one where none is asked for."""
    asked = None if config.balanced is None else config.balanced.shares
    if not asked:
        return np.ones(len(pool.categories))
    return np.array([asked.get(name, 0.0) for name in pool.categories])


def _log_weights(config: ExportConfig, pool: Pool, places: Places) -> NDArray[np.float64]:
    if (wanted := config.wanted) is None or pool.aim is None:
        return np.zeros(len(places))
    with np.errstate(over="ignore"):  # by a width next to nothing
        away = (pool.aim[places] - wanted.at) / wanted.within
    return np.asarray(-(np.clip(away, -1e150, 1e150) ** 2) / 2)


def _first_of_each(cell: NDArray[np.int64], quota: NDArray[np.int64]) -> Bools:
    """Mark the first `quota[c]` entries of each cell c. (n,)"""
    order = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[order], np.arange(len(quota)))
    rank = np.empty(len(cell), np.int64)
    rank[order] = np.arange(len(cell)) - starts[cell[order]]
    return np.asarray(rank < quota[cell])


def _in_order(config: ExportConfig, pool: Pool, places: Places, rng: np.random.Generator) -> Places:
    if config.order == "shuffle":
        return np.asarray(rng.permutation(places))
    if config.order == "dataset":
        return places
    harder = pool.harder[places]
    if not np.isfinite(harder).any():
        raise ConfigError(
            f"order is '{config.order}', and no sample of the table has the measure behind the "
            "reasoning groups; profile with a --model, or leave it out"
        )
    # NaN sorts last either way: a sample without the measure is neither the easiest nor hardest.
    return places[np.argsort(harder if config.order == "easy_first" else -harder, kind="stable")]


def _parts(
    shares: Mapping[str, float], places: Places, clusters: Clusters, rng: np.random.Generator
) -> dict[str, Places]:
    """Divide samples by shares; those of one cluster stay together, each part in their order."""
    names = list(shares)
    if len(names) == 1:
        return {names[0]: places}
    codes, own = np.unique(clusters.codes[places], return_inverse=True)
    sizes = np.bincount(own)
    wanted = np.array([shares[name] for name in names]) * len(places)
    filled, part = np.zeros(len(names)), np.empty(len(codes), np.int64)
    for cluster in rng.permutation(len(codes)):
        part[cluster] = np.argmax((wanted - filled) / wanted)  # which is the emptiest, by share
        filled[part[cluster]] += sizes[cluster]
    found = {name: places[part[own] == number] for number, name in enumerate(names)}
    for name, kept in found.items():
        if not len(kept):
            raise ConfigError(
                f"parts: '{name}' would be empty, of {len(codes):,} clusters of samples that share "
                "an image; take more samples, or a larger share"
            )
    return found


def _control(
    config: ExportConfig,
    pool: Pool,
    sets: Mapping[str, Places],
    usable: Bools,
    rng: np.random.Generator,
) -> Places:
    """As many samples as the first part, as many of each run and category, by chance from all.

    None of them is in another part, which tests both.
    """
    first, *others = sets.values()
    free = usable.copy()
    for other in others:
        free &= ~np.isin(pool.clusters.codes, pool.clusters.codes[other])
    kinds = len(pool.categories)
    cells = (pool.run * kinds if config.mix is not None else 0) + pool.category
    quota = np.bincount(cells[first], minlength=len(pool.manifests) * kinds)
    drawn = rng.permutation(np.flatnonzero(free))
    kept = np.sort(drawn[_first_of_each(cells[drawn], quota)])
    return _in_order(config, pool, kept, rng)


def table_of(pool: Pool, chosen: Chosen) -> Sequence[Sequence[int]]:
    """Samples of each category: all, those that may be taken, those of each set. (k, 2 + sets)"""
    columns = [np.arange(len(pool)), np.flatnonzero(chosen.eligible), *chosen.sets.values()]
    kinds = len(pool.categories)
    counts = [np.bincount(pool.category[places], minlength=kinds) for places in columns]
    return [[int(count[kind]) for count in counts] for kind in range(kinds)]
