"""ms-swift's own code with Durian in it; run by its environment's Python.

Its loader on an exported file, and its real `swift rlhf` for three steps on a CPU, in one process
and in two, each advantage compared with the library's (`swift_watch.py`).
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from cases import (
    ROOT,
    TOLERANCE,
    Asked,
    Facts,
    beside,
    dataset,
    documented,
    refused,
    run_parts,
)

STEPS = 3


def signatures(_: Path) -> Facts:
    """The stand-in of CI has the parameters of the real method."""
    from swift.rlhf_trainers.grpo_trainer import GRPOTrainer

    sys.path.insert(0, str(ROOT / "tests" / "plugins"))
    import stand_ins

    stand_ins.same(stand_ins.SwiftTrainer._compute_advantages, GRPOTrainer._compute_advantages)
    return {"functions": 1}


def template(mode: str) -> Any:
    """ms-swift's template of Qwen2.5-VL over the tiny policy's processor."""
    import swift_watch  # which lets ms-swift read this policy
    from swift.model import get_processor
    from swift.template import get_template

    assert swift_watch.Qwen2VLTemplate.image_token_id == 424
    processor = get_processor(str(ROOT / "data" / "tiny_policy"), model_type="qwen2_5_vl")
    made = get_template(processor, template_type="qwen2_5_vl")
    made.set_mode(mode)
    return made


def image_tokens(sample: Asked) -> int:
    """One token for 16 by 16 pixels: ms-swift does not take the processor's largest image."""
    height, width, _ = sample.image.shape
    return round(height / 16) * round(width / 16)


def loader(data: Path) -> Facts:
    """Exported files through ms-swift's `load_dataset` and template: images, tokens, columns."""
    from swift.dataset import load_dataset
    from swift.template.vision_utils import load_image

    asked, told, chat = dataset(data), {}, template("train")
    for name, folder in (("embedded", data), ("paths", beside(data, "paths"))):
        rows, _ = load_dataset([str(folder / "train.parquet")], remove_unused_columns=False)
        for row in rows.select(range(24)):
            sample = asked[row["sample_id"]]
            assert isinstance(row["durian_perceptual_group"], int), row.keys()
            assert row["solution"] == sample.answer
            [image] = row["images"]
            assert sample.shows(load_image(image["bytes"] or image["path"])), row["sample_id"]
            tokens = chat.encode(dict(row))["input_ids"]
            assert sample.question in chat.tokenizer.decode(tokens), row["sample_id"]
            assert tokens.count(424) == image_tokens(sample), row["sample_id"]
        told[name] = len(rows)
    return {"rows": told}


def completions(data: Path) -> Facts:
    """Files of sft and dpo through the same: the completions that are learnt, and not learnt."""
    from swift.dataset import load_dataset

    asked, told = dataset(data), {}
    for form, mode in (("sft", "train"), ("dpo", "rlhf")):
        chat = template(mode)
        rows, _ = load_dataset([str(beside(data, form) / "train.parquet")])
        extra = {"rejected_response"} if form == "dpo" else set()
        assert set(rows.column_names) == {"images", "messages", "dataset", *extra}
        kept, _ = load_dataset(
            [str(beside(data, form) / "train.parquet")], remove_unused_columns=False
        )
        assert len(kept) == len(rows) > 20, len(rows)
        for row, labels in zip(rows.select(range(20)), kept.select(range(20)), strict=True):
            sample, made = asked[labels["sample_id"]], chat.encode(dict(row))
            ways = ("",) if form == "sft" else ("chosen_", "rejected_")
            for way in ways:
                tokens = made[f"{way}input_ids"]
                learnt = [label for label in made[f"{way}labels"] if label >= 0]
                said = chat.tokenizer.decode(learnt)
                assert sample.question in chat.tokenizer.decode(tokens)
                assert tokens.count(424) == image_tokens(sample)
                right = f"\\boxed{{{sample.answer}}}" in said
                assert right == (way != "rejected_"), (way, said, sample.answer)
        told[form] = len(rows)
    return {"rows": told}


