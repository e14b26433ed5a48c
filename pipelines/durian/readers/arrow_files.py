"""Parquet and Arrow files, a few rows in memory at a time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from mmap import ACCESS_READ, MADV_DONTNEED, mmap
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from durian.errors import DatasetError, one_line
from durian.places import Place
from durian.readers.cells import Narrow
from durian.readers.head import HEAD, Head
from durian.readers.rows import BadRow, Rows, Wanted, first_rows

BATCH_ROWS = 64  # rows may hold megabytes of images

Mend = Callable[[Any], Any]  # of one value, null too


class ParquetSource:
    """A .parquet file."""

    def __init__(self, path: Place) -> None:
        self.name, self.folder = str(path), path.parent
        self.path = path

    def columns(self) -> list[str]:
        """The names of the columns, by the file's footer."""
        return distinct_names(self.name, self._schema)

    def head(self) -> Head:
        """See `Source.head`."""
        columns = self.columns()
        typed = image_names(self._schema)
        return Head(columns, first_rows(self.rows(columns, Wanted(stop=HEAD))), typed)

    def light(self, columns: Sequence[str]) -> list[str]:
        """See `Source.light`."""
        return light_names(self._schema, columns)

    def plain(self, columns: Sequence[str]) -> list[str]:
        """See `Source.plain`."""
        return plain_names(self._schema, columns)

    def rows(self, columns: Sequence[str], wanted: Wanted) -> Rows:
        """Skip whole row groups; see `Source.rows`."""
        with self._open() as file:
            schema = file.schema_arrow
            present = [name for name in columns if name in schema.names]
            mends = mends_of(schema)
            first = 0
            # The footer gives the rows of each group, so groups without a wanted row are stepped
            # over unread. Within a group a few rows at a time are decoded: their images may be
            # megabytes each.
            for group in range(file.num_row_groups):
                end = first + file.metadata.row_group(group).num_rows
                if wanted.touches(first, end):
                    batches = file.iter_batches(
                        BATCH_ROWS, row_groups=[group], columns=present, use_threads=False
                    )
                    for batch in batches:
                        if wanted.done(first):
                            return first
                        yield from batch_rows(batch, first, wanted, mends)
                        first += batch.num_rows
                first = end
            return first

    @cached_property
    def _schema(self) -> pa.Schema:
        with self._open() as file:
            return file.schema_arrow

    @contextmanager
    def _open(self) -> Iterator[pa.parquet.ParquetFile]:
        # Pyarrow's own defaults read whole row groups ahead, gigabytes where images are embedded.
        with (
            _damage(self.name, "Parquet"),
            self.path.open("rb") as content,
            pa.parquet.ParquetFile(content, pre_buffer=False, buffer_size=1 << 20) as file,
        ):
            yield file


class ArrowSource:
    """An .arrow file, of the file or the stream format; mapped, not read into memory."""

    def __init__(self, path: Place, name: str | None = None) -> None:
        self.name, self.folder = name or str(path), path.parent
        self.path = path

    def columns(self) -> list[str]:
        """The names of the columns, by the file's schema."""
        with self._open() as (schema, _):
            return distinct_names(self.name, schema)

    def head(self) -> Head:
        """See `Source.head`."""
        columns = self.columns()
        with self._open() as (schema, _):
            typed = image_names(schema)
        return Head(columns, first_rows(self.rows(columns, Wanted(stop=HEAD))), typed)

    def light(self, columns: Sequence[str]) -> list[str]:
        """See `Source.light`."""
        with self._open() as (schema, _):
            return light_names(schema, columns)

    def plain(self, columns: Sequence[str]) -> list[str]:
        """See `Source.plain`."""
        with self._open() as (schema, _):
            return plain_names(schema, columns)

    def rows(self, columns: Sequence[str], wanted: Wanted) -> Rows:
        """See `Source.rows`."""
        with self._open() as (schema, batches):
            present = [name for name in columns if name in schema.names]
            mends = mends_of(schema)
            first = 0
            for batch in batches:
                if wanted.done(first):
                    break
                if wanted.touches(first, first + batch.num_rows):
                    yield from batch_rows(batch.select(present), first, wanted, mends)
                first += batch.num_rows
            return first

    @contextmanager
    def _open(self) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        with _damage(self.name, "Arrow"), self.path.open("rb") as file:
            mapped = isinstance(self.path, Path)
            pages = mmap(file.fileno(), 0, access=ACCESS_READ) if mapped else None
            content = pa.PythonFile(file) if pages is None else pa.py_buffer(pages)
            head = file.read(6)
            file.seek(0)
            if head == b"ARROW1":
                reader = pa.ipc.open_file(content)
                batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
                yield reader.schema, _let_go(pages, batches)
            else:
                stream = pa.ipc.open_stream(content)
                yield stream.schema, _let_go(pages, iter(stream))


