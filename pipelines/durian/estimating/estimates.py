"""The estimated columns of a run: difficulty, confidence, and how sure each is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from durian.analysis.statistics.clusters import FEWEST, image_clusters
from durian.analysis.statistics.image_gain import estimated_gain, plain_gain
from durian.analysis.statistics.small_area import (
    Posterior,
    calibrated,
    from_log_sizes,
    log_sizes,
    mean_coverage,
    mean_posterior,
    own_variances,
    share_coverage,
    share_posterior,
    squared_errors,
)
from durian.estimating.features import sample_features
from durian.estimating.prediction import FOLDS, Predicted, Rows, cross_fitted
from durian.measures.outcome import NOT_DRAWN
from durian.run.folder import RunFolder
from durian.run.manifest import Estimated, EstimatesMade, FewerDraws
from durian.schema import DIFFICULTY, arrow_type
from durian.table.columns import read_columns

Floats = NDArray[np.float64]

_LEVELS = (0.5, 0.8, 0.95)  # of the intervals whose coverage is told
_SHOWN, _WORTH = 6, 0.01  # features that it is told of: how many, and the least part of variance
_TRIED, _SURE = 5000, 1.645  # samples on which fewer draws are tried; one-sided, 95 %
_DECIMALS = 9  # kept: what differs below is the order in which a machine adds
_FEATURES = (
    "problem", "answer", "n_images", "width", "height", "pixel_entropy", "spectral_entropy",
)  # fmt: skip


@dataclass(frozen=True)
class Estimates:
    """Columns of the table, one value a sample, and how they were made."""

    columns: Mapping[str, pa.Array]
    made: EstimatesMade | None  # None: no completions were scored, or over too few images


def estimate_samples(run: RunFolder) -> Estimates:
    """Estimate each sample's difficulty, confidence and image gain from a run's finished parts.

    A sample that was not drawn is predicted; one that could not be, or scored, stays null. Of fewer
    than ten images nothing is predicted: only the gain is then taken, from completions alone.
    """
    table = pl.DataFrame(
        run.read_part_columns([*_FEATURES, "sample_id", "rollouts", "pass_rate", "error"])
    )
    # In the order of ids: whatever is chosen by chance below is so whatever the order of rows.
    order = table["sample_id"].arg_sort().to_numpy()
    table = table[order]
    seen = np.where(table["pass_rate"].is_null(), 0, table["rollouts"].fill_null(0)).astype(float)
    own = read_columns(run.path)
    if own is not None:
        own = own[order]
    clusters = image_clusters(table, own)
    if own is not None:
        own = own.drop("image_id")
    drawn = seen > 0
    predicted = (table["rollouts"] == NOT_DRAWN).fill_null(False) & table["error"].is_null()
    left = predicted.to_numpy()
    wrong = 1 - table["pass_rate"].fill_null(0).to_numpy()
    counts = np.where(drawn, np.round(wrong * seen), 0.0)
    columns: dict[str, pa.Array] = {}
    draws = _draws(run, table["sample_id"])
    asked_blind = draws.blind > 0

    def fill(name: str, values: Floats, member: NDArray[np.bool_]) -> None:
        known = member & np.isfinite(values)
        found = np.full(len(values), np.nan)
        found[order] = np.where(known, np.round(values, _DECIMALS), np.nan)
        kind = arrow_type(DIFFICULTY[name])
        columns[name] = pl.Series(found).fill_nan(None).to_arrow().cast(kind)

    if asked_blind.any():
        gain, sd = plain_gain(seen - counts, seen, draws.blind_right, draws.blind)
        fill("image_gain", gain, drawn & asked_blind)
        fill("image_gain_sd", sd, drawn & asked_blind)
    if clusters.counted(drawn) < FEWEST:
        return Estimates(columns, None)
    features = sample_features(table, own)
    folds = _folds(table["sample_id"], clusters.codes)

    def predict(target: Floats) -> Predicted:
        return cross_fitted(features, target, clusters.codes, folds, features.about)

    observed = np.where(drawn, wrong, np.nan)
    shares = predict(observed)
    shares = replace(shares, values=calibrated(shares.values, observed))
    difficulty = share_posterior(counts, seen, shares.values)
    fill("difficulty", difficulty.mean, drawn | left)
    fill("difficulty_sd", difficulty.sd, drawn | left)
    fill("estimated_from", seen, drawn | left)
    made_difficulty, made_confidence = _made(shares, difficulty, wrong, drawn), None
    several = seen >= 2
    if several.any():
        c, n, f, around = (one[several] for one in (counts, seen, shares.values, difficulty.around))
        made_difficulty = _checked(
            made_difficulty, wrong[several], own_variances(c, n),
            partial(share_coverage, c, n, f, around),
        )  # fmt: skip
    if clusters.counted(asked_blind) >= FEWEST:
        seen_right = np.divide(
            draws.blind_right, draws.blind, out=np.full(len(seen), np.nan), where=asked_blind
        )
        blind_shares = predict(seen_right)
        f = calibrated(blind_shares.values, seen_right)
        blind = share_posterior(draws.blind_right, draws.blind, f)
        seeing = replace(difficulty, mean=1 - difficulty.mean)
        gain, sd = estimated_gain(seeing, blind, shares.values - observed, seen_right - f)
        shown = (drawn & asked_blind) | (left & (table["n_images"] > 0).to_numpy())
        fill("image_gain", gain, shown)
        fill("image_gain_sd", sd, shown)
    told = draws.count > 0
    if clusters.counted(told) >= FEWEST:
        logprobs = predict(log_sizes(draws.mean))
        means = from_log_sizes(logprobs.values, draws.mean)
        logprobs = replace(logprobs, values=calibrated(means, draws.mean))
        confidence = mean_posterior(draws.mean, draws.within, draws.count, logprobs.values)
        fill("confidence", confidence.mean, told | left)
        fill("confidence_sd", confidence.sd, told | left)
        made_confidence = _made(logprobs, confidence, draws.mean, told)
        if np.isfinite(confidence.sd).all():
            y, noise, f, around = (
                one[told]
                for one in (draws.mean, confidence.noise, logprobs.values, confidence.around)
            )
            made_confidence = _checked(
                made_confidence, y, noise, partial(mean_coverage, y, noise, f, around)
            )
    return Estimates(
        columns,
        EstimatesMade(
            samples=int(drawn.sum()),
            predicted=int(left.sum()),
            rollouts=float(seen[drawn].mean()),
            features=list(dict.fromkeys(features.about)),
            difficulty=made_difficulty,
            confidence=made_confidence,
            enough=_fewer(draws, features, clusters.codes, folds),
        ),
    )


@dataclass(frozen=True)
class _Draws:
    """Log-probability a token of each sample's completions: how many, their mean and variance."""

    count: Floats  # (N,)
    mean: Floats  # (N,), NaN of none
    within: Floats  # (N,), n - 1; NaN of fewer than two
    right: pl.Series  # (N,) lists: of each sample, in the order of its completions
    blind: Floats  # (N,), scored completions without the image, which are in none of the above
    blind_right: Floats  # (N,)


