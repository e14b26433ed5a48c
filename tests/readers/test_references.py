"""The answer that a cell means."""

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from durian.config import DatasetConfig
from durian.readers.cells import Narrow, canonical
from durian.readers.dataset import open_dataset
from durian.readers.references import reference_field
from durian.samples import sample_id


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        ("<answer> 3 </answer>", "3"),
        ("<think>a <answer>1</answer></think><answer>\n2\n</answer>", "2"),
        ("<answer>so \\boxed{4}</answer>", "4"),
        ("Each has 2, so 2 + 2 = 4.\n#### 4", "4"),
        ("#### 1,000 \n", "1,000"),
        ("We get $\\boxed{\\frac{1}{2}}$.", "\\frac{1}{2}"),
        ("a #### b\nc", "a #### b\nc"),  # no last line
        ("# Title", "# Title"),
        ("1, 2", "1, 2"),
        (" 3 ", " 3 "),  # nothing to unwrap: as it stands
        (7, "7"),
        (True, "True"),
        (2.0, "2.0"),
        (1e-07, "0.0000001"),
        (0.1, "0.1"),
        (1.5e22, "15000000000000000000000"),
        (-2.5e-09, "-0.0000000025"),
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"),
        (dt.date(2024, 5, 12), "2024-05-12"),
        (dt.datetime(2024, 5, 12, 9, 45), "2024-05-12T09:45:00"),
        (dt.time(9, 45), "09:45:00"),
        (dt.timedelta(minutes=90), "1:30:00"),
        ([1, 2.5], "[1, 2.5]"),
        ([[1, 2], [3, 4]], "[[1, 2], [3, 4]]"),
        (["yes"], "yes"),
        (["2", "two"], '["2", "two"]'),
        ("['2', 'two']", '["2", "two"]'),  # as pandas writes a list into CSV
        ("['2' 'two']", '["2", "two"]'),  # and an array of NumPy
        ('["2", "<answer>two</answer>"]', '["2", "two"]'),
        ('[{"answer": "2", "answer_id": 1}, {"answer": "two"}]', '["2", "two"]'),  # VQAv2 in CSV
        ("[{'answer': 'yes'} {'answer': 'no'}]", "[{'answer': 'yes'} {'answer': 'no'}]"),
        ('[{"label": "2"}]', '[{"label": "2"}]'),  # no accepted answers
        ('[{"answer": "2"}, 3]', '[{"answer": "2"}, 3]'),
        ("[1, 2]", "[1, 2]"),  # numbers: for a reward that wants them
        ("['2', 3]", "['2', 3]"),
        (Narrow.of(0.10000000149011612, np.float32), "0.1"),  # the double next to float32's 0.1
        (Narrow.of(1.0000000116860974e-07, np.float32), "0.0000001"),
        (Narrow.of(0.0999755859375, np.float16), "0.1"),  # 1638 * 2**-14, float16's nearest
        (["yes", "yes"], "yes"),
        ([{"role": "assistant", "content": "<answer>5</answer>"}], "5"),
    ],
    ids=repr,
)
def test_a_cell_gives_its_answer_as_text(cell, answer):
    field = reference_field(cell)
    assert (field.value, field.error) == (answer, None)


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        (None, "answer is null"),
        ("", "answer is empty"),
        ("<answer> </answer>", "answer is empty"),
        ("[' ']", "answer is empty"),
        (" \n", "answer is empty"),
        ([], "answer is empty"),
        (["", " "], "answer is empty"),
        (float("nan"), "answer is nan"),
        (float("inf"), "answer is inf"),
        (Decimal("NaN"), "answer is NaN"),
        ({"value": 3, "unit": "m"}, "answer is a struct of value, unit; name one of them"),
        (b"3", "answer is of type bytes, not text"),
        ([None, "a"], "answer is a list of neither texts nor numbers"),
    ],
    ids=repr,
)
def test_a_cell_that_holds_no_answer_says_so(cell, error):
    field = reference_field(cell)
    assert (field.value, field.error) == ("", error)


@pytest.mark.parametrize(
    ("cell", "fed"),
    [
        ("<answer> 3 </answer>", "<answer> 3 </answer>"),  # the raw cell, whatever is unwrapped
        (1e-07, "1e-07"),
        (Narrow.of(0.10000000149011612, np.float32), "0.10000000149011612"),  # as it always was
        ("['2', 'two']", "['2', 'two']"),
        (7, "7"),
        ("", ""),
        (None, "\0null"),
        (["b", "a"], json.dumps(["b", "a"])),
        ({"z": 1, "a": 2}, '{"a": 2, "z": 1}'),  # sorted keys
        (dt.date(2024, 5, 12), '"2024-05-12"'),
    ],
    ids=repr,
)
def test_the_sample_id_is_fed_the_cell_as_it_stands(cell, fed):
    assert reference_field(cell).key == fed
    assert fed == canonical(cell) or not isinstance(cell, list | dict | dt.date)


def test_numbers_of_few_bits_are_spelled_as_stored_wherever_they_stand(tmp_path):
    narrow = pa.array([0.1, None], pa.float32())
    inner = pa.StructArray.from_arrays([narrow, pa.array(["a", "b"])], ["value", "unit"])
    # 16384 is a power of two, 0.3 is not one of any width.
    table = pa.table({"problem": ["p", "q"], "answer": pa.array([0.3, 16384], pa.float32()),
                      "A": narrow, "B": ["x", "y"], "extra": inner})  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    config = DatasetConfig(dataset=str(tmp_path / "a.parquet"), options_column="A,B")
    first, second = open_dataset(config).samples()
    assert (first.answer, second.answer) == ("0.3", "16384.0")
    assert (first.options, second.options) == (("0.1", "x"), ("", "y"))
    assert str(first.cells["extra"]["value"]) == "0.1"
    assert second.cells["extra"] == {"value": None, "unit": "b"}
    # Rewards and ids have the number itself: float32's 0.1 is 13421773 / 2**27.
    assert first.cells["A"] == 0.10000000149011612
    within = replace(config, options_column=None, answer_column="extra.value")
    [found, _] = open_dataset(within).samples()
    assert found.answer == "0.1"
    assert found.sample_id == sample_id("p", "0.10000000149011612", [])
