"""Flat rows of other trainers: the advantages of the library, whatever their order and shape."""

import math

import pytest
import torch

from durian.normalizer import NORMALIZERS, Groups, Scaling, durian_advantages
from durian.plugins.rows import PluginError, Rows, Settings, Teller, mean_logprob, row_advantages

NAN = float("nan")


def columns(perceptual, reasoning, value=0.0):
    return {
        "sample_id": "x",
        "durian_perceptual_group": perceptual,
        "durian_reasoning_group": reasoning,
        "durian_perceptual": value,
    }


def rows_of(rewards, groups, order=None, **more):
    """Rows of samples by completions, in `order`; NaN completions are kept as rows."""
    flat = [(s, r) for s, of_sample in enumerate(rewards) for r in of_sample]
    order = range(len(flat)) if order is None else order
    return Rows(
        sample=[f"uid{flat[i][0]}" for i in order],
        rewards=torch.tensor([flat[i][1] for i in order], dtype=torch.float64),
        columns=[columns(*groups[flat[i][0]]) for i in order],
        **more,
    )


def test_two_samples_of_one_group_share_a_std_worked_out_by_hand():
    # Rewards 1 0 and 1 1: mean 3/4, squares 3 * (1/4)^2 + (3/4)^2 = 3/4, over n - 1 = 3 is 1/4, so
    # the group's std is 1/2. The first sample's deviations of +-1/2 become +-1, the second's 0.
    rows = rows_of([[1.0, 0.0], [1.0, 1.0]], [(0, -1), (0, -1)])
    found, metrics = row_advantages(
        rows, Settings(weights=(0.0, 1.0, 0.0), eps=0.0), trainer="verl"
    )
    assert found.tolist() == [1.0, -1.0, 0.0, 0.0]
    assert metrics["durian/std/perceptual_easy"] == 0.5
    assert metrics["durian/size/perceptual_easy"] == 2.0
    assert metrics["durian/no_variance"] == 0.5  # one of the two does not spread


@pytest.mark.parametrize("name", NORMALIZERS)
def test_shuffled_ragged_unscored_rows_get_what_the_library_gives_the_packed_ones(name):
    torch.manual_seed(0)
    counts = [4, 2, 4, 1, 3, 4]
    rewards = [torch.rand(n, dtype=torch.float64).round(decimals=1).tolist() for n in counts]
    rewards[2][1] = NAN
    groups = [(0, 0), (1, 0), (2, 1), (-1, 1), (0, -1), (2, 0)]
    packed = torch.tensor(
        [each + [NAN] * (4 - len(each)) for each in rewards], dtype=torch.float64
    )  # (B, G)
    labels = Groups(*(torch.tensor(each) for each in zip(*groups, strict=True)))
    settings = Settings(normalizer=name, shrink=4.0)
    expected = NORMALIZERS[name].advantages(packed, labels, Scaling(shrink=4.0))
    expected = expected[[s for s, n in enumerate(counts) for _ in range(n)],
                        [g for n in counts for g in range(n)]]  # fmt: skip
    order = torch.randperm(sum(counts)).tolist()
    found, _ = row_advantages(rows_of(rewards, groups, order), settings, trainer="verl")
    # Sums of shuffled numbers differ by round-off.
    assert torch.allclose(found, expected[order], rtol=0, atol=1e-12)
    assert found.count_nonzero() > 10


def test_padding_rows_change_no_other_rows_advantage():
    rewards, groups = [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]], [(1, 2), (1, 2)]
    alone, _ = row_advantages(rows_of(rewards, groups), Settings(), trainer="verl")
    padded, metrics = row_advantages(
        rows_of([*rewards, [NAN], [NAN]], [*groups, (1, 2), (1, 2)]), Settings(), trainer="verl"
    )
    assert torch.equal(padded[:6], alone)
    assert padded[6:].tolist() == [0.0, 0.0]
    assert metrics["durian/samples"] == 2.0


