import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import shannon_entropy

from durian.measures.pixel_entropy import pixel_entropy


def histogram(gray: np.ndarray) -> np.ndarray:
    return np.bincount(gray.ravel(), minlength=256)


def test_64_equally_frequent_levels_are_6_bits():
    # Each level has probability 1/64, so H = 64 * (1/64) * log2(64) = 6.
    counts = np.zeros(256, dtype=np.int64)
    counts[:256:4] = 1000
    assert pixel_entropy(counts) == pytest.approx(6.0, abs=1e-12)


def test_levels_of_one_half_and_two_quarters_are_one_and_a_half_bits():
    # H = 1/2 * 1 + 1/4 * 2 + 1/4 * 2 = 1.5.
    counts = np.zeros(256, dtype=np.int64)
    counts[[0, 7, 255]] = 2, 1, 1
    assert pixel_entropy(counts) == pytest.approx(1.5, abs=1e-12)


@pytest.mark.parametrize("n_pixels", [1, 3, 49, 10**12])
def test_one_gray_level_is_exactly_positive_zero(n_pixels):
    counts = np.zeros(256, dtype=np.int64)
    counts[200] = n_pixels
    assert pixel_entropy(counts) == 0.0
    assert math.copysign(1.0, pixel_entropy(counts)) == 1.0


@given(
    seed=st.integers(0, 2**32 - 1),
    levels=st.integers(1, 256),
    n_pixels=st.integers(1, 5000),
)
def test_it_equals_skimage_on_the_same_pixels(seed, levels, n_pixels):
    gray = np.random.default_rng(seed).integers(0, levels, n_pixels, dtype=np.uint8)
    assert pixel_entropy(histogram(gray)) == pytest.approx(shannon_entropy(gray), abs=1e-12)


@given(
    counts=st.lists(st.integers(0, 10**9), min_size=256, max_size=256),
    seed=st.integers(0, 99),
)
def test_it_lies_between_0_and_8_bits_and_does_not_depend_on_which_level_is_which(counts, seed):
    counts = np.array(counts)
    counts[0] += 1
    entropy = pixel_entropy(counts)
    shuffled = np.random.default_rng(seed).permutation(counts)
    assert 0.0 <= entropy <= 8.0 + 1e-12
    assert pixel_entropy(shuffled) == pytest.approx(entropy, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.zeros(256, dtype=np.int64), "no pixels"),
        (np.full(256, -1), "negative"),
        (np.ones(255, dtype=np.int64), r"shape \(255,\)"),
        (np.ones((256, 1), dtype=np.int64), r"shape \(256, 1\)"),
    ],
)
def test_a_histogram_that_cannot_be_one_is_refused(counts, message):
    with pytest.raises(ValueError, match=message):
        pixel_entropy(counts)