def refusals(_: Path) -> Facts:
    """What would undo or lack something is refused, on the real method."""
    from swift.rlhf_trainers.grpo_trainer import GRPOTrainer

    from durian.plugins import durian_swift

    durian_swift.install()
    durian_swift.install()  # a data worker imports plug-ins anew: nothing may change
    lines = []
    for fields, said in (
        ({"advantage_estimator": "rloo"}, "leave it grpo"),
        ({"scale_rewards": "gdpo"}, "--scale_rewards is gdpo"),
        ({"kl_in_reward": True, "beta": 0.1}, "use the KL in the loss"),
    ):
        trainer = SimpleNamespace(**fields)

        def call(trainer: SimpleNamespace = trainer) -> object:
            return GRPOTrainer._compute_advantages(trainer, [], torch.zeros(0, 1), [])

        lines.append(refused(said, call))
    return {"refused": lines}


def reward(_: Path) -> Facts:
    """Durian's reward by the name that ms-swift looks it up by."""
    from swift.rewards import orms

    from durian.plugins import durian_swift

    durian_swift.install()
    texts = ["<think> x </think> \\boxed{3}", "\\boxed{4}"]
    found = orms["durian"](args=None)(texts, solution=["3", "3"], sample_id=["a", "a"])
    assert found == [1.0, 0.0], found
    return {"rewards": found}


def train(data: Path, processes: int) -> Facts:
    """`swift rlhf` as documented, for three steps of 8 samples by 8 completions.

    With one process Durian's reward is the only one, as documented; with two, planted rewards.
    """
    watch = data / f"watch{processes}.jsonl"
    watch.unlink(missing_ok=True)
    line = documented("ms-swift", "swift rlhf", DIR=data, MODEL=ROOT / "data" / "tiny_policy")
    watcher = Path(__file__).with_name("swift_watch.py")
    line = line.replace(" --reward_funcs durian", f" {watcher} --reward_funcs durian")
    rewards = ["--reward_funcs", "graded", "brief", "--reward_weights", "1", "0.5"]
    more = [
        *(rewards if processes > 1 else []),
        "--model_type", "qwen2_5_vl", "--template", "qwen2_5_vl",
        "--system", "", "--max_pixels", "4096",
        "--gradient_accumulation_steps", str(8 // processes), "--max_steps", str(STEPS),
        # For the tiny policy on a CPU; on GPUs leave these out.
        "--max_completion_length", "24", "--tuner_type", "full", "--torch_dtype", "float32",
        "--use_cpu", "true", "--beta", "0.04", "--save_strategy", "no", "--report_to", "none",
        "--logging_steps", "1", "--dataset_num_proc", "1", "--dataloader_num_workers", "0",
        "--output_dir", str(data / f"out{processes}"), "--learning_rate", "1e-4",
    ]  # fmt: skip
    environment = os.environ | {"DURIAN_WATCH": str(watch), "ACCELERATE_USE_CPU": "true"}
    # `python` and `swift` of the line are this environment's.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if processes > 1:
        more += ["--ddp_backend", "gloo"]
        environment |= {"NPROC_PER_NODE": str(processes), "MASTER_PORT": "29617"}
    log = data / f"train{processes}.log"
    with log.open("w") as file:
        done = subprocess.run(
            ["bash", "-c", f"{line} {shlex.join(more)}"],
            stdout=file,
            stderr=subprocess.STDOUT,
            timeout=540,
            env=environment,
            cwd=data,
        )
    said = log.read_text()
    assert done.returncode == 0, f"ended with {done.returncode}; see {log}"
    assert "GRPOTrainer._compute_advantages now gives Durian's advantages" in said
    told = [json.loads(line) for line in watch.read_text().splitlines()]
    assert len(told) == STEPS * processes, told
    worst = max(each["difference"] for each in told)
    assert worst <= TOLERANCE, worst
    assert all(each["rows"] == 64 and each["local"] == 64 // processes for each in told), told
    assert "durian/size/" in said, "nothing of Durian in ms-swift's own log"
    assert processes > 1 or sum(each["right"] for each in told) > 20, told
    assert max(each["from_grpo"] for each in told) > 0.05, told
    return {
        "largest_difference": worst,
        "from_grpo": max(each["from_grpo"] for each in told),
        "steps": STEPS,
        "samples": [each["samples"] for each in told if each["rank"] == 0],
        "unscored": sum(each["unscored"] for each in told if each["rank"] == 0),
        "right": sum(each["right"] for each in told if each["rank"] == 0),
    }


if __name__ == "__main__":
    run_parts(
        {
            "signatures": signatures,
            "loader": loader,
            "completions": completions,
            "refusals": refusals,
            "reward": reward,
            "one_process": lambda data: train(data, 1),
            "two_processes": lambda data: train(data, 2),
        }
    )
