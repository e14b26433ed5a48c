"""Open a dataset of any accepted form and stream its samples."""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from glob import has_magic
from itertools import takewhile
from pathlib import Path

from durian.config import DatasetConfig
from durian.errors import ConfigError, DatasetError
from durian.readers.arrow_files import ArrowSource, ParquetSource
from durian.readers.find import KINDS, find_files
from durian.readers.hub import hub_files, hub_folders
from durian.readers.image_files import ImageFiles
from durian.readers.rows import Columns, Source, Wanted, to_sample
from durian.readers.text_files import CsvSource, JsonSource
from durian.readers.webdataset import WebDatasetSource
from durian.samples import Sample

# What datasets call these columns, the likeliest first: to suggest, never to take silently.
_USUAL = {
    "problem": ("problem", "question", "query", "prompt", "instruction", "input", "text"),
    "answer": ("answer", "solution", "ground_truth", "gt_answer", "final_answer", "label", "target",
               "answers", "response", "output"),
    "images": ("images", "image", "img", "imgs", "picture", "pictures", "figure", "decoded_image",
               "image_path", "image_paths", "image_bytes", "file_name", "file_names", "jpg", "png"),
    "id": ("id", "uid", "uuid", "sample_id", "question_id", "index"),
}  # fmt: skip

MOST_FURTHER = 32  # columns beside those of a sample, the first ones


class SampleReader:
    """The samples of one dataset, as often as they are asked for."""

    def __init__(
        self,
        name: str,
        sources: Sequence[Source],
        config: DatasetConfig,
        roots: Sequence[Path] = (),
    ) -> None:
        """Args: `roots`: folders that images may be in, beside each data file's own."""
        self.name = name  # how a person calls the dataset
        self._limit = config.limit
        self._sources = [
            (source, _columns(source, config), _image_files(source, config, roots))
            for source in sources
        ]

    def samples(self, start: int = 0, rows: Collection[int] | None = None) -> Iterator[Sample]:
        """Stream the samples in the order of the dataset, from its beginning at each call.

        Memory does not grow with the number of rows. A row that cannot be read whole comes as a
        sample with an `error`.

        Args:
            start: position of the first row to give; those before it are skipped.
            rows: give only these row positions.
        Raises:
            DatasetError: a file is damaged, so that its rows cannot be told.
        """
        wanted = Wanted(start, self._limit, None if rows is None else sorted(rows))
        offset = 0
        for source, columns, files in self._sources:
            if wanted.done(offset):
                return
            offset += yield from _samples(source, columns, files, wanted, offset)


def open_dataset(config: DatasetConfig) -> SampleReader:
    """Find a dataset and check its columns; no row is read yet.

    Raises:
        DatasetError: nothing is there, it is of no known form, has no such split, or lacks a
            column.
        ConfigError: the folder of its images is not there.
    """
    dataset = config.dataset
    if config.image_root is not None and not Path(config.image_root).expanduser().is_dir():
        raise ConfigError(f"image-root is '{config.image_root}'; no such folder: check the path")
    files = find_files(dataset, config.split)
    if files is not None:
        name = dataset if has_magic(dataset) else _short_name(Path(dataset).resolve())
        roots = [_named_folder(dataset)]
        return SampleReader(name, [_source(file, config) for file in files], config, roots)
    is_id = re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?(:[\w.-]+)?", dataset)
    if not is_id or dataset.endswith(KINDS):
        raise DatasetError(f"{dataset}: no such file or folder; check the path")
    shards = hub_files(dataset, config.split)
    sources = [ArrowSource(shard, name=dataset) for shard in shards]
    return SampleReader(dataset, sources, config, hub_folders())


def _named_folder(dataset: str) -> Path:
    """The folder that the user has named: of a glob, what comes before its first wildcard."""
    path = Path(dataset).expanduser()
    if path.is_dir():
        return path
    if not path.is_file():
        path = Path(*takewhile(lambda part: not has_magic(part), path.parts), "*")
    return path.parent


def _image_files(source: Source, config: DatasetConfig, roots: Sequence[Path]) -> ImageFiles:
    if config.image_root is None:
        return ImageFiles(source.folder, (source.folder, *roots))
    named = Path(config.image_root).expanduser()
    return ImageFiles(named, (named, source.folder, *roots))


def _short_name(path: Path) -> str:
    # "test.parquet" alone would not tell one dataset from another.
    return f"{path.parent.name}/{path.name}" if path.is_file() else path.name


def _source(path: Path, config: DatasetConfig) -> Source:
    match path.suffix:
        case ".parquet":
            return ParquetSource(path)
        case ".arrow":
            return ArrowSource(path)
        case ".csv":
            return CsvSource(path)
        case ".tar":
            return WebDatasetSource(path, config.images_column)
        case _:
            return JsonSource(path)


def _samples(
    source: Source, columns: Columns, files: ImageFiles, wanted: Wanted, offset: int
) -> Generator[Sample, None, int]:
    rows = source.rows(columns.names, wanted.shifted(offset))
    while True:
        try:
            position, values = next(rows)
        except StopIteration as end:
            return int(end.value)
        yield to_sample(offset + position, values, columns, files)


def _columns(source: Source, config: DatasetConfig) -> Columns:
    """The columns to read, after a look at which there are."""
    found = source.columns()
    images: tuple[str, ...] = (config.images_column,)
    if config.images_column == DatasetConfig.images_column:
        images += ("image",)
        if Path(source.name).stem == "metadata":  # of an image folder
            images += ("file_names", "file_name")
    if found is not None:
        _check(source, found, "problem", config.problem_column)
        _check(source, found, "answer", config.answer_column)
        if config.id_column is not None:
            _check(source, found, "id", config.id_column)
        named = config.images_column != DatasetConfig.images_column
        unnamed = set(images).isdisjoint(found) and not set(_USUAL["images"]).isdisjoint(found)
        if named or unnamed:  # neither: a dataset of text
            _check(source, found, "images", config.images_column)
    columns = Columns(
        problem=config.problem_column,
        answer=config.answer_column,
        images=images,
        id=config.id_column,
    )
    further = [name for name in found or () if name not in columns.needed]
    return replace(columns, further=tuple(source.plain(further)[:MOST_FURTHER]))


def _check(source: Source, found: list[str], field: str, column: str) -> None:
    if column in found:
        return
    usual = [name for name in _USUAL[field] if name in found]
    likely = (usual or get_close_matches(column, found, n=1) or ["COLUMN"])[0]
    raise DatasetError(
        f"{source.name}: no column '{column}' (found: {', '.join(found) or 'none'}); "
        f"pass --{field}-column {likely}"
    )
