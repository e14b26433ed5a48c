"""The gallery's cards: ends of completions, distinct answers; and the contents of a page."""

import polars as pl
import pytest

from durian.rendering.gallery import Answer, Said, cards, said
from durian.rendering.page import with_contents
from durian.rendering.shown import Shelf


def test_a_short_completion_is_shown_whole_and_a_long_one_by_its_end():
    assert said(" I see 2. \n", "2") == Said("2", "I see 2.", None, 8)
    text = "a" * 700 + "b" * 300
    long = said(text, None)
    assert long.end == "…" + "b" * 300  # where the answer stands
    assert long.whole == text and long.characters == 1000
    assert said(None, None) is None


def test_of_a_very_long_completion_both_ends_unfold():
    whole = said("a" * 3000 + "b" * 3000, "b").whole
    # 4,000 characters are kept of 6,000, half at each end.
    assert whole == "a" * 2000 + "\n[... 2,000 characters left out ...]\n" + "b" * 2000


def test_a_card_counts_the_distinct_answers_the_most_common_first():
    told = [("2", False), ("3", True), ("2", False), (None, False), ("4", None), ("5", False),
            ("6", False)]  # fmt: skip
    rollouts = pl.DataFrame(
        {
            "sample_id": ["a"] * len(told),
            "rollout": range(len(told)),
            "finish_reason": ["stop"] * len(told),
            "completion": [f"it is {answer}" for answer, _ in told],
            "answer": [answer for answer, _ in told],
            "correct": [right for _, right in told],
        }
    )
    table = pl.DataFrame({"sample_id": ["a"], "row": [0]})
    shelf = Shelf(key="never", kind="By outcome", heading="Never right", samples=["a"])
    (card,) = cards([shelf], table, rollouts, {})
    # Twice "2", then each as it came: six distinct ones, of which four are named.
    assert card["answers"] == [
        Answer("2", 2, False), Answer("3", 1, True), Answer(None, 1, False), Answer("4", 1, None),
    ]  # fmt: skip
    assert (card["more_answers"], card["completions"]) == (2, 7)
    assert (card["right"].answer, card["wrong"].answer) == ("3", "2")  # the first of its kind


def test_a_page_lists_its_headings_each_with_an_anchor_of_its_own():
    page = with_contents("<main><h2>A &amp; <i>b</i></h2><h2>A b</h2><h2>\u6f22</h2></main>")
    for anchor, heading in (("a-b", "A &amp; <i>b</i>"), ("a-b-1", "A b"), ("part", "\u6f22")):
        assert f'<h2 id="h-{anchor}">{heading}</h2>' in page
        assert f'<li><a href="#h-{anchor}">{heading}</a></li>' in page
    assert page.index("<nav") < page.index("<main>")


@pytest.mark.parametrize("text", ["&lt;h2&gt;no heading&lt;/h2&gt;", "<h2 class='x'>other</h2>"])
def test_what_the_templates_did_not_write_as_a_heading_is_none(text):
    assert f"<main>{text}</main>" in with_contents(f"<main>{text}</main>")
