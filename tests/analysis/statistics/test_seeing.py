"""MMStar's gain and leakage by hand, and their intervals over images."""

import numpy as np
import pytest

from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.seeing import learned, seeing

nan = float("nan")


def test_the_gain_is_accuracy_with_the_image_less_that_without():
    # Asked both ways: 1, 0, 1 with it and 1, 0, 0 without: 2/3 - 1/3. The fourth was not.
    found = seeing(np.array([1, 0, 1, 1.0]), np.array([1, 0, 0, nan]), Clusters.apart(4))
    assert found.samples == 3
    assert (found.seeing.value, found.blind.value) == pytest.approx((2 / 3, 1 / 3))
    assert found.gain.value == pytest.approx(1 / 3)
    assert found.gain.interval is None and "too few" in found.gain.reason
    assert seeing(np.array([1.0]), np.array([nan]), Clusters.apart(1)) is None


def test_leakage_is_what_is_gained_without_the_image_and_never_below_none():
    before = np.array([0.5, 0.5, 0, 0]), np.array([0.5, 0, 0, 0])
    after = np.array([1, 0.5, 0.5, 0]), np.array([0.5, 0.5, 0.5, 0])
    # With: 1/4 to 1/2. Without: 1/8 to 3/8. The gain stays at 1/8.
    found = learned(before, after, Clusters.apart(4))
    moved = (found.seeing.value, found.blind.value, found.gain.value, found.leakage.value)
    assert moved == pytest.approx((0.25, 0.25, 0, 0.25))
    back = learned(after, before, Clusters.apart(4))
    assert (back.blind.value, back.leakage.value) == pytest.approx((-0.25, 0))


def test_intervals_are_over_images():
    # 40 images of five samples that are alike: as sure as 40 samples, not as 200.
    rng = np.random.default_rng(0)
    one, other = (np.repeat(rng.random(40) < p, 5).astype(float) for p in (0.6, 0.3))
    images = Clusters(np.repeat(np.arange(40), 5), "image")
    by_image, by_sample = seeing(one, other, images), seeing(one, other, Clusters.apart(200))
    few = seeing(one[::5], other[::5], Clusters.apart(40))
    width = [found.gain.high - found.gain.low for found in (by_image, few, by_sample)]
    assert width[0] == pytest.approx(width[1]) and width[0] > 2 * width[2]


def test_where_only_seeing_was_taught_the_gain_moves_and_the_blind_share_does_not():
    rng = np.random.default_rng(1)
    chance = rng.random(400)

    def drawn(p):
        return rng.binomial(8, p) / 8

    before, after = (drawn(chance * 0.4), drawn(chance * 0.4)), (drawn(chance), drawn(chance * 0.4))
    found = learned(before, after, Clusters.apart(400))
    assert found.gain.interval[0] > 0 and found.gain.interval[0] < 0.3 < found.gain.interval[1]
    assert found.blind.interval[0] < 0 < found.blind.interval[1]
    assert found.leakage.low == 0
