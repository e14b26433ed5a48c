"""How far a reasoning bin's std in a rollout batch is from its std over the table, by `shrink`.

The table is of the shipped policy on photo_shapes: the example page's run is drawn again by
`durian profile` where RUN (the environment's DURIAN_TABLE) names none.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from durian.normalizer import _measure, _std_by, group_spread

DRAWS, BATCH = 280, 16


def run() -> list[dict[str, Any]]:
    """Root mean square of the relative error, raw and shrunk with k = 2G, over draws and bins."""
    with tempfile.TemporaryDirectory() as place:
        rewards, bins = _table(Path(os.environ.get("DURIAN_TABLE") or _profiled(Path(place))))
    truth = {label: std for label, (std, _) in group_spread(rewards, bins).items()}
    generations = rewards.shape[1]
    aims = {0.0: "23 % in the prototype", 2.0 * generations: "8 % in the prototype"}
    rows = []
    for prompts in (BATCH, 512):
        for shrink, aim in aims.items():
            random = np.random.default_rng(0)
            errors: list[float] = []
            for _ in range(DRAWS):
                chosen = random.choice(len(rewards), prompts, replace=False)
                for label, std in _stds(rewards[chosen], bins[chosen], shrink).items():
                    errors.append(std / truth[label] - 1)
            rows.append(
                {
                    "what": f"std of a bin at {prompts} prompts, shrink {shrink:g}: error",
                    "value": float(np.sqrt(np.mean(np.square(errors)))),
                    "aim": aim if prompts == BATCH else "small either way",
                    "detail": f"{DRAWS} draws, {len(truth)} bins; under half the truth: "
                    f"{100 * np.mean(np.array(errors) < -0.5):.1f} %; "
                    f"mean {100 * np.mean(errors):+.1f} %",
                }
            )
    return rows


def _stds(rewards: torch.Tensor, bins: torch.Tensor, shrink: float) -> dict[int, float]:
    """The std of each bin that is there, as the normalizer takes it."""
    labels, number = bins.unique(return_inverse=True)
    stds = _std_by(_measure(rewards), number, len(labels), shrink)
    return dict(zip(labels.tolist(), stds.tolist(), strict=True))


def _table(run: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Rewards (N, G) and reasoning bins (N,) of a run."""
    bins = pl.read_parquet(run / "difficulty.parquet").select("sample_id", "reasoning_group")
    drawn = pl.read_parquet(run / "rollouts.parquet").filter(~pl.col("blind").fill_null(False))
    wide = drawn.group_by("sample_id").agg(pl.col("reward").sort_by("rollout"))
    both = bins.drop_nulls().join(wide, on="sample_id", maintain_order="left")
    rewards = torch.tensor(both["reward"].to_list(), dtype=torch.float64)
    return rewards, torch.tensor(both["reasoning_group"].to_list())


def _profiled(place: Path) -> Path:
    command = [sys.executable, "-m", "durian_cli", "profile", "data/photo_shapes/train.parquet"]
    command += ["--model", "data/tiny_policy", "--max-tokens", "64", "--quiet"]
    subprocess.run([*command, "--out", str(place / "run")], check=True)
    return place / "run"