def _let_go(pages: mmap | None, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches; what has been read of the file does not stay in the process's memory."""
    for batch in batches:
        yield batch
        # Pages of a mapped file count as the process's memory until the system wants them back: a
        # dataset of 100 GB would look like a leak of 100 GB.
        if pages is not None:
            pages.madvise(MADV_DONTNEED)  # a page that is needed after all is mapped again


def batch_rows(
    batch: pa.RecordBatch, first: int, wanted: Wanted, mends: Mapping[str, Mend]
) -> Iterator[tuple[int, Mapping[str, Any] | BadRow]]:
    """The wanted rows of a batch whose first row stands at `first`, one by one as Python values."""
    columns = list(zip(batch.schema.names, batch.columns, strict=True))
    mended = [(name, mends[name]) for name, _ in columns if name in mends]
    some = wanted.rows is not None or not wanted.covers(first, first + batch.num_rows)
    for index in range(batch.num_rows):
        if some and not wanted.touches(first + index, first + index + 1):
            continue
        try:
            # Cell by cell rather than `to_pylist`: text that is not UTF-8 fails when it becomes a
            # Python string, and must cost one row, not the 64 of its batch.
            values = {name: column[index].as_py() for name, column in columns}
        except UnicodeDecodeError as error:
            yield first + index, BadRow("text is not UTF-8", error.object)
            continue
        for name, mend in mended:
            values[name] = mend(values[name])
        yield first + index, values


def distinct_names(name: str, schema: pa.Schema) -> list[str]:
    """The names of the columns.

    Raises:
        DatasetError: two have the same one.
    """
    if twice := [column for column, count in Counter(schema.names).items() if count > 1]:
        raise DatasetError(f"{name}: column '{twice[0]}' stands there twice; rename one of them")
    return list(schema.names)


def light_names(schema: pa.Schema, columns: Sequence[str]) -> list[str]:
    """Columns without images: neither bytes nor long lists of numbers in them, however deep."""
    light = {field.name for field in schema if not _is_heavy(field.type)}
    return [name for name in columns if name in light]


def _is_heavy(kind: pa.DataType) -> bool:
    # Images come as binary, as `list<uint8>`, and nested in structs and lists of either. A column
    # with any of these in it is read only where it is asked for: to read it for a template would be
    # to read all the bytes of the dataset for nothing.
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return bool(pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)
                    or _is_heavy(kind.value_type))  # fmt: skip
    if pa.types.is_struct(kind):
        return any(_is_heavy(kind.field(place).type) for place in range(kind.num_fields))
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def plain_names(schema: pa.Schema, columns: Sequence[str]) -> list[str]:
    """Columns of numbers, flags or texts; images and lists are not read for nothing."""
    plain = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_boolean,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_dictionary,
    )
    found = {field.name for field in schema if any(test(field.type) for test in plain)}
    return [name for name in columns if name in found]


def image_names(schema: pa.Schema) -> list[str]:
    """Columns of the `Image` feature of `datasets`, or of lists of it, by their type."""
    return [field.name for field in schema if _is_image(field.type)]


def _is_image(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _is_image(kind.value_type)
    if not pa.types.is_struct(kind) or kind.num_fields != 2:
        return False
    fields = {field.name: field.type for field in (kind.field(0), kind.field(1))}
    return fields.keys() == {"bytes", "path"} and bool(pa.types.is_binary(fields["bytes"]))


def mends_of(schema: pa.Schema) -> dict[str, Mend]:
    """Choose by their types what is done to the values of some columns, once for a file.

    A number of a `ClassLabel` column becomes its name, one stored in fewer bits a `Narrow`.
    """
    # A `ClassLabel` is stored as a number, and a policy is asked for a name: left as they are, all
    # answers "cat" would be compared with "0" and be wrong.
    by_type = {field.name: mend for field in schema if (mend := _narrowed(field.type)) is not None}
    return by_type | {name: partial(_named, known) for name, known in _labels(schema).items()}


def _narrowed(kind: pa.DataType) -> Mend | None:
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        width = np.float32 if pa.types.is_float32(kind) else np.float16
        return lambda value: None if value is None else Narrow.of(value, width)
    if not pa.types.is_struct(kind):
        return None  # of a list, too: an embedding is long, and no answer
    fields = (kind.field(place) for place in range(kind.num_fields))
    inner = {f.name: mend for f in fields if (mend := _narrowed(f.type)) is not None}
    if not inner:
        return None
    return lambda value: value and value | {name: mend(value[name]) for name, mend in inner.items()}


def _named(known: Sequence[str], label: Any) -> Any:
    return known[label] if isinstance(label, int) and 0 <= label < len(known) else label


def _labels(schema: pa.Schema) -> dict[str, list[str]]:
    """The names behind the numbers of each `ClassLabel` column that `datasets` has written."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            name: list(feature["names"])
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (KeyError, TypeError, ValueError):
        return {}  # not written by `datasets`


@contextmanager
def _damage(name: str, kind: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DatasetError(f"{name}: cannot be read as {kind}: {one_line(error)}") from error
