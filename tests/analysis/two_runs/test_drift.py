"""Drift between two profiles: worked by hand, by peers, and on planted policies."""

import numpy as np
import pytest
from scipy.stats import fisher_exact, kendalltau
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from statsmodels.stats.multitest import multipletests

from durian.analysis.statistics.agreement import kappa, score_order, tau
from durian.analysis.statistics.association import auroc
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import AGREED, Estimate
from durian.analysis.statistics.paired import Side
from durian.analysis.two_runs.drift import drift, learned_samples
from durian.analysis.two_runs.floor import Completions, Floor, GroupShares, redraws
from durian.analysis.two_runs.group_flow import Gain, GroupPair, fresh_gain, group_flow
from durian.analysis.two_runs.verdict import AGAIN, KEEP, verdict
from durian.groups import reasoning_groups
from durian.records import as_json

NO_FLOOR = Floor(None, (1, 1), {}, seed=0)


def side(right, g=8, perceptual=None, reasoning=None, **measures):
    n = len(right)
    right = np.array(right, np.float64)
    return Side(
        wrong=g - right,
        total=np.where(np.isnan(right), np.nan, float(g)),
        groups={"perceptual": perceptual or [None] * n, "reasoning": reasoning or [None] * n},
        measures={name: np.array(values, np.float64) for name, values in measures.items()},
    )


def test_weighted_kappa_by_hand_and_as_scikit_learn_has_it():
    # A: 0 0 1 2, B: 0 1 1 0. Seen |i - j|: 0 1 0 2 = 3, over 4 samples. By chance, rows (2, 1, 1)/4
    # and columns (2, 2, 0)/4: distances 0 1 2 | 1 0 1 | 2 1 0 give (2*2*1 + 1*2*1 + 1*2*2 + 1*2*1)
    # / 16 = 12/16. kappa = 1 - (3/4) / (12/16) = 0.
    a, b = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    assert kappa(a, b).value == pytest.approx(0.0, abs=1e-12)
    rng = np.random.default_rng(0)
    a = rng.integers(5, size=200)
    b = np.clip(a + rng.integers(-1, 2, size=200), 0, 4)
    peer = cohen_kappa_score(a, b, weights="linear")
    assert kappa(np.r_[a, -1, 2], np.r_[b, 3, -1]).value == pytest.approx(peer, abs=1e-12)


def test_the_influence_on_kappa_is_the_slope_of_scikit_learns_by_a_samples_weight():
    rng = np.random.default_rng(1)
    a = rng.integers(4, size=60)
    b = np.clip(a + rng.integers(-1, 2, size=60), 0, 3)
    found = kappa(a, b)
    for sample in (3, 30):
        weights = np.ones((2, 60))
        weights[:, sample] += [-1e-5, 1e-5]
        less, more = (
            cohen_kappa_score(a, b, weights="linear", sample_weight=each) for each in weights
        )
        assert found.influence[sample] == pytest.approx((more - less) / 2e-5, rel=1e-4)
    assert found.influence.sum() == pytest.approx(0, abs=1e-12)


def test_kappa_of_one_group_is_undefined():
    assert kappa(np.zeros(4, int), np.zeros(4, int)) is None


def test_tau_is_scipys_of_the_samples_that_have_both():
    rng = np.random.default_rng(1)
    x = np.round(rng.normal(size=80), 1)  # ties
    y = np.round(x + rng.normal(size=80), 1)
    expected = kendalltau(np.delete(x, 3), np.delete(y, 3)).statistic
    x[3] = np.nan  # left out
    found = tau(x, y, seed=0)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert found.influence[3] == found.part[3] == 0 and found.part.sum() == 79


def test_tau_of_the_same_values_is_one_and_of_a_constant_undefined():
    x = np.random.default_rng(2).normal(size=300)
    assert tau(x, x, seed=0).value == pytest.approx(1.0, abs=1e-15)
    assert tau(x, -x, seed=0).value == pytest.approx(-1.0, abs=1e-15)
    assert tau(x, np.zeros(300), seed=0) is None


def test_tau_of_many_samples_is_of_five_thousand():
    rng = np.random.default_rng(3)
    x = rng.normal(size=8000)
    y = x + rng.normal(size=8000)
    ours = tau(x, y, seed=0).value
    assert ours != (whole := kendalltau(x, y).statistic) and ours == pytest.approx(whole, abs=0.02)


