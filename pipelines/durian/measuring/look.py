"""One sample's images, decoded and measured, or why not."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from durian.images.decode import DecodedImage, decode
from durian.measures.pixel_entropy import pixel_entropy
from durian.samples import Failed, Sample


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the images of one sample show."""

    width: int | None  # of the first image
    height: int | None
    pixel_entropy: float | None  # bits, mean over the images
    images: tuple[Image.Image, ...] = ()  # RGB, for the policy; empty where it is not needed
    error: str | None = None


NOTHING = Look(width=None, height=None, pixel_entropy=None)


def look(sample: Sample, *, pixel_limit: int, keep: bool) -> Look:
    """Decode a sample's images and take their pixel entropy. Thread-safe; bad data never raises.

    Args:
        pixel_limit: an image with more pixels is not decoded.
        keep: whether the policy will need the decoded images.
    """
    if sample.error is not None or not sample.images:
        return NOTHING
    decoded: list[DecodedImage] = []
    for number, data in enumerate(sample.images, start=1):
        image = decode(data, pixel_limit=pixel_limit, keep=keep)
        if isinstance(image, Failed):
            first = decoded[0] if decoded else None
            which = f"image {number}: " if len(sample.images) > 1 else ""
            return Look(
                width=first.width if first else None,
                height=first.height if first else None,
                pixel_entropy=None,
                error=which + image.error,
            )
        decoded.append(image)
    return Look(
        width=decoded[0].width,
        height=decoded[0].height,
        pixel_entropy=sum(pixel_entropy(i.gray_histogram) for i in decoded) / len(decoded),
        images=tuple(i.rgb for i in decoded if i.rgb is not None),
    )
