"""A normalizer in one file of its own: centred rewards, times one more than the reasoning bin."""

from durian.normalizer import Normalizer


def _toy_advantages(rewards, groups, scaling):
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    return centred * (groups.reasoning + 1)[:, None]


TOY = Normalizer(_toy_advantages)
