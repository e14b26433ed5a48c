"""Check the settings of FSDP and DeepSpeed under which a training comes out right and whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from durian.errors import ConfigError


def check_backend(state: Any, *, reference: bool, processes: int) -> None:
    """Refuse settings of accelerate under which a training goes wrong without a word.

    Args:
        state: accelerate's, of this launch.
        reference: a reference policy is held, for the KL term.
    Raises:
        ConfigError: the reference would be garbage, or no whole weights could be written.
    """
    fsdp = getattr(state, "fsdp_plugin", None)
    if fsdp is not None and fsdp.fsdp_version == 2 and reference and processes > 1:
        # TRL loads the reference on the first process alone then, and never sends it to the others.
        if fsdp.cpu_ram_efficient_loading:
            raise ConfigError(
                "FSDP2 with fsdp_cpu_ram_efficient_loading leaves the reference policy (beta > 0) "
                "without its weights; set it to false in the launch's config, or beta to 0"
            )
    deepspeed = getattr(state, "deepspeed_plugin", None)
    if deepspeed is not None:
        zero = deepspeed.deepspeed_config.get("zero_optimization", {})
        if zero.get("stage") == 3 and not zero.get("stage3_gather_16bit_weights_on_model_save"):
            raise ConfigError(
                "ZeRO-3 without zero3_save_16bit_model writes no weights that a loader of models "
                "could read; set it to true in the launch's config"
            )


@contextmanager
def gathered_when_saved(state: Any) -> Iterator[None]:
    """Make what is saved inside whole weights: a checkpoint's shards are for resuming alone."""
    if (fsdp := getattr(state, "fsdp_plugin", None)) is None:
        yield
        return
    before = fsdp.state_dict_type
    fsdp.set_state_dict_type("FULL_STATE_DICT")
    try:
        yield
    finally:
        fsdp.set_state_dict_type(before)
