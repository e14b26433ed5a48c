"""Options below the problem, and the answers that are their letters, contents or indices."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from durian.config import DatasetConfig
from durian.readers.dataset import open_dataset
from durian.readers.options import UnreadableOptions, in_order, letters_of, read_options
from durian.samples import Sample


@pytest.fixture(autouse=True)
def _in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(*rows: dict, **options) -> list[Sample]:
    Path("a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return list(open_dataset(DatasetConfig(dataset="a.jsonl", **options)).samples())


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("['red' 'blue']", {"A": "red", "B": "blue"}),  # an array of NumPy, as pandas writes it
        ("['red'\n \"it's 'blue'\"]", {"A": "red", "B": "it's 'blue'"}),
        (["red", "blue"], {"A": "red", "B": "blue"}),
        ("['red', 'blue']", {"A": "red", "B": "blue"}),  # MMMU
        ('["red", "blue"]', {"A": "red", "B": "blue"}),
        (["A. red", "B. blue"], {"A": "red", "B": "blue"}),
        (["(a) red", "(b) blue"], {"A": "red", "B": "blue"}),
        ([3, 4.5], {"A": "3", "B": "4.5"}),
        ({"A": "red", "C": "blue", "B": None}, {"A": "red", "C": "blue"}),
        ("A. 3 cm; B. 4 cm; C. No correct answer", {"A": "3 cm", "B": "4 cm",
                                                   "C": "No correct answer"}),  # We-Math
        ("A) red\nB) blue", {"A": "red", "B": "blue"}),
        ("(A) red (B) dark blue (C) 3", {"A": "red", "B": "dark blue", "C": "3"}),
        ("A: red, B: 1,000, C: blue", {"A": "red", "B": "1,000", "C": "blue"}),
        ("A. x, y; B. see (A) and (B)", {"A": "x, y", "B": "see (A) and (B)"}),
        ({"label": ["A", "B"], "text": ["red", "blue"]}, {"A": "red", "B": "blue"}),  # ARC
        ([{"label": "A", "text": "red"}, {"label": "B", "text": "blue"}],
         {"A": "red", "B": "blue"}),
        ("[]", {}), ("", {}), (None, {}), ([], {}),
    ],
    ids=repr,
)  # fmt: skip
def test_a_cell_of_options_is_read_in_every_form(cell, options):
    assert read_options({"options": cell}, ["options"]) == options


@pytest.mark.parametrize(
    "cell",
    ["red or blue", "(A) red (C) blue", "(B) red (A) blue", "A red", 7, ["x"] * 27, {"first": "x"}],
    ids=repr,
)
def test_what_holds_no_options_is_refused(cell):
    with pytest.raises(UnreadableOptions):
        read_options({"options": cell}, ["options"])


def test_columns_stand_for_the_letters_that_end_their_names():
    assert letters_of(["A", "B", "C"]) == letters_of(["option_a", "option_b", "option_c"])
    assert letters_of(["first", "second"]) == ["A", "B"]
    row = {"A": "red", "B": "", "C": "blue", "D": float("nan")}  # MMBench leaves some empty
    assert read_options(row, list("ABCD")) == {"A": "red", "C": "blue"}
    assert in_order({"A": "red", "C": "blue"}) == ("red", "", "blue")


def test_options_stand_below_the_problem_one_a_line():
    [sample] = read(
        {"problem": "Which?", "answer": "B", "options": ["red", "blue"]}, options_column="options"
    )
    assert sample.problem == "Which?\nA. red\nB. blue"
    assert (sample.answer, sample.options) == ("B", ("red", "blue"))


def test_marks_in_options_are_placed_too():
    file = io.BytesIO()
    Image.new("L", (3, 3)).save(file, "PNG")
    Path("x.png").write_bytes(file.getvalue())
    Path("y.png").write_bytes(file.getvalue() + b"y")
    [sample] = read(
        {"problem": "Which?", "answer": "A", "options": "['<image 2>', '<image 1>']",
         "image_1": "x.png", "image_2": "y.png"},
        options_column="options",
    )  # fmt: skip
    assert sample.problem == "Which?\nA. <image>\nB. <image>"
    assert sample.images == (file.getvalue() + b"y", file.getvalue())


def indexed(*answers: object, choices: list) -> list[str]:
    rows = ({"problem": f"p{n}", "answer": a, "choices": choices} for n, a in enumerate(answers))
    samples = read(*rows, options_column="choices")
    return [sample.question_error or sample.answer for sample in samples]


def test_a_number_beside_a_list_of_choices_is_their_0_based_index():
    assert indexed(0, 2, choices=["red", "blue", "green"]) == ["A", "C"]  # ScienceQA
    assert indexed("1", choices=["red", "blue"]) == ["B"]  # as CSV has it
    assert indexed(0, 3, choices=["red", "blue"]) == ["A", "answer 3 is no index of 2 options"]
    assert indexed(5, 7, choices=[3, 5, 7]) == ["5", "7"]  # they stand among the choices
    assert indexed(1.0, None, choices=["red", "blue"]) == [
        "B",
        "answer is null",
    ]  # as pandas has it
    assert indexed(1.0, 2.0, choices=["1.0", "2.0"]) == ["1.0", "2.0"]
    assert indexed(1.5, choices=["red", "blue"]) == ["1.5"]
    assert indexed(True, choices=["red", "blue"]) == ["True"]


def test_numbers_that_reach_the_last_of_the_choices_and_never_0_are_1_based_indices():
    # 2 of two choices is no 0-based index, and no row says 0: 1 is the first choice.
    assert indexed(2, 1, choices=["red", "blue"]) == ["B", "A"]
    assert indexed("1", "3", choices=["red", "blue", "green"]) == ["A", "C"]  # as CSV has them
    assert indexed(1.0, 2.0, choices=["red", "blue"]) == ["A", "B"]  # as pandas has them
    assert indexed(1, 2, choices=["red", "blue", "green"]) == ["B", "C"]  # nothing speaks for it
    assert indexed(0, 2, choices=["red", "blue"]) == ["A", "answer 2 is no index of 2 options"]
    assert indexed(1, 2, choices=[1, 2]) == ["1", "2"]  # they stand among the choices
    later = indexed(2, *[1] * 16, 0, choices=["red", "blue"])  # past the rows that decide
    assert later[-1] == "answer 0 is no index of 2 options"


@pytest.mark.parametrize(("answer", "base"), [(0, 0), (2, 1)])
def test_an_index_is_said_with_the_number_that_is_A(answer, base):
    read({"problem": "p", "answer": answer, "choices": ["red", "blue"]})
    reader = open_dataset(DatasetConfig(dataset="a.jsonl", options_column="choices"))
    assert reader.described["notes"] == [
        "options in choices stand below the problem, lettered, one a line",
        f"numbers in answer are {base}-based indices of the options: {base} is A",
    ]


def test_one_question_with_other_options_is_another_sample():
    row = {"problem": "Which?", "answer": "A"}
    rows = ({**row, "options": ["red", last]} for last in ("blue", "green"))
    assert len({sample.sample_id for sample in read(*rows, options_column="options")}) == 2


def test_options_that_cannot_be_read_are_the_row_s_error():
    rows = [
        {"problem": "p", "answer": "A", "options": ["red", "blue"]},
        {"problem": "q", "answer": "A", "options": "red or blue"},
    ]
    assert [sample.question_error for sample in read(*rows, options_column="options")] == [
        None, "options are a text that is no list, nor lettered from A on",
    ]  # fmt: skip


def test_a_letter_that_no_option_of_its_row_has_is_the_rows_error():
    samples = read(
        *({"problem": "p", "answer": answer, "choices": choices}
          for answer, choices in [("C", ["red", "blue"]), ("B", ["red", "blue"]), ("B", ["x"]),
                                  ("E", ["E", "F"]), ("B", [])]),
        options_column="choices",
    )  # fmt: skip
    assert [sample.question_error for sample in samples] == [
        "answer C is none of its options A, B",
        None,
        "answer B is none of its options A",
        None,  # by content
        None,  # a point, as geometry asks for
    ]
