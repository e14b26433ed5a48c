"""`durian profile --engine openai` from outside: what is refused, what is kept, where no key is."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.engines.stand_in import StandIn, choice, reply, status

KEY = "sk-most-secret"


@pytest.fixture
def server():
    server = StandIn()
    yield server
    server.stop()


@pytest.fixture
def profile(tmp_path: Path, png: bytes, server):
    """Three rows, a part each, asked of the stand-in."""
    data = tmp_path / "data.parquet"
    rows = [(f"q{i}", "yes", [png]) for i in range(3)]
    pl.DataFrame(rows, schema=["problem", "answer", "images"], orient="row").write_parquet(data)

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable, "-m", "durian_cli", "profile", str(data), "--out", "run",
                "--engine", "openai", "--model", "m", "--base-url", server.url, "--rollouts", "2",
                "--part-size", "1", "--engine-arg", "retries=0", "--quiet", *more,
            ],
            capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"OPENAI_API_KEY": KEY},
        )  # fmt: skip

    return run


def test_a_profile_holds_what_the_server_told_and_nowhere_the_key(profile, server, tmp_path):
    server.plans["q1"] = [status(400, f"you sent {KEY}")]
    done = profile()
    assert done.returncode == 0, done.stderr
    table = pl.read_parquet(tmp_path / "run" / "difficulty.parquet")
    # Two tokens of -0.5 nats each, twice.
    assert table["mean_logprob"].to_list() == [-0.5, None, -0.5]
    assert table["sum_logprob"].to_list() == [-1.0, None, -1.0]
    assert table["error"].to_list() == [None, "prompt refused: you sent [OPENAI_API_KEY]", None]
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert KEY not in done.stdout + done.stderr
    held = [file for file in (tmp_path / "run").rglob("*") if file.is_file()]
    assert {"manifest.json", "difficulty.parquet", "index.html"} <= {file.name for file in held}
    assert not [file for file in held if KEY.encode() in file.read_bytes()]


def test_a_server_without_logprobs_is_refused_and_nothing_is_written(profile, server, tmp_path):
    server.choice = lambda body: choice(body) | {"logprobs": None}
    done = profile()
    assert done.returncode == 2
    assert done.stderr == (
        f"durian: model 'm' as {server.url} serves it: the server gave no log-probabilities; "
        "confidence needs the text and the log-probability of each token: serve it with them "
        "(vLLM does), or pass --engine vllm\n"
    )
    assert not (tmp_path / "run").exists()


def without_system(handler, body):
    """Refuse what a template without a system role refuses."""
    if any(message["role"] == "system" for message in body["messages"]):
        reply(handler, 400, {"error": {"message": "System role not supported"}})
        return True
    return False


@pytest.mark.parametrize("command", ["profile", "eval"])
def test_a_served_template_without_a_system_role_is_told_before_anything_is_asked(
    command, server, tmp_path, png
):
    data = tmp_path / "data.parquet"
    rows = [(f"q{i}", "yes", [png]) for i in range(3)]
    pl.DataFrame(rows, schema=["problem", "answer", "images"], orient="row").write_parquet(data)
    server.refuses = without_system

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable, "-m", "durian_cli", command, str(data), "--engine", "openai",
                "--out", "run", "--model", "m", "--base-url", server.url, "--rollouts", "2",
                "--engine-arg", "retries=0", "--quiet", *more,
            ],
            capture_output=True, text=True, cwd=tmp_path,
        )  # fmt: skip

    told = run()
    assert (told.returncode, told.stderr) == (
        2,
        "durian: prompt refused: System role not supported; it takes no system message: pass "
        "--system-prompt '', and say what it says in a --prompt-template\n",
    )
    assert not (tmp_path / "run").exists()
    assert "q1" not in server.asked or len(server.asked["q1"]) == 1  # a few are tried, once each
    assert run("--system-prompt", "").returncode == 0


def test_a_dry_run_asks_no_server(profile, server):
    server.refuses = without_system
    done = profile("--dry-run")
    assert done.returncode == 0, done.stderr
    assert not server.asked


def test_a_run_whose_server_goes_away_resumes_when_it_is_back(profile, server, tmp_path):
    def leave(handler):
        server.always = status(502, "nobody there")
        reply(handler, 502, b"{}")

    server.plans["q1"] = [leave]
    # One request at a time, so that q0 was answered; whether it is scored by then is left open.
    alone = ("--engine-arg", "concurrency=1")
    done = profile(*alone)
    assert done.returncode == 1
    assert done.stderr.startswith(f"durian: the server at {server.url} no longer answers: ")
    assert done.stderr.count("\n") == 1 and KEY not in done.stderr
    server.always = None
    done = profile(*alone)
    assert done.returncode == 0, done.stderr
    table = pl.read_parquet(tmp_path / "run" / "difficulty.parquet")
    assert table["mean_logprob"].to_list() == [-0.5] * 3
    drawn = [body for body in server.asked["q0"] if body["max_tokens"] > 1]
    assert len(drawn) == 1  # its part was kept


def test_an_evaluation_asks_for_the_greedy_completion_too(server, tmp_path, png):
    data = tmp_path / "data.parquet"
    pl.DataFrame(
        [("q0", "yes", [png])], schema=["problem", "answer", "images"], orient="row"
    ).write_parquet(data)
    done = subprocess.run(
        [
            sys.executable, "-m", "durian_cli", "eval", str(data), "--engine", "openai",
            "--model", "m", "--base-url", server.url, "--rollouts", "2", "--quiet",
        ],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    _, *drawn = server.asked["q0"]  # the first is the trial of its chat template
    assert [(body["n"], body["temperature"]) for body in drawn] == [(1, 0.0), (2, 1.0)]