def test_flows_count_who_went_where():
    # Bin 0 is the least confident. One from 0 to 1, one stays in 0, one stays in 1; one has no
    # group in A, one none in B.
    a = side([1] * 5, reasoning=[0, 0, 1, None, 1])
    b = side([1] * 5, reasoning=[1, 0, 1, 0, None])
    flow = group_flow(GroupPair.between(a, b, "reasoning"), Clusters.apart(5), NO_FLOOR)
    assert flow.groups_a == flow.groups_b == [0, 1]
    assert flow.counts == [[1, 1], [0, 1]]
    assert (flow.samples, flow.only_a, flow.only_b) == (3, 1, 1)
    assert flow.moved.value == pytest.approx(1 / 3)
    assert flow.moved.reason == "3 samples are too few for an interval"
    # Seen distance 1/3. Rows (2, 1)/3, columns (1, 2)/3: (2*2 + 1*1)/9 = 5/9. 1 - 3/5.
    assert flow.kappa.value == pytest.approx(0.4)


def test_perceptual_flows_run_from_easy_to_hard():
    a = side([1] * 3, perceptual=["hard", "easy", "medium"])
    b = side([1] * 3, perceptual=["easy", "easy", "medium"])
    flow = group_flow(GroupPair.between(a, b, "perceptual"), Clusters.apart(3), NO_FLOOR)
    assert flow.groups_a == ["easy", "medium", "hard"]
    assert flow.counts == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_different_groups_are_counted_and_not_said_to_agree():
    a, b = side([1] * 4, reasoning=[0, 1, 0, 1]), side([1] * 4, reasoning=[0, 1, 2, 2])
    flow = group_flow(GroupPair.between(a, b, "reasoning"), Clusters.apart(4), NO_FLOOR)
    assert flow.counts == [[1, 0, 1], [0, 1, 1]]
    assert flow.moved == Estimate(value=None, reason="the runs have different groups")


