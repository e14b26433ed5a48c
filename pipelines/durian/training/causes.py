"""Why the samples of a rollout batch are hard, as far as its completions tell: for the log."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from durian.causes.loops import is_looping
from durian.causes.rules import OF_A_BATCH, Evidence, find_causes
from durian.causes.thresholds import THRESHOLDS
from durian.measures.consensus import label_doubt
from durian.rewards.canonical import canonical
from durian.samples import Score

SIGNS = 4  # numbers of a completion that are told to the other processes
_NO_ANSWER = 0.0


def signs_of(
    completions: Sequence[str], scores: Sequence[Score | None], cut: Sequence[bool]
) -> list[list[float]]:
    """Tell each completion's signs of a cause: it loops, was cut, has no answer; which answer.

    An answer is a number that equal ones share, exact in 32-bit floats. Cheap: only a wrong
    completion that was cut is searched for a loop.

    Args:
        completions, scores, cut: one a completion; no score where the reward failed.
    Returns:
        A row of `SIGNS` numbers a completion.
    """
    rows = []
    for text, score, at_limit in zip(completions, scores, cut, strict=True):
        wrong = score is not None and not score.correct
        looped = wrong and at_limit and is_looping(text)
        answer = None if score is None else score.answer
        # A reward that judges no format may take no answers out, and one that was cut has none.
        unanswered = (
            answer is None and not at_limit and score is not None and score.formatted is not None
        )
        code = _NO_ANSWER if answer is None else 1.0 + crc32(canonical(answer).encode()) % 2**23
        rows.append([float(looped), float(at_limit), float(unanswered), code])
    return rows


def cause_shares(correct: Tensor, rewards: Tensor, signs: Tensor) -> dict[str, float]:
    """Shares of the samples of a rollout batch by cause, each under `durian/why/`.

    Of the samples with a scored completion; those `OF_A_BATCH`, by the rules of the column `why`
    with their defaults. Without the measures of a profile: unformatted is a completion in which no
    answer can be read.

    Args:
        correct: shape (B, G), bool.
        rewards: shape (B, G); NaN where unscored.
        signs: shape (B, G, SIGNS), as `signs_of` gives them.
    """
    scored = ~rewards.isnan().cpu()
    right = correct.cpu().bool() & scored
    wrong = ~correct.cpu().bool() & scored
    looped, cut, unanswered, codes = signs.cpu().to(torch.float64).unbind(dim=-1)
    of_wrong = [_counted(wrong & (sign > 0)) for sign in (looped, cut, unanswered)]
    wrongs = _counted(wrong)
    evidence = Evidence(
        total=_counted(scored),
        wrong=wrongs,
        looped=of_wrong[0],
        cut=of_wrong[1] - of_wrong[0],
        unformatted=of_wrong[2] / np.maximum(wrongs, 1.0),
        label_doubt=np.array(
            [_doubt(*sample) for sample in zip(codes, right, scored, strict=True)]
        ),
    )
    # No doubt is so large: what would speak against a label in a profile is steadily wrong here.
    found = find_causes(evidence, {**THRESHOLDS, "doubtful_label": np.inf})
    known = [cause for cause in found if cause is not None]
    return {f"durian/why/{cause}": known.count(cause) / len(known) for cause in OF_A_BATCH if known}


def _doubt(codes: Tensor, right: Tensor, scored: Tensor) -> float:
    answers = [None if code == _NO_ANSWER else code for code in codes[scored].tolist()]
    return label_doubt(answers, right[scored].tolist()) if answers else float("nan")


def _counted(which: Tensor) -> NDArray[np.float64]:
    return which.sum(dim=1).numpy().astype(np.float64)
