"""Profile, evaluation and two training steps of a tiny policy, watched from outside."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from durian.config import EvalConfig, ProfileConfig, TrainConfig
from durian.evaluate import evaluate_policy
from durian.profile import profile_dataset
from durian.samples import Prompt
from durian.train import train_policy
from durian.training.trainer import DurianTrainer
from tests.families.plain import Plain

ROWS, ROLLOUTS, LONGEST = 4, 2, 8
QUESTION = "How many of the shapes are red?"


@dataclass
class Trained:
    """What the trainer read and gave, against transformers alone."""

    completions: int = 0
    other_tokens: int = 0  # of prompts that are not those of transformers' own template
    largest: float = 0.0  # nats, between the sums of one completion


def write_rows(folder: Path, images: int = 1) -> Path:
    """A dataset of noise and one question, each row with so many images."""
    rows = []
    for row in range(ROWS):
        names = []
        for image in range(images):
            draws = np.random.default_rng(10 * row + image)
            pixels = draws.integers(0, 256, (56, 72, 3), dtype=np.uint8)
            names.append(f"{row}_{image}.png")
            Image.fromarray(pixels).save(folder / names[-1])
        rows.append({"problem": QUESTION, "answer": "3", "images": names})
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def profiled(policy: Path, folder: Path, images: int = 1) -> Path:
    """A run of the dataset, drawn with transformers."""
    profile_dataset(
        ProfileConfig(
            dataset=str(write_rows(folder, images)), out=str(folder / "run"), model=str(policy),
            engine="transformers", rollouts=ROLLOUTS, max_tokens=LONGEST, system_prompt="",
            bins=2,
        )
    )  # fmt: skip
    return folder / "run"


def evaluated(policy: Path, folder: Path) -> None:
    evaluate_policy(
        EvalConfig(
            dataset=str(folder / "rows.jsonl"), model=str(policy), engine="transformers",
            rollouts=ROLLOUTS, max_tokens=LONGEST, table=str(folder / "run"),
        )
    )  # fmt: skip


def train_two_steps(policy: Path, folder: Path) -> Trained:
    """Train, and hold what the trainer gives its model against a plain pass over the same."""
    plain, found = Plain(policy), Trained()
    scored = DurianTrainer._generate_and_score_completions

    def watched(self: Any, inputs: Any) -> Any:
        out = scored(self, inputs)
        if not found.completions:  # the first rollout batch, before the policy has moved
            self._confidence_now(out)
            _compare(self, inputs, out, plain, found)
        return out

    with patch.object(DurianTrainer, "_generate_and_score_completions", watched):
        train_policy(
            TrainConfig(
                dataset=str(folder / "rows.jsonl"), table=str(folder / "run"), model=str(policy),
                out=str(folder / "out"), rollout_batch=2,
                grpo={
                    "num_generations": ROLLOUTS, "per_device_train_batch_size": 4,
                    "max_completion_length": LONGEST, "max_steps": 2, "learning_rate": 1e-3,
                    "gradient_checkpointing": False, "save_steps": 2, "use_cpu": True,
                    "bf16": False,
                },
            )
        )  # fmt: skip
    return found


def _compare(trainer: Any, inputs: Any, out: Any, plain: Plain, found: Trained) -> None:
    logps = trainer._logps  # (rows, T)
    for row, given in enumerate(inputs):
        kept = out["prompt_mask"][row].bool()
        ids = out["prompt_ids"][row][kept].tolist()
        prompt = Prompt(
            sample_id="", messages=[m for m in given["prompt"] if m["role"] == "user"],
            images=tuple(given["images"] or ()),
        )  # fmt: skip
        mask = out["completion_mask"][row].bool()
        tokens = out["completion_ids"][row][mask].tolist()
        found.completions += 1
        found.other_tokens += ids != plain.ids(prompt)
        ours = float(logps[row][mask].double().sum())
        theirs = plain.sum_of(prompt, tokens)
        found.largest = max(found.largest, abs(ours - theirs))
    assert torch.isfinite(logps).all()
