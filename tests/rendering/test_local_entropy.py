"""The local entropy of an image, as colours whose values are known."""

import numpy as np
from matplotlib import colormaps
from PIL import Image

from durian.rendering.local_entropy import MOST, local_entropy_map


def colour(share):
    return tuple(int(part) for part in colormaps["cividis"](share, bytes=True)[:3])


def test_a_flat_image_has_no_entropy_anywhere():
    drawn = np.array(local_entropy_map(Image.new("RGB", (12, 10), (90, 10, 10))))
    assert drawn.shape == (10, 12, 3)
    assert {tuple(pixel) for pixel in drawn.reshape(-1, 3).tolist()} == {colour(0.0)}


def test_a_disk_of_different_grays_has_the_most():
    # 81 gray levels, each once: the disk of radius 4 around the middle holds 49 of them.
    grays = Image.fromarray(np.arange(81, dtype=np.uint8).reshape(9, 9))
    assert local_entropy_map(grays).getpixel((4, 4)) == colour(1.0)
    assert MOST == np.log2(49)


def test_two_grays_in_turn_have_nearly_one_bit():
    # A chess board: 25 of one and 24 of the other, or the other way round.
    board = np.indices((20, 20)).sum(axis=0) % 2 * 255
    bits = -(25 / 49 * np.log2(25 / 49) + 24 / 49 * np.log2(24 / 49))
    drawn = local_entropy_map(Image.fromarray(board.astype(np.uint8)))
    assert drawn.getpixel((10, 10)) == drawn.getpixel((10, 11)) == colour(bits / np.log2(49))
