r"""Boxes and points: how well a completion locates objects in the image.

`iou`: overlap of boxes (intersection over union). `point`: 1 where a point lies in the reference's
box; against a reference point, 1 less the distance in tenths of the image's diagonal, at least 0.
Several objects are matched one to one, so that the sum is the largest (scipy's
`linear_sum_assignment`); an object too many or too few counts as 0. The reward is
0.1 format + 0.9 the mean. Right: as many objects as there are, each at the threshold or above.

Read are JSON (Qwen-VL's `bbox_2d`, `point_2d`; `bbox`, `box`, `point`; x1, y1, x2, y2; lists),
`<box>(x1,y1),(x2,y2)</box>`, `<|box_start|>...`, `<point x=".." y="..">`, and plain lists.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from durian.rewards.boxed import ACCURACY_WEIGHT, FORMAT_WEIGHT
from durian.rewards.extract import extract_answer, final_text, is_formatted
from durian.rewards.score import Attempts, Pending, Size, scored_now
from durian.samples import Score

System = Literal["pixel", "resized", "1000", "unit"]
SYSTEMS: tuple[System, ...] = ("pixel", "resized", "1000", "unit")
RIGHT = 0.5  # PASCAL VOC's threshold of overlap (Everingham et al., 2010)
_POINT_RADIUS = 0.1  # of the image's diagonal: at half of it a point still is right
_LONGEST = 20_000  # characters
_MOST = 200  # objects

_NUMBER = r"[-+]?\d+(?:\.\d+)?"
_FENCE = re.compile(r"```(?:json)?\s*+(.*?)```", re.DOTALL)
_NUMBERS = re.compile(_NUMBER)
_MARKED = re.compile(r"<box>(.*?)</box>|<\|box_start\|>(.*?)<\|box_end\|>", re.DOTALL)
_ATTRIBUTES = re.compile(rf'\b([xy])(\d*)\s?=\s?"?({_NUMBER})')
_BRACKETED = re.compile(rf"[\[(]\s*{_NUMBER}(?:\s*,\s*{_NUMBER})+\s*[\])]")
_KEYS = ("bbox_2d", "bbox", "box_2d", "box", "bounding_box", "point_2d", "point", "coordinates")


@dataclass(frozen=True)
class Place:
    """A box (x1, y1, x2, y2) or a point (x, y), in the order of its numbers."""

    numbers: tuple[float, ...]
    label: str = ""

    def scaled(self, x: float, y: float) -> Place:
        """The place with its x and y multiplied."""
        return Place(
            tuple(n * (x if i % 2 == 0 else y) for i, n in enumerate(self.numbers)), self.label
        )


def read_places(text: str, *, boxes: bool) -> list[Place]:
    """The boxes or points that a text names, in order; none where it names none.

    Args:
        boxes: take two points in a row for the corners of a box.
    """
    # A policy's text may be anything, so the surest reading is tried first: JSON, in a fence or
    # bare; then marks, attributes, brackets, and at last bare numbers. A text with places of both
    # kinds, or with very many, names nothing rather than something by luck.
    if len(text) > _LONGEST:
        return []
    fenced = _FENCE.search(text)
    try:
        found = _of_json(json.loads(fenced[1] if fenced else text))
    except (ValueError, RecursionError):
        found = []
    if not found:
        found = _of_marks(text)
    sizes = {len(place.numbers) for place in found}
    if boxes and sizes == {2} and len(found) % 2 == 0:
        pairs = zip(found[::2], found[1::2], strict=True)
        found = [Place(first.numbers + second.numbers, first.label) for first, second in pairs]
    kept = [place for place in found if all(map(math.isfinite, place.numbers))]
    return kept if len(sizes) <= 1 and len(kept) <= _MOST else []


def _of_json(value: Any, label: str = "") -> list[Place]:
    if isinstance(value, dict):
        named = next((value[k] for k in ("label", "name", "ref") if k in value), label)
        label = named if isinstance(named, str) else ""
        inner = next((value[key] for key in _KEYS if key in value), None)
        if inner is not None:
            return _of_json(inner, label)
        for names in (("x1", "y1", "x2", "y2"), ("x", "y", "w", "h"), ("x", "y")):
            if all(_is_number(value.get(name)) for name in names):
                numbers = [float(value[name]) for name in names]
                if names[-1] == "h":
                    numbers[2:] = [numbers[0] + numbers[2], numbers[1] + numbers[3]]
                return [Place(tuple(numbers), label)]
        return [place for item in value.values() for place in _of_json(item, label)]
    if isinstance(value, list):
        if all(_is_number(item) for item in value):
            return [Place(tuple(map(float, value)), label)] if len(value) in (2, 4) else []
        return [place for item in value for place in _of_json(item, label)]
    return []


def _of_marks(text: str) -> list[Place]:
    marked = [found[1] or found[2] or "" for found in _MARKED.finditer(text)]
    if marked:
        return _in_sizes([_NUMBERS.findall(one) for one in marked])
    attributes = _ATTRIBUTES.findall(text)
    if attributes:
        numbers = [number for _, _, number in attributes]
        return _in_sizes([numbers[i : i + 2] for i in range(0, len(numbers), 2)])
    bracketed = [_NUMBERS.findall(found[0]) for found in _BRACKETED.finditer(text)]
    if bracketed:
        return _in_sizes(bracketed)
    numbers = _NUMBERS.findall(text)
    return _in_sizes([numbers]) if len(numbers) in (2, 4) else []


def _in_sizes(groups: Sequence[Sequence[str]]) -> list[Place]:
    return [Place(tuple(map(float, group))) for group in groups if len(group) in (2, 4)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def overlap(a: Place, b: Place) -> float:
    """Intersection over union of two boxes, 0 to 1; corners in any order."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = _corners(a), _corners(b)
    width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
    shared = max(0.0, width) * max(0.0, height)
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared
    return shared / union if union > 0 else 0.0


