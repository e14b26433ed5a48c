"""TRL's own code on an exported folder; run in Durian's own environment, which has TRL.

The documented line through TRL's own parser, its dataset, and a step of its GRPOTrainer. The step
with the groups in the normalizer is `durian train`, which `tests/training` takes in many ways.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import torch
from cases import ROOT, Facts, beside, dataset, documented, run_parts


def options(data: Path) -> Facts:
    """The documented `trl grpo` line, parsed as TRL parses it."""
    from trl import GRPOConfig, ModelConfig, ScriptArguments, TrlParser
    from trl.scripts.grpo import GRPOScriptArguments

    line = documented(
        "trl", "trl grpo", DIR=data, MODEL=ROOT / "data" / "tiny_policy", TRAINED=data / "trained"
    )
    parser = TrlParser((GRPOScriptArguments, GRPOConfig, ModelConfig))
    words = [*shlex.split(line)[2:], "--shuffle_dataset", "false", "--use_cpu", "true"]
    script, training, model = parser.parse_args_and_config(words)
    assert isinstance(script, ScriptArguments) and script.dataset_name == str(data)
    assert training.num_generations == 8 and not training.shuffle_dataset
    assert model.model_name_or_path == str(ROOT / "data" / "tiny_policy")
    return {"options": len(words) // 2}


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


if __name__ == "__main__":
    run_parts({"options": options, "loader": loader, "step": step})
