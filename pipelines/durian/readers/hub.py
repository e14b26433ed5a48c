"""Datasets of the Hugging Face Hub: downloaded, or from its cache, to Arrow files on disk."""

from __future__ import annotations

from pathlib import Path

from durian.errors import DatasetError, one_line, require

REACH_SECONDS = 10  # to learn whether there is a network, before anything retries


def hub_files(dataset: str, split: str) -> list[Path]:
    """The Arrow files that `datasets` keeps of one split, in the order of its rows.

    Args:
        dataset: an id of the Hub, or `ID:CONFIG` for one that has several configurations.
    Raises:
        DatasetError: no such dataset, configuration or split, or no network and no cached copy.
    """
    if "[" in split:
        raise DatasetError(f"{dataset}: split '{split}' is a slice; pass a whole split and --limit")
    repo, _, config = dataset.partition(":")
    require(f"{dataset}: no such file or folder; a dataset of the Hub", "datasets")
    place = _reachable(repo)
    import datasets  # here: it takes seconds, and local files do not need it

    try:
        loaded = datasets.load_dataset(place, config or None, split=split, keep_in_memory=False)
    except Exception as error:  # the loader and its builders raise whatever comes
        raise DatasetError(f"{dataset}: cannot be loaded: {one_line(error)}") from error
    return [Path(file["filename"]) for file in loaded.cache_files]


def hub_folders() -> list[Path]:
    """The caches in which the Hub's image files lie, once `hub_files` has brought them."""
    from datasets import config
    from huggingface_hub import constants

    return [Path(config.HF_DATASETS_CACHE), Path(constants.HF_HUB_CACHE)]


def _reachable(repo: str) -> str:
    """The id if the Hub answers for it, or the folder of its cached snapshot if it does not.

    Without this, `datasets` retries a Hub that is out of reach for 23 seconds, and does not look
    for a snapshot that `hf download` has left in the cache.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import (
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        HfApi().dataset_info(repo, timeout=REACH_SECONDS)
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise DatasetError(
            f"{repo}: no such file, folder or dataset of the Hub, or no access to it; "
            "check the name, or log in with `hf auth login`"
        ) from error
    except Exception as error:  # no network, or HF_HUB_OFFLINE: each transport has its own errors
        try:
            return str(snapshot_download(repo, repo_type="dataset", local_files_only=True))
        except LocalEntryNotFoundError:
            raise DatasetError(
                f"{repo}: no such file or folder, and the Hugging Face Hub cannot be reached; "
                "pass a local path"
            ) from error
    return repo
