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
from cases import ROOT, SETTINGS, Facts, documented, largest, planted, refused, run_parts

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
    """The exported lines through slime's `Dataset`: labels in the metadata, images in place."""
    from slime.utils.data import Dataset

    rows = Dataset(
        str(data / "train.jsonl"), None, None, None, prompt_key="prompt",
        multimodal_keys={"image": "images"}, label_key="label", metadata_key="metadata",
    )  # fmt: skip
    line = documented("slime", "python3 train.py")
    source = (CLONE / "slime" / "utils" / "arguments.py").read_text()
    unknown = [word for word in re.findall(r"--[a-z-]+", line) if f'"{word}"' not in source]
    assert not unknown, unknown
    sample = rows.samples[0]
    assert isinstance(sample.metadata["durian_perceptual_group"], int), sample.metadata
    assert any(part["type"] == "image" for part in sample.prompt[-1]["content"]), sample.prompt
    return {"rows": len(rows.samples)}


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
