"""Launches under which a training would go wrong without a word are refused, or stopped."""

from types import SimpleNamespace

import pytest
import torch
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer

from durian.config import TrainConfig
from durian.errors import ConfigError, RunError
from durian.train import train_policy
from durian.training import policy
from durian.training.backends import check_backend
from durian.training.policy import load_policy
from durian.training.trainer import DurianTrainer


def fsdp(**changes):
    plugin = {"fsdp_version": 2, "cpu_ram_efficient_loading": True} | changes
    return SimpleNamespace(fsdp_plugin=SimpleNamespace(**plugin))


def zero(**settings):
    config = {"zero_optimization": settings}
    return SimpleNamespace(deepspeed_plugin=SimpleNamespace(deepspeed_config=config))


def test_a_reference_that_would_get_no_weights_is_refused():
    with pytest.raises(ConfigError, match="cpu_ram_efficient_loading leaves the reference"):
        check_backend(fsdp(), reference=True, processes=2)


@pytest.mark.parametrize(
    ("state", "reference", "processes"),
    [
        (fsdp(), False, 2),
        (fsdp(), True, 1),
        (fsdp(cpu_ram_efficient_loading=False), True, 2),
        (fsdp(fsdp_version=1), True, 2),
        (zero(stage=2), True, 2),
        (zero(stage=3, stage3_gather_16bit_weights_on_model_save=True), True, 2),
        (SimpleNamespace(), True, 2),
    ],
)
def test_other_launches_are_not_refused(state, reference, processes):
    check_backend(state, reference=reference, processes=processes)


def test_zero_3_that_would_write_no_weights_is_refused():
    state = zero(stage=3, stage3_gather_16bit_weights_on_model_save=False)
    with pytest.raises(ConfigError, match="zero3_save_16bit_model"):
        check_backend(state, reference=False, processes=1)


@pytest.mark.parametrize(
    ("environ", "given", "placed"),
    [
        ({}, {}, "left to TRL"),
        ({"LOCAL_RANK": "0"}, {}, None),
        ({"LOCAL_RANK": "0"}, {"device_map": "cuda"}, "cuda"),  # one's own wish stands
    ],
)
def test_a_launched_process_places_no_model(
    settings, tmp_path, monkeypatch, environ, given, placed
):
    seen = {}

    def create(source, **init):
        seen.update(init)
        raise OSError("far enough")

    monkeypatch.setattr(policy, "create_model_from_path", create)
    args = GRPOConfig(output_dir=str(tmp_path), use_cpu=True, model_init_kwargs=given)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError):
        load_policy(TrainConfig(**settings, out=str(tmp_path)), args, None)
    assert seen.get("device_map", "left to TRL") == placed


def test_another_reference_than_the_policy_stops_the_first_step(settings, tmp_path, monkeypatch):
    load = grpo_trainer.create_model_from_path

    def other(*given, **init):
        model = load(*given, **init)
        with torch.no_grad():
            for weight in model.parameters():
                weight.normal_(std=0.02)  # what a process has that was sent nothing
        return model

    monkeypatch.setattr(grpo_trainer, "create_model_from_path", other)
    grpo = settings["grpo"] | {"beta": 0.04}
    with pytest.raises(RunError, match="the KL term is .* before the first update"):
        train_policy(TrainConfig(**settings | {"grpo": grpo}, out=str(tmp_path / "out")))
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(("gap", "stops"), [(0.2, True), (0.05, False)])
def test_vllm_whose_logprobs_are_not_the_trainers_stops_the_first_rollout_batch(
    settings, tmp_path, monkeypatch, gap, stops
):
    # As TRL logs it of vLLM's completions, which it does only where it corrects for the gap.
    inner, corrected = GRPOTrainer._generate_and_score_completions, []

    def drawn(self, inputs):
        out = inner(self, inputs)
        corrected.append(self.vllm_importance_sampling_correction)
        # Later the gap is no matter of prompts any more: truncated ratios correct for it.
        later = len(corrected) > 1
        self._metrics["train"]["sampling/sampling_logp_difference/mean"].append(9 if later else gap)
        return out

    monkeypatch.setattr(GRPOTrainer, "_generate_and_score_completions", drawn)
    grpo = settings["grpo"] | {"max_steps": 3, "vllm_importance_sampling_correction": False}
    config = TrainConfig(**settings | {"grpo": grpo}, out=str(tmp_path / "out"))
    if stops:
        with pytest.raises(RunError, match=r"0.20 nats a token .* same prompts or weights"):
            train_policy(config)
        assert corrected == [True] and not (tmp_path / "out").exists()
    else:
        train_policy(config)
        assert corrected == [True, False]


def test_a_launch_that_writes_no_weights_does_not_end_well(settings, tmp_path, monkeypatch):
    inner = DurianTrainer.save_model

    def save(self, folder, _internal_call=False):  # a checkpoint is written, the last one is not
        if _internal_call:
            inner(self, folder, _internal_call)

    monkeypatch.setattr(DurianTrainer, "save_model", save)
    grpo = settings["grpo"] | {"max_steps": 2}
    with pytest.raises(RunError, match="written no weights"):
        train_policy(TrainConfig(**settings | {"grpo": grpo}, out=str(tmp_path / "out")))
    # Nor a card: TRL writes a stub of one with each checkpoint.
    assert (tmp_path / "out" / "checkpoint-2").is_dir()
    assert not any((tmp_path / "out" / name).exists() for name in ("manifest.json", "README.md"))
