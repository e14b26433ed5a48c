"""The answer that a cell means."""

import datetime as dt
import json
from decimal import Decimal

import pytest

from durian.readers.cells import canonical
from durian.readers.references import reference_field


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
