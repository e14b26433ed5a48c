"""Checkpoints that are whole, weights that are proved to be theirs, and the state beside them."""

from __future__ import annotations

import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import torch

from durian.errors import RunError
from durian.records import JsonObject
from durian.run.files import read_json, sync_folder, write_json

MARK = "durian.json"  # written last: a checkpoint that has one is whole
TAKEN = 4096  # values of each tensor that go into its digest
_WAY_OUT = "remove this checkpoint to go on from the one before it"


class Stateful(Protocol):
    """A part of a training that a resumed one must find as it was at the checkpoint.

    All processes must hold the same state whenever a rollout batch has been trained on: the first
    one writes it, each reads it.
    """

    def state(self) -> JsonObject:
        """The state as JSON values; numbers are finite."""

    def restore(self, state: JsonObject) -> None:
        """Take up what `state` gave."""


class States:
    """The stateful parts of one training, by name; those of a resumed one begin as they were."""

    def __init__(self, checkpoint: Path | None) -> None:
        """Begin with no part.

        Args:
            checkpoint: that the training resumes from; None where it begins.
        """
        self._checkpoint = checkpoint
        self._parts: dict[str, Stateful] = {}

    def add(self, name: str, part: Stateful) -> None:
        """Keep a part's state in each checkpoint, and restore it now where there is one.

        Raises:
            RunError: the checkpoint has no state of that name.
        """
        self._parts[name] = part
        if self._checkpoint is not None:
            saved = read_json(self._checkpoint / MARK, _WAY_OUT).get("states", {})
            if name not in saved:
                raise RunError(f"{self._checkpoint}: holds no state '{name}'; {_WAY_OUT}")
            part.restore(saved[name])

    def now(self) -> JsonObject:
        """The state of each part, by name."""
        return {name: part.state() for name, part in self._parts.items()}


def mark_complete(checkpoint: Path, model: torch.nn.Module | None, states: JsonObject) -> None:
    """Say that a checkpoint is whole, what its trainable weights are, and what is beside them.

    Args:
        model: None where no process holds all of it; then nothing is said of its weights.
        states: as `States.now` gives them.
    """
    weights = None if model is None else weights_digest(model)
    write_json(checkpoint / MARK, {"weights": weights, **({"states": states} if states else {})})


def newest_checkpoint(out: Path) -> Path | None:
    """The whole checkpoint of the latest step, or None."""
    steps = [_step(mark.parent) for mark in out.glob(f"checkpoint-*/{MARK}")]
    return out / f"checkpoint-{max(steps)}" if steps else None


def drop_unfinished(out: Path) -> None:
    """Remove checkpoints that a kill left half-written."""
    for folder in out.glob("checkpoint-*"):
        if not (folder / MARK).exists():
            shutil.rmtree(folder)


def drop_older(out: Path, keep: int | None) -> None:
    """Remove all whole checkpoints but the `keep` latest ones; None keeps all."""
    whole = sorted(out.glob(f"checkpoint-*/{MARK}"), key=lambda mark: _step(mark.parent))
    for mark in whole[:-keep] if keep else []:
        mark.unlink()  # first: half a checkpoint must not pass for a whole one
        sync_folder(mark.parent)
        shutil.rmtree(mark.parent)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.partition("-")[2])


def check_restored(checkpoint: Path, model: torch.nn.Module | None) -> None:
    """Refuse to go on with weights that are not the checkpoint's.

    Raises:
        RunError: they differ.
    """
    saved = read_json(checkpoint / MARK, _WAY_OUT).get("weights")
    if model is not None and saved is not None and saved != weights_digest(model):
        raise RunError(f"{checkpoint}: its weights were not restored; {_WAY_OUT}, or pass --fresh")


def weights_digest(model: torch.nn.Module) -> str:
    """32 hex digits over name, shape, type and spread values of each trainable parameter."""
    digest = blake2b(digest_size=16)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            # Spread values of each tensor are enough to tell the weights of one step from another's
            # or from those that the training began with, which is what a failed resume leaves; to
            # read all of a large model at every checkpoint would take long.
            flat = weight.detach().flatten()
            some = flat[:: max(1, len(flat) // TAKEN)].cpu().contiguous()
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
            digest.update(some.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
