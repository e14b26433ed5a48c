"""Faults of engines that are known and not Durian's: prompts that one of them reads wrongly.

Each is refused in words that name it, for nothing else would show it: the completions look well.
A fault that is mended upstream goes from here with its test.
"""

from __future__ import annotations

from typing import Any

from durian.engines.base import RefusedPrompt

WAY_OUT = "pass --engine transformers"


def known_fault(
    engine: str, processor: Any, images: int, *, on_cpu: bool | None = None
) -> RefusedPrompt | None:
    """Tell why an engine must not be given a prompt of a policy; None where nothing is known.

    Args:
        engine: by its name in the settings.
        processor: the policy's.
        images: how many the prompt holds.
        on_cpu: whether the engine runs on a CPU; None: where this process would run it.
    """
    family = type(processor).__name__
    if engine != "vllm":
        return None
    if family == "MllamaProcessor":
        return RefusedPrompt("vLLM dropped Llama 3.2 Vision after its version 0.10.2", WAY_OUT)
    if family == "LlavaOnevisionProcessor" and images > 1:
        return RefusedPrompt(
            "vLLM cuts several images of LLaVA-OneVision into tiles as if each stood alone",
            WAY_OUT,
        )
    if family == "Gemma3Processor" and images and (_runs_on_cpu() if on_cpu is None else on_cpu):
        return RefusedPrompt(
            "vLLM's CPU backend lets an image of Gemma 3 look back only, where it must see itself "
            "whole",
            WAY_OUT,
        )
    return None


def _runs_on_cpu() -> bool:
    # vLLM itself would know, after half a minute of imports; a dry run must not wait for it.
    import torch

    # By itself it names what torch was built for, there or not.
    found = torch.accelerator.current_accelerator(check_available=True)
    return found is None or found.type == "mps"
