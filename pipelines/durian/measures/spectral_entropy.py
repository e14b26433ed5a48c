"""Spectral entropy: how many directions the patch features of one image fill."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durian.measures.base import Column, PatchMeasure

if TYPE_CHECKING:
    import torch


def spectral_entropy(features: torch.Tensor) -> float:
    """Entropy of the spectrum of one image's patch features.

    H = -sum_k p_k ln p_k, where p_k = lambda_k / sum(lambda) and lambda are the eigenvalues of
    the covariance of the centred patches. Moving, turning or scaling all patches together
    changes nothing.

    Args:
        features: shape (P, d): P >= 2 patches, width d, any float dtype and device; computed in
            float64 there.
    Returns:
        Nats, from 0 (all patches on one line, or all equal) to ln(min(P - 1, d)).
    Raises:
        ValueError: not 2-D, fewer than 2 patches, or not finite.
    Source: eq. 5-9.
    """
    import torch  # here: it takes 400 MiB and seconds, and the declaration is read by `--help`

    if features.ndim != 2 or features.shape[1] == 0:
        raise ValueError(f"features has shape {tuple(features.shape)}; it must be (P, d)")
    if len(features) < 2:
        count = "1 patch" if len(features) else "0 patches"
        raise ValueError(f"features has {count}; a spectrum needs 2 or more")
    if not features.isfinite().all():
        raise ValueError("features has a value that is not finite")
    # Less the first patch before the mean: equal patches are then 0 exactly, not round-off of 0.
    moved = features.double() - features[0].double()  # (P, d)
    largest = moved.abs().max()
    if largest == 0:
        return 0.0
    moved /= largest  # no square leaves the range of float64
    centred = moved - moved.mean(0)
    # P x P and d x d have the same eigenvalues above 0: the smaller is the cheaper by far.
    gram = centred @ centred.T if centred.shape[0] <= centred.shape[1] else centred.T @ centred
    eigenvalues = torch.linalg.eigvalsh(gram).clamp(min=0)  # round-off can fall below 0
    return float(torch.special.entr(eigenvalues / eigenvalues.sum()).sum())


SPECTRAL = PatchMeasure(
    name="spectral",
    help="entropy of the spectrum of the policy's patch features",
    take=lambda features: {"spectral_entropy": spectral_entropy(features)},
    columns=(
        Column(
            name="spectral_entropy",
            unit="nats",
            meaning="entropy of the patch features' spectrum, mean over the images (eq. 5-9)",
            harder="higher",
            words="spectral entropy",
            card="spectral entropy",
        ),
    ),
)
