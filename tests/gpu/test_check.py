"""The GPU check rehearsed: accelerate's real FSDP2 over two CPU processes, killed and resumed."""

import json
from pathlib import Path

import pytest

from tests.faults.faulty import ForkServer
from tests.gpu.check import LIMITS


def rehearse(server: ForkServer, out: Path, *options: str) -> tuple[int, dict, list[str]]:
    done = server.run("tests.gpu.check", "--rehearse", "--out", out, *options)
    *lines, told = done.told.splitlines() or [""]
    assert told.startswith("{"), done.said
    found = json.loads(told)
    assert json.loads((out / "result.json").read_text())["parts"] == found["parts"]
    return done.code, found, lines


@pytest.fixture(scope="module")
def rehearsed(training_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    return rehearse(training_server, folder, "--seconds", "1500", "--lanes", "1")


def test_each_part_says_how_it_went_in_a_line(rehearsed):
    code, found, lines = rehearsed
    said = {line.split()[1]: line.split()[0] for line in lines}
    assert said == {name: part["status"] for name, part in found["parts"].items()}
    # ZeRO-3's first run compiles for minutes; the other trainers have Pythons of their own.
    assert {said.pop(name) for name in ("zero3", "verl_step", "swift_step")} == {"SKIP"}
    assert said.keys() == LIMITS.keys() - {"zero3", "verl_step", "swift_step"}
    assert set(said.values()) == {"PASS"}, found
    assert code == 0


def test_fsdp2_of_two_processes_resumes_in_the_second_epoch_to_the_same_weights(rehearsed):
    facts = rehearsed[1]["parts"]["fsdp2"]["facts"]
    assert facts["distributed"] == "DistributedType.FSDP"
    assert facts["resumed"] == 0 and facts["resumed_apart_by"] == 0


def test_the_reference_of_fsdp2_is_the_policy_at_the_first_step(rehearsed):
    first, *later = rehearsed[1]["parts"]["fsdp2"]["facts"]["kl"]
    assert abs(first) < 1e-6 and max(later) > 1e-6


def test_a_killed_launch_with_sharded_checkpoints_ends_in_the_same_whole_weights(rehearsed):
    facts = rehearsed[1]["parts"]["fsdp2"]["facts"]
    assert facts["shards"] and facts["killed"] != 0 and facts["sharded_resumed"] == 0
    assert facts["manifest"] and facts["sharded_weights"] == facts["weights"]
    assert facts["sharded_apart_by"] == 0


def test_vllm_that_reads_other_prompts_than_are_trained_on_is_noticed(rehearsed):
    # By real vLLM, in the first rollout batch: TRL's own prompts, and ours.
    facts = rehearsed[1]["parts"]["vllm_colocate"]["facts"]
    assert "do not read the same prompts" in facts["stopped"]
    assert facts["logprob_gap"][0] < 1e-3 and facts["accuracy"][0] > 0.3


def test_a_profile_by_vllm_is_repeated_and_tells_transformers_logprobs(rehearsed):
    facts = rehearsed[1]["parts"]["profile_by_vllm"]["facts"]
    assert facts["repeated"] == 1.0 and facts["repeated_apart_by"] < 1e-4
    assert facts["from_transformers"] < 1e-4 and facts["spectral"] == facts["samples"] == 6
    assert facts["longest"] > facts["mean_tokens"] > 1 and facts["bare_tokens_a_second"] > 0


def test_parts_without_time_left_are_skipped(training_server, tmp_path):
    code, found, lines = rehearse(
        training_server, tmp_path, "--seconds", "5", "--parts", "normalizer_cost"
    )  # fmt: skip
    assert code == 0 and (found["PASS"], found["SKIP"]) == (0, 2)
    assert lines[1] == "SKIP normalizer_cost (0 s): no time left"
