"""The GPU check rehearsed: accelerate's real FSDP2 over two CPU processes, killed and resumed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu.check import ROOT


def rehearse(out: Path, *options: str) -> tuple[int, dict, list[str]]:
    command = [sys.executable, "-m", "tests.gpu.check", "--rehearse", "--out", str(out), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    *lines, told = done.stdout.splitlines() or [""]
    assert told.startswith("{"), done.stderr
    found = json.loads(told)
    assert json.loads((out / "result.json").read_text())["parts"] == found["parts"]
    return done.returncode, found, lines


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    return rehearse(
        tmp_path_factory.mktemp("check"), "--seconds", "1500", "--lanes", "1",
        "--parts", "fsdp2_full,fsdp2_sharded,vllm_colocate,normalizer_cost",
    )  # fmt: skip


def test_each_part_says_how_it_went_in_a_line(rehearsed):
    code, found, lines = rehearsed
    said = {line.split()[1]: line.split()[0] for line in lines}
    assert said == {name: part["status"] for name, part in found["parts"].items()}
    assert said["profile_on_gpu"] == said["normalizer_cost"] == "PASS"
    assert said["vllm_colocate"] == "SKIP"
    assert code == 0, found


def test_fsdp2_of_two_processes_is_killed_and_resumes_to_the_same_weights(rehearsed):
    facts = rehearsed[1]["parts"]["fsdp2_full"]["facts"]
    assert facts["distributed"] == "DistributedType.FSDP"
    assert facts["killed"] != 0 and facts["resumed"] == 0
    assert facts["resumed_apart_by"] == 0


def test_the_reference_of_fsdp2_is_the_policy_at_the_first_step(rehearsed):
    first, *later = rehearsed[1]["parts"]["fsdp2_full"]["facts"]["kl"]
    assert abs(first) < 1e-6 and max(later) > 1e-6


def test_sharded_checkpoints_end_in_whole_weights_all_the_same(rehearsed):
    facts = rehearsed[1]["parts"]["fsdp2_sharded"]["facts"]
    assert (
        facts["manifest"]
        and facts["weights"] == rehearsed[1]["parts"]["fsdp2_full"]["facts"]["weights"]
    )
    assert facts["resumed"] == 0 and facts["resumed_apart_by"] == 0


def test_parts_without_time_left_are_skipped(tmp_path):
    code, found, lines = rehearse(tmp_path, "--seconds", "5", "--parts", "normalizer_cost")
    assert code == 0 and (found["PASS"], found["SKIP"]) == (0, 2)
    assert lines[1] == "SKIP normalizer_cost (0 s): no time left"
