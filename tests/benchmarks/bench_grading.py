"""Grading: how often Durian, math-verify and mathruler are wrong, and how fast wrong LaTeX is told.

mathruler is no dependency (it hands answers to `eval`): it is compared where it is installed, as by
`pip install --target DIR mathruler pylatexenc` and DIR on PYTHONPATH. The pairs are all our own.
math-verify is also what Durian asked for each formula before; it is timed on a few and scaled.
"""

import json
import logging
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from durian.rewards import Reference, answers_equal
from durian.rewards.graders import Graders, Pair
from durian.rewards.math_judge import MathJudge
from tests.rewards.third_pairs import THIRD_PAIRS

PAIRS, FEW = 10_000, 100
PUBLIC = Path(__file__).parents[1] / "rewards" / "grading.jsonl"
Equal = Callable[[str, str], bool]


def graders() -> dict[str, Equal]:
    """The graders that are compared, by name; each takes an answer and a reference."""
    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)  # math-verify logs what it cannot read

    def by_math_verify(answer: str, reference: str) -> bool:
        gold, found = (parse(rf"\boxed{{{text}}}") for text in (reference, answer))
        return bool(verify(gold, found))

    found: dict[str, Equal] = {"Durian": answers_equal, "math-verify": by_math_verify}
    if find_spec("mathruler") is not None:
        from mathruler.grader import grade_answer

        found["mathruler"] = lambda answer, reference: bool(grade_answer(answer, reference))
    else:
        print("mathruler is not installed: left out")
    return found


def side_by_side() -> list[dict[str, Any]]:
    """Wrong verdicts of each grader on the public pairs and on the third set."""
    lines = PUBLIC.read_text(encoding="utf-8").splitlines()
    public = [(c["answer"], c["reference"], c["right"]) for c in map(json.loads, lines)]
    sets = {"public": public, "third": [row for rows in THIRD_PAIRS.values() for row in rows]}
    rows = []
    for name, equal in graders().items():
        for of_set, pairs in sets.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # sympy's, of odd formulas
                given = [(equal(answer, reference), right) for answer, reference, right in pairs]
            wrong = sum(told and not right for told, right in given)
            missed = sum(right and not told for told, right in given)
            rows.append(
                {
                    "what": f"grading, {of_set} pairs wrongly right, {name}",
                    "value": wrong,
                    "aim": "0" if name == "Durian" else "-",
                    "detail": f"of {len(pairs)}; {missed} wrongly wrong",
                }
            )
    return rows


def wrong_pairs(count: int) -> list[tuple[str, str]]:
    """Distinct pairs of formulas of several shapes, none equal."""
    shapes = (
        (r"\frac{\sqrt{%d}}{%d}", r"\frac{\sqrt{%d}}{%d}+1"),
        (r"%dx^2+%dx-3", r"%dx^2-%dx-3"),
        (r"\left(\frac{%d}{7},%d\right)", r"\left(\frac{%d}{9},%d\right)"),
        (r"%d\pi-\sin\frac{%d\pi}{101}", r"%d\pi+\sin\frac{%d\pi}{101}"),
        (r"y=%dx+%d", r"y=%dx-%d"),
    )
    pairs = []
    for number in range(count):
        answer, reference = shapes[number % len(shapes)]
        values = (number + 2, number % 97 + 3)
        pairs.append((answer % values, reference % values))
    return pairs


def run() -> list[dict[str, Any]]:
    """Verdicts side by side; then how many times as fast as math-verify in one process."""
    rows = side_by_side()
    pairs = wrong_pairs(PAIRS)
    judge = MathJudge()
    judge.equal("x", "x")  # sympy is loaded
    begun = time.perf_counter()
    for answer, reference in pairs[:FEW]:
        judge.equal(answer, reference)
    before = (time.perf_counter() - begun) / FEW * PAIRS
    judge.close()
    for workers in (1, 2):
        pool = Graders(workers)
        pool.submit([Pair("1", Reference.of("1"))] * workers)[0].result()
        begun = time.perf_counter()
        futures = pool.submit([Pair(a, Reference.of(r)) for a, r in pairs])
        right = sum(future.result() for future in futures)
        took = time.perf_counter() - begun
        pool.close()
        rows.append(
            {
                "what": f"grading, {workers} process{'es' * (workers > 1)} / math-verify",
                "value": before / took,
                "aim": "> 3",
                "detail": f"{PAIRS:,} wrong LaTeX pairs in {took:.1f} s, {right} right; "
                f"before {before:.0f} s",
            }
        )
    return rows
