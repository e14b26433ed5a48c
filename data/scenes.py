"""Scenes of coloured shapes over real photographs, with a planted level of clutter.

Clutter c, from 0 to 1, does three things at once. The background is (1 - c) flat + c photo, so its
contrast grows with c; its crop grows from 64 to 256 source pixels, so its structure gets finer; and
the shapes' opacity falls as 1 - 0.75 c. With opaque shapes a small policy's errors showed no slope.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw

# Shipped inside scikit-image, and free to redistribute: see README.md for each one's licence.
PHOTOS = ("astronaut", "brick", "camera", "chelsea", "clock", "coffee", "grass", "gravel", "rocket")
SIZES = (64, 80, 96, 112, 128)  # pixels a side
SHAPES = ("circle", "rectangle", "triangle")
COLORS = {
    "red": (215, 40, 40),
    "green": (45, 160, 60),
    "blue": (45, 70, 215),
    "yellow": (240, 215, 50),
    "teal": (30, 170, 170),
    "black": (20, 20, 20),
}
_LEAST_CONTRAST = 25.0  # gray levels, standard deviation of a crop; below it a photograph is sky
_TRIES = 40  # places tried for a crop or a shape before something else is drawn


@dataclass(frozen=True)
class Item:
    """One shape of a scene. Lengths and places are shares of the image's side."""

    shape: str
    color: str
    rgb: tuple[int, int, int]  # the colour with a little jitter
    x: float
    y: float
    half_width: float
    half_height: float


@dataclass(frozen=True)
class Scene:
    """All that an image is drawn from. Colours are distinct, and items do not touch."""

    size: int  # pixels a side
    clutter: float  # 0 (flat background, opaque items) to 1
    photo: str
    crop: tuple[float, float]  # place of the crop, as shares of the room left, (x, y)
    flat: tuple[int, int, int]  # the colour that the photograph fades into
    items: tuple[Item, ...]


def draw_scene(rng: np.random.Generator, n_items: int, clutter: float) -> Scene:
    """A random scene of `n_items` items, 1 to 4."""
    photo, crop = _draw_crop(rng, clutter)
    return Scene(
        size=int(rng.choice(SIZES)),
        clutter=clutter,
        photo=photo,
        crop=crop,
        flat=_rgb(rng.integers(200, 246, size=3)),
        items=_draw_items(rng, n_items),
    )


def _draw_crop(rng: np.random.Generator, clutter: float) -> tuple[str, tuple[float, float]]:
    for _ in range(_TRIES):
        photo = str(rng.choice(PHOTOS))
        crop = (float(rng.random()), float(rng.random()))
        if np.std(np.asarray(_crop(photo, crop, clutter).convert("L"))) >= _LEAST_CONTRAST:
            break
    return photo, crop


def _draw_items(rng: np.random.Generator, n_items: int) -> tuple[Item, ...]:
    colors = [str(color) for color in rng.choice(list(COLORS), size=n_items, replace=False)]
    low, high = (0.16, 0.30) if n_items == 1 else (0.13, 0.20)
    while True:
        items: list[Item] = []
        for color in colors:
            for _ in range(_TRIES):
                item = _draw_item(rng, color, low, high)
                if all(_apart(item, other) for other in items):
                    items.append(item)
                    break
        if len(items) == n_items:
            return tuple(items)


def _draw_item(rng: np.random.Generator, color: str, low: float, high: float) -> Item:
    shape = str(rng.choice(SHAPES))
    half_width = float(rng.uniform(low, high))
    # A circle has one radius; the others are up to a quarter flatter or narrower.
    half_height = half_width if shape == "circle" else half_width * float(rng.uniform(0.75, 1.0))
    if shape != "circle" and rng.random() < 0.5:
        half_width, half_height = half_height, half_width
    margin = max(half_width, half_height) + 0.02
    x, y = rng.uniform(margin, 1 - margin, size=2)
    jitter = rng.integers(-15, 16, size=3)
    rgb = _rgb(np.clip(np.array(COLORS[color]) + jitter, 0, 255))
    return Item(shape, color, rgb, float(x), float(y), half_width, half_height)


def _apart(one: Item, other: Item) -> bool:
    across = abs(one.x - other.x) - one.half_width - other.half_width
    down = abs(one.y - other.y) - one.half_height - other.half_height
    return max(across, down) > 0.03


def background(scene: Scene) -> Image.Image:
    """The scene's faded photograph, without its items."""
    photo = _crop(scene.photo, scene.crop, scene.clutter)
    photo = photo.resize((scene.size, scene.size), Image.Resampling.BOX)
    flat = Image.new("RGB", photo.size, scene.flat)
    return Image.blend(flat, photo, scene.clutter)


def render(scene: Scene) -> Image.Image:
    """The scene as an RGB image, edges smoothed."""
    image = background(scene)
    opacity = round(255 * (1 - 0.75 * scene.clutter))
    for item in scene.items:
        mask = _mask(item, scene.size).point(lambda level: level * opacity // 255)
        image.paste(item.rgb, mask=mask)
    return image


def encode(image: Image.Image) -> bytes:
    """JPEG bytes, colour at full resolution (halved, it would blur small shapes)."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88, subsampling=0)
    return buffer.getvalue()


def _mask(item: Item, size: int) -> Image.Image:
    scale = 4 * size  # drawn four times as large, then averaged: smooth edges
    mask = Image.new("L", (scale, scale))
    left, right = (item.x - item.half_width) * scale, (item.x + item.half_width) * scale
    top, bottom = (item.y - item.half_height) * scale, (item.y + item.half_height) * scale
    draw = ImageDraw.Draw(mask)
    if item.shape == "circle":
        draw.ellipse((left, top, right, bottom), fill=255)
    elif item.shape == "rectangle":
        draw.rectangle((left, top, right, bottom), fill=255)
    else:
        draw.polygon([(left, bottom), (right, bottom), (item.x * scale, top)], fill=255)
    return mask.reduce(4)


def _crop(photo: str, crop: tuple[float, float], clutter: float) -> Image.Image:
    source = _photo(photo)
    side = round(64 + 192 * clutter)
    left = round(crop[0] * (source.width - side))
    top = round(crop[1] * (source.height - side))
    return source.crop((left, top, left + side, top + side))


@cache
def _photo(name: str) -> Image.Image:
    pixels: NDArray[np.uint8] = getattr(skimage.data, name)()
    return Image.fromarray(pixels).convert("RGB")


def _rgb(values: NDArray[np.integer]) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in values)
    return red, green, blue
