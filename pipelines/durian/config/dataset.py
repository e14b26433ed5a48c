"""Where the samples are."""

from __future__ import annotations

from dataclasses import dataclass

from durian.config.checks import at_least, not_empty


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """Where the samples are, and which columns hold what."""

    dataset: str  # hub id, folder, file or glob
    split: str = "train"
    problem_column: str = "problem"
    answer_column: str = "answer"
    images_column: str = "images"  # a single-image column too; `image` is found by itself
    image_root: str | None = None  # folder of image paths; None: the data file's
    id_column: str | None = None  # default: content hash
    limit: int | None = None  # first rows only

    def __post_init__(self) -> None:
        not_empty("dataset", self.dataset, "a file, a folder or a hub id")
        if self.limit is not None:
            at_least("limit", self.limit, 1)
