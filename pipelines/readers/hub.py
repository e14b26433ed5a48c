"""Datasets of the Hugging Face Hub: downloaded or from its cache, then mapped from disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import DatasetError
from pipelines.readers.arrow_files import BATCH_ROWS, batch_rows, label_names
from pipelines.readers.rows import Rows, Wanted

REACH_SECONDS = 10  # to learn whether there is a network, before anything retries


class HubSource:
    """One split of a dataset, as Arrow files in the cache of `datasets`; no image is decoded."""

    def __init__(self, dataset: str, split: str) -> None:
        repo, _, config = dataset.partition(":")
        place = _reachable(repo)
        self.name, self.folder = dataset, Path(place)
        self._dataset = _load(dataset, place, config or None, split)

    def columns(self) -> list[str]:
        """As the dataset declares them."""
        return list(self._dataset.column_names)

    def rows(self, columns: Sequence[str], wanted: Wanted) -> Rows:
        """See `Source.rows`."""
        labels = label_names(self._dataset.features.arrow_schema)
        present = [name for name in columns if name in self._dataset.column_names]
        stored = self._dataset.select_columns(present).with_format("arrow")
        for first in range(0, len(stored), BATCH_ROWS):
            if wanted.done(first):
                return first
            if wanted.touches(first, first + BATCH_ROWS):
                [batch] = stored[first : first + BATCH_ROWS].combine_chunks().to_batches()
                yield from batch_rows(batch, first, wanted, labels)
        return len(stored)


def _load(dataset: str, place: str, config: str | None, split: str) -> Any:
    import datasets  # here: it takes seconds, and local files do not need it

    try:
        return datasets.load_dataset(place, config, split=split)
    except Exception as error:  # the loader and its builders raise whatever comes
        why = " ".join(str(error).split())[:300]
        raise DatasetError(f"{dataset}: cannot be loaded: {why}") from error


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
