"""The normalizer: golden values by hand, a plain-Python reference, TRL's formulas, properties."""

import warnings
from math import isnan, sqrt
from statistics import fmean, stdev

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from durian.normalizer import (
    NORMALIZERS,
    Groups,
    Scaling,
    batch_advantages,
    dr_grpo_advantages,
    durian_advantages,
    durian_terms,
    group_spread,
    grpo_advantages,
    maxrl_advantages,
    rloo_advantages,
)

NAN = float("nan")
SEVEN_OF_8 = [1.0] * 7 + [0.0]
FOUR_OF_8 = [1.0] * 4 + [0.0] * 4
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
WEIGHTS = (0.4, 0.3, 0.3)


def doubles(rows):
    return torch.tensor(rows, dtype=torch.float64)


def groups(*labels):
    return torch.tensor(labels, dtype=torch.int64)


def close(found, expected, within=1e-12):
    torch.testing.assert_close(found, expected, rtol=within, atol=within)


# --- by hand


def test_seven_right_of_eight_is_blown_up_by_its_own_std():
    # Mean 7/8; squares 7 (1/8)^2 + (7/8)^2 = 7/8, over 7 is 1/8: std 0.353553. So 0.125 and
    # -0.875 over it: 0.353553 and -2.474874.
    advantages = grpo_advantages(doubles([SEVEN_OF_8]), eps=0.0)
    close(advantages, doubles([[0.353553] * 7 + [-2.474874]]), 1e-6)


def test_a_shared_std_tames_seven_right_of_eight():
    # 11 of 16 right: squares 16 (11/16)(5/16) = 3.4375, over 15: std 0.478714. So 0.125 and
    # -0.875 over it, and +-0.5 over it for the sample beside.
    rewards = doubles([SEVEN_OF_8, FOUR_OF_8])
    advantages = durian_advantages(rewards, groups(0, 0), groups(0, 1), (0.0, 1.0, 0.0), eps=0.0)
    expected = [[0.261116] * 7 + [-1.827815], [1.044466] * 4 + [-1.044466] * 4]
    close(advantages, doubles(expected), 1e-6)


def test_three_terms_are_weighted_and_summed():
    # As above, the reasoning group of each sample its own: 7:1 by 0.353553, 4:4 by
    # sqrt(16 / 8 / 7) = 0.534522. Default weights: 0.7 of own (0.353553) and 0.3 of 0.261116.
    rewards = doubles([SEVEN_OF_8, FOUR_OF_8])
    advantages = durian_advantages(rewards, groups(0, 0), groups(0, 1), eps=0.0)
    right, wrong = 0.7 * 0.353553 + 0.3 * 0.261116, -0.7 * 2.474874 - 0.3 * 1.827815
    even = 0.7 * 0.5 / 0.534522 + 0.3 * 1.044466
    close(advantages, doubles([[right] * 7 + [wrong], [even] * 4 + [-even] * 4]), 1e-5)


def test_a_groups_std_includes_the_spread_between_samples():
    # Rewards 1 0 1 1: mean 3/4; squares 3/4, over 3: std 1/2. Within samples alone it would be
    # sqrt(1/2 / 3) = 0.41. The solved sample stays at 0.
    rewards = doubles([[1, 0], [1, 1]])
    advantages = durian_advantages(rewards, groups(5, 5), groups(0, 1), (0.0, 1.0, 0.0), eps=0.0)
    assert advantages.tolist() == [[1.0, -1.0], [0.0, 0.0]]


def test_reasoning_groups_scale_as_perceptual_groups_do():
    rewards = doubles([[1, 0], [1, 1]])
    advantages = durian_advantages(rewards, groups(0, 1), groups(5, 5), (0.0, 0.0, 1.0), eps=0.0)
    assert advantages.tolist() == [[1.0, -1.0], [0.0, 0.0]]


def test_a_groups_variance_is_drawn_toward_the_batchs():
    # Two samples, alone in their groups: 1 0 has variance 1/2 with one degree of freedom; the batch
    # 1 0 1 1 has 3/4 / 3 = 1/4. Three completions' worth of the batch: (1/2 + 3 x 1/4) / 4 = 5/16.
    rewards, alone = doubles([[1.0, 0.0], [1.0, 1.0]]), groups(0, 1)
    found = durian_advantages(rewards, alone, alone, (0.0, 1.0, 0.0), eps=0.0, shrink=3.0)
    expected = 0.5 / sqrt(5 / 16)
    close(found, doubles([[expected, -expected], [0.0, 0.0]]))


