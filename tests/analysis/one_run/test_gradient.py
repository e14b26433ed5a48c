"""Who gets the gradient: the closed form against the normalizers themselves, and by hand."""

import numpy as np
import pytest
import torch

from durian.analysis.one_run.gradient import bands_of, beta_binomial, gradient_shares
from durian.curriculum import prior_of
from durian.groups import PERCEPTUAL
from durian.normalizer import NORMALIZERS, Groups, Scaling

ORDERS = {"perceptual": PERCEPTUAL, "reasoning": [0, 1]}


def shares(right, total, perceptual=None, reasoning=None):
    right, total = np.array(right, np.float64), np.array(total, np.float64)
    labels = {
        "perceptual": perceptual or ["easy"] * len(right),
        "reasoning": reasoning or [0] * len(right),
    }
    return gradient_shares(right, total, labels, ORDERS)


def test_every_registered_normalizer_is_told():
    assert set(shares([1, 3], [4, 4]).normalizers) == set(NORMALIZERS)


def test_right_completions_of_a_uniform_pass_rate_are_equally_likely():
    # Beta(1, 1) is uniform, and 0 to 3 right of 3 are then each as likely: 1/4.
    assert beta_binomial(3, np.ones(1), np.ones(1))[0] == pytest.approx([0.25] * 4)


def test_pass_rates_fall_into_five_bands():
    assert bands_of(np.array([0, 0.125, 0.25, 0.3, 0.74, 0.75, 0.99, 1])).tolist() == [
        0, 1, 1, 2, 2, 3, 3, 4,
    ]  # fmt: skip


def test_of_two_completions_every_sample_with_spread_counts_alike():
    # Of 2 completions only 1 right has spread: centred 1/2, -1/2, squares 1/2, std sqrt(1/2).
    # GRPO's advantage is sqrt(1/2), Dr. GRPO's 1/2, RLOO's 1 (the other's reward apart),
    # MaxRL's 1/2 over a mean of 1/2. Where all that has spread has the same squares, n samples
    # of which a share q has spread count for n q: so is every effective number.
    found = shares([1, 1, 2, 0], [2, 2, 2, 2])
    ours = found.normalizers
    assert ours["grpo"].largest == pytest.approx(0.5**0.5)
    assert ours["dr_grpo"].largest == pytest.approx(0.5)
    assert ours["rloo"].largest == pytest.approx(1)
    assert ours["maxrl"].largest == pytest.approx(1)
    for one in ours.values():
        assert one.effective == pytest.approx(4 * (1 - found.no_variance))
        assert sum(one.bands) == pytest.approx(1)


def test_a_group_is_scaled_by_its_own_plug_in_std():
    # Both groups' samples have the same posterior but for their table counts: easy's mean pass
    # rate m gives 1 / (m (1 - m)) beside Dr. GRPO's weight. With weights 0.4, 0.3, 0.3 the
    # perceptual term alone differs between them, so the rarer the right ones, the larger.
    found = shares([4] * 5 + [1] * 5, [8] * 10, ["easy"] * 5 + ["hard"] * 5).normalizers
    durian, plain = (dict((g.group, g.share) for g in found[n].perceptual) for n in
                     ("durian", "dr_grpo"))  # fmt: skip
    assert durian["hard"] / durian["easy"] > plain["hard"] / plain["easy"]
    assert durian["medium"] == 0


def test_the_std_of_a_group_is_that_of_rewards_of_its_mean_pass_rate():
    # 4 of 16 right: sqrt(1/4 x 3/4). 16 of 32: a half. A group without samples has none.
    found = shares([2, 2, 4, 4, 4, 4], [8] * 6, ["easy"] * 2 + ["hard"] * 4)
    assert [(s.group, s.std) for s in found.stds["perceptual"]] == [
        ("easy", pytest.approx(0.1875**0.5)), ("hard", pytest.approx(0.5)),
    ]  # fmt: skip


@pytest.mark.parametrize(("right", "each"), [([1, 0], 1), ([4, 4], 4), ([0, 0], 4)])
def test_one_rollout_a_sample_or_nothing_but_right_or_wrong_has_no_gradient_to_share(right, each):
    assert shares(right, [each] * 2) is None


@pytest.mark.parametrize("name", NORMALIZERS)
def test_the_closed_form_is_what_a_simulation_finds(name):
    # 600 samples from never to always right; ungrouped ones among them. In each of 40 rollout
    # batches pass rates are redrawn from the same posteriors, completions from them, and the
    # product's own normalizer runs.
    chance = np.random.default_rng(3)
    rate = chance.beta(0.7, 0.9, 600)
    right = chance.binomial(8, rate)
    perceptual = np.where(rate + chance.normal(0, 0.3, 600) > 0.5, 0, 2)
    reasoning = np.where(rate + chance.normal(0, 0.2, 600) > 0.4, 1, 0)
    perceptual[:30], reasoning[20:60] = -1, -1
    found = shares(
        right, np.full(600, 8), [None if g < 0 else PERCEPTUAL[g] for g in perceptual],
        [None if g < 0 else int(g) for g in reasoning],
    )  # fmt: skip
    a, b = prior_of(right.astype(float), 8.0 - right)
    band, squares, effective, flat = bands_of(right / 8), np.zeros(600), [], []
    for _ in range(40):
        drawn = chance.permutation(600)[:512]
        p = chance.beta(a + right[drawn], b + 8 - right[drawn])
        rewards = torch.tensor(chance.random((512, 8)) < p[:, None]).double()
        groups = Groups(torch.tensor(perceptual[drawn]), torch.tensor(reasoning[drawn]))
        advantages = NORMALIZERS[name].advantages(rewards, groups, Scaling())
        w = advantages.square().sum(1).numpy()
        squares[drawn] += w
        effective.append(w.sum() ** 2 / (w**2).sum())
        flat.append(float((rewards.std(1) == 0).double().mean()))
    ours, parts = found.normalizers[name], squares / squares.sum()
    # 40 x 512 draws: the shares' own error is below a point, MaxRL's heavy tail aside.
    loose, looser = (0.03, 0.06) if name == "maxrl" else (0.012, 0.03)
    assert ours.bands == pytest.approx(np.bincount(band, parts, 5), abs=loose)
    for kind, group in (("perceptual", perceptual), ("reasoning", reasoning)):
        known = {row.group: row.share for row in getattr(ours, kind)}
        for label in (0, 2) if kind == "perceptual" else (0, 1):
            key = PERCEPTUAL[label] if kind == "perceptual" else label
            assert known[key] == pytest.approx(parts[group == label].sum(), abs=loose)
    assert found.rollout_batch == 512
    assert ours.effective == pytest.approx(
        np.mean(effective), rel=0.06 if name == "maxrl" else 0.03
    )
    assert found.no_variance == pytest.approx(np.mean(flat), abs=0.01)
