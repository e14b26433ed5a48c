"""Prompts prepared in processes beside vLLM: the same prompts, and no process is left."""

import os
import signal
from contextlib import closing
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from durian.engines.preparing import Here, InProcesses, Unready, hand_over, handed, loaded
from durian.errors import ConfigError, RunError
from durian.samples import Failed
from tests.engines.conftest import noise_image
from tests.engines.drawing import draw


@pytest.fixture
def pipe():
    from multiprocessing import Pipe

    here, there = Pipe()
    with here, there:
        yield here, there


def test_what_is_handed_over_is_equal_to_the_byte(pipe):
    here, there = pipe
    image = noise_image(3)
    sent = {
        "wide": torch.arange(6, dtype=torch.bfloat16).view(2, 3).T,  # not contiguous
        "one": torch.tensor(7),
        "none": torch.empty((0, 4)),
        "flags": torch.tensor([True, False]),
        "text": "\N{SNOWMAN}" * 50_000,
        "image": image,
        "nested": [(1, None)],
    }
    hand_over(here, sent)
    got = handed(there)
    assert got.keys() == sent.keys()
    for name in ("wide", "one", "none", "flags"):
        assert got[name].dtype == sent[name].dtype and torch.equal(got[name], sent[name])
    assert isinstance(got["image"], Image.Image) and got["image"].mode == "RGB"
    assert got["image"].size == image.size and got["image"].tobytes() == image.tobytes()
    assert (got["text"], got["nested"]) == (sent["text"], sent["nested"])
    got["wide"][0, 0] = 9  # its own memory: nothing else changes by it
    assert sent["wide"][0, 0] == 0


def test_no_file_stays_open_for_what_is_held(pipe):
    here, there = pipe
    before = len(os.listdir("/proc/self/fd"))
    held = []
    for number in range(20):
        hand_over(here, torch.full((1000,), number))
        held.append(handed(there))
    assert len(os.listdir("/proc/self/fd")) == before
    assert [int(one.sum()) for one in held] == [1000 * number for number in range(20)]


@pytest.fixture(scope="module")
def beside(open_once):
    """One engine whose prompts two processes prepare."""
    return open_once("vllm", engine_args=Args(renderer_num_workers=2))


class Args(dict):
    """Engine arguments that can be a key."""

    def __hash__(self):
        return hash(tuple(sorted(self.items())))

    def __lt__(self, other):
        return False


def test_draws_are_those_of_prompts_that_are_prepared_in_the_engines_process(
    open_once, beside, ask
):
    prompts = [ask(f"What is {i} and {i}?", *range(i, i + i % 3)) for i in range(9)]
    prompts[4] = ask("long " * 100)  # 500 tokens of a context of 256
    prompts[5] = Failed("no image")
    # One at a time, so that the same shares its batch: to the bit, and why there are none.
    for prompt in prompts:
        for how in ({"seed": 3}, {"greedy": True}):
            assert draw(beside, [prompt], **how) == draw(open_once("vllm"), [prompt], **how)
    together = draw(beside, prompts, seed=3)
    assert [len(r) for r in together if not isinstance(r, Failed)] == [4] * 7
    for drawn, alone in zip(together, draw(open_once("vllm"), prompts, seed=3), strict=True):
        if isinstance(drawn, Failed):
            assert drawn == alone
            continue
        for one, other in zip(drawn, alone, strict=True):
            assert one.completion == other.completion
            assert abs(one.sum_logprob - other.sum_logprob) < 1e-4


def test_a_greedy_and_a_sampled_prompt_of_the_same_images_go_to_one_process():
    pool = InProcesses(0)
    pool._workers = [Taking(), Taking()]
    one, other = (noise_image(1),), (noise_image(2),)
    for images in (one, one, other, (), (), one):
        pool.begin(Unready(text="?", images=images, special=True))
    assert [len(worker.sent) for worker in pool._workers] == [3, 3]
    assert [prompt.images for prompt in pool._workers[0].sent[:2]] == [one, one]


class Taking:
    def __init__(self):
        self.sent = []

    @property
    def in_hand(self):
        return len(self.sent)

    def send(self, prompt):
        self.sent.append(prompt)


def test_a_process_that_dies_ends_the_stream_by_its_name():
    pool = InProcesses(1)
    os.kill(pool._workers[0].process.pid, signal.SIGKILL)
    died = r"process 1 of 1 for prompts died \(signal 9\); what is finished is kept"
    with closing(pool), pytest.raises(RunError, match=died):
        pool.begin(Unready(text="?", images=(), special=True))
        pool.take()


def test_processes_that_cannot_read_the_policy_leave_the_work_to_the_engines_own():
    pool = InProcesses(1)
    pid = pool._workers[0].process.pid
    config = SimpleNamespace(compilation_config=SimpleNamespace(), odd=lambda: 0)
    preparer, told = loaded(pool, SimpleNamespace(renderer=None, vllm_config=config))
    assert isinstance(preparer, Here) and told.startswith(
        "; its own process prepares the prompts ("
    )
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_closed_processes_are_gone():
    pool = InProcesses(2)
    pids = [worker.process.pid for worker in pool._workers]
    pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_number_that_is_none_is_refused_before_anything_is_loaded(tiny_config):
    from durian.engines.loading import open_engine

    with pytest.raises(ConfigError, match="engine-arg renderer_num_workers is -1; it must be 0 or"):
        open_engine(tiny_config(engine="vllm", engine_args={"renderer_num_workers": -1}))
