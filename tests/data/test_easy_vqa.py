from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.make_easy_vqa import easy_vqa_rows, image_bytes, questions_by_image

SHIPPED = Path(__file__).parents[2] / "data" / "easy_vqa"


@pytest.mark.parametrize(("split", "rows"), [("train", 800), ("test", 400)])
def test_shipped_rows_are_what_the_command_makes(split, rows):
    shipped = pq.read_table(SHIPPED / f"{split}.parquet").to_pylist()
    made = easy_vqa_rows(split, rows, seed=1)
    assert [(row["problem"], row["answer"], row["images"][0]["bytes"]) for row in shipped] == [
        (row.problem, row.answer, row.image) for row in made
    ]


def test_rows_are_the_package_s_own_questions():
    asked = questions_by_image("test")
    for row in easy_vqa_rows("test", 50, seed=3):
        image = int(row.path.removesuffix(".png"))
        assert (row.problem.removeprefix("<image>"), row.answer) in asked[image]
        assert row.image == image_bytes("test", image)


def test_more_rows_than_questions_is_refused():
    with pytest.raises(ValueError, match="easy-VQA test has"):
        easy_vqa_rows("test", 1_000_000, seed=1)
