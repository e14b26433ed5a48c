"""The identity of a policy: what must be equal for a run to be resumed with it."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from durian.config import SamplingConfig
from durian.engines.adapter import CONFIG, WEIGHTS, read_adapter
from durian.engines.chat import REACH_SECONDS, cannot_load, check_model_exists
from durian.engines.trusted import check_weights
from durian.errors import ConfigError

WHOLE = 16 * 2**20  # bytes; a larger file of a model is read in samples
BLOCK, BLOCKS = 16 * 2**10, 256


def model_fingerprint(config: SamplingConfig) -> str:
    """Identify the policy of `config` by its content, not by the folder that it lies in.

    A local folder: 32 hex digits of blake2b over the names, sizes and contents of the files in
    it, sorted by name; hidden files and sub-folders (a training's checkpoints) are left out. Of a
    file above 16 MiB it takes 256 blocks of 16 KiB, evenly spread from the first byte to the
    last: enough to tell the checkpoints of a training apart in a second, but no proof that two
    files are equal. The scripted engine's table: blake2b of all of it. A hub id: `id@commit`. A
    served policy: its name and what its server tells of it. An adapter's digest, of its settings
    and weights, follows the model's.

    Raises:
        ConfigError: no such folder or table, no such model on the hub or in its cache, no server,
            or weights that are pickles; no such adapter.
    """
    if config.adapter is not None:
        read_adapter(config.adapter)
        own = [Path(config.adapter) / name for name in (CONFIG, WEIGHTS)]
        alone = replace(config, adapter=None)
        return f"{model_fingerprint(alone)}+{_digest(own, whole=False)}"
    path = Path(config.model)
    try:
        if config.engine == "openai":
            from durian.engines.openai import served_fingerprint

            return served_fingerprint(config)
        if config.engine == "scripted":
            return _digest([path], whole=True)
        check_model_exists(config.model)
        check_weights(config)
        if path.is_dir():
            files = (f for f in path.iterdir() if f.is_file() and not f.name.startswith("."))
            return _digest(sorted(files), whole=False)
    except OSError as error:
        way_out = "; pass a rollouts table, like RUN/rollouts.parquet"
        raise ConfigError(
            f"model '{config.model}': {error.strerror}"
            f"{way_out if config.engine == 'scripted' else ''}"
        ) from error
    return f"{config.model}@{_commit(config.model, config.engine_args.get('revision'))}"


def _digest(files: list[Path], *, whole: bool) -> str:
    digest = blake2b(digest_size=16)
    for path in files:
        size = path.stat().st_size
        name = b"" if whole else path.name.encode("utf-8", "surrogateescape")
        # Length before name and size before content: without them a byte could move from one file
        # to the next, and two folders have one fingerprint.
        digest.update(len(name).to_bytes(8, "little") + name + size.to_bytes(8, "little"))
        with path.open("rb") as file:
            if whole or size <= WHOLE:
                while chunk := file.read(2**20):
                    digest.update(chunk)
            else:
                for block in range(BLOCKS):
                    file.seek((size - BLOCK) * block // (BLOCKS - 1))
                    digest.update(file.read(BLOCK))
    return digest.hexdigest()


def _commit(model: str, revision: str | None) -> str:
    """The commit that a loader would take now: the hub's, or without a network the cache's."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        return str(HfApi().model_info(model, revision=revision, timeout=REACH_SECONDS).sha)
    except Exception as error:  # no network, no such model, no access: the cache decides
        cached = try_to_load_from_cache(model, "config.json", revision=revision)
        if not isinstance(cached, str):
            raise cannot_load(model, error) from error
        return Path(cached).parent.name
