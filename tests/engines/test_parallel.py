"""Engines side by side: the splitting by itself, over scripted policies, and over vLLM."""

import os
import signal
from contextlib import ExitStack, closing

import polars as pl
import pytest

from durian.config import SamplingConfig
from durian.engines.base import Request
from durian.engines.loading import open_engine
from durian.engines.parallel import ParallelEngine, machine_shares, split
from durian.errors import ConfigError, RunError
from durian.samples import Failed, Rollout
from tests.engines.drawing import draw


@pytest.fixture
def scripted(tmp_path):
    """A table of two rollouts for each of the samples 0 to 6, but none for 3."""
    rows = [
        {
            "sample_id": str(i), "rollout": g, "completion": f"{i}.{g}",
            "n_tokens": 1 + i, "sum_logprob": -float(g), "finish_reason": "stop", "blind": g > 1,
        }
        for i in range(7) if i != 3 for g in range(5)
    ]  # fmt: skip
    path = tmp_path / "rollouts.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return SamplingConfig(model=str(path), engine="scripted", rollouts=2, data_parallel=2)


@pytest.fixture
def opened():
    """Opens engines that are closed even where a test fails: their processes would keep pytest."""
    with ExitStack() as stack:
        yield lambda config: stack.enter_context(closing(open_engine(config)))


@pytest.fixture
def two_cores(monkeypatch):
    """A machine of at least two cores, whatever this one has."""
    here = sorted(os.sched_getaffinity(0))
    if len(here) < 2:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {here[0], here[0] + 1})
        monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: None)


def test_things_are_split_into_equal_runs_in_order():
    assert split(list("abcdefg"), 3, 2, "GPUs") == [["a", "b"], ["c", "d"], ["e", "f"]]
    with pytest.raises(ConfigError, match="data-parallel is 4 with 2 GPUs each, .* has 7 GPUs"):
        split(list("abcdefg"), 4, 2, "GPUs")


def test_each_engine_gets_the_gpus_that_it_may_see(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [share.gpus for share in machine_shares(2, 2)] == ["0,1", "2,3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5f,0")
    assert [share.gpus for share in machine_shares(3, 1)] == ["3", "GPU-5f", "0"]
    with pytest.raises(ConfigError, match="pass a smaller --data-parallel"):
        machine_shares(2, 2)


def test_prompts_come_back_in_order_whichever_process_drew_them(scripted, ask, two_cores, opened):
    engine = opened(scripted)
    assert isinstance(engine, ParallelEngine)
    processes = [worker.process for worker in engine._workers]
    prompts = [ask(str(i)) for i in (6, 3, 0, 5, 1)]
    for _ in range(2):
        drawn = draw(engine, prompts)
        assert isinstance(drawn[1], Failed)
        assert [[r.completion for r in rollouts] for rollouts in drawn if rollouts != drawn[1]] == [
            ["6.0", "6.1"], ["0.0", "0.1"], ["5.0", "5.1"], ["1.0", "1.1"],
        ]  # fmt: skip
    assert draw(engine, []) == []
    [[first]] = draw(engine, prompts[:1], greedy=True)
    assert first.completion == "6.0"
    blind = [
        Request(key=(i, "blind"), prompt=ask(str(i)), seed=i, rollouts=3, blind=True)
        for i in (5, 3, 2)
    ]
    without = dict(engine.stream(blind))
    assert [r.completion for r in without[5, "blind"]] == ["5.2", "5.3", "5.4"]
    assert without[3, "blind"] == Failed("no scripted blind rollouts for this sample")
    assert [r.completion for r in without[2, "blind"]] == ["2.2", "2.3", "2.4"]
    engine.close()
    assert [process.exitcode for process in processes] == [0, 0]


class Telling:
    """An engine that completes every prompt by what it was opened with."""

    told = ""

    def __init__(self, config):
        self.said = repr((config.sampling_args, config.chat_template_args, config.data_parallel))

    def stream(self, requests):
        for request in requests:
            rollout = Rollout(
                completion=self.said, n_tokens=1, sum_logprob=0.0, finish_reason="stop"
            )
            yield request.key, [rollout]

    def close(self):
        pass


def test_each_process_draws_by_the_arguments_of_the_run(ask, two_cores):
    args, template = {"top_k": 20, "min_p": 0.1}, {"enable_thinking": False}
    config = SamplingConfig(
        model="m", data_parallel=2, sampling_args=args, chat_template_args=template
    )
    with closing(ParallelEngine(config, Telling)) as engine:
        for [rollout] in draw(engine, [ask("0"), ask("1"), ask("2")]):
            assert rollout.completion == repr((args, template, 1))


def test_a_process_that_dies_ends_the_run_by_its_name_and_takes_the_others_with_it(
    scripted, ask, two_cores, opened
):
    engine = opened(scripted)
    processes = [worker.process for worker in engine._workers]
    os.kill(processes[1].pid, signal.SIGKILL)
    with pytest.raises(RunError, match=r"engine process 2 of 2 \(cores .*\) died \(signal 9\); .*"):
        draw(engine, [ask("0"), ask("1")])
    assert not any(process.is_alive() for process in processes)
    engine.close()  # nothing is left to close


def test_a_policy_that_cannot_be_loaded_is_refused_as_by_one_process(tmp_path, two_cores):
    config = SamplingConfig(model=str(tmp_path / "no.parquet"), engine="scripted", data_parallel=2)
    with pytest.raises(ConfigError, match="no.parquet': no such rollouts table"):
        open_engine(config)


def test_what_stops_one_engine_stops_the_run_and_says_which(scripted, ask, two_cores, opened):
    engine = opened(scripted)
    os.remove(scripted.model)
    with pytest.raises(RunError, match=r"engine process [12] of 2 .*no such rollouts table"):
        draw(engine, [ask("0"), ask("1")])


def test_two_engines_of_vllm_draw_the_same_again_and_the_greedy_ones_of_one(
    tiny_config, open_once, ask, two_cores, opened
):
    prompts = [ask(f"What is {i} and {i}?", i) for i in range(6)]
    engine = opened(tiny_config(engine="vllm", data_parallel=2))
    first = draw(engine, prompts, seed=7)
    assert draw(engine, prompts, seed=8) != first
    assert draw(engine, prompts, seed=7) == first
    greedy = draw(engine, prompts, seed=0, greedy=True)
    engine.close()
    alone = draw(open_once("transformers"), prompts, greedy=True)
    for [one], [other] in zip(greedy, alone, strict=True):
        assert (one.completion, one.n_tokens) == (other.completion, other.n_tokens)
        assert one.sum_logprob == pytest.approx(other.sum_logprob, abs=1e-4)
