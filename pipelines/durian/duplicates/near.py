"""Find near-duplicates among many signatures without comparing each with each.

There are two ways, and a set goes the one that compares fewer. Neither misses what is near.

- By hash, for photographs and print. Its 64 bits are cut into four bands. Two hashes that differ in
  at most 11 bits differ in at most two of one band, so that only images which share a band, up to
  two bits, are compared (multi-index hashing: Norouzi, Punjani and Fleet, 2012).
- By tiles, for plain drawings, whose hashes crowd. Images are halved again and again by the colour
  of the tile that varies most among them, as in a k-d tree (Bentley, 1975). Whatever differs from
  all of a part by more than near-duplicates may is set aside for the whole part at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from durian.measures.duplicates import DIGEST, HASH, LENGTH, MOST_BITS, SIDE, allowance, within

Ints = NDArray[np.intp]
_Pairs = tuple[Ints, Ints]

_BANDS, _BITS = 4, 16
_AWAY = MOST_BITS // _BANDS  # bits of one band in which near hashes differ, at most
_FLIPS = [
    sum(1 << bit for bit in bits)
    for count in range(_AWAY + 1)
    for bits in combinations(range(_BITS), count)
]
_CROWDED = 16  # a pair that shares a band costs as much as so many of a small part
_SMALL = 64  # images of a part that is not halved any more
_LOPSIDED = 16  # a cut between two colours leaves each side that share of a part at least
_LOOKED_AT = 256  # images of a part by which the cut is chosen
_AT_A_TIME = 1 << 20  # pairs of hashes
_TILES_AT_A_TIME = 1 << 12  # images, or pairs of them, of 192 bytes each


@dataclass(frozen=True, eq=False)
class Images:
    """Signatures taken apart, each image once, in the order of their digests."""

    digests: NDArray[np.bytes_]  # (n,), rising; as long as `DIGEST`
    hashes: NDArray[np.uint64]  # (n,), their bits in the order of the bands
    tiles: NDArray[np.uint8]  # (n, 192)
    allowed: NDArray[np.uint8]  # (n, 192) levels by which those of a near one may differ

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
        hashes = _banded(rows[kept, DIGEST : DIGEST + HASH])
        tiles, allowed = (
            rows[kept, DIGEST + HASH :],
            np.empty((len(kept), LENGTH - DIGEST - HASH), np.uint8),
        )
        for piece in _pieces(np.arange(len(kept))):
            allowed[piece] = allowance(tiles[piece])
        return cls(digests[kept], hashes, tiles, allowed), places

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
        for left in _pieces(np.flatnonzero(found)):
            a, b = one[left], other[left]
            allowed = np.minimum(self.allowed[a], self.allowed[b])
            found[left] = within(self.tiles[a], self.tiles[b], allowed)
        return found


def near_pairs(images: Images) -> Iterator[_Pairs]:
    """Give all pairs of near-duplicates, each once; the second of a pair is the later one."""
    bands = [
        (images.hashes >> np.uint64(_BITS * number) & np.uint64(0xFFFF)).astype(np.intp)
        for number in range(_BANDS)
    ]
    crowded = _CROWDED * sum(map(_sharing, bands)) > len(images) ** 2
    for one, other in _by_tiles(images) if crowded else _by_hash(images, bands):
        near = images.near(one, other)
        one, other = one[near], other[near]
        yield np.minimum(one, other), np.maximum(one, other)


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


def _sharing(band: Ints) -> int:
    """Count the pairs that share a band, up to a few bits, in either order."""
    counts = np.bincount(band, minlength=1 << _BITS)
    used = np.flatnonzero(counts)
    return sum(int(counts[used] @ counts[used ^ flip]) for flip in _FLIPS)


def _by_hash(images: Images, bands: list[Ints]) -> Iterator[_Pairs]:
    """Give pairs of images whose hashes share a band, each once, with all that are near."""
    for number, band in enumerate(bands):
        order = np.argsort(band, kind="stable")
        starts = np.searchsorted(band[order], np.arange((1 << _BITS) + 1))
        for flip in _FLIPS:
            there = band ^ flip
            counts = np.where(band <= there, starts[there + 1] - starts[there], 0)
            for place, step in _repeated(counts):
                other = order[starts[there[place]] + step]
                near = np.bitwise_count(images.hashes[place] ^ images.hashes[other]) <= MOST_BITS
                if flip == 0:
                    near &= place < other
                place, other = place[near], other[near]
                # Once: by the first band in which they are close enough.
                once = np.ones(len(place), np.bool_)
                for before in bands[:number]:
                    once &= np.bitwise_count(before[place] ^ before[other]) > _AWAY
                yield place[once], other[once]


def _repeated(counts: Ints) -> Iterator[_Pairs]:
    """Count from 0 up to each of `counts`: its place, and the number; a bounded piece at a time."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, _AT_A_TIME):
        numbers = np.arange(start, min(start + _AT_A_TIME, total))
        place = np.searchsorted(ends, numbers, "right")
        yield place, numbers - (ends[place] - counts[place])


