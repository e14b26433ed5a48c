"""The first pass: copies counted, order kept, ids checked."""

import pytest

from durian.errors import DatasetError, RunError
from durian.readers.scan import distinct, scan
from durian.run.progress import Silent
from durian.samples import Sample


def samples(ids, problems=None):
    problems = problems or ids
    return [
        Sample(sample_id=i, row=row, problem=p, answer="")
        for row, (i, p) in enumerate(zip(ids, problems, strict=True))
    ]


def test_every_row_is_counted_in_exactly_one_sample():
    index = scan(samples("abacb"), Silent(), own_ids=False)
    assert list(index.rows) == [0, 1, 3]  # a, b, c where each is first seen
    assert list(index.copies) == [2, 2, 1]
    assert index.n_rows == 5


def test_distinct_gives_first_rows_from_a_sample_number_on():
    data = samples("abacb")
    index = scan(data, Silent(), own_ids=False)
    assert [s.row for s in distinct(data, index, 0)] == [0, 1, 3]
    assert [s.row for s in distinct(data[1:], index, 1)] == [1, 3]


@pytest.mark.parametrize("now", ["abaxb", "aba"], ids=["another", "gone"])
def test_a_dataset_that_changes_after_the_scan_ends_the_run(now):
    # What was c in row 3 is x now, or is gone with all after it.
    index = scan(samples("abacb"), Silent(), own_ids=False)
    stream = distinct(samples(now), index, 0)
    assert [next(stream).sample_id, next(stream).sample_id] == ["a", "b"]
    with pytest.raises(RunError, match="was changed while it was read .row 3 "):
        next(stream)


def test_the_fingerprint_follows_content_and_order():
    of = {text: scan(samples(text), Silent(), own_ids=False).fingerprint
          for text in ("abc", "acb", "ab", "abcc")}  # fmt: skip
    assert len(set(of.values())) == 4
    assert of["abc"] == scan(samples("abc"), Silent(), own_ids=False).fingerprint


def test_parts_cover_all_samples_once():
    index = scan(samples("abcdefg"), Silent(), own_ids=False)
    assert index.parts(3) == [range(3), range(3, 6), range(6, 7)]


def test_an_id_for_two_different_samples_is_refused():
    clash = samples("aba", ["x", "y", "z"])
    with pytest.raises(DatasetError, match="id 'a' stands for different samples in rows 0 and 2"):
        scan(clash, Silent(), own_ids=True)
    repeated = samples("aba", ["x", "y", "x"])
    assert list(scan(repeated, Silent(), own_ids=True).copies) == [2, 1]


def test_an_empty_dataset_is_refused():
    with pytest.raises(DatasetError, match="no rows"):
        scan([], Silent(), own_ids=False)
