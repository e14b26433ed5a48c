"""A stream never waits for a batch: what every engine's `stream` promises beside the draws."""

import pytest

from durian.engines.base import Request, Room, seed_of
from durian.samples import Failed
from tests.engines.drawing import draw

ENGINES = ["transformers", "vllm"]


def requests_of(prompts):
    return [
        Request(key=(place, "any"), prompt=prompt, seed=seed_of(7, str(place)))
        for place, prompt in enumerate(prompts)
    ]


@pytest.fixture
def prompts(ask):
    return [ask(f"What is {i} and {i}?", i) for i in range(12)]


@pytest.mark.parametrize("name", ENGINES)
def test_a_draw_hangs_on_its_seed_and_not_on_what_is_in_hand_with_it(name, open_once, prompts):
    # As after a kill: the last third alone, which then shares its batches with other prompts.
    engine = open_once(name)
    whole = draw(engine, prompts, seed=7)
    rest = dict(engine.stream(requests_of(prompts)[8:]))
    pairs = [
        (one, other)
        for place in range(8, 12)
        for one, other in zip(whole[place], rest[place, "any"], strict=True)
    ]
    same = [(a, b) for a, b in pairs if (a.completion, a.n_tokens) == (b.completion, b.n_tokens)]
    assert len(pairs) == 16 and len(same) >= 15  # one in a hundred may turn by round-off
    assert all(abs(a.sum_logprob - b.sum_logprob) < 1e-4 for a, b in same)


@pytest.mark.parametrize("name", ENGINES)
def test_a_prompts_rollouts_differ_and_so_do_those_of_another_seed(name, open_once, prompts):
    engine = open_once(name)
    first = draw(engine, prompts[:2], seed=1)
    assert all(len({r.completion for r in rollouts}) > 1 for rollouts in first)
    assert draw(engine, prompts[:2], seed=2) != first


def test_prompts_are_pulled_while_others_are_drawn_and_no_further_than_twice_the_slots(
    open_once, prompts, monkeypatch
):
    # 4 slots and 4 rollouts a prompt: never more than 2 x 4 completions wait or run when another
    # prompt is asked for, so at most the two prompts in hand and the one that comes next.
    engine = open_once("vllm")
    monkeypatch.setattr(engine, "_slots", 4)
    pulled, ahead, answered = 0, [], 0

    def coming():
        nonlocal pulled
        for request in requests_of(prompts):
            pulled += 1
            ahead.append(pulled - answered)
            yield request

    for _ in engine.stream(coming()):
        answered += 1
    assert answered == len(prompts) and 2 <= max(ahead) <= 4


@pytest.mark.parametrize("name", ENGINES)
def test_a_sample_without_a_prompt_comes_back_at_once(name, open_once, prompts):
    drawn = draw(open_once(name), [Failed("no image"), prompts[0], Failed("torn")])
    assert drawn[0] == Failed("no image") and drawn[2] == Failed("torn") and len(drawn[1]) == 4


@pytest.mark.parametrize("name", ENGINES)
def test_a_stream_that_is_closed_early_leaves_nothing_in_hand(name, open_once, prompts):
    engine = open_once(name)
    answers = engine.stream(requests_of(prompts))
    next(answers)
    answers.close()
    assert len(draw(engine, prompts[:1])[0]) == 4
    if name == "vllm":
        assert engine._llm.llm_engine.get_num_unfinished_requests() == 0


def test_room_for_images_holds_one_however_large_and_more_while_they_fit(ask):
    from PIL import Image

    small, large = ask("s", Image.new("RGB", (10, 10))), ask("l", Image.new("RGB", (30, 30)))
    room = Room(pixels=150)
    (one, two, three) = requests_of([large, small, small])
    assert room.free
    room.take(one)  # 900 pixels of 150
    assert not room.free
    room.give(one.key)
    room.take(two)  # 100
    assert room.free
    room.take(three)  # 200
    assert not room.free
    room.give(two.key)
    assert room.free
