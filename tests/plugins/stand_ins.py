"""The functions that plug-ins replace or wrap, with the parameters that the real ones have.

`make adapters` holds these against the real packages (`same`). Torch alone is imported, since it
does so in the trainers' environments.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch

from durian.plugins import durian_verl


def same(ours: Callable[..., Any], real: Callable[..., Any]) -> None:
    """Complain unless both take the same parameters, in one order, optional alike."""
    mine, theirs = (
        [(each.name, each.default is not each.empty) for each in parameters]
        for parameters in (
            inspect.signature(function).parameters.values() for function in (ours, real)
        )
    )
    if mine != theirs:
        raise AssertionError(f"the stand-in takes {mine}, the real {real.__qualname__} {theirs}")


@dataclass
class Proto:
    """verl's and EasyR1's DataProto: tensors by name, and object arrays by name."""

    batch: dict[str, Any] = field(default_factory=dict)
    non_tensor_batch: dict[str, Any] = field(default_factory=dict)


def verl_compute_advantage(
    data, adv_estimator, gamma=1.0, lam=1.0, num_repeat=1, norm_adv_by_std_in_grpo=True, config=None
):
    """verl's compute_advantage, as it calls an estimator of a name that it does not know."""
    data.batch["advantages"], data.batch["returns"] = durian_verl.estimate(
        token_level_rewards=data.batch["token_level_rewards"],
        response_mask=data.batch["response_mask"],
        config=config,
        index=data.non_tensor_batch["uid"],
    )
    return data


class VerlTrainer:
    """verl's V1 PPOTrainer: it hands the V0 function data without the dataset's columns."""

    def __init__(self, data, algorithm, compute_advantage):
        self.config = SimpleNamespace(
            algorithm=SimpleNamespace(
                adv_estimator=algorithm.get("adv_estimator", "durian"), get=algorithm.get
            )
        )
        self._data, self._function = data, compute_advantage

    def _compute_advantage(self, batch, metrics):
        algorithm = self.config.algorithm
        return self._function(self._data, algorithm.adv_estimator, config=algorithm)


def easyr1_compute_advantage(data, adv_estimator, gamma=1.0, lam=1.0):
    raise AssertionError("EasyR1's own function was called")


class SwiftTrainer:
    """ms-swift's GRPOTrainer, as far as advantages go: what it computes itself is 0."""

    def __init__(self, **given):
        self.reward_weights = torch.tensor([1.0, 0.5])
        self.advantage_estimator, self.scale_rewards = "grpo", "group"
        self.kl_in_reward, self.beta = False, 0.0
        self.model = SimpleNamespace(training=True)
        self._metrics = {"train": _Lists(), "eval": _Lists()}
        for name, value in given.items():
            setattr(self, name, value)

    def _compute_advantages(self, samples, rewards_per_func, batch_encoded_inputs):
        return torch.zeros(len(rewards_per_func))


class _Lists(dict[str, list[float]]):
    def __missing__(self, name):
        self[name] = []
        return self[name]


@dataclass
class SlimeSample:
    """slime's Sample, as far as the hook reads it."""

    group_index: int | None
    reward: float
    metadata: dict[str, Any]
    remove_sample: bool = False
    rollout_log_probs: list[float] | None = None
    rollout_id: int | None = None
    loss_mask: list[int] | None = None

    def get_reward_value(self, args):
        return self.reward


class AbstractCurriculumSampler(torch.utils.data.Sampler):
    """verl's interface of samplers that learn, up to 0.7.1."""

    def __init__(self, data_source, data_config):
        raise AssertionError("verl's abstract class was called")

    def update(self, batch):
        raise AssertionError("verl's abstract method was called")


def create_rl_sampler(data_config, dataset):
    """verl's builder of samplers since 0.8: of its own alone."""
    return "verl's own"
