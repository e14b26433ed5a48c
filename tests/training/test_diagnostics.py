"""What training logs of its groups, worked out by hand."""

import math

import numpy as np
import pytest
import torch

from durian.normalizer import durian_advantages, durian_terms
from durian.training.diagnostics import batch_metrics, drift

NAN = float("nan")
SEVEN, FOUR, NONE = [1.0] * 7 + [0.0], [1.0] * 4 + [0.0] * 4, [0.0] * 8


def metrics_of(rewards, perceptual=None, reasoning=None, *, correct=None, weights=(0.4, 0.3, 0.3)):
    rewards = torch.tensor(rewards, dtype=torch.float64)
    none = [-1] * len(rewards)
    perceptual, reasoning = torch.tensor(perceptual or none), torch.tensor(reasoning or none)
    return batch_metrics(
        rewards=rewards,
        correct=rewards > 0.5 if correct is None else torch.tensor(correct),
        terms=durian_terms(rewards, perceptual, reasoning, eps=0.0),
        weights=weights,
        advantages=durian_advantages(rewards, perceptual, reasoning, weights, eps=0.0),
        perceptual_group=perceptual,
        reasoning_group=reasoning,
    )


# --- samples


def test_extreme_and_flat_samples_are_counted_by_hand():
    # 7 of 8 and 1 of 8 are extreme, 4 of 8 is not; 0 of 8 and 8 of 8 have no variance. Of 5.
    one = [0.0] * 7 + [1.0]
    metrics = metrics_of([SEVEN, one, FOUR, NONE, [1.0] * 8])
    assert metrics["durian/extreme"] == 2 / 5
    assert metrics["durian/no_variance"] == 2 / 5


def test_one_of_two_right_is_an_even_split():
    metrics = metrics_of([[1.0, 0.0], [0.0, 0.0]])
    assert metrics["durian/extreme"] == 0.0
    assert metrics["durian/no_variance"] == 0.5


def test_one_of_three_right_is_extreme():
    assert metrics_of([[1.0, 0.0, 0.0]])["durian/extreme"] == 1.0


def test_only_scored_completions_make_a_sample_extreme():
    # 2 of 3 scored: all but one, extreme. 2 of 4 scored: even. 1 of 2 scored: even. Nothing
    # scored: no part of the shares. 1 scored: no variance.
    rest = [[1, 1, 0, 0], [1, 0, NAN, NAN], [NAN, NAN, NAN, NAN], [1, NAN, NAN, NAN]]
    metrics = metrics_of([[1, 1, 0, NAN], *rest])
    assert metrics["durian/extreme"] == 1 / 4
    assert metrics["durian/no_variance"] == 1 / 4


def test_a_right_completion_without_a_reward_does_not_count():
    # Marked right 3 times, but one of these is unscored: 2 of 4 scored, even.
    metrics = metrics_of([[1, 1, NAN, 0, 0]], correct=[[True, True, True, False, False]])
    assert metrics["durian/extreme"] == 0.0


def test_spread_that_is_round_off_is_no_variance():
    # 0.1 + 0.2 and 0.3 differ by 6e-17.
    assert metrics_of([[0.1 + 0.2, 0.3, 0.3]])["durian/no_variance"] == 1.0


def test_format_reward_alone_is_variance_though_all_are_wrong():
    metrics = metrics_of([[0.1, 0.0, 0.1, 0.0]])
    assert metrics["durian/no_variance"] == 0.0
    assert metrics["durian/extreme"] == 0.0


# --- groups


def test_std_and_size_of_each_group_by_hand():
    # 7:1 with 4:4 has std 0.478714; 4:4 alone sqrt(16 / 8 / 7) = 0.534522; 7:1 alone 0.353553;
    # 4:4 with 0:8 has 4 of 16 right: 16 (1/4)(3/4) = 3, over 15: sqrt(0.2) = 0.447214.
    metrics = metrics_of([SEVEN, FOUR, NONE], perceptual=[0, 0, 2], reasoning=[3, 11, 11])
    found = {k: v for k, v in metrics.items() if k.startswith(("durian/std", "durian/size"))}
    assert found == {
        "durian/std/perceptual_easy": pytest.approx(0.478714, abs=1e-6),
        "durian/size/perceptual_easy": 2.0,
        "durian/std/perceptual_hard": 0.0,
        "durian/size/perceptual_hard": 1.0,
        "durian/std/reasoning_3": pytest.approx(0.353553, abs=1e-6),
        "durian/size/reasoning_3": 1.0,
        "durian/std/reasoning_11": pytest.approx(0.447214, abs=1e-6),
        "durian/size/reasoning_11": 2.0,
    }


def test_samples_in_no_group_are_logged_in_none():
    metrics = metrics_of([SEVEN, FOUR], perceptual=[1, -1], reasoning=[-1, -1])
    sizes = {k: v for k, v in metrics.items() if k.startswith("durian/size")}
    assert sizes == {"durian/size/perceptual_medium": 1.0}


# --- advantages and terms


def test_the_largest_advantage_is_by_magnitude():
    # 7:1 by its own std: +0.353553 and -2.474874.
    metrics = metrics_of([SEVEN, FOUR], weights=(1.0, 0.0, 0.0))
    assert metrics["durian/largest_advantage"] == pytest.approx(2.474874, abs=1e-6)


