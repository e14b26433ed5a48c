"""Pixel entropy: how evenly one image uses its gray levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from durian.measures.base import Column, ImageMeasure, Pixels, Values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def pixel_entropy(gray_histogram: NDArray[np.int64]) -> float:
    """Shannon entropy of the gray levels of one image.

    H = log2 N - sum_g c_g log2(c_g) / N, where c_g pixels have gray level g and N = sum_g c_g.
    It equals `skimage.measure.shannon_entropy` of the uint8 gray image to 1e-12.

    Args:
        gray_histogram: shape (256,): pixels with each gray level.
    Returns:
        Bits, from 0 (one gray level) to 8 (all levels equally frequent).
    Raises:
        ValueError: not of shape (256,), a negative count, or no pixels.
    Source: Shannon (1948); scikit-image computes the same quantity from the pixels.
    """
    import numpy as np  # here: the declaration below is read by `--help`

    counts = np.asarray(gray_histogram)
    if counts.shape != (256,):
        raise ValueError(f"gray_histogram has shape {counts.shape}; it must be (256,)")
    if counts.min() < 0:
        raise ValueError("gray_histogram has a negative count")
    seen = counts[counts > 0].astype(np.float64)
    if seen.size == 0:
        raise ValueError("gray_histogram is empty: the image has no pixels")
    if seen.size == 1:
        return 0.0  # exactly: the formula below could leave round-off, or -0.0
    total = seen.sum()
    return float(np.log2(total) - (seen * np.log2(seen)).sum() / total)


def _of_sample(images: Sequence[Pixels]) -> Values:
    entropies = (pixel_entropy(image.gray_histogram) for image in images)
    return {"pixel_entropy": sum(entropies) / len(images)}


PIXEL = ImageMeasure(
    name="pixel",
    help="entropy of the gray levels",
    take=_of_sample,
    columns=(
        Column(
            name="pixel_entropy",
            unit="bits",
            meaning="Shannon entropy of the gray levels, mean over the images",
            harder="higher",
            words="pixel entropy",
            card="pixel entropy",
        ),
    ),
)
