"""Equation 20 in plain Python, and the weights of trainings to compare."""

import statistics
from pathlib import Path

import torch
from safetensors.torch import load_file

WEIGHTS = (0.4, 0.3, 0.3)


def weights_of(folder: Path, name: str = "model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(folder / name)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def by_hand(rewards, groups, size=4, eps=1e-6):
    """Equation 20 in plain Python, for samples of `size` completions in a row."""
    samples = [rewards[i : i + size] for i in range(0, len(rewards), size)]
    labels = groups[::size]
    advantages = []
    for number, own in enumerate(samples):
        stds = [statistics.stdev(own)]
        for kind in (0, 1):
            label = labels[number][kind]
            pool = [
                r for s, of in zip(samples, labels, strict=True) if of[kind] == label for r in s
            ]
            stds.append(statistics.stdev(pool if label >= 0 else own))
        mean = statistics.fmean(own)
        for reward in own:
            terms = [(reward - mean) / (std + eps) if std > 1e-6 else 0.0 for std in stds]
            advantages.append(sum(w * term for w, term in zip(WEIGHTS, terms, strict=True)))
    return advantages
