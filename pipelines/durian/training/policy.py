"""The policy to train: its weights, an adapter over them, and what of it stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from transformers.utils.logging import disable_progress_bar
from trl import GRPOConfig
from trl.trainer.utils import create_model_from_path

from durian.config import TrainConfig
from durian.engines.adapter import VISION
from durian.engines.chat import cannot_load
from durian.errors import ConfigError, RunError, one_line
from durian.training.launch import under_launcher

MERGED = "merged"  # the folder, in that of a training with an adapter, of the whole model


def load_policy(config: TrainConfig, args: GRPOConfig, checkpoint: Path | None) -> nn.Module:
    """Load the weights: the checkpoint's on resuming, for transformers' trainer does not.

    An adapter's base is always the model itself; its own weights are restored by the trainer, and
    so are shards, which no loader of models can read.

    Raises:
        ConfigError: the model cannot be loaded.
        RunError: the checkpoint cannot.
    """
    whole = checkpoint is not None and config.lora_r is None and holds_weights(checkpoint)
    source = str(checkpoint) if whole else config.model
    quiet: Any = disable_progress_bar  # untyped
    quiet()
    init: dict[str, Any] = {
        "trust_remote_code": config.trust_remote_code,
        "use_safetensors": True,
        **(args.model_init_kwargs or {}),
    }
    if under_launcher():  # TRL's default, "auto", would spread the model over all GPUs
        init.setdefault("device_map", None)
    try:
        model: Any = create_model_from_path(source, **init)
    except Exception as error:  # loaders raise whatever comes
        if whole:
            raise RunError(
                f"{checkpoint}: cannot be loaded ({one_line(error)}); remove it"
            ) from error
        raise cannot_load(config.model, error) from error
    # TRL loads the reference policy (beta > 0) from here: never from a checkpoint.
    model.config._name_or_path = config.model
    if config.freeze_vision:
        freeze_vision(model, config.model)
    return model  # type: ignore[no-any-return]


def holds_weights(checkpoint: Path) -> bool:
    """Whether a checkpoint holds a whole model's weights, not an adapter's or shards."""
    return any(checkpoint.glob("model*.safetensors"))


def holds_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter's weights."""
    return (folder / "adapter_model.safetensors").is_file()


def merge_adapter(trainer: Any, config: TrainConfig, out: Path) -> None:
    """Write OUT/merged: the model with its trained adapter added, as every loader takes it.

    Where the model is in shards, it is loaded anew, with the adapter that lies in OUT.
    """
    if trainer.sharded:
        from peft import PeftModel

        adapted: Any = PeftModel.from_pretrained(load_policy(config, trainer.args, None), str(out))
    else:
        adapted = trainer.accelerator.unwrap_model(trainer.model)
    adapted.merge_and_unload().save_pretrained(out / MERGED)
    trainer.processing_class.save_pretrained(out / MERGED)


def not_merged(model: str, folder: Path) -> str:
    """Say how to make the whole model where the adapter was trained by DeepSpeed."""
    return (
        f"{folder}: the adapter alone, without {MERGED}/: DeepSpeed would shard that too; load "
        f"{model}, then peft's PeftModel.from_pretrained(model, '{folder}').merge_and_unload()"
    )


def lora_config(config: TrainConfig) -> Any:
    """The adapter that was asked for, as PEFT has it; None where all weights are trained."""
    if config.lora_r is None:
        return None
    from peft import LoraConfig

    targets = config.lora_target_modules
    # A frozen vision encoder gets no adapter either.
    excluded = rf".*\b({'|'.join(VISION)})\b.*" if config.freeze_vision else None
    return LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=targets[0] if targets == ("all-linear",) else list(targets),
        exclude_modules=excluded,
        task_type="CAUSAL_LM",
    )


def freeze_vision(model: nn.Module, name: str) -> int:
    """Keep the vision encoder, with its projector where it holds one, as it is.

    Returns:
        How many parameters are frozen.
    Raises:
        ConfigError: the model has no encoder of a known name.
    """
    towers = [m for path, m in model.named_modules() if path.rpartition(".")[2] in VISION]
    if not towers:
        raise ConfigError(
            f"model '{name}': no vision encoder found (looked for {', '.join(VISION)}); "
            "leave out --freeze-vision"
        )
    # Towers can lie within each other, and weights be shared: each is counted once.
    frozen = {id(weight): weight for tower in towers for weight in tower.parameters()}
    for weight in frozen.values():
        weight.requires_grad_(False)
    return sum(weight.numel() for weight in frozen.values())


def count_parameters(config: TrainConfig) -> tuple[int, int]:
    """Parameters that a training would train, and those that it would leave; loads no weights.

    Raises:
        ConfigError: the model's configuration cannot be read.
    """
    from accelerate import init_empty_weights
    from peft import get_peft_model
    from transformers import AutoConfig, AutoModelForImageTextToText

    auto: Any = AutoModelForImageTextToText
    try:
        shape = AutoConfig.from_pretrained(config.model, trust_remote_code=config.trust_remote_code)
        with init_empty_weights():
            model = auto.from_config(shape, trust_remote_code=config.trust_remote_code)
    except Exception as error:  # loaders raise whatever comes
        raise cannot_load(config.model, error) from error
    if config.freeze_vision:
        freeze_vision(model, config.model)
    if (adapter := lora_config(config)) is not None:
        with init_empty_weights():
            model = get_peft_model(model, adapter)
    trained = sum(w.numel() for w in model.parameters() if w.requires_grad)
    return trained, sum(w.numel() for w in model.parameters()) - trained
