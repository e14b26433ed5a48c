"""Dynamic sampling: what teaches nothing is drawn anew from other samples, before it trains.

A group whose completions all get the same reward has no advantage under GRPO. DAPO (Yu et al.,
2025, arXiv 2503.14476) draws on until a rollout batch has none of those; here the samples that take
their place come from a second order of the training set, the reserve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object

from durian.normalizer import SPREAD, group_spread
from durian.records import JsonObject
from durian.samples import Score

# What TRL's `_generate` gives of each row: ids of prompt and completion, the completion, its
# log-probabilities, its images. The others (tools, an own rollout function) are not used here.
OF_ROWS = (0, 1, 3, 4, 6)
_RESERVE = 22  # makes the reserve's order another than the one of training, whose seed it shares


@dataclass(kw_only=True)
class Drawn:
    """The completions that one process has drawn: a row each, those of a sample side by side."""

    rows: list[JsonObject]  # of the training set, as TRL reads them
    prompts: list[Any]
    parts: tuple[Any, ...]  # as TRL's `_generate` gives them
    scores: list[Score | None]  # None where the reward failed

    def put(self, place: int, other: Drawn, at: int, size: int) -> None:
        """Put another's sample at `at` in place of this one's at `place`, of `size` rows each."""
        here, there = (slice(n * size, (n + 1) * size) for n in (place, at))
        self.rows[here], self.prompts[here] = other.rows[there], other.prompts[there]
        self.scores[here] = other.scores[there]
        for part in OF_ROWS:
            if self.parts[part] is not None:
                self.parts[part][here] = other.parts[part][there]


class Reserve:
    """The training set in a second order, drawn anew whenever it is used up."""

    def __init__(self, rows: datasets.Dataset, seed: int) -> None:
        """Begin at the first permutation.

        Args:
            rows: of the training set, as TRL reads them; none but the drawn ones are decoded.
        """
        self._rows = rows
        self._ids: list[str] = rows.with_format(None)["sample_id"][:]
        self._seed = seed
        self._position = 0
        self._number, self._permutation = -1, np.empty(0, np.int64)

    def state(self) -> JsonObject:
        """How many places of the order have been passed."""
        return {"position": self._position}

    def restore(self, state: JsonObject) -> None:
        """Go on from there."""
        self._position = int(state["position"])

    def take(self, count: int, without: set[str]) -> list[JsonObject]:
        """The next rows of other samples than some; fewer than asked where there are no others.

        Args:
            without: ids of samples; those of the rows are added.
        """
        found: list[int] = []
        passed = 0  # twice the set holds one permutation whole
        while len(found) < count and passed < 2 * len(self._ids):
            row = self._at(self._position)
            self._position, passed = self._position + 1, passed + 1
            if self._ids[row] not in without:
                without.add(self._ids[row])
                found.append(row)
        return [self._rows[row] for row in found]

    def _at(self, position: int) -> int:
        number, place = divmod(position, len(self._ids))
        if number != self._number:
            drawing = np.random.default_rng([self._seed, _RESERVE, number])
            self._number, self._permutation = number, drawing.permutation(len(self._ids))
        return int(self._permutation[place])


class DynamicSampling:
    """Replaces the flat groups of a rollout batch, all processes in step."""

    def __init__(self, reserve: Reserve, *, flat: str, tries: int) -> None:
        """Take the rule.

        Args:
            flat: `spread`: the rewards of the group do not spread; `correct`: its completions are
                all right or all wrong, whatever else the reward says.
            tries: how often what is still flat is drawn anew, at most.
        """
        self.reserve = reserve
        self._flat_by = flat
        self._tries = tries

    def refill(
        self, batch: Drawn, draw: Callable[[list[JsonObject]], Drawn], size: int
    ) -> dict[str, float]:
        """Replace this process's flat groups in place, as far as the tries go; the rest stays.

        Every process draws as many samples in a try as the one that lacks most, since engines that
        are shared or sharded must be called alike; what one has too many is thrown away.

        Args:
            draw: gives the completions of rows, each `size` times in a row.
            size: completions of a sample.
        Returns:
            Counts over all processes, to be logged: groups replaced, samples drawn for it, groups
            that stay flat.
        """
        processes, rank = PartialState().num_processes, PartialState().process_index
        flat = self._flat(batch.scores, size)
        told = gather_object([([row["sample_id"] for row in batch.rows], len(flat))])
        used = {sample_id for ids, _ in told for sample_id in ids}
        lacking = [count for _, count in told]
        at_first, drawn = sum(lacking), 0
        for _ in range(self._tries):
            rows = self.reserve.take(max(lacking) * processes, used)
            each = len(rows) // processes
            if not each:
                break
            drawn += each * processes
            own = rows[rank * each : (rank + 1) * each]
            more = draw([row for row in own for _ in range(size)])
            still_flat = set(self._flat(more.scores, size))
            good = [place for place in range(each) if place not in still_flat][: len(flat)]
            for place, at in zip(flat, good, strict=False):
                batch.put(place, more, at, size)
            flat = flat[len(good) :]
            lacking = gather_object([len(flat)])
        return {
            "durian/refilled": float(at_first - sum(lacking)),
            "durian/reserve_drawn": float(drawn),
            "durian/left_flat": float(sum(lacking)),
        }

    def _flat(self, scores: Sequence[Score | None], size: int) -> list[int]:
        """The places of flat groups; one that the reward failed on is flat."""
        groups = [scores[i : i + size] for i in range(0, len(scores), size)]
        if self._flat_by == "correct":
            verdicts = [{score.correct for score in own if score} for own in groups]
            return [place for place, both in enumerate(verdicts) if len(both) < 2]
        nan = float("nan")
        rewards = [[score.reward if score else nan for score in own] for own in groups]
        spread = group_spread(torch.tensor(rewards), torch.arange(len(groups)))
        return [n for n in range(len(groups)) if n not in spread or spread[n][0] < SPREAD]
