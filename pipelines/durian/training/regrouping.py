"""Reasoning bins that are cut anew once the policy has left behind what they were cut from.

Offline bins come from the confidence of the policy that was profiled. A training computes the
confidence of the policy in hand anyway, sample by sample; here it is held against the old one, as
`durian compare` holds two profiles, and the bins are cut again where the two differ beyond chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from durian.analysis.two_runs.floor import redraws_for
from durian.groups import Harder, reasoning_groups
from durian.records import JsonObject
from durian.training.manifest import Regrouped

CONFIDENCES = ("mean_logprob", "sum_logprob", "confidence")  # what a policy's own can stand for
SEEN = 0.5  # share of the samples whose confidence is known anew before the bins are judged
_LOW = 2.5  # percentile of what chance gives

Floats = NDArray[np.float64]


class Regrouping:
    """The reasoning bin of each sample that takes part, and what is known of its confidence."""

    def __init__(
        self,
        rows: datasets.Dataset,
        *,
        bins: int,
        harder: Harder,
        draws: int,
        below: float,
        seed: int,
    ) -> None:
        """Begin with the table's bins.

        Args:
            rows: of the training set, with `sample_id`, `reasoning_group` and `confidence`.
            bins: how many are asked for.
            harder: the end of the confidence that is hard.
            draws: completions of a sample behind the table's confidence.
            below: how far Kendall's tau must lie below that of two profiles of one policy.
            seed: of what chance gives.
        """
        names = ["sample_id", "reasoning_group", "confidence"]
        columns = rows.with_format(None).select_columns(names)[:]
        rows_of: dict[str, int] = {}  # the first of each sample
        for row, name in enumerate(columns["sample_id"]):
            rows_of.setdefault(name, row)
        self.place = {name: place for place, name in enumerate(rows_of)}
        first = np.array(list(rows_of.values()), np.intp)
        self.labels = np.array(columns["reasoning_group"], np.int64)[first]
        self.known = np.array(columns["confidence"], np.float64)[first]  # behind the labels
        self.cuts: list[Regrouped] = []
        self._bins, self._harder, self._below, self._seed = bins, harder, below, seed
        self._draws = np.full(len(first), draws, np.float64)  # behind `known`
        self._forget()

    def _forget(self) -> None:
        shape = len(self.known)
        self._now = np.full(shape, np.nan)  # mean over the latest completions
        self._variance = np.full(shape, np.nan)  # of one of them
        self._count = np.zeros(shape)
        self._batch = np.full(shape, -1, np.int64)  # the rollout batch that they are of
        self._batches = 0

    def state(self) -> JsonObject:
        """All of it, as JSON has it."""
        return {
            **{name: _to_json(getattr(self, name)) for name in _ARRAYS},
            "batches": self._batches,
            "cuts": [asdict(cut) for cut in self.cuts],
        }

    def restore(self, state: JsonObject) -> None:
        """Take up what `state` gave."""
        for name, kind in _ARRAYS.items():
            setattr(self, name, np.array(state[name], np.float64).astype(kind))
        self._batches = int(state["batches"])
        self.cuts = [Regrouped(**cut) for cut in state["cuts"]]

    def note(self, step: int, places: Sequence[int], confidence: Floats) -> Regrouped | None:
        """Take in a rollout batch; cut the bins anew where they have gone stale.

        Stale: over the samples drawn since the bins were cut, half of all at least, Kendall's tau
        between the confidence behind the bins and the policy's own lies more than `below` under the
        mean of what two profiles of one policy give, and under the 95 % interval of those.

        Samples that were not drawn keep the confidence that they had.

        Args:
            step: the optimizer step that is being taken.
            places: (B,) of the samples, by `place`.
            confidence: (B, G), nats, of each completion; NaN of one that says nothing.
        """
        counts = (~np.isnan(confidence)).sum(axis=1)
        for place, own, count in zip(places, confidence, counts, strict=True):
            if count:
                own = own[~np.isnan(own)]
                self._now[place], self._count[place] = own.mean(), count
                self._variance[place] = own.var(ddof=1) if count > 1 else np.nan
                self._batch[place] = self._batches
        self._batches += 1
        both = ~np.isnan(self._now) & ~np.isnan(self.known)
        if both.sum() < SEEN * len(self.known):
            return None
        now = _levelled(self._now, self.known, self._batch)
        tau = _tau(self.known[both], now[both])
        chance = self._by_chance(now[both], both)
        if np.isnan(tau) or not len(chance):
            return None
        if not (chance.mean() - tau > self._below and tau < np.percentile(chance, _LOW)):
            return None
        drawn = ~np.isnan(now)
        self.known = np.where(drawn, now, self.known)
        self._draws = np.where(drawn, self._count, self._draws)
        cut = reasoning_groups(self.known, self._bins, harder=self._harder).labels
        labels = np.array([-1 if label is None else label for label in cut], np.int64)
        self.cuts.append(
            Regrouped(
                step=step,
                tau=tau,
                tau_by_chance=float(chance.mean()),
                moved=int((labels != self.labels).sum()),
                samples=len(labels),
            )
        )
        self.labels = labels
        self._forget()
        return self.cuts[-1]

    def _by_chance(self, now: Floats, both: NDArray[np.bool_]) -> Floats:
        """Kendall's tau of pairs of profiles of the policy in hand, as they might come out.

        As `analysis.two_runs.floor` draws them, but normal around each sample, since of completions
        only mean and variance are kept; and levelled as the real pair is.
        """
        variance, count = self._variance[both], self._count[both]
        variance = np.where(np.isnan(variance), np.nanmean(variance), variance)
        total = float(now.var(ddof=1)) if len(now) > 1 else 0.0
        if not total or np.isnan(variance).any():
            return np.empty(0)
        kept = np.sqrt(max(0.0, 1 - float((variance / count).mean()) / total))
        centres = now.mean() + kept * (now - now.mean())
        drawing = np.random.default_rng([self._seed, self._batches, len(self.cuts)])
        taus = []
        for _ in range(redraws_for(len(now))):
            first, second = (
                centres + np.sqrt(variance / draws) * drawing.standard_normal(len(now))
                for draws in (self._draws[both], count)
            )
            taus.append(_tau(first, _levelled(second, first, self._batch[both])))
        return np.array([tau for tau in taus if not np.isnan(tau)], np.float64)


# What is one number a sample, and its type.
_ARRAYS: dict[str, Any] = {
    "labels": np.int64, "known": np.float64, "_draws": np.float64, "_now": np.float64,
    "_variance": np.float64, "_count": np.float64, "_batch": np.int64,
}  # fmt: skip


def _to_json(values: NDArray[Any]) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def _levelled(now: Floats, known: Floats, batch: NDArray[np.int64]) -> Floats:
    """Confidence less what its rollout batch has moved by as a whole.

    A policy grows surer of everything as it learns: without this, samples of an early batch would
    pass for harder than those of a late one.
    """
    level = np.zeros(len(now))
    for one in np.unique(batch[batch >= 0]):
        inside = batch == one
        moved = (now - known)[inside]
        level[inside] = 0.0 if np.isnan(moved).all() else np.nanmean(moved)
    return now - level


def _tau(first: Floats, second: Floats) -> float:
    """Kendall's tau-b; NaN where either is constant."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    method = "asymptotic" if len(first) > 2 else "exact"  # as in `diagnostics.drift`
    return float(kendalltau(first, second, method=method).statistic)
