"""Pixel entropy from encoded bytes, against decoding alone and against scikit-image."""

import io
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from skimage import color, data, measure
from skimage.io import imread

from durian.images.decode import DecodedImage, decode
from durian.measures.pixel_entropy import pixel_entropy
from tests.benchmarks.timing import interleaved, ratio

SIDE, ROUNDS = 512, 25


def photographs(kind: str) -> list[bytes]:
    """A photograph at its own resolution in its eight orientations, encoded."""
    photo = data.astronaut()
    assert photo.shape == (SIDE, SIDE, 3)
    turned = [np.rot90(view, k) for view in (photo, photo[:, ::-1]) for k in range(4)]
    encoded = []
    for view in turned:
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(view)).save(file, kind, quality=95)
        encoded.append(file.getvalue())
    return encoded


def ours(images: list[bytes]) -> list[float]:
    return list(_ours(images))


def _ours(images: list[bytes]) -> Iterator[float]:
    for image in images:
        decoded = decode(image, pixel_limit=10**8, keep=False)
        assert isinstance(decoded, DecodedImage)
        yield pixel_entropy(decoded.gray_histogram)


def decode_alone(images: list[bytes]) -> None:
    for image in images:
        Image.open(io.BytesIO(image)).load()


def scikit_image_gray(images: list[bytes]) -> list[float]:
    """The same quantity by scikit-image: over the uint8 gray image."""
    return [
        float(measure.shannon_entropy(np.asarray(Image.open(io.BytesIO(image)).convert("L"))))
        for image in images
    ]


def scikit_image_usual(images: list[bytes]) -> list[float]:
    """As it is usually written, over rgb2gray's floats (another quantity: it counts floats)."""
    return [
        float(measure.shannon_entropy(color.rgb2gray(imread(io.BytesIO(image)))))
        for image in images
    ]


def run() -> list[dict[str, Any]]:
    """Ratios of speed, images decoded and measured one after the other on one core."""
    rows = []
    for kind in ("JPEG", "PNG"):
        images = photographs(kind)
        worst = max(
            abs(a - b) for a, b in zip(ours(images), scikit_image_gray(images), strict=True)
        )
        assert worst < 1e-12
        seconds = interleaved(
            {
                "ours": lambda images=images: ours(images),
                "decode": lambda images=images: decode_alone(images),
                "gray": lambda images=images: scikit_image_gray(images),
                "usual": lambda images=images: scikit_image_usual(images),
            },
            ROUNDS,
            time.process_time,
        )
        of = f"{len(images)} {kind} images, {SIDE} x {SIDE}, {ROUNDS} rounds"
        for name, what, aim in (
            ("decode", "decoding alone", ">= 0.9"),
            ("usual", "scikit-image on rgb2gray", ">= 4"),
            ("gray", "scikit-image on uint8 gray", "-"),
        ):
            rows.append(
                {
                    "what": f"pixel entropy, {kind}: speed against {what}",
                    "value": ratio(seconds["ours"], seconds[name]),
                    "aim": aim,
                    "detail": of,
                }
            )
    return rows
