"""How causes moved, by hand."""

from durian.analysis.two_runs.comparison import CauseFlow, cause_flow


def test_samples_that_have_a_cause_in_both_runs_are_counted_in_the_order_of_the_rules():
    a = ["cut", "cut", "mixed", "mixed", None, "solved", "cut"]
    b = ["solved", "cut", "mixed", "looped", "mixed", None, "solved"]
    assert cause_flow(a, b) == CauseFlow(
        samples=5,
        stayed=2,
        moved={"cut": {"cut": 1, "solved": 2}, "mixed": {"looped": 1, "mixed": 1}},
    )
    assert list(cause_flow(a, b).moved["cut"]) == ["cut", "solved"]


def test_without_causes_there_is_nothing_to_tell():
    assert cause_flow([None, "cut"], ["cut", None]) is None
