"""One sample's images, decoded, or why not."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from durian.images.decode import decode
from durian.images.decoding import Slot
from durian.images.pixels import DecodedImage
from durian.samples import Failed, Sample


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the images of one sample show."""

    width: int | None = None  # of the first image
    height: int | None = None
    decoded: tuple[DecodedImage, ...] = ()  # all of them, or none
    error: str | None = None

    @property
    def images(self) -> tuple[Image.Image, ...]:
        """RGB, for the policy; empty where it is not needed."""
        return tuple(image.rgb for image in self.decoded if image.rgb is not None)


NOTHING = Look()


def look(
    sample: Sample, *, pixel_limit: int, keep: bool, slot: Slot | None = None, apart: bool = False
) -> Look:
    """Decode a sample's images. Thread-safe; bad data never raises.

    Args:
        pixel_limit: an image with more pixels is not decoded.
        keep: whether the policy will need the decoded images.
        slot: this thread's, to tell what it decodes.
        apart: let no decoder work in this process.
    Raises:
        RunError: the process that decodes apart cannot be started.
    """
    slot = slot or Slot()
    slot.row = sample.row
    if sample.error is not None or not sample.images:
        return NOTHING
    decoded: list[DecodedImage] = []
    for number, data in enumerate(sample.images, start=1):
        slot.where = f"image {number}: " if len(sample.images) > 1 else ""
        image = decode(data, pixel_limit=pixel_limit, keep=keep, slot=slot, apart=apart)
        if isinstance(image, Failed):
            first = decoded[0] if decoded else None
            return Look(
                width=first.width if first else None,
                height=first.height if first else None,
                error=slot.where + image.error,
            )
        decoded.append(image)
    return Look(width=decoded[0].width, height=decoded[0].height, decoded=tuple(decoded))
