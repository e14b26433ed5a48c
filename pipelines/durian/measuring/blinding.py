"""Ask a sample's question without its image: with none, a gray one, or another sample's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import islice

from PIL import Image

from durian.engines.prompts import without_images
from durian.engines.resizing import Resizing
from durian.images.decode import decode, size
from durian.measuring.look import within
from durian.readers.others import Other, draw_of, name_of
from durian.samples import Failed, Prompt, Sample

GRAY = (128, 128, 128)
_NEAR = 5  # of 64 bits of two outlines: so few differ where one image is the other's copy
_DECODED_PIXELS = 64 * 1024**2  # of those that are kept decoded


@dataclass(frozen=True)
class Blinding:
    """How samples are asked without their images."""

    how: str  # of `measures.blind.WAYS`
    rollouts: int | None = None  # completions of a sample; None: as many as with the image
    others: Sequence[Other] = ()  # with `other`: those that may stand in
    pixel_limit: int = 0
    bounds: Resizing | None = None  # to which they are brought
    seed: int = 0

    @cached_property
    def _kept(self) -> Callable[[Other], Image.Image | None]:
        """Decodes one of the others, and keeps as many as fit."""
        sizes = [size(other.data) or (1, 1) for other in self.others]
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
        own, looks = {name_of(data) for data in sample.images}, list(map(_outline, images))
        drawn = sorted(
            (other for other in self.others if other.name not in own),
            key=lambda other: draw_of(f"{self.seed}:{sample.sample_id}:{other.name}"),
        )
        for other in drawn:
            if (image := self._kept(other)) is None:
                continue
            outline = _outline(image)
            if all((outline ^ look).bit_count() > _NEAR for look in looks):
                yield image

    def _decoded(self, other: Other) -> Image.Image | None:
        found = decode(other.data, pixel_limit=self.pixel_limit, keep=True)
        if isinstance(found, Failed) or found.rgb is None:
            return None
        return found.rgb if self.bounds is None else within(self.bounds, [found.rgb])[0]


def _outline(image: Image.Image) -> int:
    """64 bits that images keep when they are resized or saved anew: where gray rises to the right.

    Source: Krawetz, "Kind of like that" (2013), dHash.
    """
    small = image.convert("L").resize((9, 8), Image.Resampling.BOX)
    levels = small.tobytes()
    rises = (levels[9 * y + x + 1] > levels[9 * y + x] for y in range(8) for x in range(8))
    return sum(rise << place for place, rise in enumerate(rises))
