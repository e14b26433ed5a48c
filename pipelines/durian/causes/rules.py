"""The causes, in the order in which they are asked for, and the rule of each. Pure numpy.

A cause whose measure was not taken applies to no sample, and the next ones are asked: without
consensus a sample that is always wrong is neither steadily wrong nor scattered, but mixed. A
sample of which nothing is known has no cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from durian.causes.thresholds import THRESHOLDS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CAUSES = (
    "unreadable", "conflict", "doubtful_label", "looped", "cut", "unformatted", "solved_blind",
    "solved", "steady_wrong", "scattered", "guessed", "mixed",
)  # fmt: skip
# Those that the completions of one rollout batch tell: not a label's, against which they say too
# little, nor those that ask other measures.
OF_A_BATCH = ("looped", "cut", "unformatted", "solved", "steady_wrong", "scattered", "mixed")
GAIN = 0.1  # in pass rate: what an image that is looked at should add
FEWEST = 4  # completions, of which fewer say nothing against a label: one wrong answer is no vote


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that the rules ask of N samples: (N,) each, NaN where it was not measured.

    Counts are of completions with the image; what says nothing of a sample alone is None.
    """

    total: Floats  # scored completions, 0 of a sample without any
    wrong: Floats  # of them
    looped: Floats | None = None  # wrong ones that repeat themselves to the end
    cut: Floats | None = None  # wrong ones that hit the token limit and do not repeat themselves
    unformatted: Floats | None = (
        None  # share of the wrong ones in which only the format is at fault
    )
    # Share of the completions that give the most common wrong answer, less the share of the right.
    label_doubt: Floats | None = None
    blind_pass_rate: Floats | None = None
    image_gain: Floats | None = None
    image_gain_sd: Floats | None = None
    unreadable: Bools | None = None
    conflict: Bools | None = None


def find_causes(
    evidence: Evidence, thresholds: Mapping[str, float] = THRESHOLDS
) -> list[str | None]:
    """Tell the first cause that applies to each sample.

    A solved sample has too few wrong completions to ask why they are: it is solved, however they
    came about.

    Args:
        thresholds: all of `THRESHOLDS`.
    Returns:
        (N,), some of `CAUSES`; None where nothing is known.
    """
    n = len(evidence.total)
    known = evidence.total > 0
    total, wrong = np.where(known, evidence.total, 1.0), np.where(known, evidence.wrong, 0.0)
    right = (total - wrong) / total
    solved = known & _at_least(right, thresholds["solved"])
    asked = known & ~solved
    nothing = np.zeros(n, bool)
    of_wrong = np.maximum(wrong, 1.0)

    def mostly(name: str, share: Floats | None) -> Bools:
        return nothing if share is None else asked & _at_least(share, thresholds[name])

    def of(counts: Floats | None) -> Floats | None:
        return None if counts is None else counts / of_wrong

    applies = {
        "unreadable": nothing if evidence.unreadable is None else evidence.unreadable,
        "conflict": nothing if evidence.conflict is None else evidence.conflict,
        "doubtful_label": mostly("doubtful_label", evidence.label_doubt) & (total >= FEWEST),
        "looped": mostly("looped", of(evidence.looped)),
        "cut": mostly("cut", of(_both(evidence.looped, evidence.cut))),
        "unformatted": mostly("unformatted", evidence.unformatted),
        "solved_blind": solved & _blind(evidence, thresholds["solved_blind"]),
        "solved": solved,
        "steady_wrong": mostly("steady_wrong", evidence.label_doubt) & (total > 1),
        "scattered": asked & (wrong == total) & (evidence.label_doubt is not None),
        "guessed": asked & (wrong < total) & _guessed(evidence, thresholds["guessed"]),
        "mixed": asked,
    }
    stacked = np.stack([applies[cause] for cause in CAUSES])  # (causes, N)
    which = np.where(stacked.any(axis=0), stacked.argmax(axis=0), -1)
    return [CAUSES[number] if number >= 0 else None for number in which.tolist()]


def measured_causes(evidence: Evidence) -> list[str]:
    """The causes whose measure was taken of any sample: the others could not be told."""
    needs = {
        "unreadable": "unreadable", "conflict": "conflict", "doubtful_label": "label_doubt",
        "looped": "looped", "cut": "cut", "unformatted": "unformatted",
        "solved_blind": "blind_pass_rate", "steady_wrong": "label_doubt",
        "scattered": "label_doubt", "guessed": "image_gain",
    }  # fmt: skip
    taken = {
        field.name
        for field in fields(evidence)
        if (values := getattr(evidence, field.name)) is not None
        and (values.dtype == bool or not np.isnan(values).all())
    }
    return [cause for cause in CAUSES if needs.get(cause, "total") in taken]


def _at_least(share: Floats, threshold: float) -> Bools:
    # A share that was stored as a mean of thirds is no exact third; NaN is nothing.
    return np.asarray(share >= threshold - 1e-9, np.bool_)


def _both(looped: Floats | None, cut: Floats | None) -> Floats | None:
    """Wrong completions that did not come to an end: one that loops was cut, too."""
    return cut if looped is None or cut is None else looped + cut


def _blind(evidence: Evidence, threshold: float) -> Bools:
    rate = evidence.blind_pass_rate
    return np.zeros(len(evidence.total), bool) if rate is None else _at_least(rate, threshold)


def _guessed(evidence: Evidence, threshold: float) -> Bools:
    """Whether the image surely adds little: P(gain > `GAIN`), gain normal about its estimate."""
    from scipy.special import ndtr  # here: configs read this module, and `--help` every config

    gain, sd = evidence.image_gain, evidence.image_gain_sd
    if gain is None or sd is None:
        return np.zeros(len(evidence.total), bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        more = ndtr((gain - GAIN) / np.maximum(sd, 1e-9))
    return np.asarray(more < threshold, np.bool_)
