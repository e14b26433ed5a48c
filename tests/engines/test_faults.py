"""Faults of engines that are known: refused in words that name them, and only where they are."""

import pytest
import torch

from durian.engines import faults
from durian.engines.faults import known_fault


def processor(name):
    """A processor of the class of that name, which is all that is looked at."""
    return type(name, (), {})()


@pytest.mark.parametrize(
    ("family", "images", "said"),
    [
        ("MllamaProcessor", 0, "vLLM dropped Llama 3.2 Vision after its version 0.10.2"),
        ("MllamaProcessor", 1, "vLLM dropped Llama 3.2 Vision after its version 0.10.2"),
        ("LlavaOnevisionProcessor", 2, "cuts several images of LLaVA-OneVision into tiles"),
        ("Gemma3Processor", 1, "lets an image of Gemma 3 look back only"),
    ],
)
def test_what_vllm_reads_wrongly_is_refused_with_a_way_out(family, images, said, monkeypatch):
    monkeypatch.setattr(faults, "_runs_on_cpu", lambda: True)
    refused = known_fault("vllm", processor(family), images)
    assert said in refused.error and refused.way_out == "pass --engine transformers"
    assert known_fault("transformers", processor(family), images) is None


@pytest.mark.parametrize(
    ("family", "images"),
    [
        ("Qwen2_5_VLProcessor", 2),
        ("LlavaOnevisionProcessor", 1),
        ("LlavaOnevisionProcessor", 0),
        ("Gemma3Processor", 0),
    ],
)
def test_nothing_else_is_refused(family, images, monkeypatch):
    monkeypatch.setattr(faults, "_runs_on_cpu", lambda: True)
    assert known_fault("vllm", processor(family), images) is None


def test_a_machine_without_a_gpu_is_known_where_torch_was_built_for_one():
    # torch names CUDA on such a machine too, unless it is asked whether it is there.
    assert faults._runs_on_cpu() is not torch.cuda.is_available()


def test_gemma_3_is_served_on_a_gpu(monkeypatch):
    monkeypatch.setattr(faults, "_runs_on_cpu", lambda: False)
    assert known_fault("vllm", processor("Gemma3Processor"), 1) is None
