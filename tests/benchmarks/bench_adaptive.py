"""Adaptive rollouts against fixed numbers of them: how near to a reference, for how many tokens.

64 completions of each sample are the reference, 16 others are drawn from, in another split each
time. Intervals are over the splits, the samples staying the same.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import kendalltau

from durian.allocation import Allocation
from durian.config import ProfileConfig
from durian.groups import reasoning_groups
from durian.profile import profile_dataset

DATA = Path("data")
REFERENCE, MOST, SPLITS = 64, 16, 60
FIXED = (2, 4, 8, 16)
BINS = (10, 2)
SHARES = {"half": 0.5, "3/4": 0.75, "all": 1.0}  # of the tokens of G = 8

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Completions of N samples; (N, G) each."""

    logprob: Floats  # nats a token
    right: Floats
    tokens: Floats

    def split(self, rng: np.random.Generator) -> tuple["Table", "Table"]:
        """The reference, and what is drawn from."""
        order = np.argsort(rng.random(self.tokens.shape), axis=1)
        mixed = [np.take_along_axis(x, order, axis=1) for x in vars(self).values()]
        return (
            Table(*(x[:, :REFERENCE] for x in mixed)),
            Table(*(x[:, REFERENCE : REFERENCE + MOST] for x in mixed)),
        )

    def first(self, counts: Any) -> "Table":
        """The first completions of each sample; NaN after them."""
        kept = np.arange(self.tokens.shape[1]) < np.reshape(counts, (-1, 1))
        return Table(*(np.where(kept, x, np.nan) for x in vars(self).values()))


def run() -> list[dict[str, Any]]:
    """Closeness of each way to its reference, and what adaptive gains for the same tokens."""
    with TemporaryDirectory() as folder:
        config = ProfileConfig(
            dataset=str(DATA / "photo_shapes" / "test.parquet"),
            model=str(DATA / "tiny_policy"),
            out=str(Path(folder) / "run"),
            measures=("confidence",),
            rollouts=REFERENCE + MOST,
            max_tokens=256,
        )
        profile_dataset(config)
        return compare(pl.read_parquet(Path(config.out) / "rollouts.parquet"))


def compare(rollouts: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows, from a rollouts table of 80 completions or more of each sample."""
    rows = rollouts.sort("sample_id", "rollout")
    n = rows["sample_id"].n_unique()
    tokens, sums, right = (
        rows[name].cast(pl.Float64).to_numpy().reshape(n, -1)
        for name in ("n_tokens", "sum_logprob", "correct")
    )
    table, rng = Table(sums / tokens, right, tokens), np.random.default_rng(0)
    found: dict[str, list[list[float]]] = {}
    for _ in range(SPLITS):
        reference, pool = table.split(rng)
        for g in FIXED:
            found.setdefault(f"G = {g}", []).append(_close(pool.first(g), reference))
        whole = float(pool.first(8).tokens[:, :8].sum())
        for bins in BINS:
            for name, share in SHARES.items():
                key = f"{bins} bins, {name} of G = 8's tokens"
                drawn = _adaptive(pool, bins, share * whole)
                found.setdefault(key, []).append(_close(drawn, reference))
            found.setdefault(f"{bins} bins, while it is worth it", []).append(
                _close(_adaptive(pool, bins, None), reference)
            )
    values = {name: np.array(of) for name, of in found.items()}
    return [*_ways(values), *_gains(values)]


def _adaptive(pool: Table, bins: int, budget: float | None) -> Table:
    """As a profile draws the samples of one chunk."""
    plan, counts = Allocation(least=2, most=MOST, bins=bins), np.full(len(pool.tokens), 2)
    for number in range(1, plan.rounds):
        now = pool.first(counts)
        left = None if budget is None else budget - float(np.nansum(now.tokens))
        counts = counts + plan.more(number, now.logprob, now.right, now.tokens, left=left)
    return pool.first(counts)


NUMBERS = ("tau-b", "bins", "halves", "thirds", "tokens", "bias", "bias of pass rate")


def _close(drawn: Table, reference: Table) -> list[float]:
    """`NUMBERS` of a way: the last three per sample, and as differences of means over samples."""
    (mean, rate), (true_mean, true_rate) = (
        (np.nanmean(of.logprob, axis=1), np.nanmean(of.right, axis=1)) for of in (drawn, reference)
    )
    edges = np.quantile(true_rate, [1 / 3, 2 / 3])
    thirds, true_thirds = (np.searchsorted(edges, of, side="right") for of in (rate, true_rate))

    def same_bin(bins: int) -> float:
        one, other = (reasoning_groups(of, bins).labels for of in (mean, true_mean))
        return float(np.mean(np.array(one) == np.array(other)))

    return [
        float(kendalltau(mean, true_mean).statistic),
        same_bin(10),
        same_bin(2),
        float(np.mean(thirds == true_thirds)),
        float(np.nansum(drawn.tokens) / len(mean)),
        float(mean.mean() - true_mean.mean()),
        float(rate.mean() - true_rate.mean()),
    ]


def _ways(values: dict[str, Floats]) -> list[dict[str, Any]]:
    rows = []
    for name, of in values.items():
        tau, bins, halves, thirds, tokens, bias, rate = of.mean(axis=0)
        rows.append(
            {
                "what": f"adaptive rollouts: tau-b of mean_logprob to G = 64, {name}",
                "value": float(tau),
                "aim": "-",
                "detail": f"right bin of ten {bins:.3f}, right half {halves:.3f}, right third of "
                f"the pass rate {thirds:.3f}; {tokens:.1f} tokens a sample; means off by "
                f"{bias:+.4f} nats and {100 * rate:+.2f} points of pass rate",
            }
        )
    return rows


def _gains(values: dict[str, Floats]) -> list[dict[str, Any]]:
    """Half of the tokens of a fixed number, against it and against its half."""
    rows = []
    for bins, index, what in ((10, 0, "tau-b"), (10, 1, "right bin of ten"),
                              (10, 3, "right third of the pass rate"),
                              (2, 2, "right half")):  # fmt: skip
        for share, against in (("half", 8), ("half", 4), ("all", 16)):
            ours = values[f"{bins} bins, {share} of G = 8's tokens"]
            gain = ours[:, index] - values[f"G = {against}"][:, index]
            low, high = np.percentile(gain, [2.5, 97.5])
            same = against == 4
            rows.append(
                {
                    "what": f"adaptive rollouts: {what}, less that of G = {against}, for "
                    f"{'its' if same else 'half of its'} tokens",
                    "value": float(gain.mean()),
                    "aim": "> 0" if same else ">= 0",
                    "detail": f"{low:+.3f} to {high:+.3f} over {SPLITS} splits (95 %)",
                }
            )
    return rows