def test_share_of_each_term_by_hand():
    # One sample: centred magnitudes sum to 7/8 + 7/8 = 1.75 for 7:1 and to 4 for 4:4, so own is
    # 1.75 / 0.353553 + 4 / 0.534522 = 12.4330; perceptual, std 0.478714: 5.75 / 0.478714 =
    # 12.0114; reasoning, each alone, is own. Weighted 0.2, 0.5, 0.3: 2.48660, 6.00568, 3.72990;
    # together 12.22218.
    weights = (0.2, 0.5, 0.3)
    metrics = metrics_of([SEVEN, FOUR], perceptual=[0, 0], reasoning=[0, 1], weights=weights)
    assert metrics["durian/share/own"] == pytest.approx(2.48660 / 12.22218, abs=1e-5)
    assert metrics["durian/share/perceptual"] == pytest.approx(6.00568 / 12.22218, abs=1e-5)
    assert metrics["durian/share/reasoning"] == pytest.approx(3.72990 / 12.22218, abs=1e-5)


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 0.0, 0.0)])
@pytest.mark.parametrize(
    "rewards", [[SEVEN, FOUR], [NONE, NONE], [[NAN, NAN]], [[1.0], [0.0]], [[0.5, NAN]]]
)
def test_nothing_logged_is_ever_nan(rewards, weights):
    metrics = metrics_of(rewards, [0] * len(rewards), [0] * len(rewards), weights=weights)
    assert all(math.isfinite(value) for value in metrics.values())


def test_what_a_batch_cannot_give_is_left_out():
    assert metrics_of([[NAN, NAN]], [0], [0]) == {"durian/largest_advantage": 0.0}
    assert not any(key.startswith("durian/share") for key in metrics_of([NONE]))


# --- drift


def array(*values):
    return np.array(values, np.float64)


def test_drift_by_hand():
    # Of 6 pairs only (-2, -1) is turned round: tau (5 - 1) / 6. Two bins cut at the median, which
    # lies between the second and the third: the pair at ranks 3 and 4 stays in the upper bin.
    found = drift(array(-4, -3, -2, -1), array(-8, -6, -1, -2), 2)
    assert found == {
        "durian/drift/kendall_tau": pytest.approx(2 / 3),
        "durian/drift/changed_bin": 0.0,
    }


def test_samples_that_cross_a_cut_have_changed_bin():
    # The two in the middle change places: tau (5 - 1) / 6, and both cross the median.
    found = drift(array(-4, -3, -2, -1), array(-4, -2, -3, -1), 2)
    assert found["durian/drift/kendall_tau"] == pytest.approx(2 / 3)
    assert found["durian/drift/changed_bin"] == 0.5


def test_tau_b_counts_ties():
    # Pairs: (1,2) tied before, 5 others of which all agree. tau-b = 5 / sqrt((6 - 1) 6).
    found = drift(array(1, 1, 2, 3), array(1, 2, 3, 4), 1)
    assert found["durian/drift/kendall_tau"] == pytest.approx(5 / math.sqrt(30))
    assert found["durian/drift/changed_bin"] == 0.0


def test_a_reversed_order_has_tau_minus_one_and_moves_all():
    found = drift(array(1, 2, 3, 4), array(-1, -2, -3, -4), 2)
    assert found == {"durian/drift/kendall_tau": pytest.approx(-1), "durian/drift/changed_bin": 1.0}


def test_a_sample_that_lacks_either_confidence_is_left_out():
    # Left are 1, 2, 3, 4 against the same order.
    found = drift(array(1, NAN, 2, 3, 9, 4), array(-9, 0, -8, -7, NAN, -6), 4)
    assert found == {"durian/drift/kendall_tau": pytest.approx(1), "durian/drift/changed_bin": 0.0}


@pytest.mark.parametrize(
    ("stored", "current"),
    [
        (array(), array()),
        (array(1), array(2)),
        (array(1, NAN), array(2, 3)),
        (array(1, NAN, 2), array(NAN, 3, 4)),
        (array(1, 1, 1), array(1, 2, 3)),
        (array(1, 2, 3), array(1, 1, 1)),
        (array(NAN, NAN), array(NAN, NAN)),
    ],
)
def test_nothing_to_rank_gives_no_drift(stored, current):
    assert drift(stored, current, 4) == {}


def test_drift_takes_single_precision():
    stored = np.array([-0.5, -0.25, -0.75], np.float32)
    assert drift(stored, stored, 3) == {
        "durian/drift/kendall_tau": pytest.approx(1),
        "durian/drift/changed_bin": 0.0,
    }


def test_two_samples_are_in_the_same_order_or_in_the_other():
    # One pair: concordant, tau-b is 1, and each is in its bin; discordant, -1, and they swap bins.
    before = np.array([-2.0, -1.0])
    keys = ("durian/drift/kendall_tau", "durian/drift/changed_bin")
    assert drift(before, np.array([-0.5, -0.2]), 2) == dict(zip(keys, (1.0, 0.0), strict=True))
    assert drift(before, np.array([-0.2, -0.5]), 2) == dict(zip(keys, (-1.0, 1.0), strict=True))


def test_bins_are_not_compared_where_confidence_is_of_another_temperature():
    stored, current = np.array([-1.0, -2.0, -3.0]), np.array([-0.5, -0.9, -0.7])
    assert drift(stored, current, None).keys() == {"durian/drift/kendall_tau"}
    assert "durian/drift/changed_bin" in drift(stored, current, 3)
