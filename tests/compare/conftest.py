"""Small complete runs on the disk, without a model."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from durian.groups import perceptual_groups, reasoning_groups
from durian.measuring.rows import arrow_table
from durian.schema import DIFFICULTY, ROLLOUTS

N, G = 40, 4


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """A page looks the same with a few redraws."""
    monkeypatch.setattr("durian.analysis.two_runs.floor.REDRAWS", 10)


@pytest.fixture
def run(tmp_path):
    """Write a run folder: samples `keys`, whose skill says how often they are right."""

    def write(name, *, keys=range(N), skill=None, seed=0, text="I see 2.", scored=True, config=None,
              model="tiny", problem="<image>What?", images=None, bins=4, error=None):  # fmt: skip
        folder, rng = tmp_path / name, np.random.default_rng(seed)
        folder.mkdir()
        chances = {key: key / N if skill is None else skill(key) for key in keys}
        rows, said = [], []
        for place, key in enumerate(keys):
            correct = rng.random(G) < chances[key]
            logprobs = -1.5 + chances[key] + rng.normal(scale=0.2, size=G)
            rows.append(
                {
                    "sample_id": f"{key:032x}", "row": place, "copies": 1, "problem": problem,
                    "answer": "2", "n_images": 1, "width": 8, "height": 8,
                    "pixel_entropy": 1 + key / 8, "error": error,
                }
            )  # fmt: skip
            if scored:
                rows[-1] |= {
                    "mean_logprob": float(logprobs.mean()), "sum_logprob": float(logprobs.mean()),
                    "answer_entropy": 0.0, "rollouts": G, "pass_rate": float(correct.mean()),
                    "mean_tokens": 1.0, "truncated": 0.0,
                }  # fmt: skip
                said += [
                    {
                        "sample_id": f"{key:032x}", "rollout": n, "completion": text, "answer": "2",
                        "n_tokens": 1, "sum_logprob": float(logprobs[n]), "reward": 1.0,
                        "correct": bool(correct[n]), "formatted": True, "finish_reason": "stop",
                    }
                    for n in range(G)
                ]  # fmt: skip
        seen = perceptual_groups(np.array([row["pixel_entropy"] for row in rows]))
        thought = reasoning_groups(
            np.array([row.get("mean_logprob", np.nan) for row in rows], np.float64), bins
        )
        for row, one, other in zip(rows, seen.labels, thought.labels, strict=True):
            row |= {"perceptual_group": one, "reasoning_group": other}
        pq.write_table(arrow_table(rows, DIFFICULTY), folder / "difficulty.parquet")
        pq.write_table(arrow_table(said, ROLLOUTS), folder / "rollouts.parquet")
        pictures = {"sample_id": pa.array([], pa.string()), "jpeg": pa.array([], pa.binary())}
        pq.write_table(pa.table(pictures), folder / "thumbnails.parquet")
        if images is not None:
            pq.write_table(
                pa.table(
                    {
                        "sample_id": [row["sample_id"] for row in rows],
                        "image_id": [images(key) for key in keys],
                    }
                ),
                folder / "columns.parquet",
            )
        manifest = {
            "schema": 1, "created": "2026-01-02T03:04:05+00:00", "logprobs_mode": "raw_logprobs",
            "dataset": {"name": "shapes", "split": "train", "fingerprint": "0"},
            "model": {"name": model if scored else None, "fingerprint": f"{name}{seed}"},
            "config": {"rollouts": G, "temperature": 1.0, **(config or {})},
            "counts": {"samples": len(rows), "rows": len(rows)},
            "groups": {
                "perceptual": {"measure": "pixel_entropy", "percentiles": [25.0, 75.0],
                               "edges": list(seen.edges), "sizes": dict(seen.sizes)},
                "reasoning": {"measure": "mean_logprob", "bins": bins,
                              "edges": list(thought.edges),
                              "sizes": {str(k): v for k, v in thought.sizes.items()}},
            },
        }  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return write
