"""Settings that name a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from durian.config.options import DATA, Config, again, option, shared


@dataclass(frozen=True, kw_only=True)
class DatasetConfig(Config):
    """Settings that name a dataset, and the columns of its samples' parts."""

    dataset: str = option(
        ...,
        "Hub id; a folder, file or glob of Parquet, JSONL, JSON, CSV, Arrow; an image folder with "
        "metadata.jsonl; WebDataset tars; each also by an address (s3://, gs://, az://, hf://, "
        "https://).",
        positional=True,
        filled="a file, a folder or a hub id",
        identity=False,  # a run is of what is in it
    )
    split: str = option("train", "Split to read.", panel=DATA)
    problem_column: str = option("problem", "Column of the question.", panel=DATA, compared=True)
    answer_column: str = option(
        "answer", "Column of the reference answer.", panel=DATA, compared=True
    )
    images_column: str = option(
        "images",
        "Column of the images, or of one image; several like image_1,image_2 or image_*; '' for "
        "none. `image` and `image_1`... are found by themselves.",
        panel=DATA,
        compared=True,
    )
    options_column: str | None = option(
        None,
        "Column of the options, or one an option like A,B,C,D: put below the question with their "
        "letters; the grader takes letter or content.",
        panel=DATA,
        compared=True,
    )
    image_root: str | None = option(
        None,
        "Folder of the image files, here or by address (s3://bucket/images), if not the dataset's: "
        "relative paths begin there.",
        panel=DATA,
        identity=False,
    )
    id_column: str | None = option(
        None,
        "Column of sample ids.",
        panel=DATA,
        default_text="a hash of the content",
        compared=True,
    )
    limit: int | None = option(None, "Read the first N rows only.", panel=DATA, unit="rows", low=1)

    @property
    def source(self) -> DatasetConfig:
        """The part of the settings that names the dataset."""
        return DatasetConfig(**shared(self, DatasetConfig))


@dataclass(frozen=True, kw_only=True)
class ProfiledDatasetConfig(Config):
    """Where the dataset of a finished run lies, if not where it was profiled."""

    dataset: str | None = option(
        None,
        "The dataset that was profiled, where it lies elsewhere now.",
        panel=DATA,
        default_text="the profile's",
    )
    split: str | None = again(DatasetConfig, "split", None, default_text="the profile's")
    image_root: str | None = again(DatasetConfig, "image_root", default_text="the profile's")
