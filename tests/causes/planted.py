"""A world of planted causes: samples, and what a scripted policy says of them, as policies write.

Each completion is drawn by itself, most of them as the sample's cause has it and the others right
or wrong at random, so that no sample is pure: shares fall below a threshold by chance, too. Only
steadily wrong samples are planted by count: 5 or 6 of 8 completions give one wrong answer and one
is right. Where none is right they cannot be told from a wrong label, which is planted as a policy
that is right nearly always, with another reference.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from durian.samples import sample_id

ROLLOUTS = 8
MOSTLY = 0.8  # of the completions, which are as the cause has it
SCRIPTED = (
    "doubtful_label", "looped", "cut", "unformatted", "solved_blind", "solved", "steady_wrong",
    "scattered", "guessed", "mixed",
)  # fmt: skip

# A reference, and other ways to write it; then answers that are wrong, each with other ways.
_KINDS = [
    (["12", "12.0"], [["15", "15.0"], ["9"], ["24"], ["6"], ["13"], ["18"], ["10"]]),
    (["1/2", "0.5", r"\frac{1}{2}"],
     [["1/4", "0.25", r"\frac{1}{4}"], ["2"], ["1/3"], ["0.75", "3/4"], ["1"], ["1/8"], ["5"]]),
    (["B", "(B)"], [["A", "(A)"], ["C", "(C)"], ["D"], ["E"], ["F"], ["G"], ["H"]]),
    (["red", "Red"], [["blue", "Blue"], ["green"], ["black"], ["teal"], ["pink"], ["gray"],
                      ["white"]]),
    ([r"2\sqrt{3}", r"\sqrt{12}"],
     [[r"3\sqrt{2}", r"\sqrt{18}"], [r"\sqrt{3}"], ["4"], [r"\sqrt{2}"], ["6"], ["3"], ["2"]]),
    (["30 cm", "30cm"], [["40 cm", "40cm"], ["20 cm"], ["60 cm"], ["15 cm"], ["35 cm"], ["25 cm"],
                         ["45 cm"]]),
]  # fmt: skip
_SENTENCES = (
    "The figure shows a triangle whose base lies on the line through A and C. ",
    "First I read the numbers off the axes: the left one is {} and the right one {}. ",
    r"By the theorem of Pythagoras, \(c^2 = a^2 + b^2 = {} + {}\). ",
    "In the second row there are {} squares, and {} of them are shaded. ",
    "Next, compare the angle at B with the one at D; they sum to {} + {} degrees. ",
    "我们先看图中的三角形，底边长为{}，高为{}。",
    "So the ratio of the two areas is {} to {}, as the sides are parallel. ",
    "Looking at the legend, the blue bar stands for {} and the orange bar for {}. ",
)
_LOOPS = (
    "Wait, let me look at the image again. ",
    "Hmm, that cannot be right. The angle is 30 degrees, so the other one must be 60 degrees. ",
    "So the answer is 12. But wait, the answer is 12? ",
    "重新检查：底边是四，高是三，所以面积是六。",
    r"\frac{a}{b} = \frac{c}{d} \Rightarrow ",
    "\n\n",
    "0, ",
    "- The shape is a square.\n- The shape is a square, too.\n",
    "Let's consider the left part of the picture, where there are two cars, a man, and a dog. Then "
    "consider the right part of the picture, where there is a tree, a house, and a fence. ",
)


@dataclass(frozen=True)
class Planted:
    """A dataset and its script on disk, and the cause that was planted in each row."""

    data: Path
    script: Path
    causes: dict[str, str]  # by sample id


def plant(folder: Path, *, seed: int, each: int) -> Planted:
    """Write `data.parquet` and `script.parquet`, with so many samples of each cause.

    Half as many cannot be read, and half as many pairs have one image and question and two answers.
    """
    rng = np.random.default_rng(seed)
    rows, script, causes = [], [], {}
    planned = [*SCRIPTED * each, *["unreadable", "conflict"] * (each // 2)]
    for place, cause in enumerate(rng.permutation(planned).tolist()):
        kind = _KINDS[int(rng.integers(len(_KINDS)))]
        # Of a wrong label the policy knows better: it gives the right answer again and again.
        right, wrong = kind
        reference = wrong[0] if cause == "doubtful_label" else right
        problem, picture = f"<image>What is the value in figure {place}?", _picture(rng)
        image = b"damaged" if cause == "unreadable" else picture
        for answer in (reference, wrong[0]) if cause == "conflict" else (reference,):
            name = sample_id(problem, answer[0], [image])
            rows.append({
                "problem": problem, "answer": answer[0], "images": [image],
                "kind": f"kind {_KINDS.index(kind)}",
            })  # fmt: skip
            causes[name] = cause
            script += _script(name, cause, kind, rng)
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).write_parquet(folder / "data.parquet")
    pl.DataFrame(script).write_parquet(folder / "script.parquet")
    return Planted(folder / "data.parquet", folder / "script.parquet", causes)


def _script(
    name: str, cause: str, kind: tuple, rng: np.random.Generator
) -> list[dict[str, object]]:
    """What the policy says of one sample, with its image and without."""
    steady = [*["wrong"] * int(rng.integers(5, 7)), "right", "any", "any"]
    rows: list[dict[str, object]] = []
    for blind in (False, True):
        for rollout in range(ROLLOUTS):
            text, reason = _said(cause, kind, rng, blind=blind, steady=steady[rollout])
            rows.append({
                "sample_id": name, "rollout": rollout + ROLLOUTS * blind, "completion": text,
                "n_tokens": max(1, len(text) // 4), "sum_logprob": -len(text) / 40,
                "finish_reason": reason, "blind": blind,
            })  # fmt: skip
    return rows


def _said(
    cause: str, kind: tuple, rng: np.random.Generator, *, blind: bool, steady: str = "any"
) -> tuple[str, str]:
    """One completion, and how it ended."""
    right, wrong = kind
    chance, mostly = rng.random(), rng.random() < MOSTLY
    if blind:
        sees = {"solved_blind": 0.9, "guessed": 0.4}.get(cause, 0.05)
        return _boxed(right if chance < sees else _any(wrong, rng), rng), "stop"
    match cause:
        case "doubtful_label":
            return _boxed(right if chance < 0.92 else _any(wrong[1:], rng), rng), "stop"
        case "solved" | "solved_blind":
            return _boxed(right if chance < 0.97 else _any(wrong, rng), rng), "stop"
        case "guessed" | "mixed":
            return _boxed(right if chance < 0.4 else _any(wrong, rng), rng), "stop"
        case "scattered":
            # Any number, half of the time: it knows nothing.
            lost = [str(rng.integers(100, 999))] if chance < 0.5 else _any(wrong, rng)
            return _boxed(lost, rng), "stop"
        case "steady_wrong":
            said = {"wrong": wrong[0], "right": right}.get(steady) or _any(wrong[1:], rng)
            return _boxed(said, rng), "stop"
        case "looped" if mostly:
            return _loop(rng), "length"
        case "cut" if mostly:
            return _cut(rng), "length"
        case "unformatted" if mostly:
            return _unboxed(right, rng), "stop"
    return _boxed(right if chance < 0.4 else _any(wrong, rng), rng), "stop"


def _thought(rng: np.random.Generator, most: int = 8) -> str:
    sentences = rng.choice(len(_SENTENCES), int(rng.integers(1, most)))
    return "".join(_SENTENCES[n].format(*rng.integers(2, 90, 2)) for n in sentences)


def _written(forms: list[str], rng: np.random.Generator) -> str:
    return forms[int(rng.integers(len(forms)))]


def _any(wrong: list[list[str]], rng: np.random.Generator) -> list[str]:
    return wrong[int(rng.integers(len(wrong)))]


def _boxed(forms: list[str], rng: np.random.Generator) -> str:
    return f"<think>{_thought(rng)}</think> \\boxed{{{_written(forms, rng)}}}"


def _unboxed(forms: list[str], rng: np.random.Generator) -> str:
    answer = _written(forms, rng)
    ends = (
        f"So the answer is {answer}.", f"**Answer: {answer}**", f"The answer is **{answer}**",
        f"Final answer: {answer}", f"Therefore, it is {answer}.",
    )  # fmt: skip
    return f"<think>{_thought(rng)}</think> {ends[int(rng.integers(len(ends)))]}"


def _loop(rng: np.random.Generator) -> str:
    """Some thought, then a piece again and again, cut anywhere within a copy."""
    piece = _LOOPS[int(rng.integers(len(_LOOPS)))]
    copies = piece * (int(rng.integers(230, 2_500)) // len(piece) + 3)
    return f"<think>{_thought(rng)}{copies[: len(copies) - int(rng.integers(len(piece)))]}"


def _cut(rng: np.random.Generator) -> str:
    """A completion that was going on when the limit came, of what looks most like a loop."""
    n = int(rng.integers(20, 90))
    shapes: list[Callable[[], str]] = [
        lambda: _thought(rng, 20),
        lambda: "".join(rf"x_{{{k}}} &= x_{{{k - 1}}} + {2 * k} \\ " for k in range(1, n)),
        lambda: "\n".join(f"| {k} | {k * k} | {k % 3} | yes |" for k in range(n)),
        lambda: ", ".join(str(k) for k in range(3 * n)),
        lambda: "0." + "".join(str(d) for d in rng.integers(0, 10, 6 * n)),
        lambda: "".join(f"Step {k}: add {k} to {k * (k - 1) // 2}. " for k in range(1, n)),
        lambda: r"\begin{pmatrix}" + r" \\ ".join(
            " & ".join(str(v) for v in rng.integers(0, 3, 6)) for _ in range(n)
        ),
        lambda: "The sum is 12. Is it? Yes, the sum is 12. " + _thought(rng, 6),
    ]  # fmt: skip
    text = shapes[int(rng.integers(len(shapes)))]()
    return f"<think>{_thought(rng)}{text[: int(rng.integers(len(text) // 2, len(text) + 1))]}"


def _picture(rng: np.random.Generator) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (12, 12, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def precision_and_recall(
    planted: dict[str, str], found: dict[str, str | None]
) -> dict[str, tuple[int, int, int]]:
    """How many samples of each cause were planted, found, and both."""
    told = {}
    for cause in dict.fromkeys(planted.values()):
        there = {name for name, value in planted.items() if value == cause}
        said = {name for name, value in found.items() if value == cause}
        told[cause] = len(there), len(said), len(there & said)
    return told
