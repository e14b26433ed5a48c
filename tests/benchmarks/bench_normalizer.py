"""Durian's advantages against plain GRPO's: ours, and TRL's formula in float32."""

import time
from statistics import median
from typing import Any

import torch
from torch import Tensor

from durian.normalizer import durian_advantages, grpo_advantages
from tests.benchmarks.timing import interleaved, ratio

ROLLOUTS = 8
SIZES = {512: 400, 100_000: 20}  # samples: rounds


def trl_formula(rewards: Tensor) -> Tensor:
    """GRPO as TRL writes it, NaN-aware, but without its choice of scaling and its logs."""
    mean = rewards.nanmean(dim=1, keepdim=True)
    variance = (rewards - mean).square().nanmean(dim=1, keepdim=True)
    count = (~rewards.isnan()).sum(dim=1, keepdim=True)
    return (rewards - mean) / ((variance * count / (count - 1)).sqrt() + 1e-4)


def run() -> list[dict[str, Any]]:
    """Ratios of time at a rollout batch's size and at 200 times that, one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    rows = []
    for samples, rounds in SIZES.items():
        rewards = torch.rand(samples, ROLLOUTS, generator=generator).round()
        perceptual = torch.randint(3, (samples,), generator=generator)
        reasoning = torch.randint(10, (samples,), generator=generator)
        seconds = interleaved(
            {
                "durian": lambda r=rewards, p=perceptual, q=reasoning: durian_advantages(r, p, q),
                "grpo": lambda r=rewards: grpo_advantages(r),
                "trl": lambda r=rewards: trl_formula(r),
            },
            rounds,
            time.process_time,
        )
        micro = {name: median(times) * 1e6 for name, times in seconds.items()}
        for name, whose in (("grpo", "ours"), ("trl", "TRL's formula, float32")):
            rows.append(
                {
                    "what": f"normalizer, {samples:,} x {ROLLOUTS}: time against GRPO, {whose}",
                    "value": ratio(seconds[name], seconds["durian"]),
                    "aim": "-",
                    "detail": f"{micro['durian']:,.0f} and {micro[name]:,.0f} microseconds, "
                    f"{rounds} rounds",
                }
            )
    torch.set_num_threads(threads)
    return rows
