"""Pixel entropy of one image as others hold it: in memory, in a file, as an array."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from durian.config import ProfileConfig
from durian.images.decode import decode
from durian.images.gray import flatten
from durian.measures import pixel_entropy as measure
from durian.samples import Failed


def pixel_entropy(
    image: str | os.PathLike[str] | bytes | Image.Image | NDArray[np.uint8],
    *,
    pixel_limit: int = ProfileConfig.pixel_limit,
) -> float:
    """Shannon entropy of the gray levels of one image, as the column `pixel_entropy` has it.

    Gray is Pillow's `convert("L")` of the first frame at full size, transparency laid over white;
    `durian.images.gray` has the rules.

    Args:
        image: a file's path, its bytes, a Pillow image (its present frame), or a uint8 array of
            shape (H, W), (H, W, 3) or (H, W, 4): gray, RGB, or RGB with opacity.
        pixel_limit: an encoded image of more pixels is not decoded.
    Returns:
        Bits, from 0 (one gray level) to 8 (all levels equally frequent).
    Raises:
        ValueError: the image cannot be decoded, is no array of such a shape, or has no pixels.
        OSError: the file cannot be read.
    Source: Shannon (1948).

    >>> import numpy as np
    >>> durian.pixel_entropy(np.array([[0, 0], [255, 255]], np.uint8))  # half black, half white
    1.0
    """
    match image:
        case Image.Image():
            found = _histogram(image)
        case np.ndarray():
            found = _histogram(_image_of(image))
        case bytes():
            found = _decoded(image, pixel_limit)
        case _:
            found = _decoded(Path(image).read_bytes(), pixel_limit)
    if isinstance(found, Failed):
        raise ValueError(found.error)
    return measure.pixel_entropy(found)


def _decoded(data: bytes, pixel_limit: int) -> NDArray[np.int64] | Failed:
    decoded = decode(data, pixel_limit=pixel_limit, keep=False)
    return decoded if isinstance(decoded, Failed) else decoded.gray_histogram


def _histogram(image: Image.Image) -> NDArray[np.int64] | Failed:
    flat = flatten(image)
    return flat if isinstance(flat, Failed) else np.array(flat.convert("L").histogram(), np.int64)


def _image_of(array: NDArray[np.uint8]) -> Image.Image:
    if (
        array.dtype != np.uint8
        or array.ndim not in (2, 3)
        or array.shape[2:] not in ((), (3,), (4,))
    ):
        raise ValueError(
            f"the array is {array.dtype} {array.shape}; it must be uint8 of shape (H, W), "
            "(H, W, 3) or (H, W, 4)"
        )
    return Image.fromarray(array)
