"""What `vllm.LLM` is given: right on a GPU without an option, and never over the user's own."""

from types import SimpleNamespace

import pytest

from durian.config import SamplingConfig
from durian.engines.vllm import arguments_of

vllm_platforms = pytest.importorskip("vllm.platforms")
CHAT = SimpleNamespace(image_size=None)


@pytest.fixture
def on(monkeypatch):
    """Pretends to be on a machine of a kind."""

    def pretend(kind):
        here = SimpleNamespace(is_cpu=lambda: kind == "cpu")
        monkeypatch.setattr(vllm_platforms, "current_platform", here, raising=False)

    return pretend


def test_on_a_gpu_a_samples_rollouts_share_its_prompt_and_its_image_is_made_once(on):
    on("gpu")
    alone = arguments_of(SamplingConfig(model="m"), CHAT)
    assert alone["enable_prefix_caching"] is True
    # All images in hand, at most 256 Mi pixels, fit: 24 bytes each are 6 GiB.
    assert alone["mm_processor_cache_gb"] >= 256 * 24 / 1024
    assert alone["mm_encoder_tp_mode"] == "weights"
    shared = arguments_of(SamplingConfig(model="m", tensor_parallel=2), CHAT)
    assert shared["mm_encoder_tp_mode"] == "data" and shared["tensor_parallel_size"] == 2
    assert "enable_chunked_prefill" not in arguments_of(
        SamplingConfig(model="m", repeatable=True), CHAT
    )


def test_on_a_cpu_seeded_prompts_are_read_whole(on):
    on("cpu")
    assert arguments_of(SamplingConfig(model="m"), CHAT)["enable_chunked_prefill"] is False
    free = arguments_of(SamplingConfig(model="m", repeatable=False), CHAT)
    assert "enable_chunked_prefill" not in free and "mm_processor_cache_gb" not in free
