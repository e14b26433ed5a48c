"""Duplicates: the signature of an image, and when two signatures are of nearly the same image.

A signature holds a digest of the pixels, a perceptual hash, and the image in 8 x 8 tiles. The hash
alone would take plain images for one another (two constant ones have one hash, a shape on a plain
ground has few bits set); tiles alone would take pages of print for one another.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from durian.measures.base import Column, SignatureMeasure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

DIGEST, HASH, SIDE = 16, 8, 8  # bytes of the digest and of the hash; tiles a side
LENGTH = DIGEST + HASH + 3 * SIDE * SIDE  # bytes of a signature

# Chosen on planted changes of photo_shapes of seed 11, held on seed 12 (docs/duplicates.md).
MOST_BITS = 11  # of the 64 of the hash, that may differ
FLAT, EDGE, STEEP = 16, 40, 0.3  # levels of 255: see `allowance`


def sign(image: Image.Image) -> bytes:
    """Make the signature of one image.

    Args:
        image: RGB, upright, of any size.
    Returns:
        `LENGTH` bytes: a digest of size and pixels; the 64 bits of a difference hash
        (`imagehash.dhash`), which compares neighbours of the gray image brought to 9 x 8; the mean
        red, green and blue of each of 8 x 8 tiles, row by row.
    Source: N. Krawetz, "Kind of Like That", 2013.
    """
    import numpy as np
    from imagehash import dhash  # here: the declaration below is read by `--help`
    from PIL.Image import Resampling

    width, height = image.size
    digest = blake2b(width.to_bytes(4, "little") + height.to_bytes(4, "little"), digest_size=DIGEST)
    digest.update(image.tobytes())
    bits = np.packbits(dhash(image, hash_size=SIDE).hash)
    tiles = image.resize((SIDE, SIDE), Resampling.BOX)
    return digest.digest() + bits.tobytes() + tiles.tobytes()


def alike(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether the tiles of two images show the same, pair by pair.

    No tile's mean red, green or blue may differ by more than `allowance` has for either image.

    Args:
        one, other: shape (n, 192) each.
    Returns:
        Shape (n,).
    """
    import numpy as np

    return within(one, other, np.minimum(allowance(one), allowance(other)))


def allowance(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Levels by which each tile's mean colour may differ in a near-duplicate of each image.

    They are min(EDGE, FLAT + STEEP r), where r is by how much that colour varies over the tile and
    its neighbours: beside an edge a slight crop moves a tile's mean, on plain ground it does not.

    Args:
        tiles: shape (n, 192).
    Returns:
        Shape (n, 192), in whole levels, rounded down.
    """
    import numpy as np

    allowed: NDArray[np.uint8] = np.minimum(EDGE, FLAT + STEEP * _varies(tiles)).astype(np.uint8)
    return allowed


def within(
    one: NDArray[np.uint8], other: NDArray[np.uint8], allowed: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Whether no tile of two images differs by more than allowed, pair by pair. (n, 192) to (n,)"""
    import numpy as np

    found: NDArray[np.bool_] = (np.maximum(one, other) - np.minimum(one, other) <= allowed).all(1)
    return found


def _varies(tiles: NDArray[np.uint8]) -> NDArray[np.int16]:
    """The range of each colour over a tile and its eight neighbours. (n, 192) to (n, 192)"""
    import numpy as np

    grid = tiles.reshape(-1, SIDE, SIDE, 3).astype(np.int16)
    grid = np.pad(grid, ((0,), (1,), (1,), (0,)), "edge")
    around = [grid[:, y : y + SIDE, x : x + SIDE] for y in range(3) for x in range(3)]
    varies: NDArray[np.int16] = np.maximum.reduce(around) - np.minimum.reduce(around)
    return varies.reshape(tiles.shape)


DUPLICATES = SignatureMeasure(
    name="duplicates",
    help="images that are nearly the same, and labels in conflict",
    sign=sign,
    columns=(
        Column(
            name="image_cluster",
            type="string",
            meaning="near-duplicates of one image share it; a name an image, a space between",
            since=2,
        ),
        Column(
            name="also_in",
            type="string",
            meaning="other sets that hold the sample too, and how: bytes, pixels, near, words",
            since=2,
        ),
    ),
)