def test_online_groups_are_cut_from_the_batchs_own_measure_and_confidence():
    # Confidence -4 -3 -2 -1 in two bins: the first two samples are bin 0. The measure 1 2 3 4 at
    # percentiles 25 and 75 (1.75, 3.25): easy, medium, medium, hard.
    rewards = [[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    rows = rows_of(
        rewards, [(9, 9)] * 4, confidence=torch.tensor([-4.5, -3.5, -3.0, -3.0, -2, -2, -1, -1])
    )
    for row, value in zip(rows.columns, (1, 1, 2, 2, 3, 3, 4, 4), strict=True):
        row["durian_perceptual"] = value
    found, _ = row_advantages(rows, Settings(groups="online", bins=2), trainer="verl")
    expected = durian_advantages(
        torch.tensor(rewards, dtype=torch.float64),
        torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 1, 1]),
    )  # fmt: skip
    assert torch.equal(found, expected.flatten())


def test_padding_moves_no_edge_between_online_groups():
    # As above; the padding repeats the first sample's columns as samples of their own. Counted,
    # measures 1 1 1 1 2 3 4 would put the edges at 1 and 2.5, and the third sample into hard.
    rewards = [[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [NAN], [NAN], [NAN]]
    confidence = torch.tensor([-4.0, -4, -3, -3, -2, -2, -1, -1, -4, -4, -4])
    rows = rows_of(rewards, [(9, 9)] * 7, confidence=confidence)
    for row, value in zip(rows.columns, (1, 1, 2, 2, 3, 3, 4, 4, 1, 1, 1), strict=True):
        row["durian_perceptual"] = value
    found, _ = row_advantages(rows, Settings(groups="online", bins=2), trainer="verl")
    expected = durian_advantages(
        torch.tensor(rewards[:4], dtype=torch.float64),
        torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 1, 1]),
    )  # fmt: skip
    assert torch.equal(found[:8], expected.flatten()) and not found[8:].any()


def test_online_groups_without_log_probabilities_are_refused():
    rows = rows_of([[1.0, 0.0]], [(0, 0)])
    with pytest.raises(PluginError, match="no log-probabilities .*; use groups=offline"):
        row_advantages(rows, Settings(groups="online"), trainer="slime")


def test_extreme_is_one_completion_unlike_all_others_of_three_or_more():
    # 1 of 4 right: extreme. 3 of 4: extreme. 2 of 4: not. 1 of 2: too few. All right: flat.
    rewards = [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 0, 0], [1, 0], [1, 1]]
    rows = rows_of([[float(r) for r in each] for each in rewards], [(0, 0)] * 5)
    _, metrics = row_advantages(rows, Settings(), trainer="verl")
    assert (metrics["durian/extreme"], metrics["durian/no_variance"]) == (2 / 5, 1 / 5)


def test_a_missing_column_says_which_export_writes_it():
    rows = Rows(sample=["a"], rewards=torch.zeros(1), columns=[{"sample_id": "a"}])
    with pytest.raises(PluginError, match="'durian_perceptual_group'; .*export RUN --to swift"):
        row_advantages(rows, Settings(), trainer="swift")


def test_mean_logprob_leaves_out_what_the_mask_leaves_out():
    logprobs = torch.tensor([[-1.0, -3.0, NAN], [-5.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0]])
    found = mean_logprob(logprobs, mask).tolist()
    assert found[:2] == [-2.0, -5.0] and math.isnan(found[2])


def test_settings_come_from_the_trainers_config_before_the_environment():
    environment = {"DURIAN_WEIGHTS": "0.1,0.2,0.7", "DURIAN_BINS": "4", "DURIAN_OTHER": "x"}
    settings = Settings.read({"weights": [1, 0, 0]}, environment)
    assert (settings.weights, settings.bins) == ((1.0, 0.0, 0.0), 4)


