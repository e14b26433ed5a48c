"""Rewards: is a completion right, and in the asked format (eq. 22-24)? Both stages use it.

boxed.py         the paper's reward: 0.1 format + 0.9 accuracy
custom.py        a user's own FILE.py:function
equality.py      is the answer the reference: plain.py first, then math_judge.py
math_worker.py   runs math-verify, in a process of its own
"""

from durian.rewards.boxed import boxed_reward, extract_answer, is_formatted
from durian.rewards.custom import open_reward, reward_fingerprint
from durian.rewards.equality import answers_equal
from durian.rewards.score import Reward
from durian.samples import Score

__all__ = [
    "Reward",
    "Score",
    "answers_equal",
    "boxed_reward",
    "extract_answer",
    "is_formatted",
    "open_reward",
    "reward_fingerprint",
]
