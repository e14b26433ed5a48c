"""slime's own code with Durian in it; run by its environment's Python, from a clone.

Its dataset on an exported file, and the method of its rollout manager that calls the hook, on its
own `Sample`s. Its training needs Megatron and SGLang, so GPUs: nothing of that runs here.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from cases import (
    IMAGE_TOKENS,
    ROOT,
    SETTINGS,
    Facts,
    beside,
    dataset,
    documented,
    largest,
    planted,
    refused,
    run_parts,
)

CLONE = Path(os.environ["SLIME"])
HOOK = "durian.plugins.durian_slime.advantages"
sys.path.insert(0, str(CLONE))


def manager(hook: Any) -> SimpleNamespace:
    """slime's rollout manager, of which its one method alone is taken from its source.

    The module imports SGLang, which no machine without a GPU has.
    """
    from slime.utils.types import Sample

    tree = ast.parse((CLONE / "slime" / "ray" / "rollout.py").read_text())
    [method] = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "_post_process_rewards"
    ]
    names: Facts = {"Sample": Sample, "torch": torch}
    exec(compile(ast.Module([method], []), "rollout.py", "exec"), names)
    args = SimpleNamespace(
        advantage_estimator="grpo", reward_key=None, normalize_advantages=False,
        rewards_normalization=True, grpo_std_normalization=True,
    )  # fmt: skip
    made = SimpleNamespace(args=args, custom_reward_post_process_func=hook)
    made.process = names["_post_process_rewards"].__get__(made)
    return made


def loader(data: Path) -> Facts:
    """Exported lines through slime's `Dataset`: chat template, images, tokens and metadata."""
    from slime.utils.data import Dataset
    from slime.utils.processing_utils import load_processor, load_tokenizer

    line = documented("slime", "python3 train.py")
    source = (CLONE / "slime" / "utils" / "arguments.py").read_text()
    unknown = [word for word in re.findall(r"--[a-z-]+", line) if f'"{word}"' not in source]
    assert not unknown, unknown
    asked, told = dataset(data), {}
    policy = str(ROOT / "data" / "tiny_policy")
    tokenizer, processor = load_tokenizer(policy), load_processor(policy)
    for name, folder in (("embedded", data), ("paths", beside(data, "paths"))):
        rows = Dataset(
            # No longest prompt: slime 0.3.1 ends in its own error where one is given with images.
            str(folder / "train.jsonl"), tokenizer, processor, None, prompt_key="prompt",
            multimodal_keys={"image": "images"}, label_key="label", metadata_key="metadata",
            apply_chat_template=True,
        )  # fmt: skip
        for row in rows.samples:
            sample = asked[row.metadata["sample_id"]]
            assert isinstance(row.metadata["durian_perceptual_group"], int), row.metadata
            assert row.label == sample.answer and sample.question in row.prompt, row
            [image] = row.multimodal_inputs["images"]
            assert sample.shows(image), row.metadata
            [tokens] = processor(text=row.prompt, images=[image])["input_ids"]
            assert tokens.count(processor.image_token_id) == IMAGE_TOKENS
        told[name] = len(rows)
    return {"rows": told}


def hook(_: Path) -> Facts:
    """slime's own call of the hook, on shuffled, ragged samples, some removed or cut in two."""
    from slime.utils.misc import load_function
    from slime.utils.types import Sample

    from durian.plugins import durian_slime

    process = manager(load_function(HOOK)).process
    case, worst = planted(), 0.0
    for given in SETTINGS.values():
        samples, expected = [], []
        for row, value in zip(case.rows, case.expected(given).tolist(), strict=True):
            sample, place = row
            reward = float(case.rewards[row])
            kept = Sample(
                group_index=sample,
                rollout_id=100 * sample + place,
                reward=0.0 if reward != reward else reward,
                remove_sample=reward != reward,
                metadata=case.columns(sample),
                rollout_log_probs=[float(case.confidence[row])] * 3,
            )
            if row == (0, 0):  # a first part of the same rollout, which earned something else
                early = Sample(
                    group_index=sample, rollout_id=kept.rollout_id, reward=0.5,
                    metadata=kept.metadata, rollout_log_probs=[-9.0],
                )  # fmt: skip
                samples.append(early)
                expected.append(value)
            samples.append(kept)
            expected.append(value)
        for name, value in given.items():
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            os.environ[f"DURIAN_{name.upper()}"] = text
        durian_slime._setup.cache_clear()
        raw, found = process(samples)
        assert raw == [sample.reward for sample in samples]
        worst = max(worst, largest(torch.tensor(found), torch.tensor(expected)))
        for name in given:
            del os.environ[f"DURIAN_{name.upper()}"]
    return {"largest_difference": worst, "settings": len(SETTINGS)}


def refusals(_: Path) -> Facts:
    """What would undo or lack something is refused, through slime's own call."""
    from slime.utils.misc import load_function
    from slime.utils.types import Sample

    from durian.plugins import durian_slime

    durian_slime._setup.cache_clear()
    lines = []
    columns = planted().columns(0)
    for fields, metadata, said in (
        ({"advantage_estimator": "ppo"}, columns, "use one of grpo, gspo, cispo"),
        ({"normalize_advantages": True}, columns, "leave it out"),
        ({}, {}, "export RUN --to slime"),
    ):
        made = manager(load_function(HOOK))
        for name, value in fields.items():
            setattr(made.args, name, value)
        samples = [Sample(group_index=0, reward=1.0, metadata=metadata)]
        lines.append(refused(said, lambda made=made, samples=samples: made.process(samples)))
    return {"refused": lines}


def signatures(_: Path) -> Facts:
    """The stand-in's fields and the hook's parameters are those of slime."""
    from dataclasses import fields

    from slime.utils.types import Sample

    from durian.plugins import durian_slime

    sys.path.insert(0, str(ROOT / "tests" / "plugins"))
    import stand_ins

    ours = {field.name for field in fields(stand_ins.SlimeSample)}
    assert ours <= {field.name for field in fields(Sample)}, ours
    stand_ins.same(stand_ins.SlimeSample.get_reward_value, Sample.get_reward_value)
    assert list(inspect.signature(durian_slime.advantages).parameters) == ["args", "samples"]
    return {"fields": sorted(ours)}


if __name__ == "__main__":
    run_parts({"signatures": signatures, "loader": loader, "hook": hook, "refusals": refusals})
