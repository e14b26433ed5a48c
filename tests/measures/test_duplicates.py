import numpy as np
import pytest
from imagehash import dhash
from PIL import Image

from durian.measures.duplicates import DIGEST, EDGE, FLAT, HASH, LENGTH, alike, sign


def plain(level: int, side: int = 16) -> Image.Image:
    return Image.new("RGB", (side, side), (level, level, level))


def tiles(image: Image.Image) -> np.ndarray:
    return np.frombuffer(sign(image)[DIGEST + HASH :], np.uint8)[None]


def test_a_signature_holds_the_hash_and_the_mean_of_each_tile():
    # 16 x 16: the left half black, the right half (200, 100, 0). Tiles are 2 x 2 pixels, so four
    # of each row of eight are black and four of that colour.
    image = Image.new("RGB", (16, 16))
    image.paste((200, 100, 0), (8, 0, 16, 16))
    signature = sign(image)
    assert len(signature) == LENGTH
    assert signature[DIGEST : DIGEST + HASH].hex() == str(dhash(image))
    row = [[0, 0, 0]] * 4 + [[200, 100, 0]] * 4
    assert tiles(image).reshape(8, 8, 3).tolist() == [row] * 8


def test_the_digest_tells_sizes_apart_that_hold_the_same_bytes():
    wide, high = Image.new("RGB", (8, 2)), Image.new("RGB", (2, 8))
    assert sign(wide)[:DIGEST] != sign(high)[:DIGEST]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (2000, 1)])
def test_tiny_and_thin_images_have_a_signature(size):
    assert len(sign(Image.new("RGB", size, (9, 9, 9)))) == LENGTH


def test_constant_images_are_alike_only_where_their_levels_are():
    # Their hashes are equal, and nothing varies, so that FLAT levels are allowed.
    assert sign(plain(90))[DIGEST : DIGEST + HASH] == sign(plain(250))[DIGEST : DIGEST + HASH]
    for level, same in ((90 + FLAT, True), (90 + FLAT + 1, False), (250, False)):
        assert alike(tiles(plain(90)), tiles(plain(level))).tolist() == [same]


def test_beside_an_edge_more_may_differ_than_on_plain_ground():
    # One tile at the edge, and then one on plain ground, is 30 levels brighter: the edge is of 200
    # levels, which allows 16 + 0.3 * 200, but never more than 40.
    ground = np.zeros((1, 8, 8, 3), np.uint8)
    ground[:, :, 4:] = 200
    beside, away = ground.copy(), ground.copy()
    beside[0, 2, 3], away[0, 2, 0] = 30, 30
    flat = [one.reshape(1, -1) for one in (ground, beside, away)]
    assert alike(flat[0], flat[1]).tolist() == [True]
    assert alike(flat[0], flat[2]).tolist() == [False]
    beside[0, 2, 3] = EDGE + 1
    assert alike(flat[0], beside.reshape(1, -1)).tolist() == [False]
