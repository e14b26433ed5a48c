import numpy as np
import pytest

from durian.duplicates.near import Images, clusters, near_pairs
from durian.measures.duplicates import DIGEST, HASH, LENGTH, MOST_BITS, SIDE, alike


def signature(digest: int, hash_: int = 0, level: int = 100) -> np.ndarray:
    row = np.full(LENGTH, level, np.uint8)
    row[:DIGEST] = np.frombuffer(digest.to_bytes(DIGEST, "big"), np.uint8)
    row[DIGEST : DIGEST + HASH] = np.frombuffer(hash_.to_bytes(HASH, "big"), np.uint8)
    return row


def images(*rows: np.ndarray) -> Images:
    return Images.of(np.stack(rows))[0]


def pairs(of: Images) -> list[tuple[int, int]]:
    return sorted((a, b) for one in near_pairs(of) for a, b in zip(*map(list, one), strict=True))


def test_pairs_are_those_of_comparing_each_with_each():
    # 40 hashes, each with 6 others from 1 to 20 bits away, at three levels of gray: near, on the
    # verge of it, and away.
    rng = np.random.default_rng(5)
    rows = []
    for _ in range(40):
        centre = int(rng.integers(1 << 63))
        for away in (0, *rng.integers(1, 20, 6).tolist()):
            flipped = sum(1 << int(bit) for bit in rng.choice(64, away, replace=False))
            rows.append(signature(len(rows), centre ^ flipped, int(rng.choice([100, 115, 141]))))
    found = images(*rows)
    every = [(a, b) for a in range(len(rows)) for b in range(a + 1, len(rows))]
    one, other = np.array(every).T
    near = found.near(one, other)
    assert 100 < near.sum() < 1000
    assert pairs(found) == [pair for pair, is_near in zip(every, near, strict=True) if is_near]


def drawing(digest: int, rng: np.random.Generator) -> np.ndarray:
    """A block of one colour on a plain ground, of few colours, with a hash of few bits."""
    tiles = np.empty((SIDE, SIDE, 3), np.uint8)
    tiles[:] = rng.choice([0, 10, 200, 210, 255])
    x, width = rng.integers(1, 3, 2)
    tiles[2:5, x : x + width] = rng.integers(60, 120, 3)
    row = signature(digest, int(rng.choice([0, 1, 3 << 20])))
    row[DIGEST + HASH :] = tiles.ravel()
    return row


@pytest.mark.parametrize("crowded", [0, 1 << 30], ids=["by hash", "by tiles"])
def test_pairs_of_plain_drawings_are_those_of_comparing_each_with_each(monkeypatch, crowded):
    # Grounds that are far apart and near, blocks of colours of one range, so that near ones stand
    # on either side of every cut; and 80 images of equal tiles, which no colour cuts.
    monkeypatch.setattr("durian.duplicates.near._CROWDED", crowded)
    monkeypatch.setattr("durian.duplicates.near._SMALL", 8)  # many cuts
    rng = np.random.default_rng(8)
    rows = [drawing(number, rng) for number in range(200)]
    rows += [signature(200 + number, number) for number in range(80)]
    found = images(*rows)
    one, other = np.triu_indices(len(rows), 1)
    near = np.bitwise_count(found.hashes[one] ^ found.hashes[other]) <= MOST_BITS
    near &= alike(found.tiles[one], found.tiles[other])
    assert 80 * 79 / 2 + 100 < near.sum() < 80 * 79 / 2 + 4000
    assert pairs(found) == list(zip(one[near].tolist(), other[near].tolist(), strict=True))


def test_drawings_of_one_hash_are_told_apart_by_their_tiles_before_pairs_are_made(monkeypatch):
    # 2,000 drawings that all have one hash: the hash tells none of their 1,999,000 pairs apart.
    rng = np.random.default_rng(9)
    rows = np.stack([signature(number) for number in range(2000)])
    tiles = rows[:, DIGEST + HASH :].reshape(-1, SIDE, SIDE, 3)
    tiles[:] = rng.integers(200, 256, (2000, 1, 1, 3))
    for image, (y, x) in zip(tiles, rng.integers(0, 5, (2000, 2)), strict=True):
        image[y : y + 3, x : x + 3] = rng.integers(0, 200, 3)
    compared, near = [], Images.near
    monkeypatch.setattr(
        Images, "near", lambda self, a, b: compared.append(len(a)) or near(self, a, b)
    )
    list(near_pairs(images(*rows)))
    # About 64 to an image, the others of its part, and few beyond it; each pair once.
    assert sum(compared) < 2000 * 64


def test_eleven_bits_are_near_and_twelve_are_not_wherever_they_fall():
    for step in (1, 5, 6):
        bits = [1 << (step * k % 64) for k in range(MOST_BITS + 1)]
        assert pairs(images(signature(1), signature(2, sum(bits[:-1])))) == [(0, 1)]
        assert pairs(images(signature(1), signature(2, sum(bits)))) == []


def test_equal_pixels_are_one_image_and_images_stand_in_the_order_of_their_digests():
    found, places = Images.of(np.stack([signature(7), signature(300), signature(7), signature(2)]))
    assert found.names() == [n.to_bytes(DIGEST, "big").hex() for n in (2, 7, 300)]
    assert places.tolist() == [1, 2, 1, 0]


def test_no_chain_of_small_steps_makes_one_of_images_that_differ():
    # Levels 0, 12, 24, ... each near to the next, within 16, and to no other. All have two near
    # ones but the first and the last. So 12 leads, with 0 and 24; then 36, with 48; then 60.
    chain = images(*(signature(k, level=12 * k) for k in range(7)))
    assert len(pairs(chain)) == 6
    assert clusters(chain).tolist() == [0, 0, 0, 3, 3, 5, 5]


def test_the_image_with_most_near_ones_leads_and_the_first_gives_the_place():
    # 100 is near to all others, the two ends of which are not near to each other.
    found = images(signature(1, level=85), signature(2, level=100), signature(3, level=115))
    assert clusters(found).tolist() == [0, 0, 0]


def test_no_image_and_one_image_are_no_trouble():
    assert clusters(Images.of(np.empty((0, LENGTH), np.uint8))[0]).tolist() == []
    assert clusters(images(signature(1))).tolist() == [0]
