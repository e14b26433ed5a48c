"""Questions about a scene, their right answers, and the short thought that leads to an answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.scenes import COLORS, SHAPES, Item, Scene

KINDS = ("shape", "colour", "yes_no", "count", "position")
PLACES = ("left", "right", "above", "below")


@dataclass(frozen=True)
class Question:
    """A question, its right answer, and what a policy may say before any answer to it."""

    kind: str
    problem: str
    answer: str
    thoughts: dict[str, str]  # for every answer that makes sense, the right one included


def ask(scene: Scene, kind: str, rng: np.random.Generator) -> Question | None:
    """A random question of that kind, or None where the scene allows none of one meaning."""
    if kind == "shape":
        return _ask_shape(scene, rng)
    if kind == "colour":
        return _ask_colour(scene, rng)
    if kind == "yes_no":
        return _ask_yes_no(scene, rng)
    if kind == "count":
        return _ask_count(scene, rng)
    return _ask_position(scene, rng)


def _ask_shape(scene: Scene, rng: np.random.Generator) -> Question:
    item = _pick(scene.items, rng)
    forms = [f"what is the {item.color} shape?", f"what shape is the {item.color} one?"]
    if len(scene.items) == 1:
        forms.append("what shape is in the image?")
    return shape_question(_word(forms, rng), item.shape)


def _ask_colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    shapes = [item.shape for item in scene.items]
    unique = [item for item in scene.items if shapes.count(item.shape) == 1]
    if not unique:
        return None
    item = _pick(tuple(unique), rng)
    name = item.shape
    if len(scene.items) == 1 and rng.random() < 0.3:
        name = "shape"
    forms = [f"what color is the {name}?", f"what is the color of the {name}?"]
    return colour_question(_word(forms, rng), name, item.color)


def _ask_yes_no(scene: Scene, rng: np.random.Generator) -> Question | None:
    wanted = bool(rng.random() < 0.5)
    if rng.random() < 0.5:
        present = {item.color for item in scene.items}
        things = [f"{color} shape" for color in COLORS if (color in present) == wanted]
    else:
        present = {item.shape for item in scene.items}
        things = [shape for shape in SHAPES if (shape in present) == wanted]
    if not things:  # all three shapes are there
        return None
    thing = _word(things, rng)
    forms = [f"is there a {thing}?", f"does the image contain a {thing}?"]
    return yes_no_question(_word(forms, rng), thing, "yes" if wanted else "no")


def _ask_count(scene: Scene, rng: np.random.Generator) -> Question:
    names = _left_to_right(scene.items)
    others = [f"{color} {_word(SHAPES, rng)}" for color in rng.permutation(list(COLORS))]
    # A thought that miscounts drops some of the items, or goes on with some that are not there.
    others = [name for name in others if name.split()[0] not in {i.color for i in scene.items}]
    thoughts = {
        str(count): f"Left to right: {', '.join((names + others)[:count])}."
        for count in range(1, 5)
    }
    forms = ["how many shapes are there?", "how many shapes are in the image?"]
    return Question("count", _word(forms, rng), str(len(names)), thoughts)


def _ask_position(scene: Scene, rng: np.random.Generator) -> Question | None:
    pairs = [
        (one, other)
        for one in scene.items
        for other in scene.items
        if one is not other and place(one, other) is not None
    ]
    if not pairs:
        return None
    one, other = pairs[int(rng.integers(len(pairs)))]
    answer = place(one, other)
    assert answer is not None
    pair = ", ".join(_left_to_right((one, other)))
    thoughts = {word: f"Left to right: {pair}. It is {word}." for word in PLACES}
    problem = f"where is the {one.color} shape relative to the {other.color} shape?"
    return Question("position", problem, answer, thoughts)


def _left_to_right(items: tuple[Item, ...]) -> list[str]:
    return [f"{item.color} {item.shape}" for item in sorted(items, key=lambda item: item.x)]


def place(one: Item, other: Item) -> str | None:
    """Where `one` is, seen from `other`: the direction in which they are twice as far apart."""
    across, down = one.x - other.x, one.y - other.y
    if abs(across) >= 2 * abs(down):
        return "left" if across < 0 else "right"
    if abs(down) >= 2 * abs(across):
        return "above" if down < 0 else "below"
    return None


def shape_question(problem: str, answer: str) -> Question:
    """A question whose answer is a shape."""
    return Question("shape", problem, answer, {shape: f"I see a {shape}." for shape in SHAPES})


def colour_question(problem: str, name: str, answer: str) -> Question:
    """A question after the colour of what is called `name`."""
    colors = {*COLORS, answer}  # easy-VQA also has brown and gray
    return Question("colour", problem, answer, {c: f"The {name} is {c}." for c in sorted(colors)})


def yes_no_question(problem: str, thing: str, answer: str, negated: bool = False) -> Question:
    """A question after the presence of `thing`; `negated` asks whether it is absent."""
    seen, unseen = f"I see a {thing}.", f"I see no {thing}."
    thoughts = {"yes": unseen, "no": seen} if negated else {"yes": seen, "no": unseen}
    return Question("yes_no", problem, answer, thoughts)


def _pick(items: tuple[Item, ...], rng: np.random.Generator) -> Item:
    return items[int(rng.integers(len(items)))]


def _word(words: list[str] | tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
