"""The images of samples: from the dataset by row, else from the run's thumbnails, else why not."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import polars as pl
from PIL import Image

from durian.errors import DurianError, InputError, one_line
from durian.images.decode import decode
from durian.images.formats import format_of
from durian.readers.dataset import SampleReader
from durian.run.folder import THUMBNAILS_FILE, unreadable
from durian.samples import Failed
from durian.table.checked import DAMAGE

THUMBNAIL_SIDE = 320  # pixels
_SHOWN = {  # what browsers draw as it is
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
}
_MOST_THUMBNAILS, _MOST_SAMPLES = 600, 4  # that are kept
_AT_ONCE = 50  # samples whose images are held


@dataclass(frozen=True)
class Picture:
    """An encoded image that a browser draws."""

    content: bytes
    kind: str  # like image/png


class Pictures:
    """Reads the images of a run's samples, a page of them in one pass over the dataset."""

    def __init__(
        self, run: Path, open_reader: Callable[[], SampleReader], pixel_limit: int
    ) -> None:
        """Hold how to open the dataset, which is done at the first question.

        Args:
            open_reader: raises InputError where there is no dataset to read.
        """
        self._run, self._open, self._pixel_limit = run, open_reader, pixel_limit
        self._reader: SampleReader | None = None
        self._lock = Lock()
        self._thumbnails: dict[int, Picture | str] = {}  # by row
        self._samples: dict[int, Sequence[bytes] | str] = {}
        self._page: Sequence[tuple[int, str]] = ()

    def open(self) -> None:
        """Open the dataset now.

        Raises:
            InputError: it is not there, or cannot be read.
        """
        self._reader = self._reader or self._open()

    def coming(self, page: Sequence[tuple[int, str]]) -> None:
        """Say which samples, by row and id, will be asked for together."""
        self._page = page

    def image(self, row: int, sample_id: str, number: int) -> Picture | str:
        """An image of a sample in full size, or why there is none."""
        with self._lock:
            if row not in self._samples:
                self._samples[row] = self._read([(row, sample_id)])[row]
                while len(self._samples) > _MOST_SAMPLES:
                    del self._samples[next(iter(self._samples))]
            images = self._samples[row]
        if isinstance(images, str):
            return images
        if number >= len(images) or not images[number]:
            return "the image cannot be read"
        return self._drawable(images[number])

    def thumbnail(self, row: int, sample_id: str) -> Picture | str:
        """A small picture of a sample's first image, or why there is none."""
        with self._lock:
            if row not in self._thumbnails:
                # The dataset is read once for the whole page: rows in one row group of embedded
                # images are reached only over those before them.
                asked = [(row, sample_id), *self._page]
                missing = [pair for pair in dict(asked).items() if pair[0] not in self._thumbnails]
                for at, images in self._read(missing).items():
                    self._thumbnails[at] = (
                        images if isinstance(images, str) else self._small(images)
                    )
                kept = self._stored(missing)
                self._thumbnails |= {
                    at: kept[at] for at, held in self._thumbnails.items()
                    if isinstance(held, str) and at in kept
                }  # fmt: skip
                while len(self._thumbnails) > _MOST_THUMBNAILS:
                    del self._thumbnails[next(iter(self._thumbnails))]
            return self._thumbnails.get(row, "no image")

    def each(self, asked: Sequence[tuple[int, str]]) -> Iterator[tuple[int, list[Picture | str]]]:
        """All images of some samples, by row; a sample without any has its thumbnail, if kept."""
        kept = self._stored(asked)
        for first in range(0, len(asked), _AT_ONCE):
            for row, images in self._read(asked[first : first + _AT_ONCE]).items():
                if isinstance(images, str):
                    yield row, [kept[row]] if row in kept else []
                else:
                    yield row, [self._drawable(image) if image else "" for image in images]

    def _read(self, asked: Sequence[tuple[int, str]]) -> dict[int, Sequence[bytes] | str]:
        """The encoded images of some samples, by row, or why there are none."""
        ids = dict(asked)
        try:
            self.open()
            assert self._reader is not None
            found: dict[int, Sequence[bytes] | str] = {}
            for sample in self._reader.samples(rows=list(ids)):
                if sample.sample_id != ids[sample.row]:
                    found[sample.row] = (
                        "the dataset has another sample in this row; pass --dataset with the one "
                        "that was profiled"
                    )
                else:
                    found[sample.row] = sample.images or (sample.error or "the sample has no image")
        except InputError as error:
            why = f"{one_line(error)}"
            why += "" if "--dataset" in why else "; pass --dataset"
            return dict.fromkeys(ids, why)
        except (DurianError, OSError) as error:
            return dict.fromkeys(ids, one_line(error))
        lost = "the dataset has no such row; pass --dataset with the one that was profiled"
        return {row: found.get(row, lost) for row in ids}

    def _small(self, images: Sequence[bytes]) -> Picture | str:
        decoded = decode(images[0], pixel_limit=self._pixel_limit, keep=True)
        if isinstance(decoded, Failed):
            return decoded.error
        if decoded.rgb is None:
            return "the image cannot be shown"
        small = decoded.rgb.copy()
        small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        return _encoded(small, "JPEG")

    def _drawable(self, content: bytes) -> Picture | str:
        kind = _SHOWN.get(format_of(content) or "")
        if kind is not None:
            return Picture(content, kind)
        decoded = decode(content, pixel_limit=self._pixel_limit, keep=True)
        if isinstance(decoded, Failed):
            return decoded.error
        return "the image cannot be shown" if decoded.rgb is None else _encoded(decoded.rgb, "PNG")

    def _stored(self, asked: Sequence[tuple[int, str]]) -> dict[int, Picture]:
        path, rows = self._run / THUMBNAILS_FILE, {id: row for row, id in asked}
        if not path.exists():
            return {}
        try:
            kept = pl.scan_parquet(path, glob=False).select("sample_id", "jpeg")
            found = kept.filter(pl.col("sample_id").is_in(list(rows))).collect()
        except DAMAGE as error:
            raise unreadable(path, error) from error
        return {rows[id]: Picture(jpeg, "image/jpeg") for id, jpeg in found.iter_rows() if jpeg}


def _encoded(image: Image.Image, form: str) -> Picture:
    file = io.BytesIO()
    image.convert("RGB").save(file, form, quality=80)
    return Picture(file.getvalue(), _SHOWN[form])
