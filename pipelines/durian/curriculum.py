"""Which samples the next rollout batch is made of: at the frontier, or from pools. Pure numpy.

A sample whose completions are all right, or all wrong, teaches a group normalizer nothing. A
difficulty table says beforehand which samples these will be; what a training draws says how that
changes. Both curricula know right from wrong and nothing of rewards, which a format or a length may
shape.

`durian train` and the plug-in for verl draw by the same two classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

WEAKEST, STRONGEST = 0.5, 50.0  # completions of a prior that is fitted to a table
HARD, EASY = 0.25, 0.75  # pass rates: the hard pool's are at most, the easy one's at least


class Curriculum(Protocol):
    """Draws rollout batches of samples, which it knows by their numbers from 0."""

    def draw(self) -> NDArray[np.int64]:
        """Draw the next batch: as many samples as a batch has, no one twice. (B,)"""

    def update(
        self, sample: NDArray[np.int64], right: NDArray[np.float64], drawn: NDArray[np.float64]
    ) -> None:
        """Learn what a rollout batch showed; each (B,): how many of a sample's `drawn` were right.

        A sample whose completions could not be judged has 0 drawn.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that the next draws depend on beside the arguments, as JSON can hold it."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state, to the bit."""


class Frontier:
    """Draws samples in proportion to the variance p(1 - p) that their completions should have.

    The pass rate p of a sample has a Beta posterior: its `prior` completions, spread like the mean
    of all samples, then those of the table, then those of each rollout batch. What was seen counts
    less as the policy moves on, whether or not the sample is drawn, down to the prior. So a sample
    that was always right, or never, is drawn seldom, but with time again: none is lost.

    A draw takes w_i = E[p(1 - p)] = a b / ((a + b)(a + b + 1)) for Beta(a, b), and the B largest of
    log w_i + g_i with g_i standard Gumbel, which is B draws by w without putting back.

    Source: MoPPS (Qu et al., arXiv 2507.04632) and BOTS (Shen et al., arXiv 2510.26374) keep such
    posteriors, with this update of (a, b); both draw by posterior sampling. To begin at a measured
    table is ours.
    """

    def __init__(
        self,
        right: NDArray[np.float64],
        wrong: NDArray[np.float64],
        *,
        batch: int,
        seed: int,
        prior: float | None = None,
        decay: float,
    ) -> None:
        """Begin with what a table knows.

        Args:
            right, wrong: (N,), completions of each sample in the table; 0 and 0 where it has none.
            batch: samples a rollout batch.
            prior: completions that a sample is taken to have beside its own, above 0; None for as
                many as the table's samples differ by (`prior_of`).
            decay: what a completion still counts once as many samples were drawn as there are, from
                0 to 1.
        """
        if right.shape != wrong.shape or right.ndim != 1 or not 1 <= batch <= len(right):
            raise ValueError(
                f"a batch of {batch} from right {right.shape} and wrong {wrong.shape}: both must "
                "be (N,), and a batch no more than N"
            )
        self._right, self._wrong = right.astype(np.float64), wrong.astype(np.float64)
        self._prior = prior_of(right, wrong, prior)
        self._batch, self._seed, self._decay = batch, seed, decay
        self._drawn = 0  # batches

    def weights(self) -> NDArray[np.float64]:
        """The variance p(1 - p) to expect of each sample's completions. (N,)"""
        a, b = self.posterior()
        weights: NDArray[np.float64] = a * b / ((a + b) * (a + b + 1))
        return weights

    def posterior(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The two parameters of each sample's Beta posterior. (N,), (N,)"""
        return self._prior[0] + self._right, self._prior[1] + self._wrong

    def draw(self) -> NDArray[np.int64]:
        """Draw the next batch by the weights as they stand. (B,)"""
        # Seeded by the batch's number: a state of the generator need not be kept.
        generator = np.random.default_rng([self._seed, self._drawn])
        keys = np.log(self.weights()) + generator.gumbel(size=len(self._right))
        self._drawn += 1
        return np.argsort(-keys, kind="stable")[: self._batch]

    def update(
        self, sample: NDArray[np.int64], right: NDArray[np.float64], drawn: NDArray[np.float64]
    ) -> None:
        """Let what was seen fade, then add what the batch showed."""
        kept = self._decay ** (len(sample) / len(self._right))
        self._right *= kept
        self._wrong *= kept
        np.add.at(self._right, sample, right)
        np.add.at(self._wrong, sample, drawn - right)

    def state_dict(self) -> dict[str, Any]:
        """What was seen of each sample, and the number of batches."""
        return {
            "right": self._right.tolist(),
            "wrong": self._wrong.tolist(),
            "drawn": self._drawn,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state, to the bit."""
        right, wrong = (np.array(state[name], np.float64) for name in ("right", "wrong"))
        if right.shape != self._right.shape or wrong.shape != self._wrong.shape:
            raise ValueError(f"a state of {len(right)} samples, where there are {len(self._right)}")
        self._right, self._wrong, self._drawn = right, wrong, int(state["drawn"])


class Pools:
    """Draws from three pools by fixed shares: easy, medium and hard by the table's pass rate.

    Each pool is gone through in an order of its own, shuffled anew each time around.

    Source: MiMo (Xiaomi, arXiv 2505.07608) keeps a pool of solved problems, since to leave them out
    altogether made its training unstable.
    """

    def __init__(
        self,
        pass_rate: NDArray[np.float64],
        *,
        batch: int,
        seed: int,
        shares: tuple[float, float, float],
    ) -> None:
        """Sort samples into pools.

        Args:
            pass_rate: (N,) of the table; NaN, which none has measured, is taken for medium.
            batch: samples a rollout batch.
            shares: of easy, medium and hard in a batch, in proportion. Where a pool has too few
                samples for it, the others make up.
        Raises:
            ValueError: the pools that have a share cannot fill a batch.
        """
        if pass_rate.ndim != 1 or not 1 <= batch <= len(pass_rate):
            raise ValueError(f"a batch of {batch} from pass rates {pass_rate.shape}")
        easy, hard = pass_rate >= EASY, pass_rate <= HARD
        self.members = [np.flatnonzero(of) for of in (easy, ~easy & ~hard, hard)]
        self._sizes = np.array([len(of) for of in self.members])
        self._room = _rooms(np.array(shares, np.float64), self._sizes, batch)
        self._batch, self._seed = batch, seed
        self._queues = [members[:0] for members in self.members]  # what is left this time around
        self._taken = np.zeros(len(self.members), np.int64)  # samples of each pool, in all batches
        self._drawn = 0  # batches

    def draw(self) -> NDArray[np.int64]:
        """Draw the next batch; the pools stand in it mixed. (B,)"""
        # What a pool is owed is counted from the first batch on, or rounding would give nothing of
        # a small share, in every batch anew.
        owed = self._room * (self._drawn + 1) - self._taken
        counts = np.zeros(len(self.members), np.int64)
        for _ in range(self._batch):
            counts[np.argmax(np.where(counts < self._sizes, owed - counts, -np.inf))] += 1
        generator = np.random.default_rng([self._seed, self._drawn])
        chosen = [self._next(pool, int(n), generator) for pool, n in enumerate(counts)]
        self._taken += counts
        self._drawn += 1
        mixed: NDArray[np.int64] = generator.permutation(np.concatenate(chosen))
        return mixed

    def _next(self, pool: int, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """The next `count` samples of a pool, in its order. (count,)"""
        queue = self._queues[pool]
        if len(queue) < count:
            # Those who end one time around must not begin the next: a batch would have them twice.
            again = generator.permutation(self.members[pool])
            late = np.isin(again, queue)
            queue = np.concatenate([queue, again[~late], again[late]])
        self._queues[pool] = queue[count:]
        return queue[:count]

    def update(
        self, sample: NDArray[np.int64], right: NDArray[np.float64], drawn: NDArray[np.float64]
    ) -> None:
        """Learn nothing: the pools are the table's."""

    def state_dict(self) -> dict[str, Any]:
        """Who is still to come this time around, and how many samples of each pool were drawn."""
        return {
            "queues": [queue.tolist() for queue in self._queues],
            "taken": self._taken.tolist(),
            "drawn": self._drawn,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up a state, to the bit."""
        self._queues = [np.array(queue, np.int64) for queue in state["queues"]]
        self._taken, self._drawn = np.array(state["taken"], np.int64), int(state["drawn"])


def _rooms(
    shares: NDArray[np.float64], sizes: NDArray[np.int64], batch: int
) -> NDArray[np.float64]:
    """Samples of each pool in a batch, as fractions: its share, or all that it has."""
    rooms: NDArray[np.float64] = np.zeros(len(shares))
    full = shares <= 0
    if sizes[~full].sum() < batch:
        raise ValueError(f"pools of {sizes.tolist()} samples, for a batch of {batch}")
    while not full.all():
        asked = np.where(full, 0, shares) * (batch - rooms.sum()) / shares[~full].sum()
        short = ~full & (asked >= sizes)
        if not short.any():
            rooms += asked
            break
        rooms[short] = sizes[short]
        full |= short
    return rooms


def prior_of(
    right: NDArray[np.float64], wrong: NDArray[np.float64], strength: float | None = None
) -> tuple[float, float]:
    """The Beta distribution of pass rates over all samples of a table.

    Of n completions a sample, the pass rates that are seen differ by what the samples differ by,
    and by chance. With rho the share of a single completion's variance that lies between samples,
    the distribution is Beta(m k, (1 - m) k) with m the mean and k = (1 - rho) / rho; rho by the
    analysis of variance over samples of unlike n.

    Args:
        right, wrong: (N,), as `Frontier` takes them.
        strength: k, where it is given.
    Source: Ridout et al., Biometrics 55 (1999), the ANOVA estimator.
    """
    drawn = right + wrong
    n, s = drawn[drawn > 0], right[drawn > 0]
    some = bool(0 < s.sum() < n.sum())
    # All right, or all wrong: a certain prior would never let anything be drawn again.
    mean = float(s.sum() / n.sum() if some else (s.sum() + 0.5) / (n.sum() + 1))
    if strength is None:
        strength = WEAKEST
        if some and len(n) > 1:
            within = (s - s * s / n).sum() / max(n.sum() - len(n), 1)
            between = ((s * s / n).sum() - s.sum() ** 2 / n.sum()) / (len(n) - 1)
            each = (n.sum() - (n * n).sum() / n.sum()) / (len(n) - 1)
            rho = (between - within) / (between + (each - 1) * within)
            at_least = 1 / (1 + STRONGEST)
            strength = float(np.clip(1 / max(rho, at_least) - 1, WEAKEST, STRONGEST))
    return mean * strength, (1 - mean) * strength


def share_without_variance(
    right: NDArray[np.float64],
    wrong: NDArray[np.float64],
    drawn: NDArray[np.int64],
    *,
    completions: int,
    prior: float | None = None,
) -> float:
    """The share of drawn samples whose completions should be all right, or all wrong.

    For p of Beta(a, b) and G completions that is E[p^G] + E[(1 - p)^G], with
    E[p^G] = prod_{j < G} (a + j) / (a + b + j).

    Args:
        right, wrong: (N,), as `Frontier` takes them.
        drawn: samples, any number of them; one that is drawn twice counts twice.
        completions: G, of each sample.
    """
    more_right, more_wrong = prior_of(right, wrong, prior)
    a, b = more_right + right, more_wrong + wrong
    step = np.arange(completions)[:, None]
    alike = sum(np.prod((of + step) / (a + b + step), axis=0) for of in (a, b))
    return float(np.asarray(alike)[drawn].mean())
