"""The policy that is trained, its reference and its adapter."""

import shutil

from peft import get_peft_model
from transformers import AutoModelForImageTextToText
from trl import GRPOConfig

from durian.config import TrainConfig
from durian.training.policy import load_policy, lora_config, not_merged


def test_the_reference_of_a_resumed_training_is_the_model_not_the_checkpoint(
    settings, tiny_policy, tmp_path
):
    # TRL loads it from where the policy says that it came from.
    checkpoint = tmp_path / "checkpoint-2"
    shutil.copytree(tiny_policy, checkpoint)
    args = GRPOConfig(output_dir=str(tmp_path), use_cpu=True)
    policy = load_policy(TrainConfig(**settings, out=str(tmp_path)), args, checkpoint)
    assert policy.config._name_or_path == str(tiny_policy)


def adapted(settings, tiny_policy, **changes):
    """Names of the parameters that an adapter trains."""
    config = TrainConfig(**settings | changes, out="out", lora_r=4)
    model = AutoModelForImageTextToText.from_pretrained(tiny_policy)
    trained = get_peft_model(model, lora_config(config)).named_parameters()
    return [name for name, weight in trained if weight.requires_grad]


def test_a_frozen_vision_encoder_gets_no_adapter(settings, tiny_policy):
    frozen, free = (
        adapted(settings, tiny_policy, freeze_vision=freeze) for freeze in (True, False)
    )
    assert frozen and not any("visual" in name for name in frozen)
    assert any("visual" in name for name in free)


def test_an_adapter_over_shards_says_how_to_merge_it(tmp_path):
    said = not_merged("org/model", tmp_path)
    assert "without merged/" in said and "org/model" in said and "merge_and_unload" in said
