"""Tell a folder of a trainer's shards from a model, and the command that makes one of it."""

from __future__ import annotations

from pathlib import Path


def merge_command(folder: Path) -> str | None:
    """The command that merges a trainer's shards into a model; None where there are none.

    verl and EasyR1 write `model_world_size_8_rank_0.pt` into `actor/` of a step's folder; `.distcp`
    files are PyTorch's, as of accelerate's FSDP checkpoints.
    """
    for place in (folder, folder / "actor"):
        if any(place.glob("model_world_size_*_rank_*.pt")):
            # verl keeps the launch beside the shards, which its merger reads; EasyR1 does not.
            if (place / "fsdp_config.json").is_file():
                return (
                    f"python -m verl.model_merger merge --backend fsdp --local_dir {place} "
                    f"--target_dir {place}/merged"
                )
            return f"python scripts/model_merger.py --local_dir {place} (EasyR1's)"
    for place in (folder, *sorted(folder.glob("pytorch_model_fsdp_*"))):
        if any(place.glob("*.distcp")):
            return f"accelerate merge-weights {place} {folder}/merged"
    return None
