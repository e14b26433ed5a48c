"""A first pass over the dataset: which rows are the same sample, and what dataset this is."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from durian.errors import DatasetError, RunError
from durian.readers.stand_ins import StandIn, StandIns
from durian.readers.strata import Strata
from durian.run.progress import Progress
from durian.samples import Sample, sample_id


@dataclass(frozen=True)
class DatasetIndex:
    """The distinct samples of a dataset, in its order, and its fingerprint."""

    rows: array[int]  # position of each sample's first row, rising
    copies: array[int]  # how many dataset rows each sample stands for
    n_rows: int
    fingerprint: str  # hex; over all sample ids in row order
    several_turns: int  # rows whose messages ask more than once
    marks: array[int]  # of each sample's id, to know it again while this process runs
    stand_ins: tuple[StandIn, ...] = ()  # images that may stand in for those of other samples

    @property
    def notes(self) -> list[str]:
        """Lines that say how rows were understood, where only all rows together tell."""
        if not self.several_turns:
            return []
        rows = "1 row has" if self.several_turns == 1 else f"{self.several_turns:,} rows have"
        return [
            f"{rows} several turns of the user: they are one problem, one below the other, and "
            "what the assistant says between them is left out"
        ]

    def parts(self, size: int) -> list[range]:
        """Samples (by number, not row) cut into parts of `size`."""
        n = len(self.rows)
        return [range(start, min(start + size, n)) for start in range(0, n, size)]


def scan(
    samples: Iterable[Sample],
    progress: Progress,
    *,
    own_ids: bool,
    strata: Strata | None = None,
    stand_ins: StandIns | None = None,
) -> DatasetIndex:
    """Read all rows once, without decoding an image.

    Args:
        own_ids: ids come from a column of the dataset, so that they must be checked for clashes.
        strata: note each sample there, too.
        stand_ins: chooses images that may stand in for those of other samples.
    Raises:
        ConfigError: there are too few of them.
        DatasetError: no rows, or one id for two different samples.
    """
    progress.start("scan", None)
    number_of: dict[str, int] = {}
    content: list[str] = []  # of each sample, kept only where ids are the dataset's own
    rows, copies, marks = array("q"), array("l"), array("q")
    digest = blake2b(digest_size=16)
    n_rows = several_turns = 0
    for sample in samples:
        n_rows += 1
        several_turns += sample.user_turns > 1
        digest.update(told_apart(sample))
        # Rows of equal id are one sample: it is measured once and counted in `copies`. The first of
        # them stands for all, so the order of the table is the order of the dataset.
        number = number_of.setdefault(sample.sample_id, len(rows))
        first = number == len(rows)
        if first:
            rows.append(sample.row)
            copies.append(1)
            marks.append(hash(sample.sample_id))
            if strata is not None:
                strata.add(sample)
            if stand_ins is not None:
                stand_ins.add(sample)
        else:
            copies[number] += 1
        if own_ids:
            # An id that comes from a column says nothing of the content. So the content is hashed
            # beside it: into the fingerprint, or a run would resume over questions that were edited
            # under the same ids; and to compare rows of one id, or two questions would be joined as
            # copies of one.
            hashed = sample_id(sample.problem, sample.answer, sample.images)
            digest.update(hashed.encode())
            if first:
                content.append(hashed)
            elif content[number] != hashed:
                raise DatasetError(
                    f"id {sample.sample_id!r} stands for different samples in rows "
                    f"{rows[number]} and {sample.row}; pass an --id-column without repeats, or none"
                )
        progress.advance("scan")
    if not rows:
        raise DatasetError("the dataset has no rows; check the path, --split and --limit")
    index = DatasetIndex(
        rows, copies, n_rows, digest.hexdigest(), several_turns, marks,
        stand_ins=() if stand_ins is None else stand_ins.chosen(),
    )  # fmt: skip
    for note in index.notes:
        progress.note(f"rows: {note}")
    return index


def told_apart(sample: Sample) -> bytes:
    """The bytes of one row in the fingerprint of a dataset."""
    return sample.sample_id.encode("utf-8", "surrogatepass") + b"\0"


def numbered(samples: Iterable[Sample], first: int, numbers: Iterable[int]) -> Iterator[Sample]:
    """Give the samples of some rising numbers, of distinct ones that are numbered from `first`."""
    wanted = iter(numbers)
    number = next(wanted, None)
    for place, sample in enumerate(samples, first):
        if place == number:
            yield sample
            number = next(wanted, None)
        if number is None:
            return


def distinct(samples: Iterable[Sample], index: DatasetIndex, start: int) -> Iterator[Sample]:
    """The first row of each sample numbered `start` and up, from rows that begin no later.

    Raises:
        RunError: they are not the rows that the index was made of.
    """
    number = start
    for sample in samples:
        if number == len(index.rows):
            return
        # The dataset is read a second time here, while it is measured. Where it was changed in
        # between, numbers and ids would no longer belong together, and measures would be written
        # beside the wrong samples; the 8-byte mark of each id finds that out without keeping the
        # ids.
        if sample.row == index.rows[number]:
            if hash(sample.sample_id) != index.marks[number]:
                raise _changed(sample.row)
            yield sample
            number += 1
    if number < len(index.rows):
        raise _changed(index.rows[number])


def _changed(row: int) -> RunError:
    return RunError(
        f"the dataset was changed while it was read (row {row} is another now, or gone); put it "
        "back and give the same command again, or choose another --out"
    )
