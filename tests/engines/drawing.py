"""Prompts drawn through an engine's stream, and put back in their order."""

from collections.abc import Sequence

from durian.engines.base import Request, RolloutEngine, seed_of
from durian.samples import Failed, Prompt, Rollout


def draw(
    engine: RolloutEngine, prompts: Sequence[Prompt | Failed], seed: int = 0, greedy: bool = False
) -> list[list[Rollout] | Failed]:
    """The rollouts of each prompt; each has a seed by its place."""
    requests = [
        Request(key=(place, "any"), prompt=prompt, seed=seed_of(seed, str(place)), greedy=greedy)
        for place, prompt in enumerate(prompts)
    ]
    answers = list(engine.stream(requests))
    assert sorted(key for key, _ in answers) == [request.key for request in requests]
    drawn = dict(answers)
    return [drawn[request.key] for request in requests]
