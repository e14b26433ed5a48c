"""Open a dataset of any accepted form and stream its samples."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from glob import has_magic
from itertools import takewhile
from pathlib import Path

from durian.config import DatasetConfig
from durian.errors import ConfigError, DatasetError
from durian.readers.arrow_files import ArrowSource, ParquetSource
from durian.readers.columns import (
    MOST_FURTHER,
    PLAIN,
    Columns,
    choose_columns,
    describe_columns,
    unread_images,
    unshown_options,
)
from durian.readers.find import KINDS, find_files
from durian.readers.head import Head
from durian.readers.hints import image_hint
from durian.readers.hub import hub_files, hub_folders
from durian.readers.image_files import ImageFiles
from durian.readers.opened import kind_of
from durian.readers.rows import Source, Wanted
from durian.readers.sample import to_sample
from durian.readers.text_files import CsvSource, JsonSource
from durian.readers.webdataset import WebDatasetSource
from durian.records import JsonObject
from durian.samples import Sample

_LFS = b"version https://git-lfs.github.com/"  # how a pointer of Git LFS begins


class SampleReader:
    """The samples of one dataset, as often as they are asked for."""

    def __init__(
        self,
        name: str,
        sources: Sequence[Source],
        config: DatasetConfig,
        roots: Sequence[Path] = (),
    ) -> None:
        """Hold the data files; `roots` are folders of images beside each file's own."""
        self.name = name  # how a person calls the dataset
        self._limit = config.limit
        opened = list(_opened(sources, config, roots))
        self._sources = [(source, columns, files) for source, columns, files, _ in opened]
        self._within = roots[0] if roots else Path()
        _, columns, _, head = opened[0]
        self.unshown_options = unshown_options(head, columns)  # a column, or several like A,B,C
        self.described = describe_columns(head, columns)  # where what stands, for the manifest

    @property
    def said(self) -> list[str]:
        """Lines that say how the rows were understood, where that is not plain from their names."""
        read = self.described
        lines = [f"rows: {note}" for note in read["notes"]]
        if read["form"] != PLAIN:
            images = ", ".join(read["images"]) or "none"
            lines.insert(
                0,
                f"rows read as {read['form']}: problem from {read['problem']}, answer from "
                f"{read['answer']}, images from {images}",
            )
        return lines

    def described_with(self, notes: Sequence[str]) -> JsonObject:
        """The places of a sample's parts in the rows, with the notes on all rows."""
        return {**self.described, "notes": [*self.described["notes"], *notes]}

    def image_hint(self) -> str:
        """Suggest the option to pass where no image of the first rows can be read."""
        source, columns, files = self._sources[0]
        return image_hint(source.head(), columns, files, source.folder)

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
            shown = os.path.relpath(source.path, self._within)
            offset += yield from _samples(source, columns, files, wanted, offset, shown)


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
    with suppress(OSError), path.open("rb") as file:  # one that cannot be read says so itself
        if file.read(len(_LFS)) == _LFS:
            raise DatasetError(
                f"{path}: a Git LFS pointer in place of the data; fetch that with `git lfs pull`"
            )
    match kind_of(path):
        case ".parquet":
            return ParquetSource(path)
        case ".arrow":
            return ArrowSource(path)
        case ".csv" | ".tsv":
            return CsvSource(path)
        case ".tar":
            named = config.images_column
            return WebDatasetSource(path, named if named.isidentifier() else "images")
        case _:
            return JsonSource(path, config.split)


def _samples(
    source: Source,
    columns: Columns,
    files: ImageFiles,
    wanted: Wanted,
    offset: int,
    source_file: str,
) -> Generator[Sample, None, int]:
    # `for` would drop what the generator returns: the number of rows in the file, without which the
    # positions of the next file could not be told.
    rows = source.rows(columns.read, wanted.shifted(offset))
    while True:
        try:
            position, values = next(rows)
        except StopIteration as end:
            return int(end.value)
        yield to_sample(offset + position, values, columns, files, source_file)


def _opened(
    sources: Sequence[Source], config: DatasetConfig, roots: Sequence[Path]
) -> Iterator[tuple[Source, Columns, ImageFiles, Head]]:
    """Give each data file with its columns, sought once, and again where a file has others."""
    known: Head | None = None
    for source in sources:
        files = _image_files(source, config, roots)
        # A footer or a schema has the names of the columns; the first rows come with their images.
        # So a dataset of a thousand shards is looked into once, and again only where the columns
        # change.
        if known is None or set(source.columns() or ()) != set(known.columns):
            known = source.head()
            columns = choose_columns(known, config, source.name)
        yield source, _with_further(columns, source, known), files, known


def _with_further(columns: Columns, source: Source, head: Head) -> Columns:
    """The columns with what else is read beside them."""
    needed = [name if name in head.columns else name.partition(".")[0] for name in columns.needed]
    # Beside the sample's own columns all light ones are read, for templates, custom rewards and the
    # report. A column of images is never among them, not even one that is left unread on purpose.
    images = {*sum(columns.images, ()), *unread_images(head, columns)}
    light = [name for name in source.light(head.columns) if name not in images]
    further = source.plain([name for name in light if name not in columns.needed])
    return replace(
        columns,
        read=tuple(dict.fromkeys((*needed, *light))),
        cells=tuple(light),
        further=tuple(further[:MOST_FURTHER]),
    )