def _draws(run: RunFolder, sample_ids: pl.Series) -> _Draws:
    names = ["sample_id", "n_tokens", "sum_logprob", "correct", "blind"]
    seeing = pl.col("blind").fill_null(False).not_()
    each, correct = pl.col("each").filter(seeing), pl.col("correct")
    parts = [
        pl.DataFrame(run.read_rollouts(number, names))
        .with_columns(
            each=pl.when(pl.col("n_tokens") > 0).then(pl.col("sum_logprob") / pl.col("n_tokens"))
        )
        .group_by("sample_id")
        .agg(
            n=each.count(), mean=each.mean(), within=each.var(),
            right=correct.filter(seeing).drop_nulls(),
            blind=correct.filter(seeing.not_()).count(),
            blind_right=correct.filter(seeing.not_()).sum(),
        )
        for number in run.finished_parts()
    ]  # fmt: skip
    told = sample_ids.to_frame().join(
        pl.concat(parts), on="sample_id", how="left", maintain_order="left"
    )
    return _Draws(
        count=told["n"].fill_null(0).to_numpy().astype(np.float64),
        mean=told["mean"].fill_null(np.nan).to_numpy(),
        within=told["within"].fill_null(np.nan).to_numpy(),
        right=told["right"],
        blind=told["blind"].fill_null(0).to_numpy().astype(np.float64),
        blind_right=told["blind_right"].fill_null(0).to_numpy().astype(np.float64),
    )