def test_a_single_completion_has_the_batchs_variance_alone_where_it_shrinks():
    # The group of the one completion has no degree of freedom; that of 1 0 is as above.
    rewards, alone = doubles([[1.0, 0.0], [1.0, NAN]]), groups(0, 1)
    found = durian_advantages(rewards, alone, alone, (0.0, 0.0, 1.0), eps=0.0, shrink=1.0)
    # The batch 1 0 1 has variance (1/9 + 4/9 + 1/9) / 2 = 1/3: (1/2 + 1/3) / 2 = 5/12.
    expected = 0.5 / sqrt(5 / 12)
    close(found, doubles([[expected, -expected], [0.0, 0.0]]))


def test_the_own_term_does_not_shrink():
    rewards, none = doubles([[1.0, 0.0], [1.0, 1.0]]), groups(-1, -1)
    found = durian_advantages(rewards, none, groups(0, 0), (0.5, 0.5, 0.0), shrink=5.0)
    assert torch.equal(found, grpo_advantages(rewards))


def test_eps_is_added_to_every_std():
    # Own std of 1, 0 is sqrt(1/2); both groups hold 1 0 1 1 with std 1/2 (above). Centred 0.5.
    rewards, both = doubles([[1, 0], [1, 1]]), groups(0, 0)
    own, perceptual, reasoning = durian_terms(rewards, both, both, eps=0.5)
    close(own[0], doubles([0.5, -0.5]) / (sqrt(0.5) + 0.5))
    close(perceptual[0], doubles([0.5, -0.5]))
    close(reasoning[0], doubles([0.5, -0.5]))
    # The default is 1e-6: 0.5 / 0.500001.
    by_default = durian_terms(rewards, both, both)[1]
    close(by_default[0, 0].item(), 0.5 / 0.500001, 1e-14)


def test_dr_grpo_centres_and_does_not_scale():
    assert dr_grpo_advantages(doubles([[1, 0, 0, 0]])).tolist() == [[0.75, -0.25, -0.25, -0.25]]


def test_batch_scales_by_the_std_of_all_rewards():
    # 1 0 1 1 again: std 1/2.
    advantages = batch_advantages(doubles([[1, 0], [1, 1]]), eps=0.0)
    assert advantages.tolist() == [[1.0, -1.0], [0.0, 0.0]]


def test_rloo_takes_away_the_mean_of_the_others():
    # 1 0 0 0: the others of the 1 have mean 0; those of a 0 have mean 1/3.
    close(rloo_advantages(doubles([[1, 0, 0, 0]])), doubles([[1, -1 / 3, -1 / 3, -1 / 3]]))
    # Unscored, the third is nobody's other: 1 - 0 and 0 - 1.
    assert rloo_advantages(doubles([[1, 0, NAN]])).tolist() == [[1.0, -1.0, 0.0]]


def test_maxrl_divides_by_the_mean():
    # 1 0 0 0: mean 1/4; 3/4 and -1/4 over it. 1 1 0 1: mean 3/4; 1/4 and -3/4 over it.
    advantages = maxrl_advantages(doubles([[1, 0, 0, 0], [1, 1, 0, 1]]))
    close(advantages, doubles([[3, -1, -1, -1], [1 / 3, 1 / 3, -1, 1 / 3]]))
    # Unscored, the last is no part of the mean: 1/2.
    assert maxrl_advantages(doubles([[1, 0, NAN]])).tolist() == [[1.0, -1.0, 0.0]]


@pytest.mark.parametrize(
    "rewards", [[1, -1], [0, -2], [0.1, 0.2, -0.3], [1, 1e-7 - 1]],
    ids=["mean 0", "mean -1", "mean 0 but for round-off", "mean below a millionth"],
)  # fmt: skip
def test_maxrl_gives_zero_where_the_mean_is_none(rewards):
    assert maxrl_advantages(doubles([rewards])).tolist() == [[0.0] * len(rewards)]


