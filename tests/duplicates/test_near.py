import numpy as np

from durian.duplicates.near import Images, clusters, near_pairs
from durian.measures.duplicates import DIGEST, HASH, LENGTH, MOST_BITS


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
