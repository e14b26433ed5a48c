"""Reasons of one kind are counted together, by their first example."""

from durian.analysis.reasons import grouped


def test_what_differs_between_rows_is_not_counted():
    reasons = [
        "image not found: a/1.jpg", "line 3 is not JSON", "image not found: a/2.jpg",
        "no image", "line 12 is not JSON", "image not found: b.png",
    ]  # fmt: skip
    assert grouped(reasons) == {
        "image not found, the first: a/1.jpg": 3,
        "line is not JSON, the first: 3": 2,
        "no image": 1,
    }


def test_equal_reasons_keep_their_text():
    assert grouped(["image not found: a.jpg"] * 2) == {"image not found: a.jpg": 2}
    assert grouped({"2 <image> marks for 1 image": 4, "answer is null": 5}) == {
        "answer is null": 5, "2 <image> marks for 1 image": 4,
    }  # fmt: skip


def test_a_reason_that_differs_in_several_places_shows_its_first():
    assert grouped(["3 <image> marks for 1 image", "2 <image> marks for 1 image"]) == {
        "… <image> marks for … image, the first: 3 <image> marks for 1 image": 2
    }
