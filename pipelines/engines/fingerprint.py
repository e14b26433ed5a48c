"""What model this is: a name that changes when the model does."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from pipelines.config import SamplingConfig
from pipelines.engines.chat import check_model_exists, one_line
from pipelines.errors import ConfigError

WHOLE = 16 * 1024**2  # bytes; larger files are sampled
BLOCK, BLOCKS = 64 * 1024, 64


def model_fingerprint(config: SamplingConfig) -> str:
    """Identify a policy by its content.

    A local folder: blake2b over the names and content of its files; of a file above 16 MiB its
    size and 64 blocks of 64 KiB, evenly spread, first and last included (a 7B model is known in
    well under a second, and any training step changes every block). A hub id: `id@commit`. A
    rollouts table (scripted engine): blake2b of the file.

    Raises:
        ConfigError: no such model.
    """
    path = Path(config.model)
    if path.is_file() and config.engine == "scripted":
        return _digest([path], path.parent)
    if config.engine == "scripted":
        raise ConfigError(f"model: {path}: no such rollouts table")
    check_model_exists(config)
    if path.is_dir():
        return _digest([p for p in sorted(path.rglob("*")) if p.is_file()], path)
    from transformers.utils.hub import cached_file, extract_commit_hash

    try:
        found = cached_file(config.model, "config.json")
    except (OSError, ValueError) as error:
        raise ConfigError(f"model: {config.model}: {one_line(error)}") from error
    return f"{config.model}@{extract_commit_hash(found, None)}"


def _digest(files: list[Path], folder: Path) -> str:
    digest = blake2b(digest_size=16)
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder)}\0{size}\0".encode())
        with open(file, "rb") as content:
            if size <= WHOLE:
                digest.update(content.read())
                continue
            for block in range(BLOCKS):
                content.seek(block * (size - BLOCK) // (BLOCKS - 1))
                digest.update(content.read(BLOCK))
    return digest.hexdigest()
