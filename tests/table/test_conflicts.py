import polars as pl
import pytest

from durian.table.conflicts import conflicts, question_words


def table(*rows: tuple[str | None, str, str]) -> pl.DataFrame:
    image, problem, answer = zip(*rows, strict=True)
    return pl.DataFrame(
        {"image_cluster": image, "problem": problem, "answer": answer},
        schema_overrides={"image_cluster": pl.String},
    ).with_columns(n_images=pl.lit(1))


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        ("red", "blue", True),
        ("1/2", "0.5", False),
        ("Two", "2", False),
        ('["red", "crimson"]', "crimson", False),  # one of the accepted ones
        ("12", "13", True),
    ],
)
def test_answers_are_in_conflict_where_neither_is_right_by_the_other(one, other, conflict):
    rows = table(("a", "<image>What is it?", one), ("a", "what is it", other))
    assert conflicts(rows).tolist() == [conflict] * 2


def test_only_the_same_image_and_the_same_question_make_a_conflict():
    rows = table(
        ("a", "<image>3 + 4?", "7"),
        ("a", "<image>3 - 4?", "-1"),  # another question
        ("b", "<image>3 + 4?", "8"),  # another image
        (None, "<image>3 + 4?", "9"),  # an image that was not read is like no other
        (None, "<image>3 + 4?", "10"),
        ("a", "<image> 3 + 4", "7"),
    )
    assert not conflicts(rows).any()


def test_questions_without_an_image_are_compared_too():
    rows = table((None, "2 + 2?", "4"), (None, "2 + 2?", "5")).with_columns(n_images=pl.lit(0))
    assert conflicts(rows).all()


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ('<image_1>What "colour" is it?', ["what", "colour", "is", "it"]),
        ("x+1 = 2.5, y", ["x+1", "=", "2.5", "y"]),
        ("図は何か", ["図", "は", "何", "か"]),
        ("Ｆｉｇ.  ２", ["fig", "2"]),  # full width
    ],
)
def test_a_question_is_known_by_its_words(problem, words):
    assert question_words(problem) == words
