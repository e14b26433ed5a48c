"""The first cause that applies, each by its rule."""

import numpy as np
import pytest

from durian.causes.rules import CAUSES, Evidence, find_causes, measured_causes
from durian.causes.thresholds import THRESHOLDS, asked_thresholds
from durian.errors import ConfigError


def evidence(**values):
    """One sample of 8 completions, all wrong, unless said otherwise."""
    whole = {"total": 8, "wrong": 8} | values
    as_array = {
        name: np.array([value], bool if isinstance(value, bool) else np.float64)
        for name, value in whole.items()
    }
    return Evidence(**as_array)


def cause(thresholds=None, **values):
    return find_causes(evidence(**values), asked_thresholds(thresholds))[0]


@pytest.mark.parametrize(
    ("expected", "values"),
    [
        ("unreadable", {"total": 0, "wrong": 0, "unreadable": True}),
        ("conflict", {"conflict": True}),
        # 6 of 8 say another answer and none the reference: (6 - 0) / 8.
        ("doubtful_label", {"label_doubt": 0.75}),
        ("looped", {"looped": 4, "cut": 0}),
        ("cut", {"looped": 1, "cut": 3}),
        ("unformatted", {"unformatted": 0.5}),
        ("solved_blind", {"wrong": 1, "blind_pass_rate": 5 / 8}),
        ("solved", {"wrong": 1, "blind_pass_rate": 4 / 8}),
        # 5 of 8 give it and 1 is right: (5 - 1) / 8.
        ("steady_wrong", {"wrong": 7, "label_doubt": 0.5}),
        ("scattered", {"label_doubt": 3 / 8}),
        # P(gain > 0.1) of a normal at -0.1 with sd 0.2 is P(z > 1) = 0.16.
        ("guessed", {"wrong": 5, "image_gain": -0.1, "image_gain_sd": 0.2}),
        # At 0 it is P(z > 0.5) = 0.31.
        ("mixed", {"wrong": 5, "image_gain": 0.0, "image_gain_sd": 0.2}),
    ],
)
def test_each_cause_applies_by_its_own_rule(expected, values):
    assert cause(**values) == expected


def test_of_several_causes_the_first_is_told():
    # Each of these values makes its own cause apply; they are taken away from the first on.
    values = {
        "unreadable": True, "conflict": True, "label_doubt": 1.0, "looped": 8.0, "cut": 8.0,
        "unformatted": 1.0,
    }  # fmt: skip
    told = []
    for name in list(values):
        told.append(cause(**values))
        values.pop(name)
    assert told == [
        "unreadable", "conflict", "doubtful_label", "looped", "cut", "unformatted",
    ]  # fmt: skip
    assert cause(**values) == "mixed"


def test_a_solved_sample_is_solved_however_its_one_wrong_completion_came_about():
    assert cause(wrong=1, looped=1, cut=0, unformatted=1.0) == "solved"
    assert cause(wrong=2, looped=1, cut=0) == "looped"


def test_what_was_not_measured_is_skipped_and_said():
    assert cause() == "mixed"
    assert cause(total=0, wrong=0) is None
    assert cause(cut=np.nan, looped=0) == "mixed"
    told = measured_causes(evidence(looped=0, cut=np.nan, label_doubt=0.1))
    assert told == ["doubtful_label", "looped", "solved", "steady_wrong", "scattered", "mixed"]


def test_few_completions_say_nothing_against_a_label():
    assert cause(total=3, wrong=3, label_doubt=1.0) == "steady_wrong"
    assert cause(total=4, wrong=4, label_doubt=1.0) == "doubtful_label"
    # One wrong answer is no agreement.
    assert cause(total=1, wrong=1, label_doubt=1.0) == "scattered"


def test_a_guess_has_been_right_sometimes():
    # Without consensus, too, which would call it scattered.
    assert cause(wrong=8, image_gain=-0.3, image_gain_sd=0.1) == "mixed"
    assert cause(wrong=8, label_doubt=0.2, image_gain=-0.3, image_gain_sd=0.1) == "scattered"


@pytest.mark.parametrize("name", THRESHOLDS)
def test_every_threshold_moves_its_own_cause(name):
    strict, kind = (1.0, 0.0) if name != "guessed" else (0.0, 1.0)
    values = {
        "doubtful_label": {"label_doubt": 0.5}, "looped": {"looped": 3}, "cut": {"cut": 3},
        "unformatted": {"unformatted": 0.3}, "solved_blind": {"wrong": 0, "blind_pass_rate": 0.3},
        "solved": {"wrong": 4}, "steady_wrong": {"wrong": 7, "label_doubt": 0.4},
        "guessed": {"wrong": 3, "image_gain": 0.05, "image_gain_sd": 0.1},
    }[name]  # fmt: skip
    assert cause({name: kind}, **values) == name
    assert cause({name: strict}, **values) != name


def test_a_share_of_thirds_that_was_stored_as_a_mean_is_no_less_than_itself():
    assert cause({"doubtful_label": 2 / 3}, total=6, wrong=6, label_doubt=0.6666666666) == (
        "doubtful_label"
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"cuts": 0.5}, "why has 'cuts'; it must be some of doubtful_label, looped, cut,"),
        ({"cut": 1.5}, "why cut is '1.5'; it must be a share, 0 to 1"),
        ({"cut": "much"}, "why cut is 'much'; it must be a share"),
        ({"cut": True}, "why cut is 'True'"),
        ({"cut": float("nan")}, "why cut is 'nan'"),
    ],
)
def test_a_threshold_that_is_none_is_refused(asked, said):
    with pytest.raises(ConfigError) as error:
        asked_thresholds(asked)
    assert str(error.value).startswith(said)


def test_thresholds_that_are_not_asked_for_stay_as_they_were():
    before = asked_thresholds({"cut": 0.9})
    assert asked_thresholds({"solved": 1}, before) == {**THRESHOLDS, "cut": 0.9, "solved": 1.0}


def test_the_order_is_the_contract_s():
    assert CAUSES == (
        "unreadable", "conflict", "doubtful_label", "looped", "cut", "unformatted",
        "solved_blind", "solved", "steady_wrong", "scattered", "guessed", "mixed",
    )  # fmt: skip
