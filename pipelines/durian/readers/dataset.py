"""Open a dataset of any accepted form and stream its samples."""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from glob import has_magic
from hashlib import blake2b
from pathlib import Path

from durian.config import DatasetConfig
from durian.errors import ConfigError, DatasetError
from durian.places import Place, Remote, before_magic, place_of, relative
from durian.places.side_by_side import side_by_side
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
        roots: Sequence[Place] = (),
        image_root: Place | None = None,
    ) -> None:
        """Hold the data files.

        Args:
            roots: folders of images beside each file's own.
            image_root: the folder that comes before those.
        """
        self.name = name  # how a person calls the dataset
        self._limit = config.limit
        opened = list(_opened(sources, config, roots, image_root))
        self._sources = [(source, columns, files) for source, columns, files, _ in opened]
        self._within: Place = roots[0] if roots else Path()
        _, columns, _, head = opened[0]
        self.unshown_options = unshown_options(head, columns)  # a column, or several like A,B,C
        self.described = describe_columns(head, columns)  # where what stands, for the manifest
        if served := [source.path for source in sources if isinstance(source.path, Remote)]:
            self.described["files"] = _versions(served)

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
            shown = relative(source.path, self._within)
            offset += yield from _samples(source, columns, files, wanted, offset, shown)


def open_dataset(config: DatasetConfig) -> SampleReader:
    """Find a dataset and check its columns; no row is read yet.

    Raises:
        DatasetError: nothing is there, it is of no known form, has no such split, or lacks a
            column.
        ConfigError: the folder of its images is not there.
    """
    dataset, root = config.dataset, None
    if config.image_root is not None:
        root = place_of(config.image_root)  # of a bucket it would take a listing to know: no check
        if isinstance(root, Path) and not root.is_dir():
            raise ConfigError(
                f"image-root is '{config.image_root}'; no such folder: check the path"
            )
    place = place_of(dataset)
    files = find_files(place, config.split)
    if files is not None:
        sources = [_source(file, config) for file in files]
        name = dataset if isinstance(place, Path) and has_magic(dataset) else _short_name(place)
        return SampleReader(name, sources, config, [_named_folder(place)], root)
    if isinstance(place, Remote):
        raise DatasetError(f"{place}: no such file or folder; check the address")
    is_id = re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?(:[\w.-]+)?", dataset)
    if not is_id or dataset.endswith(KINDS):
        raise DatasetError(f"{dataset}: no such file or folder; check the path")
    shards = hub_files(dataset, config.split)
    arrow = [ArrowSource(shard, name=dataset) for shard in shards]
    return SampleReader(dataset, arrow, config, hub_folders(), root)


def _versions(files: Sequence[Remote]) -> JsonObject:
    """The files of a server as they were opened: how many, their bytes, and a digest of all."""
    digest = blake2b(digest_size=16)
    for file in files:
        digest.update(f"{file}\0{file.stat().st_size}\0{file.stat().tag}\0".encode())
    return {
        "count": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "versions": digest.hexdigest(),  # of names, sizes and ETags
    }


def _named_folder(place: Place) -> Place:
    """The folder that the user has named: of a glob, what comes before its first wildcard."""
    if place.is_file():
        return place.parent
    return place if place.is_dir() else before_magic(place)


def _image_files(source: Source, roots: Sequence[Place], image_root: Place | None) -> ImageFiles:
    if image_root is None:
        return ImageFiles(source.folder, (source.folder, *roots))
    return ImageFiles(image_root, (image_root, source.folder, *roots))


def _short_name(place: Place) -> str:
    if isinstance(place, Remote):
        return str(place)
    # "test.parquet" alone would not tell one dataset from another.
    path = place.resolve()
    return f"{path.parent.name}/{path.name}" if path.is_file() else path.name


def _source(path: Place, config: DatasetConfig) -> Source:
    if isinstance(path, Path):
        with suppress(OSError), path.open("rb") as file:  # one that cannot be read says so itself
            if file.read(len(_LFS)) == _LFS:
                raise DatasetError(
                    f"{path}: a Git LFS pointer in place of the data; fetch that with "
                    "`git lfs pull`"
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
    def made() -> Generator[partial[Sample], None, int]:
        # `for` would drop what the generator returns: the number of rows in the file, without which
        # the positions of the next file could not be told.
        rows = source.rows(columns.read, wanted.shifted(offset))
        while True:
            try:
                position, values = next(rows)
            except StopIteration as end:
                return int(end.value)
            yield partial(to_sample, offset + position, values, columns, files, source_file)

    if files.served:
        return (yield from side_by_side(made(), _bytes))
    calls = made()
    while True:
        try:
            call = next(calls)
        except StopIteration as end:
            return int(end.value)
        yield call()


def _bytes(sample: Sample) -> int:
    return sum(map(len, sample.images))


def _opened(
    sources: Sequence[Source],
    config: DatasetConfig,
    roots: Sequence[Place],
    image_root: Place | None,
) -> Iterator[tuple[Source, Columns, ImageFiles, Head]]:
    """Give each data file with its columns, sought once, and again where a file has others."""
    known: Head | None = None
    for source in sources:
        files = _image_files(source, roots, image_root)
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
