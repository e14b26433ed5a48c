"""An external plug-in of ms-swift, loaded behind Durian's: it looks on at a real training.

It registers planted rewards, compares each advantage that ms-swift gets with the library's,
and lets ms-swift read this project's tiny policy: ms-swift takes all Qwen2.5-VL for ones of patches
of 14 pixels and of one vocabulary.
"""

import functools
import json
import os
import re
import zlib
from pathlib import Path

import qwen_vl_utils
import torch
from accelerate.utils import gather_object
from swift.rewards import ORM, orms
from swift.rlhf_trainers.grpo_trainer import GRPOTrainer
from swift.template.templates.qwen import Qwen2VLTemplate

from durian.normalizer import durian_advantages

Qwen2VLTemplate.image_token_id, Qwen2VLTemplate.video_token_id = 424, 425
qwen_vl_utils.fetch_image = functools.partial(qwen_vl_utils.fetch_image, image_patch_size=8)
WORTH = (0.0, 0.1, 0.9, 1.0)


class Graded(ORM):
    """A reward of each text by its checksum; None, so unscored, for one in thirteen."""

    def __call__(self, completions, **columns):
        assert {"sample_id", "durian_perceptual_group"} <= set(columns), sorted(columns)
        sums = [zlib.crc32(text.encode()) for text in completions]
        return [None if each % 13 == 0 else WORTH[each % 4] for each in sums]


class Brief(ORM):
    """A second reward, which has something to say of every other text alone."""

    def __call__(self, completions, **columns):
        sums = [zlib.crc32(text.encode()) for text in completions]
        return [
            None if each % 2 or each % 13 == 0 else float(len(text) < 40)
            for each, text in zip(sums, completions, strict=True)
        ]


def plainly(text, solution):
    """Durian's reward for the answers of this dataset, which are single words and digits."""
    right = re.findall(r"\\boxed\{([^{}]*)\}", text)[-1:] == [solution]
    formed = re.fullmatch(r"\s*<think>[^<]*</think>\s*\\boxed\{[^{}]*\}\s*", text)
    return 0.1 * bool(formed) + 0.9 * right


orms["graded"], orms["brief"] = Graded, Brief
_replaced = GRPOTrainer._compute_advantages


def _compute_advantages(self, samples, rewards_per_func, batch_encoded_inputs):
    found = _replaced(self, samples, rewards_per_func, batch_encoded_inputs)
    columns = gather_object([getattr(sample, "extra", sample) for sample in samples])
    texts = gather_object([sample.messages[-1]["content"] for sample in samples])
    if "durian" in self.reward_func_names:
        given = rewards_per_func[:, self.reward_func_names.index("durian")].tolist()
        own = [plainly(text, each["solution"]) for text, each in zip(texts, columns, strict=True)]
        assert all(abs(ours - theirs) < 1e-6 for ours, theirs in zip(own, given, strict=True)), (
            own, given, texts,
        )  # fmt: skip
    weighed = rewards_per_func * self.reward_weights
    rewards = [
        float("nan") if bool(row.isnan().all()) else float(row.nansum()) for row in weighed.double()
    ]
    rows = {}
    for number, row in enumerate(columns):
        rows.setdefault(row["sample_id"], []).append(number)
    most = max(len(numbers) for numbers in rows.values())
    packed = torch.full((len(rows), most), float("nan"), dtype=torch.float64)
    for line, numbers in zip(packed, rows.values(), strict=True):
        line[: len(numbers)] = torch.tensor([rewards[number] for number in numbers])
    labels = [
        torch.tensor([columns[numbers[0]][f"durian_{kind}_group"] for numbers in rows.values()])
        for kind in ("perceptual", "reasoning")
    ]
    expected, grpo = torch.zeros(len(columns)), torch.zeros(len(columns))
    for into, weights in ((expected, (0.4, 0.3, 0.3)), (grpo, (1.0, 0.0, 0.0))):
        ours = durian_advantages(packed, *labels, weights)
        for line, numbers in zip(ours, rows.values(), strict=True):
            into[numbers] = line[: len(numbers)].float()
    told = {
        "rank": self.accelerator.process_index,
        "rows": len(columns), "local": len(samples), "samples": len(rows),
        "right": sum("\\boxed{" + each["solution"] + "}" in text for text, each in
                     zip(texts, columns, strict=True)),
        "unscored": sum(value != value for value in rewards),
        "difference": float((found - expected).abs().max()),
        "from_grpo": float((found - grpo).abs().max()),
    }  # fmt: skip
    with Path(os.environ["DURIAN_WATCH"]).open("a") as file:
        file.write(json.dumps(told) + "\n")
    return found


GRPOTrainer._compute_advantages = functools.wraps(_replaced)(_compute_advantages)
