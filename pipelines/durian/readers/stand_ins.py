"""Images of a dataset that stand in for those of other samples, where these are asked blind."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from hashlib import blake2b

from durian.errors import ConfigError
from durian.images.decode import size
from durian.samples import Sample

OTHERS = 32  # of a dataset
OTHER_BYTES = 4 * 1024**2  # of each, encoded: they are held for the whole run


@dataclass(frozen=True)
class StandIn:
    """An image that stands in for those of other samples, and what it is known by."""

    name: str  # hex digest of its bytes
    data: bytes


class StandIns:
    """Chooses, by chance alone, images of a dataset that stand in for those of other samples.

    Which are chosen hangs on the seed and on what images there are: not on the order of rows, nor
    on who measures which part.
    """

    def __init__(self, seed: int) -> None:
        """Choose none yet."""
        self._seed = seed
        self._least: list[tuple[int, str, bytes]] = []  # a heap, the greatest draw first
        self._known: set[str] = set()

    def add(self, sample: Sample) -> None:
        """Let the images of one more sample take part, each once however often it stands there."""
        for data in sample.images:
            if not data or len(data) > OTHER_BYTES:
                continue
            name = name_of(data)
            draw = -draw_of(f"{self._seed}:{name}")
            if name in self._known or (len(self._least) == OTHERS and draw < self._least[0][0]):
                continue
            if size(data) is None:
                continue
            self._known.add(name)
            heapq.heappush(self._least, (draw, name, data))
            if len(self._least) > OTHERS:
                self._known.discard(heapq.heappop(self._least)[1])

    def chosen(self) -> tuple[StandIn, ...]:
        """The images, in the order of their draws.

        Raises:
            ConfigError: there are not two, so that one could stand in for the other.
        """
        if len(self._least) < 2:
            raise ConfigError(
                f"blind is other, and the dataset has {len(self._least)} images of at most "
                f"{OTHER_BYTES // 1024**2} MiB; two or more can stand in for each other: pass "
                "--blind gray"
            )
        return tuple(StandIn(name, data) for _, name, data in sorted(self._least, reverse=True))


def name_of(data: bytes) -> str:
    """What an image is known by: equal bytes, equal names."""
    return blake2b(data, digest_size=16).hexdigest()


def draw_of(text: str) -> int:
    """A number that is drawn by this text alone, 64 bits."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
