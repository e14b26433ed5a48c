"""Images of samples to spectral entropies: encoder, measure, mean over the images of a sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from durian.engines.base import PatchEncoder
from durian.measuring.chunks import Chunk
from durian.progress import Progress
from durian.samples import Failed

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """A sample's spectral entropy; None where it has no decoded image or, with `error`, failed."""

    entropy: float | None = None  # nats, mean over the images
    error: str | None = None


def measure_spectra(encoder: PatchEncoder, chunk: Chunk, progress: Progress) -> list[Spectrum]:
    """The spectral entropy of each sample of a chunk, in order.

    An image that several samples of the chunk share is encoded once.

    Raises:
        RunError: the encoder's program failed.
    """
    pairs = zip(chunk.samples, chunk.looks, strict=True)
    images = {
        data: image
        for sample, seen in pairs
        if seen.images
        for data, image in zip(sample.images, seen.images, strict=True)
    }
    coming = zip(images, encoder.encode(list(images.values())), strict=True)
    known: dict[bytes, float | Failed] = {}
    spectra = []
    for sample, seen in zip(chunk.samples, chunk.looks, strict=True):
        spectra.append(
            _mean(_entropies(sample.images, coming, known)) if seen.images else Spectrum()
        )
        progress.advance("spectra")
    return spectra


def _entropies(
    images: tuple[bytes, ...],
    coming: Iterator[tuple[bytes, torch.Tensor | Failed]],
    known: dict[bytes, float | Failed],
) -> list[float | Failed]:
    # Features are taken batch by batch and let go: those of a whole chunk could fill the memory.
    while any(data not in known for data in images):
        data, features = next(coming)
        known[data] = _entropy(features)
    return [known[data] for data in images]


def _entropy(features: torch.Tensor | Failed) -> float | Failed:
    # Here: torch takes 400 MiB and seconds, and a profile of pixels alone has no need of it.
    from durian.measures.spectral_entropy import spectral_entropy

    if isinstance(features, Failed):
        return features
    try:
        return spectral_entropy(features)
    except ValueError as error:
        return Failed(f"no spectral entropy: {error}")


def _mean(entropies: list[float | Failed]) -> Spectrum:
    for number, entropy in enumerate(entropies, start=1):
        if isinstance(entropy, Failed):
            where = f"image {number}: " if len(entropies) > 1 else ""
            return Spectrum(error=where + entropy.error)
    return Spectrum(entropy=fmean(e for e in entropies if not isinstance(e, Failed)))
