"""A LoRA adapter over a policy, as PEFT writes it: what it is, and what it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from durian.errors import ConfigError, one_line
from durian.records import JsonObject
from durian.run.files import read_json

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
VISION = ("visual", "vision_tower", "vision_model")  # how models name their vision encoder
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # for which vLLM sets memory aside


def read_adapter(folder: str) -> JsonObject:
    """An adapter's own settings.

    Raises:
        ConfigError: no LoRA adapter lies there as safetensors.
    """
    place = Path(folder)
    if not (place / CONFIG).is_file() or not (place / WEIGHTS).is_file():
        raise ConfigError(
            f"adapter '{folder}': no {CONFIG} and {WEIGHTS} in it; pass the folder that PEFT's "
            "save_pretrained wrote"
        )
    settings = read_json(place / CONFIG, "pass the folder that PEFT's save_pretrained wrote")
    if settings.get("peft_type") != "LORA":
        raise ConfigError(
            f"adapter '{folder}': is of kind {settings.get('peft_type')}; only LoRA is read here: "
            "merge it into its model"
        )
    return settings


def vllm_rank(folder: str) -> int:
    """The least rank, of those that vLLM has, that holds an adapter's.

    Raises:
        ConfigError: as `read_adapter`, or its rank is above all of them.
    """
    settings = read_adapter(folder)
    rank = max(settings["r"], *(settings.get("rank_pattern") or {}).values(), 1)
    found = next((known for known in RANKS if known >= rank), None)
    if found is None:
        raise ConfigError(
            f"adapter '{folder}': its rank is {rank}, and vLLM's highest {RANKS[-1]}; merge it "
            "into its model, or pass --engine transformers"
        )
    return found


def changes_vision(folder: str) -> bool:
    """Whether an adapter has weights of its own for the vision encoder."""
    from safetensors import safe_open

    with safe_open(str(Path(folder) / WEIGHTS), "pt") as file:
        return any(part in name.split(".") for name in file.keys() for part in VISION)


def with_adapter(model: Any, folder: str) -> Any:
    """A transformers model with an adapter in its layers, as it was trained.

    Raises:
        ConfigError: as `read_adapter`, or it is of another model.
    """
    from peft import PeftModel

    read_adapter(folder)
    try:
        return PeftModel.from_pretrained(model, folder).base_model.model
    except Exception as error:  # peft raises whatever comes
        raise ConfigError(f"adapter '{folder}': {one_line(error)}") from error
