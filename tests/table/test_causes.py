"""The evidence of causes, counted from the two tables by hand."""

import numpy as np
import polars as pl
import pytest

from durian.causes.rules import measured_causes
from durian.table.causes import gather_evidence

LOOP = "Wait, let me look again. " * 20


def table(**columns):
    """Samples a, b, ...: 4 completions each, none right."""
    n = len(next(iter(columns.values()))) if columns else 1
    return pl.DataFrame({"sample_id": list("abcdefgh"[:n]), "rollouts": [4] * n,
                         "pass_rate": [0.0] * n, "error": pl.Series([None] * n, dtype=pl.String),
                         "format_rate": [1.0] * n} | columns)  # fmt: skip


def said(*rows):
    """Completions of sample a, each (text, answer, right, how it ended, blind)."""
    names = ("completion", "answer", "correct", "finish_reason", "blind")
    kinds = dict(zip(names, (pl.String, pl.String, pl.Boolean, pl.String, pl.Boolean), strict=True))
    frame = pl.DataFrame(rows, schema=kinds, orient="row")
    return frame.with_columns(sample_id=pl.lit("a"))


def test_wrong_completions_are_counted_by_how_they_ended():
    found = gather_evidence(
        table(),
        [
            said((LOOP, None, False, "length", False), ("So", None, False, "length", None)),
            said(("3", "3", False, "repetition", False), (LOOP, "3", False, "stop", False)),
        ],
    )
    assert (found.total[0], found.wrong[0]) == (4, 4)
    # One loops at the limit and one was ended for it; what ends by itself is neither.
    assert (found.looped[0], found.cut[0]) == (2, 1)
    # None lacks an answer but those that were cut.
    assert found.unformatted[0] == 0


def test_right_blind_and_unscored_completions_count_for_nothing():
    found = gather_evidence(
        table(pass_rate=[0.75]),
        [
            said((LOOP, None, True, "length", False), (LOOP, None, False, "length", True)),
            said((LOOP, None, None, "length", False), ("3", "3", False, "stop", False)),
        ],
    )
    assert (found.wrong[0], found.looped[0], found.cut[0]) == (1, 0, 0)


def test_where_a_log_does_not_say_how_completions_ended_a_loop_is_told_and_a_cut_is_not():
    found = gather_evidence(
        table(), [said((LOOP, "3", False, None, None), ("3", "3", False, None, None))]
    )
    assert found.looped[0] == 1 and np.isnan(found.cut[0])
    assert "cut" not in measured_causes(found) and "looped" in measured_causes(found)


def test_a_completion_without_an_answer_is_unformatted_where_the_format_is_judged():
    rows = [said(("It is 3.", None, False, "stop", False), ("4", "4", False, "stop", False))]
    assert gather_evidence(table(pass_rate=[0.5]), rows).unformatted[0] == 0.5
    of_another = table(pass_rate=[0.5], format_rate=[None])
    assert np.isnan(gather_evidence(of_another, rows).unformatted[0])
    beside = table(pass_rate=[0.5], format_rate=[None], right_unboxed=[0.25])
    assert gather_evidence(beside, rows).unformatted[0] == 0.25


def test_a_sample_without_any_answer_has_no_leading_one():
    found = gather_evidence(table(label_doubt=[None, 0.5]), [])
    assert found.label_doubt.tolist() == [0.0, 0.5]
    assert gather_evidence(table(label_doubt=[None, None]), []).label_doubt is None


@pytest.mark.parametrize(
    ("error", "rollouts", "expected"),
    [
        (None, 4, False),
        ("cannot be decoded", None, True),
        ("cannot be decoded", 0, True),  # it was not drawn
        ("reward failed: x", 4, False),  # its completions are there
        ("no image", None, False),
        ("no completion is logged", None, False),
        ("no image; no completion is logged", None, False),
        ("cannot be decoded; no completion is logged", None, True),
    ],
)
def test_what_could_not_be_read_is_told_by_its_error(error, rollouts, expected):
    kind = pl.Series([error], dtype=pl.String)
    count = pl.Series([rollouts], dtype=pl.Int32)
    found = gather_evidence(table(error=kind, rollouts=count, pass_rate=[None]), [])
    assert found.unreadable.tolist() == [expected]


def test_conflicts_are_those_of_the_images_or_those_that_the_table_tells():
    images = {"image_cluster": ["x", "x", None], "n_images": [1, 1, 1]}
    texts = {"problem": ["What?", "what?", "What?"], "answer": ["2", "3", "4"]}
    assert gather_evidence(table(**images, **texts), []).conflict.tolist() == [True, True, False]
    told = table(**images, why=["conflict", None, "mixed"])
    assert gather_evidence(told, []).conflict.tolist() == [True, False, False]
    alone = table(image_cluster=pl.Series([None], dtype=pl.String), n_images=[0])
    assert gather_evidence(alone, []).conflict is None


def test_a_table_of_version_1_gives_what_it_has():
    found = gather_evidence(
        pl.DataFrame({"sample_id": ["a"], "rollouts": [4], "pass_rate": [0.25], "error": [None]}),
        [said(("3", "3", False, "stop", None)).drop("blind")],
    )
    assert (found.total[0], found.wrong[0], found.cut[0]) == (4, 3, 0)
    assert measured_causes(found) == ["unreadable", "looped", "cut", "solved", "mixed"]
