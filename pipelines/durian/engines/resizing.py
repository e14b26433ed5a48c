"""Compute the size to which a policy's processor resizes an image; no pixel is touched."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

Size = tuple[int, int]  # width, height
UNBOUNDED = 1 << 62  # pixels


@dataclass(frozen=True, kw_only=True)
class Resizing:
    """The bounds in pixels within which a processor brings every image."""

    min_pixels: int
    max_pixels: int
    step: int  # both sides become multiples of it, whatever the bounds
    frames: int = 1  # that the processor's own bounds count an image as
    rule: Callable[..., tuple[int, int]]  # transformers' own `smart_resize`

    def of(self, size: Size) -> Size | None:
        """The size that the policy sees; None where the processor refuses the image."""
        return self._within(size, self.min_pixels, self.max_pixels)

    def unbounded(self, size: Size) -> Size | None:
        """The size that the policy would see without the bounds."""
        return self._within(size, 0, UNBOUNDED)

    def _within(self, size: Size, least: int, most: int) -> Size | None:
        width, height = size
        try:
            height, width = self.rule(
                height, width, factor=self.step, min_pixels=least, max_pixels=most
            )
        except ValueError:  # too thin
            return None
        return width, height


def find_resizing(image_processor: Any) -> Resizing | None:
    """The rule of a processor of Qwen-VL's kind; None of one that has no bounds in pixels."""
    rule = getattr(sys.modules[type(image_processor).__module__], "smart_resize", None)
    size = getattr(image_processor, "size", None)
    least: Any = getattr(size, "shortest_edge", None)
    most: Any = getattr(size, "longest_edge", None)
    patch: Any = getattr(image_processor, "patch_size", None)
    merge: Any = getattr(image_processor, "merge_size", None)
    if (
        rule is None
        or not getattr(image_processor, "do_resize", True)
        or not all(isinstance(number, int) for number in (least, most, patch, merge))
    ):
        return None
    takes, frames = set(inspect.signature(rule).parameters), 1
    if takes == _OF_VIDEOS:
        # GLM-4.1V's processors count an image as the frames of one temporal patch, all alike: so
        # many times its pixels must be within their bounds.
        frames = int(image_processor.temporal_patch_size)
        rule = partial(_of_frames, rule, frames)
    elif takes != _OF_IMAGES:
        return None
    return Resizing(
        min_pixels=least // frames,
        max_pixels=most // frames,
        step=patch * merge,
        frames=frames,
        rule=rule,
    )


_OF_IMAGES = {"height", "width", "factor", "min_pixels", "max_pixels"}
_OF_VIDEOS = _OF_IMAGES | {"num_frames", "temporal_factor"}


def _of_frames(
    rule: Callable[..., tuple[int, int]],
    frames: int,
    height: int,
    width: int,
    *,
    min_pixels: int,
    max_pixels: int,
    **rest: int,
) -> tuple[int, int]:
    bounds = {"min_pixels": min_pixels * frames, "max_pixels": max_pixels * frames}
    return rule(frames, height, width, temporal_factor=frames, **bounds, **rest)
