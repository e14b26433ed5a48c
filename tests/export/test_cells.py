"""The dataset's own columns, of whatever kinds, in one type a column."""

from datetime import date
from decimal import Decimal

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from durian.exporting.cells import ColumnTypes, plain
from durian.exporting.spool import Spool

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=6,
)  # fmt: skip


def table_of(batches):
    types = ColumnTypes()
    for batch in batches:
        types.see(batch)
    rows = [types.fit(row) for batch in batches for row in batch]
    return pa.Table.from_pylist(rows, pa.schema(list(types.types.items()))).to_pylist()


def test_numbers_widen_and_what_does_not_go_together_is_json_text():
    batches = [
        [{"n": 1, "mixed": 1, "list": ["a"], "late": None}, {"n": None, "mixed": "x"}],
        [{"n": 2.5, "mixed": [1], "list": None, "late": {"k": 1}}],
    ]
    assert table_of(batches) == [
        {"n": 1.0, "mixed": "1", "list": ["a"], "late": None},
        {"n": None, "mixed": "x", "list": None, "late": None},
        {"n": 2.5, "mixed": "[1]", "list": None, "late": {"k": 1}},
    ]


def test_what_json_has_no_word_for_becomes_text_or_null():
    cells = [float("nan"), Decimal("0.5"), date(2026, 1, 2), 2**70, "\ud800", (1, b"x")]
    assert list(map(plain, cells)) == [
        None, 0.5, "2026-01-02", str(2**70), "\ufffd", [1, "b'x'"],
    ]  # fmt: skip


@given(st.lists(st.lists(JSON, min_size=1, max_size=4), min_size=1, max_size=3))
def test_cells_of_any_kind_fit_one_column_and_none_is_lost(tmp_path_factory, batches):
    rows = [[{"cell": plain(cell)} for cell in batch] for batch in batches]
    spool = Spool(tmp_path_factory.mktemp("spool") / "rows")
    numbers = [spool.add(row) for batch in rows for row in batch]
    assert [spool[n] for n in reversed(numbers)] == [r for b in rows for r in b][::-1]
    spool.close()
    written = [row.get("cell") for row in table_of(rows)]
    given = [row["cell"] for batch in rows for row in batch]
    assert [cell is None for cell in written] == [cell is None for cell in given]
