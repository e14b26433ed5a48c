"""Ask a sample's question without its image: with none, a gray one, or another sample's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from durian.engines.prompts import without_images
from durian.engines.resizing import Resizing
from durian.images.decode import decode, size
from durian.measures.duplicates import DIGEST, HASH, MOST_BITS, alike, sign
from durian.measuring.look import within
from durian.readers.stand_ins import StandIn, draw_of, name_of
from durian.samples import Failed, Prompt, Sample

GRAY = (128, 128, 128)
TILES = DIGEST + HASH  # where the tiles of a signature begin
_DECODED_PIXELS = 64 * 1024**2  # of those that are kept decoded


@dataclass(frozen=True)
class Blinding:
    """How samples are asked without their images."""

    how: str  # of `measures.blind.WAYS`
    rollouts: int | None = None  # completions of a sample; None: as many as with the image
    stand_ins: Sequence[StandIn] = ()  # with `other`: those that may stand in
    pixel_limit: int = 0
    bounds: Resizing | None = None  # to which they are brought
    seed: int = 0

    @cached_property
    def _kept(self) -> Callable[[StandIn], Image.Image | None]:
        """Decodes one of the others, and keeps as many as fit."""
        sizes = [size(one.data) or (1, 1) for one in self.stand_ins]
        largest = max((width * height for width, height in sizes), default=1)
        return lru_cache(max(1, _DECODED_PIXELS // largest))(self._decoded)

    def prompt(self, sample: Sample, prompt: Prompt) -> Prompt | Failed:
        """The prompt of a sample as it is asked blind.

        Args:
            sample: with its images.
            prompt: as it is asked seeing.
        """
        match self.how:
            case "gray":
                gray = tuple(Image.new("RGB", image.size, GRAY) for image in prompt.images)
                return replace(prompt, images=gray)
            case "other":
                images = tuple(islice(self._shown_for(sample, prompt.images), len(prompt.images)))
                if len(images) < len(prompt.images):
                    return Failed("too few images of other samples stand in for its own")
                return replace(prompt, images=images)
            case _:
                messages = without_images(prompt.messages)
                if isinstance(messages, Failed):
                    return messages
                return replace(prompt, messages=messages, images=())

    def _shown_for(self, sample: Sample, images: Sequence[Image.Image]) -> Iterator[Image.Image]:
        own, looks = {name_of(data) for data in sample.images}, list(map(_signature, images))
        drawn = sorted(
            (other for other in self.stand_ins if other.name not in own),
            key=lambda other: draw_of(f"{self.seed}:{sample.sample_id}:{other.name}"),
        )
        for other in drawn:
            if (image := self._kept(other)) is None:
                continue
            if not any(_near(_signature(image), look) for look in looks):
                yield image

    def _decoded(self, other: StandIn) -> Image.Image | None:
        found = decode(other.data, pixel_limit=self.pixel_limit, keep=True)
        if isinstance(found, Failed) or found.rgb is None:
            return None
        return found.rgb if self.bounds is None else within(self.bounds, [found.rgb])[0]


def _signature(image: Image.Image) -> NDArray[np.uint8]:
    return np.frombuffer(sign(image), np.uint8)


def _near(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two signatures are of nearly the same image, by the rule of the duplicates."""
    bits = int(np.bitwise_count(one[DIGEST:TILES] ^ other[DIGEST:TILES]).sum())
    return bits <= MOST_BITS and bool(alike(one[None, TILES:], other[None, TILES:])[0])
