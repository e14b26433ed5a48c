"""Decode one sample's images, or say why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from durian.engines.resizing import Resizing
from durian.images.decode import DecodedImage, decode
from durian.images.resize import resized
from durian.samples import Failed, Sample


@dataclass(frozen=True, kw_only=True)
class Look:
    """The decoded images of one sample, or why they cannot be read."""

    width: int | None = None  # of the first image
    height: int | None = None
    decoded: tuple[DecodedImage, ...] = ()  # all of them, or none
    error: str | None = None
    bounded: tuple[Image.Image, ...] | None = None  # `images` within the policy's bounds, if any

    @property
    def images(self) -> tuple[Image.Image, ...]:
        """RGB, for the policy; empty where it is not needed."""
        return tuple(image.rgb for image in self.decoded if image.rgb is not None)

    @property
    def signatures(self) -> bytes | None:
        """The signatures of all images, one behind the other; None where there are none."""
        return b"".join(image.signature or b"" for image in self.decoded) or None


NOTHING = Look()


def look(
    sample: Sample,
    *,
    pixel_limit: int,
    keep: bool,
    sign: Callable[[Image.Image], bytes] | None = None,
) -> Look:
    """Decode a sample's images. Thread-safe; bad data never raises.

    Args:
        pixel_limit: an image with more pixels is not decoded.
        keep: whether the policy will need the decoded images.
        sign: makes the signature of an image, where they are wanted.
    """
    if sample.error is not None or not sample.images:
        return NOTHING
    decoded: list[DecodedImage] = []
    for number, data in enumerate(sample.images, start=1):
        image = decode(data, pixel_limit=pixel_limit, keep=keep, sign=sign)
        if isinstance(image, Failed):
            first = decoded[0] if decoded else None
            which = f"image {number}: " if len(sample.images) > 1 else ""
            return Look(
                width=first.width if first else None,
                height=first.height if first else None,
                error=which + image.error,
            )
        decoded.append(image)
    return Look(width=decoded[0].width, height=decoded[0].height, decoded=tuple(decoded))


def within(bounds: Resizing, images: Sequence[Image.Image]) -> tuple[Image.Image, ...]:
    """The images brought to the bounds; one that the rule refuses is left as it is."""
    return tuple(resized(image, bounds.of(image.size) or image.size) for image in images)
