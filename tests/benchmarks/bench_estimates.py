"""Estimates against raw means: 64 other completions of each sample stand for the truth."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import betabinom, kendalltau

from durian.analysis.statistics.clusters import image_clusters
from durian.analysis.statistics.small_area import calibrated, mean_posterior, share_posterior
from durian.config import ProfileConfig
from durian.estimating.features import sample_features
from durian.estimating.prediction import FOLDS, cross_fitted
from durian.profile import profile_dataset

DATA = Path(__file__).parents[2] / "data"
TRUTH, DRAWN, TIMES, SAMPLES = 64, (1, 2, 4, 8), 6, 600


def run() -> list[dict[str, Any]]:
    """Both datasets, with their features and with thirty random columns in place of them."""
    rows = [row for name in ("photo_shapes", "easy_vqa") for row in of_dataset(name)]
    return [*rows, at_size(100_000)]


def of_dataset(name: str) -> list[dict[str, Any]]:
    """The errors of each number of completions, over six draws of them."""
    with tempfile.TemporaryDirectory() as folder:
        profile_dataset(
            ProfileConfig(
                dataset=str(DATA / name / "test.parquet"), model=str(DATA / "tiny_policy"),
                out=f"{folder}/run", rollouts=TRUTH + max(DRAWN), max_tokens=64, limit=SAMPLES,
            )
        )  # fmt: skip
        table, own, rollouts = (
            pl.read_parquet(f"{folder}/run/{file}.parquet")
            for file in ("difficulty", "columns", "rollouts")
        )
    wide = rollouts.with_columns(each=pl.col("sum_logprob") / pl.col("n_tokens"))
    n, total = len(table), TRUTH + max(DRAWN)
    wrong = 1.0 - wide["correct"].to_numpy().reshape(n, total)
    logprob = wide["each"].to_numpy().reshape(n, total)
    codes = image_clusters(table, own).codes
    random = np.random.default_rng(0)
    folds = random.integers(0, FOLDS, codes.max() + 1)[codes]
    given = {
        "estimated": sample_features(table, None).values,  # no planted column among them
        "placebo": random.standard_normal((n, 30)),
    }
    found: dict[tuple[int, str, str], list[float]] = {}
    for drawn in DRAWN:
        for _ in range(TIMES):
            order = random.permutation(total)
            mine, others = order[:drawn], order[max(DRAWN) :]
            seen = np.full(n, float(drawn))
            share, mean = wrong[:, mine].mean(1), logprob[:, mine].mean(1)
            true_share, true_mean = wrong[:, others].mean(1), logprob[:, others].mean(1)
            within = logprob[:, mine].var(1, ddof=1) if drawn > 1 else np.full(n, np.nan)
            noise = logprob[:, others].var(1, ddof=1) / TRUTH

            def keep(
                way: str, shares: Any, means: Any, *, truth: Any, drawn: int, **more: float
            ) -> None:
                values = {**_errors(shares, means, truth, random), **more}
                for what, value in values.items():
                    found.setdefault((drawn, way, what), []).append(value)

            truth: dict[str, Any] = {"truth": (true_share, true_mean), "drawn": drawn}
            keep("raw", share, mean, **truth)
            for way, features in given.items():
                f, g = (
                    calibrated(cross_fitted(features, y, codes, folds).values, y)
                    for y in (share, mean)
                )
                shares = share_posterior(share * drawn, seen, f)
                means = mean_posterior(mean, within, seen, g)
                more = {}
                if drawn > 1:
                    worth = shares.mean * (1 - shares.mean) / shares.sd**2 - 1
                    known = betabinom(TRUTH, shares.mean * worth, (1 - shares.mean) * worth)
                    counts = np.round(true_share * TRUTH)
                    inside = (known.ppf(0.025) <= counts) & (counts <= known.ppf(0.975))
                    off = np.abs(means.mean - true_mean) / np.sqrt(means.sd**2 + noise)
                    more = {
                        "coverage of the share": float(np.mean(inside)),
                        "coverage of the confidence": float(np.mean(off <= 1.96)),
                    }
                keep(way, shares.mean, means.mean, **truth, **more)
    return [
        {
            "what": f"{name}, {drawn} completions, {way}: {what}",
            "value": float(np.mean(values)),
            "aim": "0.93-0.97" if what.startswith("coverage") else "-",
            "detail": f"{TIMES} draws, {n} samples, {TRUTH} others as the truth",
        }
        for (drawn, way, what), values in found.items()
    ]


def at_size(n: int) -> dict[str, Any]:
    """CPU seconds of one prediction of so many samples, features included."""
    random = np.random.default_rng(1)
    words = np.array([f"w{i}" for i in range(2000)])
    table = pl.DataFrame(
        {
            "problem": [" ".join(random.choice(words, 12)) for _ in range(n)],
            "answer": random.integers(0, 99, n).astype(str),
            "n_images": np.ones(n, int),
            "width": random.integers(64, 900, n), "height": random.integers(64, 900, n),
            "pixel_entropy": random.uniform(0, 8, n), "spectral_entropy": np.full(n, np.nan),
        }
    )  # fmt: skip
    target = random.binomial(2, 0.5, n) / 2
    begun = time.process_time()
    features = sample_features(table, None).values
    cross_fitted(features, target, np.arange(n), random.integers(0, FOLDS, n))
    return {
        "what": f"one column of {n:,} samples: CPU seconds",
        "value": time.process_time() - begun,
        "aim": "<= 60",
        "detail": f"{features.shape[1]} features",
    }


def _errors(shares: Any, means: Any, truth: Any, random: np.random.Generator) -> dict[str, float]:
    true_share, true_mean = truth
    return {
        "tau-b of confidence": _tau(means, true_mean, random),
        "rms of the pass rate": float(np.sqrt(np.mean((shares - true_share) ** 2))),
        "right bin of 10 by confidence": _same(means, true_mean, 10, random),
        "right third by difficulty": _same(shares, true_share, 3, random),
    }


def _tau(a: Any, b: Any, random: np.random.Generator) -> float:
    # Ties broken by chance: they would flatter few draws.
    return float(kendalltau(a + 1e-9 * random.standard_normal(len(a)), b).statistic)


def _same(a: Any, b: Any, parts: int, random: np.random.Generator) -> float:
    places = []
    for values in (a, b):
        shaken = values + 1e-9 * random.standard_normal(len(values))
        places.append(np.argsort(np.argsort(shaken)) * parts // len(values))
    return float(np.mean(places[0] == places[1]))
