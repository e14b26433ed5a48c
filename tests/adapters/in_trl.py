"""TRL's own code on an exported folder; run in Durian's own environment, which has TRL.

Its dataset, a step of its GRPOTrainer with our reward, and the lines that exports print, run as
they are printed with what a CPU needs behind them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import torch
from cases import ROOT, Facts, beside, dataset, run_parts


def loader(data: Path) -> Facts:
    """Exported files as `datasets` gives them to TRL: images decoded, labels and references."""
    from datasets import load_dataset

    asked, told = dataset(data), {}
    for name, folder in (("embedded", data), ("paths", beside(data, "paths"))):
        rows = load_dataset(str(folder))["train"]
        for row in rows:
            sample = asked[row["sample_id"]]
            [image] = row["images"]
            assert sample.shows(image) and row["solution"] == sample.answer, row["sample_id"]
            assert isinstance(row["durian_perceptual_group"], int)
        told[name] = len(rows)
    return {"rows": told}


def step(data: Path) -> Facts:
    """One step of TRL's GRPOTrainer on the folder, with Durian's reward beside one of ours."""
    from datasets import load_dataset
    from trl import GRPOConfig, GRPOTrainer

    from durian.rewards import trl_reward

    rows = load_dataset(str(data))
    seen: list[int] = []
    right: list[bool] = []

    def reward(completions, durian_perceptual_group, sample_id, solution, **_):
        seen.extend(durian_perceptual_group)
        texts = [text[0]["content"] for text in completions]
        pairs = zip(texts, solution, strict=True)
        right.extend(f"\\boxed{{{answer}}}" in text for text, answer in pairs)
        return [float(len(text) % 3) for text in texts]

    config = GRPOConfig(
        output_dir=str(data / "trained"), num_generations=4, per_device_train_batch_size=8,
        max_steps=1, max_completion_length=24, use_cpu=True, bf16=False, report_to=[],
        save_strategy="no", logging_steps=1,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=str(ROOT / "data" / "tiny_policy"), reward_funcs=[reward, trl_reward], args=config,
        train_dataset=rows["train"],
    )  # fmt: skip
    done = trainer.train()
    assert len(seen) == 8 and done.global_step == 1 and torch.isfinite(torch.tensor(done[1]))
    [logged] = [line for line in trainer.state.log_history if "accuracy" in line]
    assert abs(logged["accuracy"] - sum(right) / 8) < 1e-6, (logged, right)
    assert logged["rewards/trl_reward/mean"] >= 0.9 * sum(right) / 8 - 1e-6, logged
    return {"rows": len(rows["train"]), "steps": 1, "right": sum(right)}


# Behind each printed line: one short step of the tiny policy on a CPU.
_SMALL = (
    "--use_cpu true --bf16 false --max_steps 1 --per_device_train_batch_size 2 --report_to none"
)
_PRINTED = {
    "trl grpo": f"{_SMALL} --num_generations 2 --max_completion_length 16 --shuffle_dataset false "
    "--log_completions true --num_completions_to_print 1",
    "trl sft": _SMALL,
    "trl dpo": _SMALL,
    "durian train": "--grpo max_steps=1 --grpo max_completion_length=16 "
    "--grpo per_device_train_batch_size=8",
}


def printed(data: Path, begins: str) -> Facts:
    """A line that `durian export` printed, to its end: a policy is saved after one step."""
    word = begins.split()[1]
    folder = beside(data, word) if word in ("sft", "dpo") else data
    launch = json.loads((folder / "export.json").read_text())["launch"]
    [line] = [each for each in launch if each.startswith(begins)]
    trained = folder / f"trained-{word}"
    shutil.rmtree(trained, ignore_errors=True)
    line = re.sub(r"\bTRAINED\b", str(trained), line.partition("  #")[0])
    log = trained.with_suffix(".log")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of `trl`, `durian`
    with log.open("w") as file:
        done = subprocess.run(
            ["bash", "-c", f"{line} {_PRINTED[begins]}"], stdout=file, stderr=subprocess.STDOUT,
            timeout=540, cwd=ROOT, env=os.environ | {"PATH": path},
        )  # fmt: skip
    assert done.returncode == 0, f"ended with {done.returncode}; see {log}"
    assert list(trained.rglob("*.safetensors")), f"no policy in {trained}; see {log}"
    return {"steps": 1}


def imported(data: Path) -> Facts:
    """The completions that `trl grpo` logged, back as a run, each matched to its sample."""
    run = data / "imported"
    shutil.rmtree(run, ignore_errors=True)
    words = [
        "import", str(data / "trained-grpo"), "--from", "trl", "--dataset",
        str(data / "train.parquet"), "--out", str(run), "--reasoning", "pass_rate:lower", "--quiet",
    ]  # fmt: skip
    done = subprocess.run([sys.executable, "-m", "durian_cli", *words], cwd=ROOT)
    assert done.returncode == 0, f"ended with {done.returncode}"
    logs = json.loads((run / "manifest.json").read_text())["logs"]
    assert logs["matched"] == {"sample_id": 2} and not logs["unread"], logs
    return {"matched": logs["matched"]}


if __name__ == "__main__":
    run_parts(
        {
            "loader": loader,
            "step": step,
            **{f"printed {line}": partial(printed, begins=line) for line in _PRINTED},
            "imported": imported,
        }
    )
