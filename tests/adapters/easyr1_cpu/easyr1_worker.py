"""A worker of EasyR1 on a CPU: random responses, and a look at the advantages that come back.

Everything else is EasyR1's own: its main, runner, data, rewards, dispatch and fit. What its update
gets is compared with the library's advantages, and told in the file that DURIAN_WATCH names.
"""

import json
import os
from pathlib import Path

import numpy as np
import torch
from verl.protocol import DataProto
from verl.single_controller.base import Worker
from verl.single_controller.base.decorator import Dispatch, register
from verl.utils import torch_functional as VF

from durian.groups import PERCEPTUAL, perceptual_groups, reasoning_groups
from durian.normalizer import durian_advantages

torch.cuda.get_device_name = lambda *_: "none"  # EasyR1's base class asks for it
END, LETTERS = 419, range(40, 60)  # of data/tiny_policy's vocabulary


class FSDPWorker(Worker):
    """EasyR1's worker, as far as its `fit` calls it."""

    def __init__(self, config, role):
        super().__init__()
        self.config, self.drawn = config, np.random.default_rng(3)

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def init_model(self):
        """There is none."""

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def prepare_rollout_engine(self):
        """There is none."""

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def release_rollout_engine(self):
        """There is none."""

    @register(dispatch_mode=Dispatch.ONE_TO_ALL)
    def save_checkpoint(self, path, save_model_only=False):
        Path(path).mkdir(parents=True)

    @register(dispatch_mode=Dispatch.DP_COMPUTE_PROTO)
    def generate_sequences(self, prompts):
        draws = prompts.meta_info.get("n", self.config.rollout.n)
        held = {
            name: prompts.batch[name].repeat_interleave(draws, dim=0)
            for name in ("input_ids", "attention_mask", "position_ids")
        }
        rows, length = len(held["input_ids"]), self.config.rollout.response_length
        responses = torch.tensor(self.drawn.choice(LETTERS, (rows, length)))
        ends = torch.tensor(self.drawn.integers(1, length, rows))
        responses[torch.arange(rows), ends] = END
        mask = VF.get_response_mask(responses, END, dtype=held["attention_mask"].dtype)
        behind = torch.arange(1, length + 1).expand(*held["position_ids"].shape[:-1], length)
        positions = [held["position_ids"], held["position_ids"][..., -1:] + behind]
        images = prompts.non_tensor_batch["multi_modal_data"]
        return DataProto.from_dict(
            {
                "prompts": held["input_ids"],
                "responses": responses,
                "input_ids": torch.cat([held["input_ids"], responses], dim=-1),
                "attention_mask": torch.cat([held["attention_mask"], mask], dim=-1),
                "response_mask": mask,
                "position_ids": torch.cat(positions, dim=-1),
            },
            non_tensors={"multi_modal_data": np.repeat(images, draws)},
        )

    @register(dispatch_mode=Dispatch.DP_COMPUTE_PROTO)
    def compute_log_probs(self, data):
        shape = data.batch["responses"].shape
        drawn = torch.tensor(self.drawn.random(shape), dtype=torch.float32)
        return DataProto.from_dict({"old_log_probs": -3 * drawn})

    @register(dispatch_mode=Dispatch.DP_COMPUTE_PROTO)
    def update_actor(self, data):
        told = compared(data.batch, data.non_tensor_batch)
        with Path(os.environ["DURIAN_WATCH"]).open("a") as file:
            file.write(json.dumps(told) + "\n")
        return DataProto(non_tensor_batch={"actor/lr": np.array([0.0])})


def compared(batch, columns):
    """The largest difference between the advantages and the library's, and what was compared."""
    rows = {}
    for number, uid in enumerate(columns["uid"]):
        rows.setdefault(uid, []).append(number)
    rewards = batch["token_level_rewards"].sum(dim=-1).double()
    mask, firsts = batch["response_mask"], [numbers[0] for numbers in rows.values()]
    packed = torch.stack([rewards[numbers] for numbers in rows.values()])
    if os.environ.get("DURIAN_GROUPS") == "online":
        means = (batch["old_log_probs"].double() * mask).sum(dim=-1) / mask.sum(dim=-1)
        bins = reasoning_groups(
            np.array([means[numbers].mean() for numbers in rows.values()]),
            int(os.environ["DURIAN_BINS"]),
        )
        values = np.array([columns["durian_perceptual"][first] for first in firsts], float)
        perceptual = [PERCEPTUAL.index(name) for name in perceptual_groups(values).labels]
        labels = [torch.tensor(perceptual), torch.tensor(list(bins.labels))]
    else:
        labels = [
            torch.tensor([int(columns[f"durian_{kind}_group"][first]) for first in firsts])
            for kind in ("perceptual", "reasoning")
        ]
    expected = torch.zeros(len(rewards), dtype=torch.float64)
    for line, numbers in zip(durian_advantages(packed, *labels), rows.values(), strict=True):
        expected[numbers] = line
    difference = (batch["advantages"].double() - expected[:, None] * mask).abs().max()
    return {
        "rows": len(rewards),
        "samples": len(rows),
        "difference": float(difference),
        "largest": float(expected.abs().max()),
        "in_groups": int(sum(int((kind >= 0).sum()) for kind in labels)),
    }
