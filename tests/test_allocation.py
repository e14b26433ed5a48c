"""Worth by closed forms, by numerical integration and by worlds drawn from the model itself."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from durian.allocation import Allocation, beta_prior, worth_to_mean, worth_to_rate

HALF = np.array([0.5])
THIRDS = np.array([1 / 3, 2 / 3])


def around(means, deviation):
    """Two values of each sample, its mean plus and minus a deviation."""
    means = np.asarray(means, np.float64)
    return np.stack([means - deviation, means + deviation], axis=1)


def test_the_worth_of_a_round_to_a_mean_on_the_edge_is_an_arctangent():
    # Means -1, 0, 1: their variance is 2/3. Deviations of sqrt(1/6): 2 x 1/6 over n - 1 = 1, so
    # one value has the variance 1/3, a mean of two 1/6; the truths' is 2/3 - 1/6 = 1/2. Now a
    # truth is known to 1 / (2 + 6) = 1/8, after two more to 1 / (2 + 12) = 1/14. The middle sample
    # is on the edge: a coin's toss now; after the round, z (1/8 - 1/14)^(1/2) away from it, right
    # with a chance of Phi(|z| (14/8 - 1)^(1/2)), on average 1/2 + arctan(0.75^(1/2)) / pi.
    values = around([-1, 0, 1], np.sqrt(1 / 6))
    worth = worth_to_mean(values, HALF, np.array([2, 2, 2]))
    assert worth[1] == pytest.approx(np.arctan(np.sqrt(0.75)) / np.pi, abs=0.01)
    # The others are drawn together to 1/8 x 6 = 0.75 on either side.
    step, then = np.sqrt(1 / 8 - 1 / 14), np.sqrt(1 / 14)
    after, _ = quad(lambda z: norm.pdf(z) * norm.cdf(abs(0.75 + step * z) / then), -9, 9)
    assert worth[[0, 2]] == pytest.approx(after - norm.cdf(0.75 / np.sqrt(1 / 8)), abs=0.002)


def test_nothing_to_add_is_worth_nothing_and_no_worth_is_negative():
    rng = np.random.default_rng(0)
    values, right = rng.normal(size=(40, 4)), (rng.random((40, 4)) < 0.5).astype(float)
    more = np.array([0, 4] * 20)
    cuts = np.arange(1, 10) / 10
    for worth in (worth_to_mean(values, cuts, more), worth_to_rate(right, cuts, more, pilot=2)):
        assert (worth[::2] == 0).all() and (worth >= 0).all() and worth[1::2].max() > 0


def test_samples_that_are_all_alike_are_worth_no_round():
    assert worth_to_mean(np.full((5, 2), -0.3), HALF, np.full(5, 2)).tolist() == [0.0] * 5
    assert worth_to_mean(np.empty((0, 2)), HALF, np.empty(0, int)).tolist() == []
    assert worth_to_rate(np.empty((0, 2)), HALF, np.empty(0, int), pilot=2).tolist() == []
    assert worth_to_mean(np.array([[-0.1, -0.5]]), HALF, np.array([2])).tolist() == [0.0]


def test_the_prior_of_pass_rates_by_moments():
    # Pass rates 1, 0, 1/2, 1/2: variance (1/4 + 1/4) / 3 = 1/6. Luck of two completions: the mean
    # of r (1 - r) / (2 - 1) is (1/4 + 1/4) / 4 = 1/8. The truths' variance is 1/24, and a Beta
    # distribution around 1/2 has it where 1/4 / (a + b + 1) = 1/24: a + b = 5.
    assert beta_prior(np.array([[1.0, 1], [0, 0], [1, 0], [0, 1]])) == pytest.approx((2.5, 2.5))
    # Less spread than luck alone gives: all alike, as far as 1,000 goes.
    assert beta_prior(np.array([[1.0, 0], [0, 1]])) == pytest.approx((500.0, 500.0))
    a, b = beta_prior(np.ones((3, 2)))  # 6.5 of 7
    assert (a, b) == pytest.approx((1000 * 6.5 / 7, 1000 * 0.5 / 7))


def test_the_worth_of_a_round_to_a_pass_rate_is_what_it_gains_in_worlds_of_the_model():
    # 2 of 2, 0 of 2 and 1 of 2 right, twice that: the prior is Beta(2.5, 2.5), as above.
    right = np.array([[1.0, 1], [0, 0], [1, 0], [0, 1]])
    a = b = 2.5
    rng = np.random.default_rng(1)
    edges = np.quantile(rng.beta(a, b, 1_000_000), THIRDS)
    worth = worth_to_rate(right, THIRDS, np.full(4, 4), pilot=2)

    def third(rates):
        return np.searchsorted(edges, rates)

    for hits, found in zip((2, 0, 1, 1), worth, strict=True):
        truth = rng.beta(a + hits, b + 2 - hits, 400_000)
        come = rng.binomial(4, truth)
        now = np.bincount(third(truth), minlength=3).max() / len(truth)
        # The third that is likeliest given what came, counted among the worlds where it came.
        counts = np.zeros((5, 3))
        np.add.at(counts, (come, third(truth)), 1)
        after = counts.max(axis=1).sum() / len(truth)
        assert found == pytest.approx(after - now, abs=0.004)


def test_a_sample_near_an_edge_is_drawn_on_and_one_far_from_it_is_not():
    # Ten samples on either side of the median, one on it; each is right in one of two.
    values = around([-1.0] * 10 + [0.0] + [1.0] * 10, 0.1)
    right, tokens = np.tile([1.0, 0.0], (21, 1)), np.full((21, 2), 5.0)
    plan = Allocation(least=2, most=16, bins=2)
    for left in (None, 10.0 * 3):  # two more of five tokens; three rounds share the budget
        assert plan.more(1, values, right, tokens, left=left).tolist() == [0] * 10 + [2] + [0] * 10


@pytest.mark.parametrize(
    ("least", "most", "counts"),
    [(2, 16, [2, 4, 8, 16]), (3, 16, [3, 6, 12, 16]), (2, 3, [2, 3]), (4, 5, [4, 5])],
)
def test_a_round_doubles_the_completions_up_to_the_most(least, most, counts):
    # Values without end between two edges: worth a round as long as there is one.
    plan = Allocation(least=least, most=most, bins=2)
    rng = np.random.default_rng(2)
    all_values, found = rng.normal(size=(60, most)), [least]
    drawn = np.full(60, least)
    for number in range(1, plan.rounds):
        shown = np.where(np.arange(most) < drawn[:, None], all_values, np.nan)
        drawn += plan.more(number, shown, (shown > 0) + shown * 0, shown * 0 + 1, left=1e9)
        found.append(int(drawn.max()))
    assert found == counts
    shown = np.where(np.arange(most) < drawn[:, None], all_values, np.nan)
    assert plan.more(1, shown, shown * 0, shown * 0 + 1, left=1e9)[drawn == most].tolist() == (
        [0] * int((drawn == most).sum())
    )


def test_a_round_takes_no_more_than_its_share_of_the_budget_and_the_best_worth_a_token():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(200, 2))
    right = (rng.random((200, 2)) < 0.5).astype(float)
    tokens = rng.integers(5, 50, size=(200, 2)).astype(float)
    plan = Allocation(least=2, most=16, bins=10)
    # Of four rounds the first is over: three share 3,000 tokens.
    more = plan.more(1, values, right, tokens, left=3000.0)
    costs = tokens.sum(axis=1)  # of two more, by the two there are
    assert 900 < costs[more > 0].sum() <= 1000
    all_of_it = plan.more(3, values, right, tokens, left=3000.0)
    assert 2900 < costs[all_of_it > 0].sum() <= 3000
    assert set(np.flatnonzero(more)) <= set(np.flatnonzero(all_of_it))
    cuts = np.arange(1, 10) / 10
    twos = np.full(200, 2)
    gain = (worth_to_mean(values, cuts, twos) + worth_to_rate(right, THIRDS, twos, pilot=2)) / costs
    assert gain[more > 0].min() >= np.delete(gain, np.flatnonzero(more))[
        costs[more == 0] <= 1000 - costs[more > 0].sum()
    ].max(initial=0.0)
    assert plan.more(1, values, right, tokens, left=-5.0).tolist() == [0] * 200
