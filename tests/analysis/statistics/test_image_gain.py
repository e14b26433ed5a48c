"""Image gain of single samples: by hand, and how often its intervals hold the truth."""

import numpy as np
import pytest
from scipy.stats import norm

from durian.analysis.statistics.image_gain import estimated_gain, plain_gain
from durian.analysis.statistics.small_area import Posterior, share_posterior

N, G = 600, 8


def posterior(mean, sd, around):
    one = np.array
    return Posterior(one(mean), one(sd), 0.5, one(around), one(around))


def test_apart_the_variances_add_up():
    # 0.7 - 0.4 = 0.3; sqrt(0.03^2 + 0.04^2) = 0.05. What the predictions missed goes up for one
    # where it goes down for the other and up for both as often: r is 0.
    p, b = (
        posterior([0.7, 0.7], [0.03] * 2, [0.1] * 2),
        posterior([0.4, 0.4], [0.04] * 2, [0.2] * 2),
    )
    gain, sd = estimated_gain(p, b, np.array([0.1, 0.1]), np.array([0.2, -0.2]))
    assert gain == pytest.approx([0.3, 0.3]) and sd == pytest.approx([0.05, 0.05])


def test_errors_that_go_together_cancel_in_the_difference():
    # Missed by 0.1 and 0.2 together, as far as they scatter: r = (0.1 x 0.2) / (0.1 x 0.2) = 1.
    # s^2 = 0.0025 of a^2 = 0.01 keeps a quarter, 0.01 of 0.04 too: c = 0.1 x 0.2 / 16 = 0.00125,
    # and 0.0025 + 0.01 - 0.0025 = 0.01.
    p, b = posterior([0.5], [0.05], [0.1]), posterior([0.5], [0.1], [0.2])
    _, sd = estimated_gain(p, b, np.array([0.1]), np.array([0.2]))
    assert sd == pytest.approx([0.1])


def test_a_gain_is_as_unsure_as_what_it_is_taken_from():
    unknown = posterior([0.5], [np.nan], [np.nan])
    gain, sd = estimated_gain(unknown, posterior([0.2], [0.1], [0.2]), np.ones(1), np.ones(1))
    assert gain == pytest.approx([0.3]) and np.isnan(sd).all()


def test_without_estimates_the_variance_is_pooled():
    # Two right of four, and four of four: x (n - x) / (n (n - 1)) is 1/3 and 0, so 1/6 in mean.
    # Without the image 1 of 2 is 1/2, and twice 0: 1/6 in mean. 1/6 / 4 + 1/6 / 2 = 1/8.
    gain, sd = plain_gain(
        np.array([2.0, 4.0, 0.0]), np.array([4.0, 4.0, 0.0]),
        np.array([1.0, 0.0, 0.0]), np.array([2.0, 2.0, 2.0]),
    )  # fmt: skip
    assert gain[:2] == pytest.approx([0.0, 1.0]) and sd[:2] == pytest.approx([np.sqrt(1 / 8)] * 2)
    assert np.isnan(gain[2]) and np.isnan(sd[2])


@pytest.mark.parametrize("together", [-0.8, 0.0, 0.8])
def test_intervals_hold_as_many_true_gains_as_they_say(together):
    # True pass rates scatter around predictions of 0.3 and 0.6, by normal scores of correlation
    # `together`: from samples that are easy either way to such as are easy either or.
    rng = np.random.default_rng(7)
    held = {level: [] for level in (0.8, 0.95)}
    for _ in range(6):
        f, g = rng.choice([0.3, 0.6], N), rng.choice([0.2, 0.4], N)
        z = rng.multivariate_normal([0, 0], [[1, together], [together, 1]], N)
        p, b = (np.clip(m + 0.2 * each, 0.01, 0.99) for m, each in zip((f, g), z.T, strict=True))
        x, y = rng.binomial(G, p).astype(float), rng.binomial(G, b).astype(float)
        seen = np.full(N, float(G))
        one, other = share_posterior(x, seen, f), share_posterior(y, seen, g)
        gain, sd = estimated_gain(one, other, x / G - f, y / G - g)
        for level, inside in held.items():
            inside.append(np.abs(gain - (p - b)) <= norm.ppf((1 + level) / 2) * sd)
    assert np.mean(held[0.8]) == pytest.approx(0.8, abs=0.03)
    assert np.mean(held[0.95]) == pytest.approx(0.95, abs=0.02)


def test_estimates_err_less_than_differences_of_plain_shares():
    rng = np.random.default_rng(8)
    p, b = np.clip(rng.normal(0.5, 0.15, (2, N)), 0.01, 0.99)
    x, y = rng.binomial(G, p).astype(float), rng.binomial(G, b).astype(float)
    seen, half = np.full(N, float(G)), np.full(N, 0.5)
    one, other = share_posterior(x, seen, half), share_posterior(y, seen, half)
    gain, _ = estimated_gain(one, other, x / G - 0.5, y / G - 0.5)
    plain, _ = plain_gain(x, seen, y, seen)
    truth = p - b
    assert np.mean((gain - truth) ** 2) < 0.6 * np.mean((plain - truth) ** 2)
