"""Other datasets beside the one that is profiled: what they show, to look for its samples there."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain, zip_longest
from typing import Any

import numpy as np
import pyarrow as pa

from durian.config import ProfileConfig
from durian.duplicates.found import shown_by
from durian.duplicates.others import HOW, WORDS, Held, Leak, Shown, held_in
from durian.errors import RunError
from durian.measures.duplicates import LENGTH
from durian.measuring.decoding import decoded
from durian.measuring.measuring import signing
from durian.readers.dataset import SampleReader, open_dataset
from durian.readers.scan import scan, told_apart
from durian.run.folder import RunFolder
from durian.run.manifest import ComparedSet
from durian.run.progress import Progress, Silent
from durian.samples import Sample
from durian.schema import DIFFICULTY, arrow_array, arrow_type


@dataclass(frozen=True, kw_only=True)
class Other:
    """Another dataset, before its images are read."""

    name: str  # as `also_in` calls it
    reader: SampleReader
    split: str


LEAKS_SHOWN = 12  # samples a dataset, on the page


def open_others(config: ProfileConfig) -> list[Other]:
    """Find the datasets of `--against`.

    Raises:
        InputError: as `open_dataset`.
    """
    sources = config.others
    readers = [open_dataset(source) for source in sources]
    names = [reader.name for reader in readers]
    return [
        Other(
            # As the dataset is called elsewhere, unless two are called the same.
            name=reader.name if names.count(reader.name) == 1 else given,
            reader=reader,
            split=source.split,
        )
        for given, reader, source in zip(config.against, readers, sources, strict=True)
    ]


def fingerprints(others: Sequence[Other]) -> list[str]:
    """Read the rows of other datasets, no image of them, for what must not change.

    Raises:
        DatasetError: one has no rows, or is damaged.
    """
    return [scan(other.reader.samples(), Silent(), own_ids=False).fingerprint for other in others]


def look_for_samples(
    config: ProfileConfig, run: RunFolder, expected: Sequence[str], progress: Progress
) -> tuple[pa.Array, list[ComparedSet], list[Leak]]:
    """Look for the samples of a run in the datasets of `--against`, one after another.

    Args:
        expected: fingerprints of these, as the run began.
    Returns:
        The column `also_in`, one value a sample; each dataset in short; some samples to show.
    Raises:
        RunError: one of the datasets is not what it was.
    """
    own = shown_by(run)
    told: list[list[str]] = [[] for _ in own.rows]
    compared, leaks = list[ComparedSet](), list[Leak]()
    for other, fingerprint in zip(open_others(config), expected, strict=True):
        shown = show(other, fingerprint, config, progress)
        found = held_in(shown, own)
        for held in found:
            told[held.sample].append(f"{other.name}: {', '.join(held.how)}")
        compared.append(
            ComparedSet(
                name=other.name,
                split=other.split,
                fingerprint=fingerprint,
                rows=len(shown.rows),
                held=len(found),
                by={way: sum(way in held.how for held in found) for way in (*HOW, WORDS)},
            )
        )
        leaks += [
            Leak(
                set=other.name,
                reader=other.reader,
                how=", ".join(held.how),
                row=own.rows[held.sample],
                other_row=held.row,
            )
            for held in _some_of_each(found)
        ]
    column = ["; ".join(one) or None for one in told]
    return arrow_array(column, arrow_type(DIFFICULTY["also_in"])), compared, leaks


def _some_of_each(found: Sequence[Held]) -> list[Held]:
    """The first samples of each way in which they are held, in turn; few in all."""
    ways: dict[tuple[str, ...], list[Held]] = {}
    for held in found:
        ways.setdefault(held.how, []).append(held)
    turns = chain.from_iterable(zip_longest(*(of_way[:LEAKS_SHOWN] for of_way in ways.values())))
    return [held for held in turns if held is not None][:LEAKS_SHOWN]


def show(other: Other, fingerprint: str, config: ProfileConfig, progress: Progress) -> Shown:
    """Read what the samples of another dataset show.

    Raises:
        RunError: its rows are not those of the fingerprint.
    """
    rows, ids, problems = array("q"), list[str](), list[str]()
    signatures, counts = bytearray(), array("q")
    digest = blake2b(digest_size=16)
    progress.start("against", None)
    for sample, seen in decoded(
        _fed(other.reader.samples(), digest),
        keep=False,
        pixel_limit=config.pixel_limit,
        workers=config.workers,
        progress=Silent(),
        sign=signing(config),
    ):
        rows.append(sample.row)
        ids.append(sample.image_id if sample.images else "")
        problems.append(sample.problem)
        found = seen.signatures or b""
        signatures += found
        counts.append(len(found) // LENGTH)
        progress.advance("against")
    if digest.hexdigest() != fingerprint:
        raise RunError(
            f"{other.name} was changed while it was read; give the same command again, into "
            "another --out"
        )
    return Shown(
        rows=rows,
        image_ids=ids,
        problems=problems,
        signatures=np.frombuffer(signatures, np.uint8).reshape(-1, LENGTH),
        counts=np.array(counts, np.intp),
    )


def _fed(samples: Iterator[Sample], digest: Any) -> Iterator[Sample]:
    for sample in samples:
        digest.update(told_apart(sample))
        yield sample
