"""Train small softmax policies under every normalizer, on common random numbers.

    python -m reports.ablation.simulate --out FOLDER --hours 1.5

The world is planted (world.py); advantages and groups are the product's own functions. One setting
with one arm, over all seeds, is the unit: FOLDER/simulation.jsonl gets a line as it ends, and a
unit that has a line is not run again. One factor at a time departs from a stated centre.

Within a seed every arm begins with the same policy, draws the same prompts in the same order, and
each completion by the same uniform number. What is judged has no sampling error of its own: the
exact probability of the right answer on held-out samples.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from scipy.stats import kendalltau
from torch import Tensor

from durian.normalizer import NORMALIZERS, Groups, Scaling
from reports.ablation.world import (
    KINDS,
    TRAIN,
    Samples,
    World,
    cut_perceptual,
    cut_reasoning,
    draw,
    log_probs,
    make_world,
)

SEEDS = list(range(32))
LOOKS = 8  # times that a training is judged, beside the start
PROFILED = 8  # completions of each sample behind the table
# Purposes of random numbers: each has a stream of its own in each seed.
ORDER, ROLLOUTS, NOISE, TABLE, CHANCE, EARLY = range(1, 7)


@dataclass(frozen=True)
class Setting:
    """What all arms of one comparison have in common. The defaults are the centre."""

    optimizer: str = "adam"
    rate: float = 0.01
    rollouts: int = 8  # G
    prompts: int = 256  # a rollout batch
    steps: int = 160  # rollout batches
    epochs: int = 1  # optimizer steps on a rollout batch, clipped at 1 +- 0.2 from the second on
    sharpness: float = 2.5  # of the first policy: what share of samples is extreme
    noise: float = 0.0  # share of verdicts that are turned round
    bins: int = 10
    weights: tuple[float, float, float] = (0.4, 0.3, 0.3)


@dataclass(frozen=True)
class Arm:
    """A normalizer, and where its groups come from."""

    normalizer: str = "durian"
    perceptual: str = "entropy"
    reasoning: str = "confidence"
    weights: tuple[float, float, float] | None = None  # None: the setting's
    refresh: int | None = None  # rollout batches after which the table is made again


CENTRE = Setting()
ARMS = {
    "grpo": Arm("grpo"),
    "dr_grpo": Arm("dr_grpo"),
    "batch": Arm("batch"),
    "rloo": Arm("rloo"),
    "maxrl": Arm("maxrl"),
    "durian": Arm(),
    "online": Arm(perceptual="online", reasoning="online"),
    "true": Arm(perceptual="clutter", reasoning="pass_rate"),
    "random": Arm(perceptual="random", reasoning="random"),
    "groups_only": Arm(weights=(0.0, 0.5, 0.5)),
    "random_groups_only": Arm(perceptual="random", reasoning="random", weights=(0.0, 0.5, 0.5)),
    "stale": Arm(reasoning="earlier"),
    "accuracy": Arm(reasoning="accuracy"),
    "estimated": Arm(reasoning="estimated"),
    "refresh_10": Arm(refresh=10),
    "refresh_50": Arm(refresh=50),
}
DECIDE = ("grpo", "dr_grpo", "batch", "maxrl", "durian", "true", "accuracy", "random")
GROUPED = ("grpo", "durian", "random")
WEIGHTS = (
    (0.1, 0.2, 0.7), (0.15, 0.25, 0.6), (0.2, 0.1, 0.7), (0.3, 0.1, 0.6), (0.6, 0.2, 0.2),
    (0.7, 0.1, 0.2),
)  # fmt: skip
SWEEPS: dict[str, tuple[Setting, tuple[str, ...]]] = {
    "centre": (CENTRE, tuple(ARMS)),
    "rate 0.003": (replace(CENTRE, rate=0.003), DECIDE),
    "rate 0.03": (replace(CENTRE, rate=0.03), DECIDE),
    "rate 0.1": (replace(CENTRE, rate=0.1), DECIDE),
    "sgd 1": (replace(CENTRE, optimizer="sgd", rate=1.0), DECIDE),
    "sgd 4": (replace(CENTRE, optimizer="sgd", rate=4.0), DECIDE),
    "rollouts 4": (replace(CENTRE, rollouts=4), DECIDE),
    "rollouts 16": (replace(CENTRE, rollouts=16), DECIDE),
    "prompts 16": (replace(CENTRE, prompts=16, steps=640), DECIDE),
    "prompts 64": (replace(CENTRE, prompts=64, steps=320), DECIDE),
    "prompts 512": (replace(CENTRE, prompts=512), DECIDE),
    "sharpness 1": (replace(CENTRE, sharpness=1.0), DECIDE),
    "sharpness 5": (replace(CENTRE, sharpness=5.0), DECIDE),
    "epochs 4": (replace(CENTRE, epochs=4), DECIDE),
    "noise 0.1": (replace(CENTRE, noise=0.1), DECIDE),
    "noise 0.2": (replace(CENTRE, noise=0.2), DECIDE),
    # All at once that should make a std of eight verdicts a bad guide.
    "corner": (
        replace(CENTRE, sharpness=5.0, noise=0.1, prompts=64, steps=320, rate=0.03, epochs=4),
        DECIDE,
    ),
    **{f"bins {b}": (replace(CENTRE, bins=b), GROUPED) for b in (4, 16, 48)},
    **{
        "weights " + " ".join(map(str, w)): (replace(CENTRE, weights=w), ("durian", "random"))
        for w in WEIGHTS
    },
}


def main() -> None:
    """Run the units that have no line yet, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=2.0, help="no unit begins after these")
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--sweeps", nargs="*", default=list(SWEEPS), choices=list(SWEEPS))
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    file, until = given.out / "simulation.jsonl", time.time() + 3600 * given.hours
    done = {(line["sweep"], line["arm"]) for line in read_lines(file)}
    wanted = [(s, arm) for s in given.sweeps for arm in SWEEPS[s][1] if (s, arm) not in done]
    seeds = list(range(given.seeds))
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        for found in pool.map(_unit, *zip(*((s, a, seeds, until) for s, a in wanted), strict=True)):
            if found is not None:
                with file.open("a") as lines:
                    lines.write(json.dumps(found) + "\n")
                print(found["sweep"], found["arm"], f"{found['seconds']:.0f} s", flush=True)


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The finished units; a line that a kill cut short is none."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def _unit(sweep: str, arm: str, seeds: list[int], until: float) -> dict[str, Any] | None:
    if time.time() > until:
        return None
    torch.set_num_threads(1)
    begun, setting = time.perf_counter(), SWEEPS[sweep][0]
    numbers = train(setting, ARMS[arm], seeds)
    return {
        "sweep": sweep,
        "arm": arm,
        "seeds": seeds,
        "setting": asdict(setting),
        "numbers": numbers,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def train(setting: Setting, arm: Arm, seeds: list[int]) -> dict[str, Any]:
    """Train one arm in the world of every seed.

    Returns:
        Name -> by seed: what the policy is at the end; "curve/..." -> by look, by seed.
    """
    return _train(setting, arm, seeds)[0]


def train_policy(setting: Setting, arm: Arm, seeds: list[int]) -> Tensor:
    """Train one arm, for its policies alone. (S, SEEN, ANSWERS)"""
    return _train(setting, arm, seeds)[1]


def _train(setting: Setting, arm: Arm, seeds: list[int]) -> tuple[dict[str, Any], Tensor]:
    world = make_world(seeds, setting.sharpness)
    policy = world.policy.clone().requires_grad_()
    optimizer = {
        "adam": lambda: torch.optim.Adam([policy], lr=setting.rate),
        "sgd": lambda: torch.optim.SGD([policy], lr=setting.rate),
    }[setting.optimizer]()
    table = Table(world, arm, setting, seeds)
    order = _orders(setting, seeds)
    rolls, flips = streams_of(seeds, ROLLOUTS), streams_of(seeds, NOISE)
    looks = [_look(world, policy.detach(), table)]
    batches: list[dict[str, list[float]]] = []
    for step in range(setting.steps):
        if arm.refresh and step and step % arm.refresh == 0:
            table.profile(policy.detach(), world.train, step)
        rows = order[:, step]
        batch = world.train.at(rows)
        before = log_probs(policy.detach(), batch)
        shape = (setting.prompts, setting.rollouts)
        answers = draw(before, uniform(rolls, *shape))
        rewards = (answers == batch.right[..., None]).float()
        if setting.noise:
            turned = uniform(flips, *shape) < setting.noise
            rewards = torch.where(turned, 1 - rewards, rewards)
        groups = table.groups(rows, batch, before, answers)
        weights = arm.weights or setting.weights
        advantages = advantages_of(arm.normalizer, rewards, groups, weights)
        drawn = before.gather(-1, answers)
        for epoch in range(setting.epochs):
            now = before if epoch == 0 else log_probs(policy.detach(), batch)
            policy.grad = -gradient(batch, now, answers, drawn, advantages)
            optimizer.step()
        if step % 10 == 0:
            batches.append(batch_numbers(rewards, advantages))
        if (step + 1) % (setting.steps // LOOKS) == 0:
            looks.append(_look(world, policy.detach(), table))
    found: dict[str, Any] = {name: values for name, values in looks[-1].items()}
    found |= {f"start/{name}": values for name, values in looks[0].items()}
    found |= {f"first/{name}": values for name, values in batches[0].items()}
    for name in ("sampled", "greedy", "train", "tau", "changed", "moved"):
        found[f"curve/{name}"] = [look[name] for look in looks]
    for name in batches[0]:
        found[f"mean/{name}"] = rounded(torch.tensor([b[name] for b in batches]).mean(0))
    return found, policy.detach()


def advantages_of(
    name: str, rewards: Tensor, groups: Groups, weights: tuple[float, float, float]
) -> Tensor:
    """Advantages of each seed's batch, by the product's normalizer. (S, B, G)"""
    scaling = Scaling(weights)
    if name == "batch":  # it takes all that it is given as one batch
        each = [NORMALIZERS[name].advantages(r, groups, scaling) for r in rewards]
        return torch.stack(each)
    # The others scale by sample or by group: the seeds go in together, their groups kept apart.
    apart = [
        (part + (part.max() + 1) * torch.arange(len(rewards))[:, None]).flatten() for part in groups
    ]
    flat = NORMALIZERS[name].advantages(rewards.flatten(0, 1), Groups(*apart), scaling)
    return flat.view_as(rewards)


def gradient(
    batch: Samples,
    now: Tensor,
    answers: Tensor,
    drawn: Tensor,
    advantages: Tensor,
) -> Tensor:
    """Gradient of the clipped surrogate mean_i min(ratio A, clip(ratio) A); each seed's own.

    Args:
        now: log-probabilities of all answers (S, B, ANSWERS).
        answers, drawn, advantages: (S, B, G); `drawn` is the log-probability when drawn.
    """
    ratio = (now.gather(-1, answers) - drawn).exp()
    inside = torch.where(advantages > 0, ratio < 1.2, ratio > 0.8)
    weight = advantages * ratio * inside / answers[0].numel()
    score = torch.zeros_like(now).scatter_add_(-1, answers, weight)
    score -= now.exp() * weight.sum(-1, keepdim=True)
    return torch.matmul(batch.seen.mT, score)


class Table:
    """The difficulty table of each seed's training samples, and the groups that it gives."""

    def __init__(self, world: World, arm: Arm, setting: Setting, seeds: list[int]) -> None:
        self.arm, self.bins = arm, setting.bins
        seen = {"entropy": world.train.entropy, "clutter": world.train.clutter}
        self.entropy = cut_perceptual(world.train.entropy)
        self.perceptual = cut_perceptual(seen.get(arm.perceptual, world.train.entropy))
        self.seeds, self.start = seeds, world.policy
        self.profile(world.policy, world.train, 0)
        if arm.reasoning == "earlier":
            early = streams_of(seeds, EARLY)
            other = torch.stack([torch.randn(world.policy.shape[1:], generator=g) for g in early])
            spread = world.policy.flatten(1).std(1)[:, None, None]
            before = 0.5 * world.policy + 0.5 * spread * other
            measured, _ = self.measure(before, world.train, 0)
            self.reasoning = cut_reasoning(measured, self.bins)
        if arm.perceptual == "random":
            streams = streams_of(seeds, CHANCE)
            dealt = torch.stack([torch.randperm(TRAIN, generator=stream) for stream in streams])
            self.perceptual = self.perceptual.gather(1, dealt)
            self.reasoning = self.reasoning.gather(1, dealt)

    def profile(self, policy: Tensor, train: Samples, step: int) -> None:
        """Draw completions for every sample, and cut the reasoning bins from them."""
        self.confidence, right = self.measure(policy, train, step)
        measure = {
            "accuracy": lambda: right.mean(-1),
            "estimated": lambda: _shrunk(right[..., :2], train.kind),
            "pass_rate": lambda: _right(policy, train),
        }.get(self.arm.reasoning, lambda: self.confidence)()
        self.reasoning = cut_reasoning(measure, self.bins)

    def groups(self, rows: Tensor, batch: Samples, log_p: Tensor, answers: Tensor) -> Groups:
        """Groups of the samples of a rollout batch. (S, B) each"""
        if self.arm.perceptual == "online":
            confidence = log_p.gather(-1, answers).mean(-1)
            return Groups(cut_perceptual(batch.entropy), cut_reasoning(confidence, self.bins))
        return Groups(self.perceptual.gather(1, rows), self.reasoning.gather(1, rows))

    def measure(self, policy: Tensor, train: Samples, step: int) -> tuple[Tensor, Tensor]:
        """Confidence (S, N), and which completions are right (S, N, G); each step draws its own."""
        log_p = log_probs(policy, train)
        answers = draw(
            log_p, uniform(streams_of(self.seeds, TABLE + 1000 * (step + 1)), TRAIN, PROFILED)
        )
        right = (answers == train.right[..., None]).float()
        return log_p.gather(-1, answers).mean(-1), right


def _shrunk(right: Tensor, kind: Tensor) -> Tensor:
    """Pass rates from two completions each, drawn towards the mean of their kind. (S, N)"""
    hot = torch.nn.functional.one_hot(kind, KINDS).float()
    means = torch.einsum("sng,snk->sk", right, hot) / (hot.sum(1) * right.shape[-1])
    return (right.sum(-1) + 4 * means.gather(1, kind)) / (right.shape[-1] + 4)


def _right(policy: Tensor, samples: Samples) -> Tensor:
    """Probability of the right answer. (S, N)"""
    return log_probs(policy, samples).gather(-1, samples.right[..., None])[..., 0].exp()


def _look(world: World, policy: Tensor, table: Table) -> dict[str, list[float]]:
    """Numbers of the policy as it is, by seed."""
    log_p, samples = log_probs(policy, world.held_out), world.held_out
    right = log_p.gather(-1, samples.right[..., None])[..., 0].exp()
    greedy = (log_p.argmax(-1) == samples.right).float()
    clear, cluttered = samples.clutter < 0.25, samples.clutter > 0.75
    found = {
        "sampled": right.mean(1),
        "greedy": greedy.mean(1),
        "sampled/clear": _mean(right, clear),
        "sampled/cluttered": _mean(right, cluttered),
        "sampled/unskilled": _mean(right, samples.kind < 2),
        "sampled/skilled": _mean(right, samples.kind >= KINDS - 2),
    }
    train = log_probs(policy, world.train)
    first = log_probs(table.start, world.train)
    found["moved"] = (train.exp() * (train - first)).sum(-1).mean(1)  # KL, nats
    found["train"] = _right(policy, world.train).mean(1)
    now, _ = table.measure(policy, world.train, -1)
    pairs = zip(table.confidence, now, strict=True)
    found["tau"] = torch.tensor([float(kendalltau(a, b).statistic) for a, b in pairs])
    bins = [cut_reasoning(values, table.bins) for values in (table.confidence, now)]
    found["changed"] = (bins[0] != bins[1]).float().mean(1)
    return {name: rounded(values) for name, values in found.items()}


def batch_numbers(rewards: Tensor, advantages: Tensor) -> dict[str, list[float]]:
    """Numbers of one rollout batch, by seed."""
    right, each = rewards.sum(-1), rewards.shape[-1]
    spread = (right > 0) & (right < each)
    extreme = (right == 1) | (right == each - 1)
    squares = advantages.square().sum(-1)
    whole = squares.sum(1).clamp(min=1e-12)
    found = {
        "no_variance": (~spread).float().mean(1),
        "extreme": (extreme & spread).sum(1) / spread.sum(1).clamp(min=1),
        "extreme_weight": (squares * extreme).sum(1) / whole,
        "largest": advantages.abs().amax((1, 2)),
        "effective": whole.square() / squares.square().sum(1).clamp(min=1e-12),
    }
    return {name: rounded(values) for name, values in found.items()}


def _mean(values: Tensor, of: Tensor) -> Tensor:
    return (values * of).sum(1) / of.sum(1)


def rounded(values: Tensor) -> list[float]:
    return [round(float(value), 6) for value in values]


def _orders(setting: Setting, seeds: list[int]) -> Tensor:
    """Rows of each step's prompts, epoch after epoch. (S, steps, prompts)"""
    needed = setting.steps * setting.prompts

    def rows(chance: torch.Generator) -> Tensor:
        epochs = -(-needed // TRAIN)
        return torch.cat([torch.randperm(TRAIN, generator=chance) for _ in range(epochs)])[:needed]

    drawn = torch.stack([rows(chance) for chance in streams_of(seeds, ORDER)])
    return drawn.unflatten(1, (setting.steps, setting.prompts))


def streams_of(seeds: list[int], purpose: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(1_000_000 * (purpose + 1) + seed) for seed in seeds]


def uniform(streams: list[torch.Generator], *shape: int) -> Tensor:
    return torch.stack([torch.rand(*shape, generator=chance) for chance in streams])


if __name__ == "__main__":
    main()
