"""A LoRA adapter over a policy: both engines draw as the model that it makes would."""

import json
from shutil import copytree

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2_5_VLForConditionalGeneration

from durian.config import EvalConfig
from durian.engines.adapter import changes_vision, vllm_rank
from durian.engines.fingerprint import model_fingerprint
from durian.engines.loading import check_encoder, open_engine
from durian.errors import ConfigError
from durian.evaluate import _policies as policies
from tests.engines.conftest import Teacher
from tests.engines.test_engines import ENGINES, assert_logprobs_are_the_teachers, draw

TARGETS = {
    "text": r".*language_model.*(q_proj|v_proj|down_proj)",
    "all": r".*(q_proj|v_proj|down_proj|attn\.qkv|attn\.proj)",
}


@pytest.fixture(scope="module")
def adapters(tiny_model, tmp_path_factory):
    """By what they change: an adapter's folder, and that of the model that it makes."""
    made = {}
    for name, targets in TARGETS.items():
        torch.manual_seed(1)
        folder, merged = (tmp_path_factory.mktemp(name) / part for part in ("adapter", "merged"))
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_model)
        lora = LoraConfig(r=4, lora_alpha=32, target_modules=targets, init_lora_weights=False)
        adapted = get_peft_model(model, lora)
        adapted.save_pretrained(folder)
        copytree(tiny_model, merged)
        adapted.merge_and_unload().save_pretrained(merged)
        made[name] = str(folder), str(merged)
    return made


@pytest.mark.parametrize("name", ENGINES)
def test_completions_are_those_of_the_model_that_it_makes(
    name, adapters, tiny_config, tiny_model, ask
):
    adapter, merged = adapters["all"]
    prompts = [ask("How many dots?", 1), ask("What is 6 x 7?"), ask("Left of the other?", 2, 3)]
    engine = open_engine(tiny_config(engine=name, adapter=adapter))
    try:
        drawn, greedy = draw(engine, prompts), draw(engine, prompts, greedy=True)
    finally:
        engine.close()
    assert_logprobs_are_the_teachers(prompts, drawn, Teacher(merged))
    with pytest.raises(AssertionError):  # it does change the policy
        assert_logprobs_are_the_teachers(prompts, greedy, Teacher(tiny_model))


def test_it_is_part_of_the_policys_print_with_its_weights_and_settings(
    adapters, tiny_config, tmp_path
):
    folder = tmp_path / "adapter"
    copytree(adapters["text"][0], folder)
    alone = model_fingerprint(tiny_config())
    first = model_fingerprint(tiny_config(adapter=str(folder)))
    assert first.startswith(f"{alone}+")
    settings = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(settings | {"lora_alpha": 8}))
    second = model_fingerprint(tiny_config(adapter=str(folder)))
    (folder / "adapter_model.safetensors").write_bytes(b"other")
    assert len({alone, first, second, model_fingerprint(tiny_config(adapter=str(folder)))}) == 4


def test_what_is_no_lora_adapter_is_refused(tiny_config, tmp_path):
    with pytest.raises(ConfigError, match="no adapter_config.json and adapter_model.safetensors"):
        model_fingerprint(tiny_config(adapter=str(tmp_path)))
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(ConfigError, match="is of kind IA3; only LoRA is read"):
        model_fingerprint(tiny_config(adapter=str(tmp_path)))
    with pytest.raises(ConfigError, match="adapter is the server's own matter"):
        tiny_config(adapter="a", engine="openai", base_url="http://localhost:1/v1")


def test_the_rank_is_the_least_of_vllms_that_holds_it(tmp_path):
    (tmp_path / "adapter_model.safetensors").touch()
    for rank, pattern, held in ((4, {}, 8), (8, {"layers.1": 33}, 64), (512, {}, 512)):
        text = json.dumps({"peft_type": "LORA", "r": rank, "rank_pattern": pattern})
        (tmp_path / "adapter_config.json").write_text(text)
        assert vllm_rank(str(tmp_path)) == held
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 600}')
    with pytest.raises(ConfigError, match="its rank is 600, and vLLM's highest 512; merge it"):
        vllm_rank(str(tmp_path))


def test_spectral_reads_no_encoder_that_an_adapter_changes(adapters, tiny_config):
    check_encoder(tiny_config(adapter=adapters["text"][0]))
    assert not changes_vision(adapters["text"][0])
    with pytest.raises(ConfigError, match="changes the vision encoder, of which spectral reads"):
        check_encoder(tiny_config(adapter=adapters["all"][0]))


def test_of_two_policies_that_are_judged_it_is_over_the_first():
    both = EvalConfig(dataset="d", model="m", compare="other", adapter="a")
    first, second = policies(both)
    assert (first.policy_name, second.policy_name) == ("m with adapter a", "other")
