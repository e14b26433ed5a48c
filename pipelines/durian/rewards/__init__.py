"""Rewards: is a completion right, and in the asked format (eq. 22-24)? Both stages use it.

boxed.py         the paper's reward: 0.1 format + 0.9 accuracy
extract.py       the final answer of a completion, and its format
custom.py        a user's own FILE.py:function; conventions.py: how it is called
for_trainers.py  the boxed reward as verl, TRL, ms-swift and EasyR1 call theirs
grade.py         is an answer right: the reference's kind, then that kind's rule
kinds/           the kinds of reference, one rule each
tidy.py          one spelling of an answer; units.py, formula.py read units and formulas
canonical.py     which completions of a sample gave one and the same answer
graders.py       grader processes, one a core, that judge while the engine decodes
math_judge.py    asks math-verify what formula.py does not read
math_worker.py   runs math-verify, in a process of its own
"""

from durian.rewards.boxed import BoxedReward, boxed_reward
from durian.rewards.canonical import distinct_answers
from durian.rewards.custom import open_reward, reward_fingerprint
from durian.rewards.extract import extract_answer, is_formatted, opens_thinking
from durian.rewards.for_trainers import SwiftReward, compute_score, easyr1_reward, trl_reward
from durian.rewards.grade import Reference, Verdict, answer_kind, answers_equal, grade
from durian.rewards.score import Attempts, Pending, Reward
from durian.samples import Score

__all__ = [
    "Attempts",
    "BoxedReward",
    "Pending",
    "Reference",
    "Reward",
    "Score",
    "SwiftReward",
    "Verdict",
    "answer_kind",
    "answers_equal",
    "boxed_reward",
    "compute_score",
    "distinct_answers",
    "easyr1_reward",
    "extract_answer",
    "grade",
    "is_formatted",
    "open_reward",
    "opens_thinking",
    "reward_fingerprint",
    "trl_reward",
]