def test_the_gain_of_fresh_groups_is_the_difference_of_aurocs():
    rng = np.random.default_rng(4)
    right = rng.integers(0, 9, size=60)
    stale, own = rng.integers(0, 4, size=60), (right // 3).astype(int)  # 0 is the hardest
    a = side(right, reasoning=stale.tolist())
    b = side(right, reasoning=own.tolist())
    gain = fresh_gain(GroupPair.between(a, b, "reasoning"), b, Clusters.apart(60), NO_FLOOR)
    is_wrong = np.concatenate([[1] * (8 - r) + [0] * r for r in right])
    for key, bins in (("stale", stale), ("own", own)):
        peer = roc_auc_score(is_wrong, np.repeat(-bins, 8))
        assert getattr(gain, key).value == pytest.approx(peer, abs=1e-12)
    assert gain.gain.value == pytest.approx(gain.own.value - gain.stale.value)
    assert gain.excess.value is None  # no floor, no judgement
    assert gain.excess.reason == "there are no completions to draw again"


def test_the_auroc_of_perceptual_groups_rises_with_hardness():
    right = [8, 8, 4, 4, 0, 0]
    labels = ["easy", "easy", "medium", "medium", "hard", "hard"]
    b = side(right, perceptual=labels)
    floor = Floor(None, (8, 8), {"perceptual": "fixed"}, seed=0)
    gain = fresh_gain(GroupPair.between(b, b, "perceptual"), b, Clusters.apart(6), floor)
    # Wrong: 8 medium, 16 hard; right: 16 easy, 8 medium. Of 24 x 24 pairs: medium beats easy 128,
    # ties medium 64/2, hard beats all 16 * 24 = 384: 544 / 576.
    assert gain.stale.value == pytest.approx(544 / 576)
    assert gain.identical and gain.excess.value == 0.0


def test_learned_is_from_at_most_half_right_to_more():
    a = side([4, 5, 0, 8, 4, np.nan, 2])
    b = side([5, 4, 8, 0, 3, 8, 4])  # half right is not learned
    assert learned_samples(a, b) == ([2, 0], [3, 1])  # the largest change first


def whole(a, b, **given):
    n = len(a.wrong)
    settings = {
        "harder": {}, "clusters": Clusters.apart(n), "drawn": (None, None), "missing": ({}, {}),
    }  # fmt: skip
    return drift(a, b, **{**settings, **given})


def test_learned_shares_and_changes_by_hand():
    bins = [0, 0, 1, 1]
    a, b = side([0, 2, 6, 8], reasoning=bins), side([6, 2, 4, 8], reasoning=bins)
    found = whole(a, b)
    learned = found.learned
    assert learned.learned.samples == learned.unlearned.samples == 1
    assert learned.learned.share.value == 0.25 and learned.net.value == 0.0
    # Error rates of A: 1, 3/4, 1/4, 0: mean 1/2. Of B: 1/4, 3/4, 1/2, 0: mean 3/8.
    assert found.a.error_rate.value == 0.5
    assert found.b.error_rate.value == 0.375
    assert found.change.value == -0.125
    rows = found.changes["reasoning"]
    assert [row.group for row in rows] == [0, 1]
    # Bin 0: 7/8 to 1/2; bin 1: 1/8 to 1/4.
    assert [(row.a, row.b, row.change.value) for row in rows] == [
        (0.875, 0.5, -0.375), (0.125, 0.25, 0.125),
    ]  # fmt: skip


def test_changes_beyond_doubt_are_those_statsmodels_names():
    rng = np.random.default_rng(5)
    a = side(np.r_[np.zeros(6), np.full(3, 16), rng.integers(4, 12, size=40)], g=16)
    b = side(np.r_[np.full(6, 15), np.full(3, 1), rng.integers(4, 12, size=40)], g=16)
    p = [
        fisher_exact([[w, 16 - w], [v, 16 - v]]).pvalue
        for w, v in zip(a.wrong, b.wrong, strict=True)
    ]
    named = multipletests(p, alpha=0.05, method="fdr_bh")[0]
    up = int((named & (b.wrong < a.wrong)).sum())
    found = whole(a, b).learned.beyond_doubt
    assert found.up == up >= 6
    assert found.down == int(named.sum()) - up >= 3


def test_a_measure_of_the_images_cannot_move():
    pixel = [1.0, 2.0, 3.0, 4.0]
    a = side([8, 6, 4, 0], pixel_entropy=pixel)
    b = side([6, 8, 2, 0], pixel_entropy=pixel)
    fixed = {"pixel_entropy": "fixed"}
    found = whole(a, b, harder={"pixel_entropy": "higher"}, missing=(fixed, fixed))
    measure = found.measures["pixel_entropy"]
    assert measure.identical and measure.tau.value == pytest.approx(1.0, abs=1e-15)
    assert measure.tau.low is None and measure.tau.reason == "4 samples are too few for an interval"
    assert measure.difference.value == 0.0
    assert measure.tau_floor.value == 1.0 and measure.difference_floor.value == 0.0


def test_a_measures_meaning_is_its_auroc_of_bs_errors():
    rng = np.random.default_rng(6)
    right = rng.integers(0, 9, size=50)
    old, new = rng.normal(size=50), -right + rng.normal(size=50)
    # Lower is harder: both are turned.
    found = whole(
        side(rng.integers(0, 9, size=50), mean_logprob=-old),
        side(right, mean_logprob=-new),
        harder={"mean_logprob": "lower"},
    )
    is_wrong = np.concatenate([[1] * (8 - r) + [0] * r for r in right])
    measure = found.measures["mean_logprob"]
    peers = [roc_auc_score(is_wrong, np.repeat(values, 8)) for values in (old, new)]
    assert [measure.auroc_a.value, measure.auroc_b.value] == pytest.approx(peers, abs=1e-12)
    assert measure.difference.value == pytest.approx(peers[1] - peers[0])
    assert measure.difference.low > 0  # planted: only B's values follow its errors


def test_samples_of_an_image_go_together():
    # Forty images of ten questions, all learned or none: the interval is that of forty,
    # sqrt(0.25 / 40) = 0.079 either side doubled, not that of four hundred.
    images = np.repeat(np.arange(40), 10)
    a, b = side([0] * 400), side(np.where(images % 2, 8, 0))
    apart = whole(a, b).learned.learned.share
    together = whole(a, b, clusters=Clusters(images)).learned.learned.share
    assert together.value == apart.value == 0.5
    assert together.high - together.low == pytest.approx(2 * 1.96 * 0.079, rel=0.15)
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * 0.025, rel=0.15)


def policy(rng, n, skill):
    """One profile of a policy of which each sample's skill is known: G = 8 rights and values."""
    right = rng.random((n, 8)) < 1 / (1 + np.exp(-skill))[:, None]
    hardness = -skill[:, None] + rng.normal(scale=2.0, size=(n, 8)) - 0.5 * right
    return right, hardness


