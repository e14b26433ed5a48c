"""Hold the report's "who gets the gradient" against the normalizers themselves, on a real table.

    python -m reports.ablation.closed_form --table RUN --out FOLDER

Rollout batches of several sizes are drawn from the table's samples, pass rates from the posteriors
that the report takes, completions from them, and each normalizer runs. FOLDER/closed_form.json has
the largest difference of any share (by pass rate and by group), and the samples that count.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import polars as pl
import torch

from durian.analysis.one_run.gradient import bands_of, gradient_shares
from durian.curriculum import prior_of
from durian.groups import PERCEPTUAL
from durian.normalizer import NORMALIZERS, Groups, Scaling

SIZES, PROMPTS = (16, 64, 512), 100_000  # prompts of a rollout batch; drawn in all for each size


def main() -> None:
    """Simulate, and write how far the closed form is off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    frame = pl.read_parquet(given.table / "difficulty.parquet")
    total = frame["rollouts"].to_numpy().astype(np.float64)
    right = np.round(frame["pass_rate"].to_numpy() * total)
    perceptual, reasoning = (frame[f"{k}_group"].to_list() for k in ("perceptual", "reasoning"))
    bins = sorted(set(reasoning))
    found = gradient_shares(
        right, total, {"perceptual": perceptual, "reasoning": reasoning},
        {"perceptual": PERCEPTUAL, "reasoning": bins},
    )  # fmt: skip
    assert found is not None
    labels = np.array([PERCEPTUAL.index(g) for g in perceptual]), np.array(reasoning)
    a, b = prior_of(right, total - right)
    rows = []
    for size in SIZES:
        chance = np.random.default_rng([size, 28])
        squares = {name: np.zeros(len(frame)) for name in NORMALIZERS}
        count: dict[str, list[float]] = {name: [] for name in NORMALIZERS}
        for _ in range(PROMPTS // size):
            drawn = chance.choice(len(frame), size, replace=False)
            p = chance.beta(a + right[drawn], b + (total - right)[drawn])
            rewards = torch.tensor(chance.random((size, found.rollouts)) < p[:, None]).double()
            groups = Groups(*(torch.tensor(label[drawn]) for label in labels))
            for name, normalizer in NORMALIZERS.items():
                w = normalizer.advantages(rewards, groups, Scaling()).square().sum(1).numpy()
                squares[name][drawn] += w
                count[name].append(w.sum() ** 2 / max((w**2).sum(), 1e-12))
        for name in NORMALIZERS:
            parts, told = squares[name] / squares[name].sum(), found.normalizers[name]
            pairs = [(bands_of(right / total), told.bands)]
            pairs += [(labels[0], [row.share for row in told.perceptual])]
            pairs += [(labels[1], [row.share for row in told.reasoning])]
            off = [np.abs(np.bincount(at, parts, len(said)) - said).max() for at, said in pairs]
            rows.append(
                {
                    "prompts": size,
                    "normalizer": name,
                    "difference": round(float(max(off)), 5),
                    "effective": round(told.effective * size / found.rollout_batch, 3),
                    "simulated": round(float(np.mean(count[name])), 3),
                }
            )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "closed_form.json").write_text(json.dumps({"rows": rows}, indent=1))


if __name__ == "__main__":
    main()