def test_each_name_calls_its_function():
    # eps 0.5 tells one that drops it; 0.5 0 0.5 one that drops a weight,
    # shrink 4 one that drops that.
    rewards, both = doubles([SEVEN_OF_8, FOUR_OF_8]), Groups(groups(0, 0), groups(0, 1))
    weights = (0.5, 0.0, 0.5)
    expected = {
        "durian": durian_advantages(rewards, *both, weights, eps=0.5, shrink=4.0),
        "grpo": grpo_advantages(rewards, eps=0.5),
        "dr_grpo": dr_grpo_advantages(rewards),
        "batch": batch_advantages(rewards, eps=0.5),
        "rloo": rloo_advantages(rewards),
        "maxrl": maxrl_advantages(rewards),
    }
    assert list(NORMALIZERS) == list(expected)
    for name, normalizer in NORMALIZERS.items():
        assert torch.equal(
            normalizer.advantages(rewards, both, Scaling(weights, 0.5, 4.0)), expected[name]
        )


def test_group_spread_by_hand():
    # Label 0: 1 0 1 1, std 1/2, 2 samples. Label 9: 1, 3, std sqrt(2), 1 sample. -1 is no group.
    rewards = doubles([[1, 0], [1, 3], [5, 9], [1, 1]])
    spread = group_spread(rewards, groups(0, 9, -1, 0))
    assert spread == {0: (0.5, 2), 9: (pytest.approx(sqrt(2)), 1)}


def test_group_spread_leaves_out_what_nothing_could_score():
    # Label 0 keeps 1, 0: std sqrt(1/2). Nothing of label 1 is scored.
    rewards = doubles([[1, 0], [NAN, NAN], [NAN, NAN]])
    assert group_spread(rewards, groups(0, 0, 1)) == {0: (pytest.approx(sqrt(0.5)), 1)}


# --- no spread


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.1, 0.35, 0.9])
@pytest.mark.parametrize("rollouts", [1, 2, 3, 7, 8])
def test_constant_rewards_give_exactly_zero(value, rollouts, dtype):
    rewards = torch.full((5, rollouts), value, dtype=dtype)
    one = torch.zeros(5, dtype=torch.int64)
    for advantages in [
        durian_advantages(rewards, one, one),
        grpo_advantages(rewards),
        dr_grpo_advantages(rewards),
        batch_advantages(rewards),
        rloo_advantages(rewards),
        maxrl_advantages(rewards),
    ]:
        assert advantages.dtype == dtype and torch.count_nonzero(advantages) == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.1, 0.35, 0.9])
def test_a_constant_sample_beside_a_mixed_one_is_exactly_zero(value, dtype):
    rewards = torch.full((2, 3), value, dtype=dtype)
    rewards[1] = torch.tensor([0.1, 0.9, 1.0])
    advantages = durian_advantages(rewards, groups(0, 0), groups(0, 0))
    assert torch.count_nonzero(advantages[0]) == 0
    assert torch.count_nonzero(advantages[1]) == 3


def test_spread_just_below_a_millionth_counts_as_none_in_every_term():
    # 100 rewards, one 9e-6 away: std 9e-6 / sqrt(100) = 9e-7, though that one is 9e-6 off.
    rewards = torch.zeros(2, 100, dtype=torch.float64)
    rewards[0, 0] = 9e-6
    rewards[1, :50] = 1.0
    advantages = durian_advantages(rewards, groups(0, 0), groups(0, 0))
    assert torch.count_nonzero(advantages[0]) == 0


def test_spread_just_above_a_millionth_counts():
    # Two rewards d apart have std d / sqrt(2): 1.8e-6 gives 1.27e-6, each 0.9e-6 off the mean.
    advantages = grpo_advantages(doubles([[1.8e-6, 0.0]]), eps=0.0)
    close(advantages, doubles([[sqrt(0.5), -sqrt(0.5)]]))


def test_constant_samples_of_different_reward_share_a_std_and_stay_at_zero():
    rewards = torch.tensor([[0.1] * 3, [0.9] * 3, [0.35] * 3])
    same = torch.zeros(3, dtype=torch.int64)
    assert torch.count_nonzero(durian_advantages(rewards, same, same)) == 0


def test_one_completion_a_sample_gives_zero():
    rewards, same = doubles([[1.0], [0.0], [0.3]]), groups(0, 0, 0)
    for normalizer in NORMALIZERS.values():
        found = normalizer.advantages(rewards, Groups(same, same), Scaling(WEIGHTS, 0.0))
        assert found.tolist() == [[0.0]] * 3