def profile(right, hardness, bins=5):
    labels = reasoning_groups(-hardness.mean(axis=1), bins).labels
    made = side(right.sum(axis=1), reasoning=labels, mean_logprob=-hardness.mean(axis=1))
    sizes = tuple(labels.count(group) for group in reversed(range(bins)))
    drawn = Completions(
        {"mean_logprob": hardness}, {"reasoning": GroupShares("mean_logprob", sizes)}, 1.0 - right
    )
    return made, drawn


def test_the_floor_is_what_two_real_profiles_of_one_policy_differ_by():
    rng = np.random.default_rng(7)
    skill = rng.normal(size=2000)
    (one, drawn), (other, _) = (profile(*policy(rng, 2000, skill)) for _ in range(2))
    real = whole(one, other, harder={"mean_logprob": "lower"}, drawn=(drawn, drawn))
    flow = real.flows["reasoning"]
    assert flow.moved.value > 0.3  # luck alone moves many
    # Over eight seeds 56.9 % against 60.0 %: eight completions show a sample's noise only roughly.
    assert flow.moved_floor.value == pytest.approx(flow.moved.value - 0.03, abs=0.03)
    assert flow.kappa_floor.value == pytest.approx(flow.kappa.value + 0.03, abs=0.03)
    measure = real.measures["mean_logprob"]
    assert measure.tau_floor.value == pytest.approx(measure.tau.value, abs=0.04)
    for crossed in (real.learned.learned, real.learned.unlearned):
        assert crossed.floor.value == pytest.approx(crossed.share.value, abs=0.02)
    gain = real.gains["reasoning"]
    assert gain.floor.value == pytest.approx(gain.gain.value, abs=0.01)
    assert real.verdict.verdict == KEEP and not real.verdict.thin


@pytest.mark.parametrize(("turned", "said"), [(0.0, KEEP), (1.0, AGAIN)])
def test_planted_drift_is_found_and_luck_is_not_taken_for_it(turned, said):
    for seed in range(2):
        rng = np.random.default_rng([8, seed])
        skill = rng.normal(size=300)
        later = (1 - turned) * skill + turned * rng.normal(size=300)
        a, of_a = profile(*policy(rng, 300, skill))
        b, of_b = profile(*policy(rng, 300, later))
        found = whole(a, b, drawn=(of_a, of_b)).verdict
        assert (found.verdict, found.because) == (said, "reasoning")


def test_completions_without_noise_have_no_floor_to_speak_of():
    hardness = np.repeat(np.arange(20.0)[:, None], 4, axis=1)
    drawn = Completions(
        {"m": hardness}, {"reasoning": GroupShares("m", (5, 5, 5, 5))}, (hardness > 9).astype(float)
    )
    floor = Floor(drawn, (4, 4), {}, seed=0)
    assert floor.estimate("reasoning", "moved").value == 0.0
    assert floor.estimate("reasoning", "kappa").value == 1.0
    assert floor.estimate("reasoning", "gain").value == 0.0


def test_more_completions_in_b_steady_the_floor():
    rng = np.random.default_rng(9)
    _, drawn = profile(*policy(rng, 500, rng.normal(size=500)))
    few, many = (Floor(drawn, (8, g), {}, seed=0).estimate("reasoning", "moved") for g in (8, 128))
    assert many.value < few.value - 0.03


def test_redraws_keep_the_spread_of_a_profiles_means():
    # Noise has 4 / 8 = 1/2 of variance, skill 1: a profile's means have 3/2, and so has a redraw.
    rng = np.random.default_rng(10)
    values = rng.normal(size=4000)[:, None] + rng.normal(scale=2.0, size=(4000, 8))
    drawn = Completions({"m": values}, {}, np.zeros((4000, 8)))
    first, second = next(redraws(drawn, (8, 8), seed=0)).values["m"]
    assert [first.var(), second.var()] == pytest.approx([1.5, 1.5], rel=0.1)
    # Two profiles of one policy correlate as skill's part of the variance: 1 / 1.5.
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(2 / 3, abs=0.04)


def test_the_same_seed_gives_the_same_numbers():
    rng = np.random.default_rng(11)
    made, drawn = profile(*policy(rng, 20, rng.normal(size=20)))
    one, other = (whole(made, made, drawn=(drawn, drawn), seed=3) for _ in range(2))
    assert one == other


