"""Bring an image to another width and height, as the policies' own processors do."""

from __future__ import annotations

from PIL import Image


def resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An image of another width and height, to the bit as transformers' processors resize it."""
    if image.size == size:
        return image
    from torchvision.transforms.v2 import functional  # seconds to import

    width, height = size
    pixels = functional.resize(
        functional.pil_to_tensor(image), [height, width],
        interpolation=functional.InterpolationMode.BICUBIC, antialias=True,
    )  # fmt: skip
    result: Image.Image = functional.to_pil_image(pixels)
    return result