@pytest.mark.parametrize("shape", [(0, 8), (3, 0), (0, 0)])
def test_an_empty_batch_gives_an_empty_one(shape):
    label = torch.zeros(shape[0], dtype=torch.int64)
    for normalizer in NORMALIZERS.values():
        found = normalizer.advantages(
            torch.zeros(shape), Groups(label, label), Scaling(WEIGHTS, 1e-6)
        )
        assert found.shape == shape


# --- in no group, and unscored


def test_a_sample_in_no_group_takes_its_own_term():
    # Two samples are in none: they must not share a std either.
    rewards = doubles([SEVEN_OF_8, FOUR_OF_8])
    own = grpo_advantages(rewards)
    for term in durian_terms(rewards, groups(-1, -1), groups(-1, -1)):
        assert torch.equal(term, own)


def test_a_sample_in_no_group_adds_nothing_to_a_group():
    rewards = doubles([[1, 0], [9, 3], [1, 1]])
    term = durian_terms(rewards, groups(0, -1, 0), groups(0, -1, 0), eps=0.0)[1]
    assert term[0].tolist() == [1.0, -1.0]  # 1 0 1 1: std 1/2


def test_narrow_labels_do_not_run_into_those_in_no_group():
    # Labels beside 127 must not wrap round in int8, as "largest + 1 + position" would.
    torch.manual_seed(0)
    rewards = torch.rand(300, 4, dtype=torch.float64)
    label = torch.full((300,), -1, dtype=torch.int8)
    label[:40] = torch.arange(40) % 4
    label[40] = 127
    narrow, wide = (durian_advantages(rewards, x, x) for x in (label, label.long()))
    assert torch.equal(narrow, wide)
    assert torch.equal(narrow[41:], durian_advantages(rewards[41:], label[41:], label[41:]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_any_integer_labels(dtype):
    rewards, label = doubles([SEVEN_OF_8, FOUR_OF_8]), groups(3, 3)
    expected = durian_advantages(rewards, label, label)
    assert torch.equal(durian_advantages(rewards, label.to(dtype), label.to(dtype)), expected)


def test_an_unscored_completion_counts_nowhere():
    # Sample 0 keeps 1, 0: own std sqrt(1/2). The group keeps 1 0 1 1: std 1/2.
    rewards = doubles([[1, NAN, 0], [NAN, 1, 1]])
    own, perceptual, _ = durian_terms(rewards, groups(0, 0), groups(0, 0), eps=0.0)
    close(own, doubles([[sqrt(0.5), 0, -sqrt(0.5)], [0, 0, 0]]))
    close(perceptual, doubles([[1, 0, -1], [0, 0, 0]]))


def test_a_sample_with_nothing_scored_gives_zero_and_changes_no_other():
    rewards = doubles([[NAN, NAN], [1, 0], [1, 1]])
    advantages = durian_advantages(rewards, groups(0, 0, 0), groups(-1, 0, 0))
    without = durian_advantages(rewards[1:], groups(0, 0), groups(0, 0))
    assert advantages[0].tolist() == [0.0, 0.0]
    assert torch.equal(advantages[1:], without)


# --- precision


@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics_are_wider_than_their_input(dtype):
    # 160,000 rewards, half 1 and half 0: their sum is beyond float16's largest number and their
    # count beyond bfloat16's whole numbers. std sqrt(0.25 n / (n - 1)) = 0.5000016.
    rewards = torch.tensor([1.0, 0.0] * 4, dtype=dtype).repeat(20_000, 1)
    one = torch.zeros(20_000, dtype=torch.int64)
    advantages = durian_advantages(rewards, one, one, (0.0, 0.5, 0.5), eps=0.0)
    assert advantages.dtype == dtype
    expected = torch.tensor([[0.9999969, -0.9999969] * 4], dtype=torch.float64).to(dtype)
    close(advantages, expected.expand(20_000, 8), 1e-6)


def test_the_number_of_threads_changes_no_bit():
    torch.manual_seed(0)
    rewards = torch.rand(20_000, 8)
    perceptual, reasoning = (torch.randint(-1, n, (20_000,)) for n in (3, 10))
    found, threads = [], torch.get_num_threads()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(durian_advantages(rewards, perceptual, reasoning))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


# --- a reference in plain Python, loops and the statistics module


def spread(values):
    known = [v for v in values if not isnan(v)]
    std = stdev(known) if len(known) > 1 else 0.0
    return std if std >= 1e-6 else 0.0


def reference(rewards, perceptual, reasoning, weights, eps):
    """Equation 20, one completion at a time."""

    def divided(s, i, group):
        if isnan(rewards[s][i]) or spread(rewards[s]) == 0.0:
            return 0.0
        if group is None or group[s] == -1:
            pooled = rewards[s]
        else:
            pooled = [r for t, row in enumerate(rewards) if group[t] == group[s] for r in row]
        centred = rewards[s][i] - fmean(r for r in rewards[s] if not isnan(r))
        return centred / (spread(pooled) + eps)

    return [
        [
            sum(
                w * divided(s, i, group)
                for w, group in zip(weights, (None, perceptual, reasoning), strict=True)
            )
            for i in range(len(row))
        ]
        for s, row in enumerate(rewards)
    ]


# Either equal or well apart, so that no spread lies near a millionth.
REWARD = st.one_of(
    st.sampled_from([0.0, 0.1, 0.35, 0.9, 1.0]), st.integers(-300, 300).map(lambda n: n / 64)
)
LABEL = st.sampled_from([-1, 0, 1, 2, 7, 10**12])


@st.composite
def batches(draw, unscored=True):
    samples, rollouts = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    reward = st.one_of(REWARD, REWARD, st.just(NAN)) if unscored else REWARD
    row = st.lists(reward, min_size=rollouts, max_size=rollouts)
    label = st.lists(LABEL, min_size=samples, max_size=samples)
    rewards = draw(st.lists(row, min_size=samples, max_size=samples))
    return doubles(rewards), groups(*draw(label)), groups(*draw(label))


@given(
    batches(), st.sampled_from([WEIGHTS, (1.0, 0.0, 0.0), (0.1, 0.2, 0.7)]),
    st.sampled_from([1e-6, 0.0, 1e-4]), st.sampled_from(DTYPES),
)  # fmt: skip
def test_equation_20_in_any_shape_grouping_and_dtype(batch, weights, eps, dtype):
    rewards, perceptual, reasoning = batch[0].to(dtype), *batch[1:]
    expected = reference(
        rewards.double().tolist(), perceptual.tolist(), reasoning.tolist(), weights, eps
    )
    found = durian_advantages(rewards, perceptual, reasoning, weights, eps=eps)
    assert found.dtype == dtype and found.shape == rewards.shape
    step = max(torch.finfo(dtype).eps, 1e-12)
    close(found.double(), doubles(expected), step)


# --- what always holds


@given(batches())
def test_all_weight_on_the_own_term_is_grpo(batch):
    found = durian_advantages(*batch, (1.0, 0.0, 0.0))
    assert torch.equal(found, grpo_advantages(batch[0]))


@given(batches())
def test_every_sample_its_own_group_is_grpo(batch):
    rewards = batch[0]
    alone = torch.arange(len(rewards)).flip(0) * 3
    for term in durian_terms(rewards, alone, alone):
        assert torch.equal(term, grpo_advantages(rewards))


@given(batches())
def test_one_group_is_the_batch_std(batch):
    rewards = batch[0]
    one = torch.full((len(rewards),), 4)
    own, _, _ = durian_terms(rewards, one, one)
    assert torch.equal(own, grpo_advantages(rewards))
    for weights in [(0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]:
        found = durian_advantages(rewards, one, one, weights)
        assert torch.equal(found, batch_advantages(rewards))


@given(batches())
def test_no_shrinking_is_the_paper_and_all_of_it_the_batch(batch):
    rewards, *labels = batch
    grouped = [label.abs() for label in labels]  # all in a group
    terms = durian_terms(rewards, *grouped)
    for found, expected in zip(durian_terms(rewards, *grouped, shrink=0.0), terms, strict=True):
        assert torch.equal(found, expected)
    _, *found = durian_terms(rewards, *grouped, shrink=float("inf"))
    for term in found:
        close(term, batch_advantages(rewards))


@given(batches(), st.randoms(use_true_random=False))
def test_reordered_samples_reorder_the_advantages(batch, random):
    order = list(range(len(batch[0])))
    random.shuffle(order)
    close(durian_advantages(*(x[order] for x in batch)), durian_advantages(*batch)[order])


@given(batches(), st.randoms(use_true_random=False))
def test_reordered_completions_reorder_the_advantages(batch, random):
    rewards, *both = batch
    order = list(range(rewards.shape[1]))
    random.shuffle(order)
    close(durian_advantages(rewards[:, order], *both), durian_advantages(*batch)[:, order])


@given(batches(), st.permutations([0, 1, 2, 7, 10**12]))
def test_renamed_groups_change_nothing(batch, names):
    new = dict(zip([0, 1, 2, 7, 10**12], names, strict=True)) | {-1: -1}
    rewards, *both = batch
    renamed = [groups(*(new[x] for x in label.tolist())) for label in both]
    assert torch.equal(durian_advantages(rewards, *renamed), durian_advantages(*batch))


@given(batches(), st.integers(0, 6))
def test_processes_that_gather_all_and_keep_their_slice_agree_with_one(batch, cut):
    # Each process holds a shard; what it gathers may begin with its own.
    whole = durian_advantages(*batch)
    turned = durian_advantages(*(torch.cat([x[cut:], x[:cut]]) for x in batch))
    mine = len(batch[0][cut:])
    close(turned[:mine], whole[cut:])
    close(turned[mine:], whole[:cut])


@given(batches())
def test_each_samples_advantages_sum_to_zero_and_are_finite(batch):
    rewards = batch[0]
    every = [
        normalizer.advantages(rewards, Groups(*batch[1:]), Scaling(WEIGHTS, 1e-6))
        for normalizer in NORMALIZERS.values()
    ]
    for found in [*every, *durian_terms(*batch)]:
        assert found.isfinite().all()
        assert found.sum(dim=1).abs().max() <= 1e-12 * max(1.0, found.abs().max())
        assert torch.count_nonzero(found[rewards.isnan()]) == 0


@given(batches())
def test_the_terms_weighted_and_summed_are_the_advantages(batch):
    terms = durian_terms(*batch)
    close(sum(w * t for w, t in zip(WEIGHTS, terms, strict=True)), durian_advantages(*batch))


@given(batches())
def test_the_two_groupings_are_treated_alike(batch):
    rewards, perceptual, reasoning = batch
    swapped = durian_advantages(rewards, reasoning, perceptual, (0.1, 0.7, 0.2))
    close(swapped, durian_advantages(*batch, (0.1, 0.2, 0.7)))


@given(batches(), st.integers(-8, 8))
def test_a_constant_added_to_all_rewards_changes_nothing(batch, constant):
    rewards, *both = batch
    close(durian_advantages(rewards + constant, *both), durian_advantages(*batch), 1e-11)


@given(batches(), st.sampled_from([0.5, 4.0]))
def test_rewards_in_another_unit_change_nothing(batch, unit):
    rewards, *both = batch
    found = durian_advantages(rewards * unit, *both, eps=0.0)
    close(found, durian_advantages(*batch, eps=0.0))


@given(batches())
def test_the_input_is_left_as_it_was(batch):
    kept = [x.clone() for x in batch]
    durian_advantages(*batch)
    group_spread(batch[0], batch[1])
    torch.testing.assert_close(list(batch), kept, rtol=0, atol=0, equal_nan=True)


@given(batches())
def test_group_spread_agrees_with_the_statistics_module(batch):
    rewards, label, _ = batch
    rows = list(zip(rewards.tolist(), label.tolist(), strict=True))
    for name, (std, size) in group_spread(rewards, label).items():
        inside = [row for row, x in rows if x == name and not all(map(isnan, row))]
        assert size == len(inside) > 0
        assert std == pytest.approx(spread([r for row in inside for r in row]), abs=1e-12)
    scored = {x for row, x in rows if x >= 0 and not all(map(isnan, row))}
    assert set(group_spread(rewards, label)) == scored


# --- TRL's formulas


@pytest.fixture(scope="module")
def nanstd():
    """TRL's own; TRL says at import that it does not know vLLM's CPU build's version."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from trl.trainer.utils import nanstd as of_trl
    return of_trl


@pytest.fixture
def trl_rewards():
    torch.manual_seed(0)
    rewards = 0.1 * (torch.rand(64, 8) < 0.8) + 0.9 * (torch.rand(64, 8) < 0.6)
    rewards[torch.rand(64, 8) < 0.1] = NAN
    rewards[3] = 1.0
    return rewards


def test_grpo_agrees_with_trls_group_scaling(trl_rewards, nanstd):
    std = nanstd(trl_rewards, dim=1, keepdim=True)
    theirs = (trl_rewards - trl_rewards.nanmean(dim=1, keepdim=True)) / (std + 1e-4)
    close(grpo_advantages(trl_rewards, eps=1e-4), theirs.nan_to_num(0.0), 2e-5)


def test_batch_agrees_with_trls_batch_scaling(trl_rewards, nanstd):
    centred = trl_rewards - trl_rewards.nanmean(dim=1, keepdim=True)
    theirs = (centred / (nanstd(trl_rewards) + 1e-4)).nan_to_num(0.0)
    close(batch_advantages(trl_rewards, eps=1e-4), theirs, 2e-5)
    one = torch.zeros(64, dtype=torch.int64)
    found = durian_advantages(trl_rewards, one, one, (0.0, 1.0, 0.0), eps=1e-4)
    close(found, theirs, 2e-5)


def test_dr_grpo_agrees_with_trls_unscaled(trl_rewards):
    theirs = trl_rewards - trl_rewards.nanmean(dim=1, keepdim=True)
    close(dr_grpo_advantages(trl_rewards), theirs.nan_to_num(0.0), 2e-6)


# --- what is refused


@pytest.mark.parametrize(
    ("rewards", "found"),
    [
        (torch.zeros(4), r"torch\.float32 \(4,\)"),
        (torch.tensor(1.0), r"torch\.float32 \(\)"),
        (torch.zeros(2, 2, 2), r"\(2, 2, 2\)"),
        (torch.zeros(2, 2, dtype=torch.int64), r"torch\.int64 \(2, 2\)"),
        (torch.zeros(2, 2, dtype=torch.bool), r"torch\.bool"),
    ],
)
def test_rewards_of_another_shape_or_kind_are_refused(rewards, found):
    for call in [
        lambda: durian_advantages(rewards, groups(0, 0), groups(0, 0)),
        lambda: group_spread(rewards, groups(0, 0)),
        lambda: grpo_advantages(rewards),
        lambda: dr_grpo_advantages(rewards),
        lambda: batch_advantages(rewards),
    ]:
        with pytest.raises(ValueError, match=rf"rewards must be a float tensor \(B, G\).*{found}"):
            call()


@pytest.mark.parametrize(
    ("group", "found"),
    [
        (groups(0), r"torch\.int64 \(1,\)"),
        (groups(0, 0, 0), r"\(3,\)"),
        (groups(0, 0)[:, None], r"\(2, 1\)"),
        (torch.tensor(0), r"\(\)"),
        (torch.zeros(2), r"torch\.float32"),
        (torch.zeros(2, dtype=torch.bool), r"torch\.bool"),
        (torch.zeros(2, dtype=torch.complex64), r"torch\.complex64"),
        (torch.zeros(2, dtype=torch.int64, device="meta"), r"on meta"),
    ],
)
def test_groups_of_another_shape_kind_or_device_are_refused(group, found):
    good, rewards = groups(0, 0), torch.zeros(2, 3)
    for pair in [(group, good), (good, group)]:
        with pytest.raises(ValueError, match=rf"must be an integer tensor \(2,\) on cpu.*{found}"):
            durian_advantages(rewards, *pair)


def test_labels_below_minus_one_are_refused():
    with pytest.raises(ValueError, match="label is -3; it must be -1 or more"):
        durian_advantages(torch.zeros(2, 3), groups(0, 0), groups(-1, -3))


@pytest.mark.parametrize("infinite", [float("inf"), float("-inf")])
def test_an_infinite_reward_is_refused(infinite):
    rewards = torch.tensor([[0.0, 1.0], [infinite, -infinite], [0.0, NAN]])
    for call in [grpo_advantages, dr_grpo_advantages, batch_advantages]:
        with pytest.raises(ValueError, match="sample 1 has an infinite reward"):
            call(rewards)


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.4, 0.3, 0.2, 0.1)])
def test_weights_are_three(weights):
    with pytest.raises(ValueError):
        durian_advantages(torch.zeros(2, 3), groups(0, 0), groups(0, 0), weights)