def _corners(box: Place) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box.numbers
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def nearness(point: Place, reference: Place, diagonal: float) -> float:
    """Nearness of a point (or a box's middle) to a reference box or point, from 0 to 1."""
    x, y = _middle(point)
    if len(reference.numbers) == 4:
        x1, y1, x2, y2 = _corners(reference)
        return float(x1 <= x <= x2 and y1 <= y <= y2)
    wanted = _middle(reference)
    away = math.hypot(x - wanted[0], y - wanted[1]) / (_POINT_RADIUS * diagonal)
    return max(0.0, 1.0 - away)


def _middle(place: Place) -> tuple[float, float]:
    if len(place.numbers) == 2:
        return place.numbers[0], place.numbers[1]
    x1, y1, x2, y2 = place.numbers
    return (x1 + x2) / 2, (y1 + y2) / 2


def to_pixels(place: Place, system: System, size: Size, seen: Size) -> Place:
    """A place in pixels of the image's file."""
    width, height = size
    if system == "resized":
        return place.scaled(width / seen[0], height / seen[1])
    if system == "1000":
        return place.scaled(width / 1000, height / 1000)
    return place.scaled(width, height) if system == "unit" else place


def fits(places: Sequence[Place], size: Size, seen: Size | None) -> list[System]:
    """The systems in which all of some places lie within the image."""
    bounds: dict[System, Size | None] = {
        "pixel": size, "resized": seen, "1000": (1000, 1000), "unit": (1, 1)
    }  # fmt: skip
    return [
        system
        for system, bound in bounds.items()
        if bound is not None
        and all(
            0 <= number <= bound[i % 2]
            for place in places
            for i, number in enumerate(place.numbers)
        )
    ]


@dataclass(frozen=True, kw_only=True)
class LocatedReward:
    """Rewards by overlap or by nearness."""

    of: Literal["iou", "point"]
    references: System = "pixel"
    answers: System = "pixel"
    right: float = RIGHT  # a match from which on an object is located
    reads_images: ClassVar[bool] = True

    def start(self, attempts: Attempts) -> Pending:
        """See `Reward.start`. ValueError: the reference or the image has no use."""
        return scored_now(lambda: self._scores(attempts))

    def close(self) -> None:
        """Nothing is held."""

    def _scores(self, attempts: Attempts) -> list[Score]:
        wanted = read_places(attempts.answer, boxes=self.of == "iou")
        boxes = all(len(place.numbers) == 4 for place in wanted)
        if not wanted or (self.of == "iou" and not boxes):
            what = "boxes" if self.of == "iou" else "points"
            raise ValueError(f"reward failed: the reference holds no {what}")
        size = attempts.image_sizes[0] if attempts.image_sizes else None
        seen = attempts.seen_sizes[0] if attempts.seen_sizes else size
        if size is None or seen is None:
            if self.of == "point" or self.references != self.answers:
                raise ValueError("reward failed: no image to locate an object in")
            size = seen = (1, 1)
        if "resized" in (self.references, self.answers) and not attempts.seen_sizes:
            raise ValueError("reward failed: it is not known how large the policy sees the image")
        wanted = [to_pixels(place, self.references, size, seen) for place in wanted]
        return [
            self._score(completion, wanted, size, seen, attempts.opened)
            for completion in attempts.completions
        ]

    def _score(
        self, completion: str, wanted: list[Place], size: Size, seen: Size, opened: bool
    ) -> Score:
        answer = extract_answer(completion)
        text = final_text(completion) if answer is None else answer
        found = [
            to_pixels(place, self.answers, size, seen)
            for place in read_places(text, boxes=self.of == "iou")
        ]
        matched = self._matched(found, wanted, size)
        mean = sum(matched) / max(len(found), len(wanted))
        formatted = is_formatted(completion, opened=opened)
        return Score(
            reward=FORMAT_WEIGHT * formatted + ACCURACY_WEIGHT * mean,
            correct=len(found) == len(wanted) and min(matched, default=0.0) >= self.right,
            formatted=formatted,
            answer=answer if answer is not None or not found else text.strip(),
            kind="boxes" if len(wanted[0].numbers) == 4 else "points",
        )

    def _matched(self, found: list[Place], wanted: list[Place], size: Size) -> list[float]:
        """The matches of the best assignment, as many as the shorter list has."""
        if not found or (self.of == "iou" and len(found[0].numbers) != 4):
            return [0.0]
        diagonal = math.hypot(*size)
        table = [
            [0.0 if _differ(f, w) else self._match(f, w, diagonal) for w in wanted] for f in found
        ]
        if len(found) == len(wanted) == 1:
            return table[0]
        from scipy.optimize import linear_sum_assignment  # here: it takes long to load

        # One to one, for the largest sum in all. Each object matched with its nearest alone, ten
        # boxes on one object would all count; matched in the order written, a list in another order
        # would be wrong.
        rows, columns = linear_sum_assignment(table, maximize=True)
        return [table[row][column] for row, column in zip(rows, columns, strict=True)]

    def _match(self, found: Place, wanted: Place, diagonal: float) -> float:
        return overlap(found, wanted) if self.of == "iou" else nearness(found, wanted, diagonal)


def _differ(a: Place, b: Place) -> bool:
    return bool(a.label and b.label) and a.label.casefold().strip() != b.label.casefold().strip()
