"""Open the dataset of a run again, to be read as its profile read it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from durian.config import DatasetConfig
from durian.errors import ConfigError, DatasetError, RunFolderError
from durian.readers.dataset import SampleReader, open_dataset
from durian.records import from_json
from durian.run.folder import MANIFEST
from durian.run.manifest import Manifest


def open_profiled(
    run: str | Path,
    manifest: Manifest,
    *,
    dataset: str | None,
    split: str | None,
    image_root: str | None,
) -> SampleReader:
    """Find the dataset that a run was made of.

    Args:
        dataset, split, image_root: where they are others than the profile's; None: the profile's.
    Raises:
        InputError: it is not there, or the manifest names none.
    """
    names = {f.name for f in fields(DatasetConfig)}
    settings = {name: value for name, value in manifest.config.items() if name in names}
    given = {"dataset": dataset, "split": split, "image_root": image_root}
    settings |= {name: value for name, value in given.items() if value is not None}
    if "dataset" not in settings:
        raise ConfigError(f"{run}: its manifest names no dataset; pass --dataset")
    try:
        named = from_json(DatasetConfig, settings)
    except ValueError as error:
        raise RunFolderError(f"{Path(run) / MANIFEST}: {error}; profile again") from error
    try:
        return open_dataset(named)
    except DatasetError as error:
        if dataset is not None:
            raise
        raise DatasetError(
            f"{error} (the dataset of {run}; pass --dataset where it lies elsewhere now)"
        ) from error
