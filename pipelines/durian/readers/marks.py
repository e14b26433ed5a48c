"""Put a problem's images where its marks are: `<image>`, `<image 1>`, `<image1>`, `<image_0>`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from durian.readers.cells import Field
from durian.readers.messages import IMAGE_MARK

_NUMBERED = re.compile(r"<image[ _-]?([0-9]{1,3})>", re.IGNORECASE)
_ANY = re.compile(r"<(?:image[ _-]?[0-9]|video>|audio>|img>)", re.IGNORECASE)
_OTHERS = re.compile(r"<(video|audio)>", re.IGNORECASE)
_TAGGED = re.compile(r"<img>[^<>]+</img>")  # as Qwen-VL and the first ms-swift wrote a path


def place_images(
    problem: str, images: Sequence[tuple[int, Field]]
) -> tuple[str, list[Field], str | None]:
    """Put the images in the order of their numbered marks, and plain marks in those places.

    An image that is marked twice stands at the first place; at the others its mark is words. Images
    without a mark come first, as where there are no marks at all.

    Args:
        images: each with the number that a mark calls it by.
    Returns:
        The problem, the images in order, and why the two do not fit, if so.
    """
    if not _ANY.search(problem):  # nearly every row: its marks, if any, are plain
        return problem, [image for _, image in images], None
    if other := _OTHERS.search(problem):
        error = f"the problem holds a {other.group().lower()} mark; only images are read"
        return problem, [image for _, image in images], error
    if not images and _TAGGED.search(problem):
        error = "the problem names an image between <img> and </img>; name it in a column of images"
        return problem, [], error
    numbered = [int(mark) for mark in _NUMBERED.findall(problem)]
    in_order = [image for _, image in images]
    if not numbered:
        return problem, in_order, None
    if IMAGE_MARK in problem:
        return problem, in_order, f"the problem holds both {IMAGE_MARK} and numbered marks"
    # A mark of 0 says that the row counts from 0; without one it counts from 1, as MMMU does.
    from_zero = 0 in numbered
    by_number = {number - from_zero: image for number, image in images}
    lacking = next((n for n in numbered if n not in by_number), None)
    if lacking is not None:
        n = len(images)
        has = f"{n} image{'' if n == 1 else 's'}"
        return problem, in_order, f"the problem marks image {lacking}, and the row has {has}"
    # A policy's template takes images in the order of their plain marks and knows no numbers. So
    # each numbered mark becomes a plain one and its image moves to that place in the list: without
    # it "compare <image 2> with <image 1>" would be asked with the two exchanged.
    placed: list[int] = []

    def plain(mark: re.Match[str]) -> str:
        number = int(mark[1])
        if number in placed:
            return f"image {number}"
        placed.append(number)
        return IMAGE_MARK

    text = _NUMBERED.sub(plain, problem)
    first = [number for number in by_number if number not in placed]
    order = [by_number[number] for number in (*first, *placed)]
    return IMAGE_MARK * len(first) + text, order, None
