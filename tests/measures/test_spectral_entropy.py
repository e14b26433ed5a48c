import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from durian.measures.spectral_entropy import spectral_entropy


def by_svd(features):
    """The same from the singular values of the centred patches: lambda = sigma^2 / (P - 1)."""
    centred = features.astype(np.float64) - features.astype(np.float64).mean(0)
    eigenvalues = np.linalg.svd(centred, compute_uv=False) ** 2 / (len(features) - 1)
    shares = eigenvalues / eigenvalues.sum()
    return -sum(p * math.log(p) for p in shares if p > 0)


def features(*rows):
    return torch.tensor(rows, dtype=torch.float32)


def test_two_equal_directions_give_ln_2():
    # The corners of a square: variance 4/3 along either axis, none across.
    assert spectral_entropy(features([1, 1], [1, -1], [-1, 1], [-1, -1])) == pytest.approx(
        math.log(2), abs=1e-15
    )


def test_unequal_directions_weigh_by_their_variance():
    # Variances 2 * 9 and 2 * 1 over 3: shares 0.9 and 0.1.
    rows = features([3, 0], [-3, 0], [0, 1], [0, -1])
    expected = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert spectral_entropy(rows) == pytest.approx(expected, abs=1e-15)


def test_an_orthonormal_set_fills_all_directions_that_its_patches_can():
    # Centred, P = 5 unit vectors of d = 40 span P - 1 = 4 directions, all alike.
    assert spectral_entropy(torch.eye(40)[:5]) == pytest.approx(math.log(4), abs=1e-14)


def test_patches_on_one_line_give_0_and_never_less():
    line = torch.outer(torch.arange(50.0), torch.randn(30, generator=torch.manual_seed(0)))
    assert 0 <= spectral_entropy(line) < 1e-5  # float32 rounding leaves the line a little


@pytest.mark.parametrize("value", [0.0, 0.1, 1e30, -7.3])
def test_equal_patches_give_0_exactly(value):
    assert spectral_entropy(torch.full((49, 7), value)) == 0.0


@pytest.mark.parametrize("shape", [(2, 1), (3, 64), (64, 3), (49, 49), (300, 128), (128, 300)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_equals_the_svd_of_the_centred_patches(shape, dtype):
    rows = np.random.default_rng(1).normal(3, 2, shape) * np.geomspace(1, 1e-3, shape[1])
    rows = rows.astype(dtype)
    assert spectral_entropy(torch.from_numpy(rows)) == pytest.approx(by_svd(rows), abs=1e-12)


def test_half_precision_is_widened_before_it_is_squared():
    rows = np.random.default_rng(2).normal(0, 3000, (40, 20)).astype(np.float16)  # squares: inf
    assert spectral_entropy(torch.from_numpy(rows)) == pytest.approx(by_svd(rows), abs=1e-12)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_values_whose_squares_leave_float64_are_measured(scale):
    rows = np.random.default_rng(3).normal(size=(9, 4))
    assert spectral_entropy(torch.from_numpy(rows * scale)) == pytest.approx(by_svd(rows))


patches = hnp.arrays(
    np.float64,
    st.tuples(st.integers(2, 12), st.integers(1, 12)),
    elements=st.floats(-100, 100, width=16),
)


@given(patches, st.integers(0, 2**32 - 1))
def test_rotation_shift_scale_and_order_change_nothing(rows, seed):
    entropy = spectral_entropy(torch.from_numpy(rows))
    generator = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(generator.normal(size=(rows.shape[1],) * 2))
    moved = generator.permutation(rows @ turn * 7.5 + generator.normal(0, 10, rows.shape[1]))
    # Equal patches stay equal only up to round-off, whose spectrum is no spectrum of the image.
    if np.ptp(rows, axis=0).max() > 1e-3:
        assert spectral_entropy(torch.from_numpy(moved)) == pytest.approx(entropy, abs=1e-6)


@given(patches)
def test_it_runs_from_0_to_the_log_of_the_directions_there_are(rows):
    entropy = spectral_entropy(torch.from_numpy(rows))
    directions = min(rows.shape[0] - 1, rows.shape[1])
    assert 0 <= entropy <= math.log(directions) + 1e-12


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (torch.zeros(4), "has shape (4,)"),
        (torch.zeros(2, 3, 4), "has shape (2, 3, 4)"),
        (torch.zeros(4, 0), "has shape (4, 0)"),
        (torch.zeros(1, 4), "has 1 patch; a spectrum needs 2 or more"),
        (torch.zeros(0, 4), "has 0 patches; a spectrum needs 2 or more"),
        (torch.tensor([[1.0], [math.nan]]), "not finite"),
        (torch.tensor([[1.0], [math.inf]]), "not finite"),
    ],
)
def test_what_has_no_spectrum_is_refused(rows, line):
    with pytest.raises(ValueError) as raised:
        spectral_entropy(rows)
    assert line in str(raised.value)
