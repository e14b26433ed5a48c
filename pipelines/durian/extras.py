"""The packages that only some roads need, and the extra of Durian that brings each.

A plain install measures pixels, groups, reports and compares. What a policy, the Hub, a cluster or
a training needs is asked for by name, before anything is read or loaded.
"""

from __future__ import annotations

from importlib.util import find_spec

from durian.errors import ConfigError

EXTRAS = {
    "accelerate": "train",
    "datasets": "hub",
    "huggingface_hub": "hub",
    "math_verify": "math",
    "openai": "openai",
    "peft": "train",
    "ray": "ray",
    "torch": "policy",
    "torchvision": "policy",
    "transformers": "policy",
    "trl": "train",
    "vllm": "vllm",
}


class MissingPackage(ConfigError, ImportError):
    """A package that was asked for is not installed; its extra is named."""


def require(road: str, *packages: str) -> None:
    """Refuse a road of which a package is not installed; nothing is imported to find out.

    Args:
        road: what needs them, as the message begins.
        packages: importable names, keys of `EXTRAS`; of several missing the last is named, whose
            extra brings the others too.
    Raises:
        MissingPackage: names the package and how to install it.
    """
    missing = [package for package in packages if not _is_installed(package)]
    if missing:
        raise MissingPackage(
            f"{road} needs {missing[-1]}, which is not installed; {way_out(missing[-1])}"
        )


def way_out(package: str) -> str:
    """How to install what an extra brings; from a clone, for no index has Durian yet."""
    return f'pip install ".[{EXTRAS[package]}]" in a clone of Durian'


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # as a finder refuses it, or as sys.modules has it
        return False