def _fewer(
    draws: _Draws, features: Rows, codes: NDArray[np.intp], folds: NDArray[np.intp]
) -> FewerDraws | None:
    """Find the fewest completions whose estimates surely err less than plain pass rates of all.

    Tried: estimates are made of a sample's first completions and held against its others.
    """
    sizes = draws.right.list.len().fill_null(0).to_numpy().astype(np.intp)
    all_drawn = int(np.bincount(sizes[sizes > 0]).argmax())
    if all_drawn < 4:  # two to estimate by, and two to hold against
        return None
    chosen = np.flatnonzero(sizes == all_drawn)
    chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:_TRIED])
    wrong = 1.0 - np.array(draws.right.gather(chosen).to_list(), np.float64)  # (n, all_drawn)
    given = features[chosen]
    alone = own_variances(wrong.sum(1), np.full(len(chosen), float(all_drawn)))
    few = 2
    while few <= all_drawn - 2:
        first, others = wrong[:, :few], wrong[:, few:]
        share = first.mean(1)
        found = cross_fitted(given, share, codes[chosen], folds[chosen])
        f = calibrated(found.values, share)
        estimated = share_posterior(first.sum(1), np.full(len(share), float(few)), f).mean
        rest = np.full(len(share), float(others.shape[1]))
        errors = squared_errors(estimated, others.sum(1), rest)
        more = errors - alone
        if more.mean() + _SURE * more.std() / np.sqrt(len(more)) < 0:
            error = float(np.sqrt(max(0.0, errors.mean())))
            return FewerDraws(
                rollouts=few, of=all_drawn, error=round(error, 6),
                error_alone=round(float(np.sqrt(alone.mean())), 6),
            )  # fmt: skip
        few *= 2
    return None


def _checked(
    made: Estimated, seen: Floats, noise: Floats, coverage: Callable[[float], float]
) -> Estimated:
    """Add how exact plain means and estimates are, and how often intervals of each level hold."""
    alone, spread = float(np.mean(noise)), float(np.var(seen))
    known = spread > alone and made.error is not None
    return replace(
        made,
        coverage={f"{level:.0%}": round(coverage(level), 4) for level in _LEVELS},
        error_alone=round(float(np.sqrt(alone)), 6),
        reliability_alone=round(1 - alone / spread, 6) if known else None,
        reliability=round(max(0.0, 1 - (made.error or 0) ** 2 / (spread - alone)), 6)
        if known
        else None,
    )


def _rms(values: Floats) -> float:
    return round(float(np.sqrt(np.mean(values**2))), 6)


def _folds(sample_ids: pl.Series, codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """A fold for each sample, the same for all over one image, whatever the order of rows."""
    ids = pl.DataFrame({"id": sample_ids, "cluster": codes})
    first = ids.group_by("cluster").agg(pl.col("id").min()).sort("cluster")["id"].to_list()
    of_cluster = [blake2b(i.encode(), digest_size=4).digest() for i in first]
    return np.array([int.from_bytes(d, "little") % FOLDS for d in of_cluster], np.intp)[codes]


def _made(
    predicted: Predicted, posterior: Posterior, seen: Floats, drawn: NDArray[np.bool_]
) -> Estimated:
    """How one column was estimated, and how good its predictions are on samples not fitted."""
    observed, guess = seen[drawn], predicted.values[drawn]
    scatter = float(np.mean((observed - observed.mean()) ** 2))
    explained = 1 - float(np.mean((observed - guess) ** 2)) / scatter if scatter > 0 else 0.0
    certain = not np.isnan(posterior.own_weight)
    leans = sorted(predicted.leans.items(), key=lambda one: -one[1])
    return Estimated(
        model="trees" if predicted.trees * 2 > predicted.folds else "ridge",
        explained=round(explained, 6),
        own_weight=round(posterior.own_weight, 6) if certain else None,
        error=_rms(posterior.sd[drawn]) if certain else None,
        error_predicted=_rms(posterior.around[drawn]) if certain else None,
        leans={name: round(lost, 4) for name, lost in leans[:_SHOWN] if lost >= _WORTH},
    )
