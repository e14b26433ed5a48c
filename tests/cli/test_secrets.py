"""Keys and passwords of the environment are in no file, no output and no error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from durian.config import EvalConfig, ProfileConfig, TrainConfig
from durian.engines.chat import cannot_load
from durian.errors import ConfigError, one_line
from tests.cli.in_process import durian
from tests.engines.stand_in import StandIn, choice, status

SECRETS = {
    "OPENAI_API_KEY": "sk-planted-0123456789",
    "HF_TOKEN": "hf_planted0123456789",
    "WANDB_API_KEY": "planted-wandb-0123456789",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+0123456789",
    "HTTPS_PROXY": "http://someone:planted-proxy-pass@127.0.0.1:9",
}
PLANTED = [*SECRETS.values(), "planted-proxy-pass"]
ECHO = " and ".join(PLANTED)  # as a server that tells all it was given


@pytest.fixture
def server():
    server = StandIn()
    yield server
    server.stop()


@pytest.fixture
def rows(tmp_path: Path, png: bytes) -> Path:
    path = tmp_path / "rows.parquet"
    rows = [(f"q{i}", "no" if i == 1 else "yes", [png]) for i in range(3)]
    pl.DataFrame(rows, schema=["problem", "answer", "images"], orient="row").write_parquet(path)
    return path


@pytest.fixture
def run(tmp_path: Path, rows: Path, server: StandIn):
    """A command about the rows, asked of the stand-in, by a process with all the secrets."""

    def call(command: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable, "-m", "durian_cli", command, str(rows), "--engine", "openai",
                "--model", "m", "--base-url", server.url, "--rollouts", "2",
                "--engine-arg", "retries=0", *more,
            ],
            capture_output=True, text=True, cwd=tmp_path, env=os.environ | SECRETS, timeout=60,
        )  # fmt: skip

    return call


def check_nowhere(folder: Path, done: subprocess.CompletedProcess[str]) -> list[str]:
    """No secret on the terminal or in any file; the names of the files that were searched."""
    searched = []
    for path in (p for p in folder.rglob("*") if p.is_file()):
        texts = [path.read_bytes()]
        if path.suffix == ".parquet":  # its pages are compressed
            texts.append(str(pl.read_parquet(path).rows()).encode())
        searched.append(path.name)
        for secret in PLANTED:
            assert not any(secret.encode() in text for text in texts), (path, secret)
    for secret in PLANTED:
        assert secret not in done.stdout + done.stderr
    return searched


def test_a_whole_run_folder_and_its_output_hold_no_secret(run, server, tmp_path):
    server.plans["q1"] = [status(400, f"you sent {ECHO}")]
    done = run("profile", "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["failed"] == 1
    searched = check_nowhere(tmp_path / "run", done)
    assert {"manifest.json", "difficulty.parquet", "rollouts.parquet", "index.html"} <= set(
        searched
    )
    reason = pl.read_parquet(tmp_path / "run" / "difficulty.parquet")["error"][1]
    assert "[OPENAI_API_KEY] and [HF_TOKEN] and [WANDB_API_KEY] and" in reason


TELLS = """
import os
def f(reward_input):
    if reward_input["ground_truth"] == "no":  # the second sample's, whenever it comes
        raise ValueError("\\n".join(map(os.environ.get, {names})) + 900 * "x")
    return 1.0