def excess(value, low, high, *, samples=500, identical=False, reason="why"):
    none = Estimate(value=None, reason="not asked for")
    known = Estimate(value=value, low=low, high=high, reason=reason)
    return Gain(
        samples=samples, identical=identical, stale=none, own=none, gain=none, floor=none,
        excess=known,
    )  # fmt: skip


FIXED = excess(0.0, None, None, identical=True)


@pytest.mark.parametrize(
    ("gain", "said", "thin"),
    [
        (excess(0.10, 0.07, 0.13), AGAIN, []),
        (excess(0.03, 0.001, 0.06), AGAIN, ["the interval holds 0.02"]),
        (excess(0.03, -0.001, 0.06), KEEP, ["the interval holds 0.02"]),  # may be nothing
        (excess(0.015, 0.01, 0.018), KEEP, []),  # sure, and too small to matter
        (excess(0.0, -0.01, 0.01), KEEP, []),
        (excess(-0.05, -0.07, -0.03), KEEP, []),
        (excess(0.10, 0.07, 0.13, samples=99), AGAIN, ["only 99 samples"]),
        (excess(0.10, None, None), KEEP, ["there is no interval"]),
        (excess(0.9, None, None, reason=AGREED), AGAIN, ["there is no interval"]),
    ],
)
def test_the_verdict_follows_its_rule(gain, said, thin):
    found = verdict({"perceptual": FIXED, "reasoning": gain})
    assert (found.verdict, found.because) == (said, "reasoning")
    assert found.thin_because == thin and found.thin == bool(thin)


def test_either_grouping_can_ask_for_a_new_profile():
    found = verdict({"perceptual": excess(0.05, 0.03, 0.07), "reasoning": excess(0.1, -0.1, 0.3)})
    assert (found.verdict, found.because) == (AGAIN, "perceptual")


def test_no_verdict_without_a_number():
    none = excess(None, None, None)
    found = verdict({"perceptual": none, "reasoning": none})
    assert found.verdict is None and found.reason == "why"
    found = verdict({"perceptual": FIXED, "reasoning": none})
    assert found.verdict == KEEP and found.unjudged == {"reasoning": "why"}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (side([8, 8, 8]), side([8, 8, 8])),
        (side([0, 0]), side([8, 8])),
        (side([3]), side([5])),
        (side([np.nan] * 3), side([1, 2, 3])),
        (side([1, 2, 3]), side([np.nan] * 3)),
        (side([1, 2]), side([1, 2], reasoning=[0, 0])),
    ],
    ids=["all right", "all learned", "one sample", "A unscored", "B unscored", "no groups"],
)
def test_what_is_undefined_is_null_with_its_reason(a, b):
    def check(value):
        if isinstance(value, dict):
            if "value" in value and value["value"] is None:
                assert value["reason"]
            for inner in value.values():
                check(inner)
        elif isinstance(value, list):
            for inner in value:
                check(inner)
        elif isinstance(value, float):
            assert np.isfinite(value)

    found = whole(a, b, harder={}, missing=({"perceptual": "fixed"}, {"perceptual": "fixed"}))
    check(as_json(found))
    assert found.verdict.verdict is None


def test_auroc_leaves_out_what_lacks_a_score_or_completions():
    score, wrong = np.array([1.0, np.nan, 2.0, 3.0]), np.array([0.0, 4.0, 4.0, np.nan])
    # What is left: one all right at 1, one all wrong at 2.
    assert auroc(score_order(score, wrong, np.full(4, 4.0))).value == 1.0


def test_samples_of_unequal_completions_are_redrawn_as_often_as_each_was_drawn():
    # No sample differs from another but by luck, of variance 4: means of 2 completions have a
    # variance of 2, of 16 one of 1/4.
    rng = np.random.default_rng(12)
    values = rng.normal(scale=2.0, size=(4000, 16))
    values[:2000, 2:] = np.nan
    wrong = (values < 0) + values * 0  # half of them
    drawn = Completions({"m": values}, {}, wrong)
    redraw = next(redraws(drawn, (None, 8), seed=0))
    own, other = redraw.values["m"]
    spreads = [own[:2000].var(), own[2000:].var(), other.var()]
    assert spreads == pytest.approx([2.0, 1 / 4, 4 / 8], rel=0.12)
    assert set(redraw.rates[0][:2000]) == {0.0, 0.5, 1.0}
    assert redraw.rates[0].mean() == pytest.approx(0.5, abs=0.02)
