"""Grading of distinct wrong LaTeX pairs: one and two grader processes, against math-verify alone.

math-verify is what Durian asked for each of them before; it is timed on a few and scaled.
"""

import time
from typing import Any

from durian.rewards import Reference
from durian.rewards.graders import Graders, Pair
from durian.rewards.math_judge import MathJudge

PAIRS, FEW = 10_000, 100


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
    """Pairs a second, and how many times as fast as math-verify in one process."""
    pairs = wrong_pairs(PAIRS)
    judge = MathJudge()
    judge.equal("x", "x")  # sympy is loaded
    begun = time.perf_counter()
    for answer, reference in pairs[:FEW]:
        judge.equal(answer, reference)
    before = (time.perf_counter() - begun) / FEW * PAIRS
    judge.close()
    rows = []
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
