"""The estimated columns of a run: difficulty, confidence, and how sure each is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from durian.analysis.statistics.clusters import FEWEST, image_clusters
from durian.analysis.statistics.small_area import (
    Posterior,
    calibrated,
    mean_posterior,
    share_posterior,
)
from durian.estimating.features import sample_features
from durian.estimating.prediction import FOLDS, Predicted, cross_fitted
from durian.run.folder import RunFolder
from durian.run.manifest import Estimated, EstimatesMade
from durian.schema import DIFFICULTY, arrow_array, arrow_type
from durian.table.columns import read_columns

Floats = NDArray[np.float64]

_DECIMALS = 9  # kept: what differs below is the order in which a machine adds
_FEATURES = (
    "problem", "answer", "n_images", "width", "height", "pixel_entropy", "spectral_entropy",
)  # fmt: skip


@dataclass(frozen=True)
class Estimates:
    """Five columns of the table, one value a sample, and how they were made."""

    columns: Mapping[str, pa.Array]
    made: EstimatesMade


def estimate_samples(run: RunFolder) -> Estimates | None:
    """Estimate each sample's difficulty and confidence from the finished parts of a run.

    One without scored completions stays null.

    Returns:
        None where no completions were scored, or over fewer than ten images.
    """
    table = pl.DataFrame(run.read_part_columns([*_FEATURES, "sample_id", "rollouts", "pass_rate"]))
    seen = np.where(table["pass_rate"].is_null(), 0, table["rollouts"].fill_null(0)).astype(float)
    own = read_columns(run.path)
    clusters = image_clusters(table, own)
    if own is not None:
        own = own.drop("image_id")
    drawn = seen > 0
    if clusters.counted(drawn) < FEWEST:
        return None
    features = sample_features(table, own)
    folds = _folds(table["sample_id"], clusters.codes)
    wrong = 1 - table["pass_rate"].fill_null(0).to_numpy()
    counts = np.where(drawn, np.round(wrong * seen), 0.0)
    columns: dict[str, pa.Array] = {}

    def fill(name: str, values: Floats, member: NDArray[np.bool_]) -> None:
        known = member & np.isfinite(values)
        column = DIFFICULTY[name]
        whole = column.type == "int32"
        found = [
            (int(v) if whole else round(float(v), _DECIMALS)) if k else None
            for v, k in zip(values, known, strict=True)
        ]
        columns[name] = arrow_array(found, arrow_type(column))

    def predict(target: Floats) -> Predicted:
        found = cross_fitted(features.values, target, clusters.codes, folds)
        return replace(found, values=calibrated(found.values, target))

    shares = predict(np.where(drawn, wrong, np.nan))
    difficulty = share_posterior(counts, seen, shares.values)
    fill("difficulty", difficulty.mean, drawn)
    fill("difficulty_sd", difficulty.sd, drawn)
    fill("estimated_from", seen, drawn)
    made_confidence = None
    draws = _draws(run, table["sample_id"])
    told = draws.count > 0
    if clusters.counted(told) >= FEWEST:
        logprobs = predict(np.where(told, draws.mean, np.nan))
        confidence = mean_posterior(draws.mean, draws.within, draws.count, logprobs.values)
        fill("confidence", confidence.mean, told)
        fill("confidence_sd", confidence.sd, told)
        made_confidence = _made(logprobs, confidence, draws.mean, told)
    return Estimates(
        columns,
        EstimatesMade(
            samples=int(drawn.sum()),
            rollouts=float(seen[drawn].mean()),
            features=list(dict.fromkeys(features.about)),
            difficulty=_made(shares, difficulty, wrong, drawn),
            confidence=made_confidence,
        ),
    )


@dataclass(frozen=True)
class _Draws:
    """Log-probability a token of each sample's completions: how many, their mean and variance."""

    count: Floats  # (N,)
    mean: Floats  # (N,), NaN of none
    within: Floats  # (N,), n - 1; NaN of fewer than two


def _draws(run: RunFolder, sample_ids: pl.Series) -> _Draws:
    parts = [
        pl.DataFrame(run.read_rollouts(number, ["sample_id", "n_tokens", "sum_logprob"]))
        .filter((pl.col("n_tokens") > 0) & pl.col("sum_logprob").is_not_null())
        .group_by("sample_id")
        .agg(
            n=pl.len(),
            mean=(pl.col("sum_logprob") / pl.col("n_tokens")).mean(),
            within=(pl.col("sum_logprob") / pl.col("n_tokens")).var(),
        )
        for number in run.finished_parts()
    ]
    told = sample_ids.to_frame().join(
        pl.concat(parts), on="sample_id", how="left", maintain_order="left"
    )
    return _Draws(
        count=told["n"].fill_null(0).to_numpy().astype(np.float64),
        mean=told["mean"].fill_null(np.nan).to_numpy(),
        within=told["within"].fill_null(np.nan).to_numpy(),
    )


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
    return Estimated(
        model="trees" if predicted.trees * 2 > predicted.folds else "ridge",
        explained=round(explained, 6),
        own_weight=None if np.isnan(posterior.own_weight) else round(posterior.own_weight, 6),
    )
