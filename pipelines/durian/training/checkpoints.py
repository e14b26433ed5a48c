"""Checkpoints that are whole, and weights that are proved to be theirs."""

from __future__ import annotations

import shutil
from hashlib import blake2b
from pathlib import Path

import torch

from durian.errors import RunError
from durian.run.files import read_json, sync_folder, write_json

MARK = "durian.json"  # written last: a checkpoint that has one is whole
TAKEN = 4096  # values of each tensor that go into its digest


def mark_complete(checkpoint: Path, model: torch.nn.Module | None) -> None:
    """Say that a checkpoint is whole, and what its trainable weights are.

    Args:
        model: None where no process holds all of it; then nothing is said of its weights.
    """
    write_json(checkpoint / MARK, {"weights": None if model is None else weights_digest(model)})


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
    way_out = "remove this checkpoint to go on from the one before it"
    saved = read_json(checkpoint / MARK, way_out).get("weights")
    if model is not None and saved is not None and saved != weights_digest(model):
        raise RunError(
            f"{checkpoint}: its weights were not restored; remove this checkpoint to go on from "
            "the one before it, or pass --fresh"
        )


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