def test_shrinking_is_told_where_it_is_done():
    assert str(Settings()) == "durian, groups offline, weights 0.4,0.3,0.3"
    assert str(Settings.read({"shrink": "16"}, {})).endswith("weights 0.4,0.3,0.3, shrink 16")


@pytest.mark.parametrize(("given", "said"), [
    ({"normalizer": "gpo"}, "normalizer is 'gpo'; it must be one of durian, grpo"),
    ({"weights": "1,2"}, "weights is .*; it must be three numbers"),
    ({"weights": "a,b,c"}, "weights is 'a,b,c', which cannot be read"),
    ({"groups": "on"}, "groups is 'on'; it must be offline or online"),
    ({"percentiles": [75, 25]}, "it must be two rising numbers between 0 and 100"),
    ({"bins": 0}, "bins is 0; it must be 1 or more"),
    ({"shrink": -1}, "shrink is -1.0; it must be 0 or more"),
    ({"wieghts": 1}, "no setting 'wieghts'; known are bins, eps"),
])  # fmt: skip
def test_wrong_settings_are_told(given, said):
    with pytest.raises(PluginError, match=said):
        Settings.read(given, {})


def test_thin_groups_are_warned_of_once(capsys):
    teller = Teller("verl")
    _, metrics = row_advantages(
        rows_of([[1.0, 0.0], [0.0, 0.0]], [(0, 0), (1, 0)]), Settings(), trainer="verl"
    )
    teller.batch(metrics, Settings())
    teller.batch(metrics, Settings())
    told = capsys.readouterr().err
    assert told.count("perceptual_easy, perceptual_medium: fewer than 2 prompts in a batch") == 1
    assert told.count("2 samples; no variance 50.0 %, extreme 0.0 %") == 2


def test_a_session_of_several_rows_is_judged_once_by_its_last():
    # The first sample's second completion came in three rows: 0.3 and 0.6 on its way, 0 at last.
    told = rows_of([[1.0, 0.3, 0.6, 0.0], [1.0, 0.0]], [(0, 0), (0, 0)])
    rows = Rows(
        sample=told.sample, rewards=told.rewards, columns=told.columns, judged=[0, 3, 3, 3, 4, 5]
    )
    found, metrics = row_advantages(rows, Settings(), trainer="verl")
    once, _ = row_advantages(
        rows_of([[1.0, 0.0], [1.0, 0.0]], [(0, 0), (0, 0)]), Settings(), trainer="verl"
    )
    assert torch.equal(found, once[[0, 1, 1, 1, 2, 3]])
    assert metrics["durian/size/perceptual_easy"] == 2


@pytest.mark.parametrize("label", ["easy", NAN])
def test_a_label_that_is_no_number_is_told(label):
    rows = rows_of([[1.0, 0.0]], [(label, 0)])
    with pytest.raises(PluginError, match="durian_perceptual_group is .*, not a whole number"):
        row_advantages(rows, Settings(), trainer="easyr1")


def test_a_batch_without_any_group_is_said_to_be_plain_grpo(capsys):
    teller = Teller("swift")
    found, metrics = row_advantages(rows_of([[1.0, 0.0]], [(-1, -1)]), Settings(), trainer="swift")
    teller.batch(metrics, Settings())
    told = capsys.readouterr().err
    assert "warning: no sample of this batch is in a group" in told
    assert "1 samples; no variance 0.0 %, extreme 0.0 %, in no group 100.0 %; std" in told
    assert metrics["durian/ungrouped"] == 1.0


def test_settings_are_told_again_when_they_change(capsys):
    teller = Teller("verl")
    _, metrics = row_advantages(rows_of([[1.0, 0.0]], [(0, 0)]), Settings(), trainer="verl")
    for settings in (Settings(), Settings(), Settings(normalizer="grpo")):
        teller.batch(metrics, settings)
    told = capsys.readouterr().err
    assert told.count("advantages by durian, groups offline, weights 0.4,0.3,0.3") == 1
    assert told.count("advantages by grpo, groups offline\n") == 1
