"""Find near-duplicates among many signatures without comparing each with each.

The 64 bits of the hash are cut into four bands. Two hashes that differ in at most 11 bits differ in
at most two of one band, so that only images which share a band, up to two bits, are compared
(multi-index hashing: Norouzi, Punjani and Fleet, 2012). Nothing that is near is missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from durian.measures.duplicates import DIGEST, EDGE, HASH, MOST_BITS, SIDE, alike

Ints = NDArray[np.intp]
_Pairs = tuple[Ints, Ints]

_BANDS, _BITS = 4, 16
_AWAY = MOST_BITS // _BANDS  # bits of one band in which near hashes differ, at most
_FLIPS = [
    sum(1 << bit for bit in bits)
    for count in range(_AWAY + 1)
    for bits in combinations(range(_BITS), count)
]
_AT_A_TIME = 1 << 20  # pairs of hashes
_TILES_AT_A_TIME = 1 << 16  # pairs of images, of 192 bytes each


@dataclass(frozen=True, eq=False)
class Images:
    """Signatures taken apart, each image once, in the order of their digests."""

    digests: NDArray[np.bytes_]  # (n,), rising; as long as `DIGEST`
    hashes: NDArray[np.uint64]  # (n,), their bits in the order of the bands
    tiles: NDArray[np.uint8]  # (n, 192)

    @classmethod
    def of(cls, rows: NDArray[np.uint8]) -> tuple[Images, Ints]:
        """Take signatures apart.

        Args:
            rows: (m, 216), a signature each.
        Returns:
            The distinct images, and the place among them of each signature. (m,)
        """
        digests = np.ascontiguousarray(rows[:, :DIGEST]).view(f"V{DIGEST}")[:, 0]
        order = np.lexsort(np.ascontiguousarray(rows[:, :DIGEST]).view(">u8").T[::-1])
        rising = digests[order]
        first = np.ones(len(rows), np.bool_)
        first[1:] = rising[1:] != rising[:-1]
        places = np.empty(len(rows), np.intp)
        places[order] = np.cumsum(first) - 1
        kept = order[first]
        return cls(digests[kept], _banded(rows[kept, DIGEST : DIGEST + HASH]),
                   rows[kept, DIGEST + HASH :]), places  # fmt: skip

    def __len__(self) -> int:
        """Count the images."""
        return len(self.hashes)

    def names(self) -> list[str]:
        """The digest of each, in hexadecimal."""
        return [digest.tobytes().hex() for digest in self.digests]

    def near(self, one: Ints, other: Ints) -> NDArray[np.bool_]:
        """Whether images are near-duplicates, pair by pair."""
        bits = np.bitwise_count(self.hashes[one] ^ self.hashes[other])
        found: NDArray[np.bool_] = bits <= MOST_BITS
        left = np.flatnonzero(found)
        found[left] = alike(self.tiles[one[left]], self.tiles[other[left]])
        return found


def near_pairs(images: Images) -> Iterator[_Pairs]:
    """Give all pairs of near-duplicates, each once; the second of a pair is the later one."""
    # By hash first, each value once: in sets of plain images many share one.
    values, of_value = np.unique(images.hashes, return_inverse=True)
    groups = _Groups.of(images, of_value)
    alone = np.arange(len(values))
    for one, other in _near_values(values):
        yield from _near(images, groups, one, other)
    yield from _near(images, groups, alone, alone)


def clusters(images: Images) -> Ints:
    """Put near-duplicates together: the place of the first image of each one's cluster. (n,)

    Images that hang together by pairs are taken apart again into stars: whoever has most
    near-duplicates leads, then the earlier one, and all of a cluster are near its leader. So no
    chain of small steps, as a film or a set of plain drawings has, makes one of images that differ.
    Order, processes and shards change nothing.
    """
    n = len(images)
    degrees, links = np.zeros(n, np.intp), np.arange(n)
    pairs, waiting = list[_Pairs](), 0
    for one, other in near_pairs(images):
        degrees += np.bincount(one, minlength=n) + np.bincount(other, minlength=n)
        pairs.append((one, other))
        waiting += len(one)
        if waiting > _AT_A_TIME:
            links, pairs, waiting = _linked(links, pairs), [], 0
    links = _linked(links, pairs)
    found = np.arange(n)
    together = np.argsort(links, kind="stable")
    for members in np.split(together, np.flatnonzero(np.diff(links[together])) + 1):
        left = members[np.lexsort((members, -degrees[members]))]
        while len(left) > 1:
            leader, others = left[0], left[1:]
            near = images.near(np.full(len(others), leader), others)
            star = np.append(others[near], leader)
            found[star] = star.min()
            left = others[~near]
    return found


def _linked(links: Ints, pairs: list[_Pairs]) -> Ints:
    """The components of a graph: `links` leads each point to one of its own."""
    n = len(links)
    one = np.concatenate([np.arange(n), *(p[0] for p in pairs)])
    other = np.concatenate([links, *(p[1] for p in pairs)])
    graph = coo_array((np.ones(len(one), np.bool_), (one, other)), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    first = np.full(labels.max(initial=-1) + 1, n)
    np.minimum.at(first, labels, np.arange(n))
    return np.asarray(first[labels], np.intp)


@dataclass(frozen=True, eq=False)
class _Groups:
    """Images by their hash, and among those of one hash by their mean level."""

    order: Ints  # (n,) images
    starts: Ints  # (m + 1,) of each hash's images in it
    keys: Ints  # (n,) rising: the hash's number and the level, of the images in that order
    levels: Ints  # (n,) of each image

    @classmethod
    def of(cls, images: Images, of_value: Ints) -> _Groups:
        levels = images.tiles.mean(1).astype(np.intp)
        order = np.lexsort((np.arange(len(images)), levels, of_value))
        keys = of_value[order] * _LEVELS + levels[order]
        starts = np.searchsorted(of_value[order], np.arange(of_value.max(initial=-1) + 2))
        return cls(order, starts, keys, levels)

    @property
    def sizes(self) -> Ints:
        return np.diff(self.starts)


_LEVELS = 1024  # more than there are, so that a window of levels stays among those of one hash


def _near(images: Images, groups: _Groups, one: Ints, other: Ints) -> Iterator[_Pairs]:
    """The near-duplicates among the images of pairs of hashes; `one` may be `other`."""
    sizes = groups.sizes
    for first, number in _repeated(sizes[one]):
        image = groups.order[groups.starts[one[first]] + number]
        # Tiles that are alike differ by EDGE at most, and so do their means.
        key = other[first] * _LEVELS + groups.levels[image]
        low = np.searchsorted(groups.keys, key - EDGE - 1)
        high = np.searchsorted(groups.keys, key + EDGE + 1, "right")
        same = one[first] == other[first]
        for place, step in _repeated(high - low, _TILES_AT_A_TIME):
            left, right = image[place], groups.order[low[place] + step]
            kept = ~same[place] | (left < right)
            left, right = left[kept], right[kept]
            near = alike(images.tiles[left], images.tiles[right])
            left, right = left[near], right[near]
            yield np.minimum(left, right), np.maximum(left, right)


def _near_values(values: NDArray[np.uint64]) -> Iterator[_Pairs]:
    """Give the pairs of places of distinct hashes that differ in few enough bits, each once."""
    bands = [
        (values >> np.uint64(_BITS * number) & np.uint64(0xFFFF)).astype(np.intp)
        for number in range(_BANDS)
    ]
    for number, band in enumerate(bands):
        order = np.argsort(band, kind="stable")
        starts = np.searchsorted(band[order], np.arange((1 << _BITS) + 1))
        for flip in _FLIPS:
            there = band ^ flip
            counts = np.where(band <= there, starts[there + 1] - starts[there], 0)
            for place, step in _repeated(counts):
                other = order[starts[there[place]] + step]
                if flip == 0:
                    kept = place < other
                    place, other = place[kept], other[kept]
                apart = values[place] ^ values[other]
                near = np.bitwise_count(apart) <= MOST_BITS
                # Once: by the first band in which they are close enough.
                for before in bands[:number]:
                    near &= np.bitwise_count(before[place] ^ before[other]) > _AWAY
                yield place[near], other[near]


def _repeated(counts: Ints, at_a_time: int = _AT_A_TIME) -> Iterator[_Pairs]:
    """Count from 0 up to each of `counts`: its place, and the number; a bounded piece at a time."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, at_a_time):
        numbers = np.arange(start, min(start + at_a_time, total))
        place = np.searchsorted(ends, numbers, "right")
        yield place, numbers - (ends[place] - counts[place])


def _banded(hashes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Bits in the order of the bands, each of which has bits of all rows of the hash."""
    # A plain ground leaves whole rows of the hash without a bit, so that bands of rows would be the
    # same for most images.
    bits = np.unpackbits(hashes, axis=1).reshape(-1, SIDE, SIDE // _BANDS, _BANDS)
    banded = bits.transpose(0, 3, 1, 2).reshape(-1, 8 * HASH)
    return np.packbits(banded, axis=1).view(np.uint64)[:, 0]
