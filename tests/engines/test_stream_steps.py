"""How many steps vLLM takes for a stream, on a stand-in of its scheduler: slots, first come first.

A step decodes one token of each completion that has a slot. `make bench` counts real vLLM's.
"""

import math
from collections import deque
from itertools import count
from random import Random
from statistics import NormalDist
from types import SimpleNamespace

import pytest
from PIL import Image

from durian.engines import vllm
from durian.engines.base import Request, Room
from durian.engines.vllm import VLLMEngine
from durian.samples import Prompt

SAMPLES, ROLLOUTS = 192, 8
PROMPT = Prompt(sample_id="", messages=[], images=())


class Scheduler:
    """Completions with lengths of their own, by slots; each request has several."""

    def __init__(self, slots):
        self.slots, self.steps = slots, 0
        self.left, self.waiting, self.running = {}, deque(), []

    def add(self, number, lengths):
        self.left[number] = len(lengths)
        self.waiting += ([number, tokens] for tokens in lengths)

    def get_num_unfinished_requests(self):
        return len(self.waiting) + len(self.running)

    def abort_request(self, numbers):
        assert not numbers

    def step(self):
        while self.waiting and len(self.running) < self.slots:
            self.running.append(self.waiting.popleft())
        self.steps += 1
        ended = []
        for one in self.running:
            one[1] -= 1
            if one[1] == 0:
                self.left[one[0]] -= 1
                if self.left[one[0]] == 0:
                    ended.append(SimpleNamespace(finished=True, request_id=one[0]))
        self.running = [one for one in self.running if one[1]]
        return ended


def long_tailed(rng):
    """Tokens: log-normal, median 54, mean about 79, the longest 500."""
    return max(1, min(500, round(54 * math.exp(0.9 * NormalDist().inv_cdf(rng.random())))))


@pytest.mark.parametrize("slots", [32, 128])
@pytest.mark.parametrize("ways", [("sampled",), ("greedy", "sampled")])
def test_a_stream_takes_the_steps_of_one_queue(slots, ways):
    rng = Random(0)
    lengths = {
        (place, way): [long_tailed(rng) for _ in range(ROLLOUTS if way == "sampled" else 1)]
        for place in range(SAMPLES)
        for way in ways
    }
    queue, scheduler = Scheduler(slots), Scheduler(slots)
    for key, of_one in lengths.items():
        queue.add(key, of_one)
    while queue.get_num_unfinished_requests():
        queue.step()

    engine = engine_of(scheduler, lengths)
    requests = [Request(key=key, prompt=PROMPT, seed=0) for key in lengths]
    assert {key for key, _ in engine.stream(requests)} == set(lengths)
    assert scheduler.steps <= 1.03 * queue.steps


def test_prompts_that_become_ready_late_cost_no_more_steps_than_they_are_late():
    # Each is ready at the second asking: the engine goes on with those that it has.
    lengths = {(place, "sampled"): [30] * ROLLOUTS for place in range(40)}
    scheduler = Scheduler(32)
    engine, asked = engine_of(scheduler, lengths), count()
    engine._preparer.ready = lambda: next(asked) % 2 == 1
    requests = [Request(key=key, prompt=PROMPT, seed=0) for key in lengths]
    assert {key for key, _ in engine.stream(requests)} == set(lengths)
    # 40 x 8 completions in 32 slots are 10 rounds of 30 steps, which begin by four prompts.
    assert 300 <= scheduler.steps <= 300 + 2 * 4


@pytest.mark.parametrize(
    ("pixels", "most", "in_hand"),
    [
        (None, 99, 8),  # 64 completions of 8 a prompt: twice the slots
        (250, 99, 3),  # of 100 pixels a prompt, which fit until the third is in hand
        (None, 2, 3),  # two that are never ready in time, and the one that is waited for
    ],
)
def test_no_more_is_in_hand_than_slots_pixels_and_preparation_allow(
    monkeypatch, pixels, most, in_hand
):
    lengths = {(place, "sampled"): [20] * ROLLOUTS for place in range(40)}
    engine = engine_of(Scheduler(32), lengths)
    engine._preparer.most, engine._preparer.ready = most, lambda: most > 2
    if pixels is not None:
        monkeypatch.setattr(vllm, "Room", lambda: Room(pixels))
    image = Image.new("RGB", (10, 10))
    prompt = Prompt(sample_id="", messages=[], images=(image,))
    pulled, answered, ahead = 0, 0, []

    def coming():
        nonlocal pulled
        for key in lengths:
            pulled += 1
            ahead.append(pulled - answered)
            yield Request(key=key, prompt=prompt, seed=0)

    for _ in engine.stream(coming()):
        answered += 1
    assert answered == len(lengths)
    assert max(ahead) <= in_hand + 1  # the one that is pulled before there is room for it
    assert max(ahead) >= in_hand


def engine_of(scheduler, lengths):
    """An engine over a stand-in of vLLM, whose prompts are ready at once."""
    engine = VLLMEngine.__new__(VLLMEngine)
    engine._llm = SimpleNamespace(llm_engine=scheduler)
    engine._slots, engine._repeatable = scheduler.slots, True
    engine._ids = count()
    engine._add = lambda number, request: scheduler.add(number, lengths[request.key])
    engine._rollouts = lambda output: []
    engine._sampled = SimpleNamespace(n=ROLLOUTS)
    engine._begin = lambda request: None
    engine._preparer = SimpleNamespace(most=99, ready=lambda: True, forget=lambda: None)
    return engine
