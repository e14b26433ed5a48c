"""Measure the gradient itself, over many rollout batches of one policy, under every normalizer.

    python -m reports.ablation.mechanism --out FOLDER

Nothing is trained but to get the second policy: the first one, and what GRPO made of it half-way.
Every normalizer sees the same completions. FOLDER/mechanism.json: by policy, rollout batch and
normalizer, by seed:

    snr: |E g|^2 over the trace of the covariance of g, both over batches: signal to noise
    along: cosine between E g and the exact gradient of the probability of a right answer
    spread: coefficient of variation of |g|
    largest: mean over batches of the largest advantage
    effective: samples of a batch that count, (sum w)^2 / sum w^2 of the squared advantages w
    extreme: share of the squared advantages that samples with one odd completion have
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from durian.normalizer import NORMALIZERS, Groups
from reports.ablation.simulate import (
    ARMS,
    CENTRE,
    Table,
    advantages_of,
    batch_numbers,
    gradient,
    rounded,
    streams_of,
    train_policy,
    uniform,
)
from reports.ablation.world import TRAIN, World, draw, log_probs, make_world

SEEDS = list(range(32))
BATCHES = 96
SIZES = (16, 256)  # prompts a rollout batch
TRAINED = CENTRE.steps // 2  # rollout batches of GRPO before the second policy is measured
DRAWN = 9  # purpose of the random numbers here, as in simulate.py
LIKE = {name: "durian" for name in ("durian", "true", "random", "accuracy")}


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    seeds = list(range(given.seeds))
    world = make_world(seeds, CENTRE.sharpness)
    later = train_policy(replace(CENTRE, steps=TRAINED), ARMS["grpo"], seeds)
    found = {
        f"{when}, {size} prompts": measure(world, policy, size, seeds)
        for when, policy in (("first policy", world.policy), ("half-way", later))
        for size in SIZES
    }
    (given.out / "mechanism.json").write_text(json.dumps({"seeds": seeds, "numbers": found}))


def measure(
    world: World, policy: Tensor, size: int, seeds: list[int], batches: int = BATCHES
) -> dict[str, dict[str, list[float]]]:
    """Normalizer or kind of groups -> number -> by seed."""
    names = {name: name for name in NORMALIZERS} | LIKE
    tables = {arm: Table(world, ARMS[arm], CENTRE, seeds) for arm in LIKE}
    exact = exact_gradient(policy, world).flatten(1)
    streams = streams_of(seeds, DRAWN)
    gradients: dict[str, list[Tensor]] = {name: [] for name in names}
    shares: dict[str, list[dict[str, list[float]]]] = {name: [] for name in names}
    for _ in range(batches):
        rows = torch.stack([torch.randperm(TRAIN, generator=g)[:size] for g in streams])
        batch = world.train.at(rows)
        log_p = log_probs(policy, batch)
        answers = draw(log_p, uniform(streams, size, CENTRE.rollouts))
        rewards = (answers == batch.right[..., None]).float()
        drawn = log_p.gather(-1, answers)
        for name, normalizer in names.items():
            none = torch.zeros_like(rows)
            groups = Groups(none, none)
            if name in tables:
                groups = tables[name].groups(rows, batch, log_p, answers)
            advantages = advantages_of(normalizer, rewards, groups, CENTRE.weights)
            g = gradient(batch, log_p, answers, drawn, advantages).flatten(1)
            gradients[name].append(g)
            shares[name].append(batch_numbers(rewards, advantages))
    return {name: _told(torch.stack(gradients[name]), exact, shares[name]) for name in names}


def _told(
    gradients: Tensor, exact: Tensor, shares: list[dict[str, list[float]]]
) -> dict[str, list[float]]:
    """Numbers of one normalizer's gradients (batches, S, weights)."""
    mean, noise = gradients.mean(0), gradients.var(0).sum(1)
    # The mean over batches has some of the noise left in it.
    signal = (mean.square().sum(1) - noise / len(gradients)).clamp(min=0)
    length = gradients.norm(dim=2)
    found = {
        "snr": signal / noise,
        "along": torch.cosine_similarity(mean, exact, dim=1),
        "spread": length.std(0) / length.mean(0),
    }
    for name in ("largest", "effective", "extreme_weight"):
        found[name] = torch.tensor([share[name] for share in shares]).mean(0)
    return {name: rounded(values) for name, values in found.items()}


def exact_gradient(policy: Tensor, world: World) -> Tensor:
    """Gradient of the mean probability of the right answer over the training samples; by seed."""
    log_p = log_probs(policy, world.train)
    p = log_p.exp()
    right = p.gather(-1, world.train.right[..., None])
    hot = torch.zeros_like(p).scatter_(-1, world.train.right[..., None], 1.0)
    return torch.matmul(world.train.seen.mT, right * (hot - p)) / TRAIN


if __name__ == "__main__":
    main()