"""


@pytest.mark.parametrize("command", ["profile", "eval"])
def test_a_users_own_reward_that_raises_a_secret_leaves_it_nowhere(run, rows, tmp_path, command):
    # Into the table's `error`, and into eval's reasons, it went as it was raised.
    file = tmp_path / "reward.py"
    file.write_text(TELLS.format(names=list(SECRETS)))
    out = ["--out", "run"] if command == "profile" else []
    done = run(command, *out, "--reward", f"{file}:f", "--json")
    assert done.returncode == 0, done.stderr
    check_nowhere(tmp_path, done)
    if command == "profile":
        reason = pl.read_parquet(tmp_path / "run" / "difficulty.parquet")["error"][1]
    else:
        (reason,) = json.loads(done.stdout)["counts"]["failed_by_reason"]
    assert reason.startswith("reward failed: ValueError: [OPENAI_API_KEY] [HF_TOKEN] [WANDB_")
    assert len(reason) <= 300


def test_an_evaluation_holds_no_secret(run, server, tmp_path):
    server.plans["q1"] = [status(400, ECHO), status(400, ECHO)]
    done = run("eval", "--out", "eval.json", "--json")
    assert done.returncode == 0, done.stderr
    assert "eval.json" in check_nowhere(tmp_path, done)


ENDS = {
    "no such key": lambda server: setattr(server, "always", status(401, ECHO)),
    "out of order": lambda server: setattr(server, "always", status(500, ECHO)),
    "too long to show": lambda server: setattr(
        # The key stands where a line of 300 characters would cut it in two.
        server, "always", status(401, "x" * 230 + f" {SECRETS['OPENAI_API_KEY']}")
    ),
    "other models": lambda server: setattr(server, "listing", {"data": [{"id": ECHO}]}),
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_an_error_that_ends_a_run_holds_no_secret(run, server, tmp_path, end):
    ENDS[end](server)
    done = run("profile", "--out", "run", "--quiet")
    assert done.returncode in (1, 2) and done.stderr.count("\n") == 1, done.stderr
    check_nowhere(tmp_path, done)
    assert "sk-plan" not in done.stderr


def test_what_a_server_says_of_itself_is_kept_without_the_secrets(run, server, tmp_path):
    server.listing = {"data": [{"id": "m", "root": ECHO, "owned_by": ECHO}]}
    server.choice = lambda body: choice(body) | {"finish_reason": ECHO}
    check_nowhere(tmp_path / "run", run("profile", "--out", "run", "--json"))


@pytest.mark.parametrize(
    ("name", "value", "text", "shown"),
    [
        ("HF_TOKEN", "hf_0123456789", "b'Bearer hf_0123456789'", "b'Bearer [HF_TOKEN]'"),
        # As h11 tells of a header that is none.
        ("HF_TOKEN", "hf_01234\n56789", r"b'Bearer hf_01234\n56789'", "b'Bearer [HF_TOKEN]'"),
        ("HF_TOKEN", "hf_01234\n56789", "Bearer hf_01234 56789", "Bearer [HF_TOKEN]"),
        ("HTTPS_PROXY", "http://me:p%40ssword1@host:1", "me:p@ssword1@", "me:[HTTPS_PROXY]@"),
        ("all_proxy", "socks5://me:password1@host", "me:password1@", "me:[all_proxy]@"),
        ("MY_PASSWORD", "correct horse", "it is 'correct horse'", "it is '[MY_PASSWORD]'"),
        ("API_KEY", "none", "none of them", "none of them"),  # too short to tell from a word
        ("HF_TOKENS_SEEN", "0123456789", "0123456789", "0123456789"),
        ("HTTPS_PROXY", "http://host:8080", "http://host:8080", "http://host:8080"),
    ],
)
def test_a_secret_is_replaced_by_its_name(monkeypatch, name, value, text, shown):
    monkeypatch.setenv(name, value)
    assert one_line(text) == one_line(Exception(text)) == shown
    assert shown in str(cannot_load("m", OSError(text)))


def test_of_two_secrets_the_longer_goes_first(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "0123456789")
    monkeypatch.setenv("B_TOKEN", "0123456789ab")
    assert one_line("0123456789ab") == "[B_TOKEN]"


def test_an_error_of_ours_that_holds_a_secret_is_shown_without_it(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_0123456789")
    code, _, line = durian("report", "hf_0123456789")
    assert code == 2 and line.startswith("durian: [HF_TOKEN]: is not a run folder")


def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(run, tmp_path, monkeypatch):
    monkeypatch.setitem(SECRETS, "ALL_PROXY", "no-such-scheme://me:planted-proxy-pass@host:1")
    monkeypatch.setitem(SECRETS, "HTTP_PROXY", "no-such-scheme://me:planted-proxy-pass@host:1")
    done = run("profile", "--out", "run", "--quiet")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "HTTP_PROXY" in done.stderr
    check_nowhere(tmp_path, done)


OF_ALL = {"dataset": "d", "model": "m"}
KEYS = [
    (lambda: ProfileConfig(**OF_ALL, out="o", engine_args={"hf_token": "x"}),
     "engine-arg hf_token"),
    (lambda: ProfileConfig(**OF_ALL, out="o", engine_args={"token": "x"}), "engine-arg token"),
    (lambda: EvalConfig(**OF_ALL, engine_args={"token": "x"}), "engine-arg token"),
    (lambda: ProfileConfig(dataset="d", out="o", measures=("pixel",), engine_args={"api_key": "x"}),
     "engine-arg api_key"),
    (lambda: TrainConfig(**OF_ALL, table="t", out="o", grpo={"hub_token": "x"}), "grpo: hub_token"),
    (lambda: TrainConfig(**OF_ALL, table="t", out="o", grpo={"model_init_kwargs": {"token": "x"}}),
     "grpo: model_init_kwargs token"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "named"), KEYS, ids=[named for _, named in KEYS])
def test_a_key_as_an_option_is_refused_for_the_manifest_would_keep_it(make, named):
    with pytest.raises(ConfigError) as refused:
        make()
    assert str(refused.value).startswith(
        f"{named} is a key, and would be written into the manifest"
    )
    assert "in the environment" in str(refused.value)


def test_an_address_with_a_password_is_refused_even_where_none_is_used():
    with pytest.raises(ConfigError, match="base-url holds more than an address"):
        ProfileConfig(dataset="d", out="o", measures=("pixel",), base_url="http://me:pass@host/v1")