def _by_tiles(images: Images) -> Iterator[_Pairs]:
    """Give pairs of images in reach of one another's tiles, each once, with all that are near."""
    # Parts, and beside each what may be near to one of it and has not been compared with it.
    parts = [(np.arange(len(images)), np.empty(0, np.intp))]
    while parts:
        part, others = parts.pop()
        others = _around(images, part, others)
        if len(part) <= _SMALL:
            yield from _compared(images, part, np.concatenate([part, others]))
        else:
            low, high = _halves(images, part)
            parts += [(high, others), (low, np.concatenate([high, others]))]


def _halves(images: Images, part: Ints) -> _Pairs:
    """Cut a part in two where it varies most, between two colours if they are far apart."""
    seen = images.tiles[part[:: -(-len(part) // _LOOKED_AT)]]
    colour = images.tiles[part, seen.std(0).argmax()]
    low = colour <= colour.mean()
    if not len(part) <= _LOPSIDED * low.sum() <= (_LOPSIDED - 1) * len(part):
        low = np.argsort(np.argsort(colour, kind="stable")) < len(part) // 2
    return part[low], part[~low]


def _around(images: Images, part: Ints, others: Ints) -> Ints:
    """Those of other images that may be near to one of a part, by the range of each tile."""
    if not len(others):
        return others
    width = images.tiles.shape[1]
    low, high = np.full(width, 255, np.uint8), np.zeros(width, np.uint8)
    least, most = low, high  # that an image may have which is near to one of the part
    for piece in _pieces(part):
        tiles = images.tiles[piece]
        below, above = _reach(tiles, images.allowed[piece])
        low, high = np.minimum(low, tiles.min(0)), np.maximum(high, tiles.max(0))
        least, most = np.minimum(least, below.min(0)), np.maximum(most, above.max(0))
    found = []
    for piece in _pieces(others):
        tiles = images.tiles[piece]
        inside = ((tiles >= least) & (tiles <= most)).all(1)
        piece, tiles = piece[inside], tiles[inside]
        below, above = _reach(tiles, images.allowed[piece])
        found.append(piece[((below <= high) & (above >= low)).all(1)])
    return np.concatenate(found)


def _reach(
    tiles: NDArray[np.uint8], allowed: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The least and the most that tiles of a near image may have, within 0 to 255."""
    return tiles - np.minimum(tiles, allowed), tiles + np.minimum(255 - tiles, allowed)


def _compared(images: Images, part: Ints, each: Ints) -> Iterator[_Pairs]:
    """The pairs of a part and of all images beside it that are near by hash.

    Args:
        part, each: images; the part's are the first of each.
    """
    step = _AT_A_TIME // _SMALL
    for start in range(0, len(each), step):
        apart = images.hashes[part, None] ^ images.hashes[each[start : start + step]]
        one, other = np.nonzero(np.bitwise_count(apart) <= MOST_BITS)
        kept = one < other + start
        yield part[one[kept]], each[other[kept] + start]


def _pieces(places: Ints) -> Iterator[Ints]:
    """Places, so many at a time that their tiles take little memory."""
    for start in range(0, len(places), _TILES_AT_A_TIME):
        yield places[start : start + _TILES_AT_A_TIME]


def _banded(hashes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Bits in the order of the bands, each of which has bits of all rows of the hash."""
    # A plain ground leaves whole rows of the hash without a bit, so that bands of rows would be the
    # same for most images.
    bits = np.unpackbits(hashes, axis=1).reshape(-1, SIDE, SIDE // _BANDS, _BANDS)
    banded = bits.transpose(0, 3, 1, 2).reshape(-1, 8 * HASH)
    return np.packbits(banded, axis=1).view(np.uint64)[:, 0]
