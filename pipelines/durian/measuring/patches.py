"""Images of samples to what patch measures say: encoder, measures, mean over a sample's images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING

from durian.engines.base import PatchEncoder
from durian.measures import PatchMeasure
from durian.measuring.look import Look
from durian.measuring.taking import Taken, take
from durian.run.progress import Progress
from durian.samples import Failed, Sample

if TYPE_CHECKING:
    import torch


def measure_patches(
    encoder: PatchEncoder,
    samples: Sequence[tuple[Sample, Look]],
    measures: Sequence[PatchMeasure],
    progress: Progress,
) -> list[Taken]:
    """Take the patch measures of some samples, in order; none where no image is decoded.

    An image that several of them share is encoded once.

    Raises:
        RunError: the encoder's program failed.
    """
    images = {
        data: image
        for sample, seen in samples
        if seen.images
        for data, image in zip(sample.images, seen.images, strict=True)
    }
    coming = zip(images, encoder.encode(list(images.values())), strict=True)
    known: dict[bytes, Taken] = {}
    means = []
    for sample, seen in samples:
        of_images = _of_images(sample.images, coming, known, measures) if seen.images else []
        means.append(_mean(of_images))
        progress.advance("spectra")
    return means


def _of_images(
    images: tuple[bytes, ...],
    coming: Iterator[tuple[bytes, torch.Tensor | Failed]],
    known: dict[bytes, Taken],
    measures: Sequence[PatchMeasure],
) -> list[Taken]:
    # Features are taken batch by batch and let go: those of all could fill the memory.
    while any(data not in known for data in images):
        data, features = next(coming)
        known[data] = (
            Taken(error=features.error)
            if isinstance(features, Failed)
            else take((measure, partial(measure.take, features)) for measure in measures)
        )
    return [known[data] for data in images]


def _mean(images: list[Taken]) -> Taken:
    """The mean of each column that all images have, and the first image's reason for another."""
    shared = set.intersection(*(set(image.values) for image in images)) if images else set()
    means = {
        name: fmean(v for image in images if isinstance(v := image.values[name], float | int))
        for name in shared
    }
    for number, image in enumerate(images, start=1):
        if image.error is not None:
            where = f"image {number}: " if len(images) > 1 else ""
            return Taken(means, where + image.error)
    return Taken(means)
