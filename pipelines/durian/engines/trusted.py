"""Refuse files of a policy that could run as a program: pickled weights, and code of its own."""

from __future__ import annotations

from pathlib import Path

from durian.config import SamplingConfig
from durian.errors import ConfigError

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
# What a training leaves beside the weights, and no loader of models reads.
_NO_WEIGHTS = ("training_args", "optimizer", "scheduler", "scaler", "rng_state")
ASKED = ("load_format", "use_safetensors")  # engine args by which other weights are asked for

_NO_SAFETENSORS = (
    "no weights as safetensors; pickled ones can run code when they are loaded, so load those "
    "where you trust them and write them again with save_pretrained"
)


def check_weights(config: SamplingConfig) -> None:
    """Refuse a local folder whose weights, or whose adapter's, are pickles alone.

    Where there are safetensors beside them, no engine reads the pickles. Whoever passes one of the
    engine args in `ASKED` has asked for the others.

    Raises:
        ConfigError: see above.
    """
    folder = Path(config.model)
    if not folder.is_dir() or set(ASKED) & set(config.engine_args):
        return
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    pickles = [n for n in names if n.endswith(PICKLES) and not n.startswith(_NO_WEIGHTS)]
    for of_adapter in (False, True):
        risky = [name for name in pickles if name.startswith("adapter_") is of_adapter]
        safe = [n for n in names if n.startswith("adapter_") is of_adapter]
        if risky and not any(name.endswith(".safetensors") for name in safe):
            raise ConfigError(
                f"model '{config.model}': its weights are pickles ({risky[0]}), which can run code "
                "when they are loaded; load them where you trust them and write them again with "
                "save_pretrained, as safetensors"
            )


def refusal(error: BaseException) -> str | None:
    """Give the way out if a loader refused to run code or to unpickle; None for another error."""
    text = str(error)
    if "trust_remote_code" in text or "trust-remote-code" in text:
        return (
            "it needs code that comes with it, and that is not run unless asked; "
            "read that code, then pass --trust-remote-code"
        )
    if "use_safetensors=True" in text or "Cannot find any model weights" in text:
        return _NO_SAFETENSORS
    return None
