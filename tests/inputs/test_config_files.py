"""Config files, templates, reward files and scripts of the worst kind: one line each."""

import contextlib
import io
import json
import sys
import types
from unittest import mock

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durian.errors import InputError
from durian.run.manifest import manifest_of
from durian_cli.app import _run
from durian_cli.options import key_values
from durian_cli.plain_yaml import plain_value

COMMANDS = {
    "profile": ["profile", "nowhere.parquet", "--out", "run"],
    "train": ["train", "nowhere.parquet", "--table", "a", "--model", "m", "--out", "run"],
    "eval": ["eval", "nowhere.parquet", "--model", "m"],
    "group": ["group", "nowhere"],
    "export": ["export", "nowhere", "--to", "verl", "--out", "run"],
    "report": ["report", "nowhere"],
    "compare": ["compare", "nowhere", "elsewhere"],
    "schema": ["schema"],
}
BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML = [
    # what the file holds, what is said of it
    (BOMB.encode(), "c.yaml:2: an alias (*name) stands for another value; write that out"),
    (b"seed: !!python/object/apply:os.system ['touch pwned']", "c.yaml:1: the tag "),
    (b"seed: !!int 1", "c.yaml:1: the tag tag:yaml.org,2002:int makes more than a plain value"),
    (
        b"seed: 1\nquiet: true\nseed: 2\n",
        "c.yaml:3: the key 'seed' is given twice, first in line 1",
    ),
    (b"<<: {seed: 1}", "c.yaml:1: '<<' merges another mapping"),
    (b"? [a]\n: 1", "c.yaml:1: a list or mapping cannot be a key"),
    (b"seed: " + b"[" * 10_000, "c.yaml:1: values are nested more than 20 deep"),
    (b"{a: " * 10_000, "c.yaml:1: values are nested more than 20 deep"),
    (b"- " * 10_000, "c.yaml:1: values are nested more than 20 deep"),
    (b"# " + b"x" * 10_000_000, "c.yaml: has more than 100,000 bytes; is it a config file?"),
    (b"seed: " + b"9" * 5_000, "c.yaml:1: no value can be read"),
    (b"seed: 0x_", "c.yaml:1: no value can be read"),
    (b"seed: \0", "c.yaml is not YAML"),
    (b'out: "a\\0b"', "c.yaml:1: a NUL or half a surrogate pair is no text"),
    (b'out: "\\ud800"', "c.yaml:1: a NUL or half a surrogate pair is no text"),
    (b"seed: \xff", "c.yaml: not UTF-8 at byte 6"),
    (b"seed: 1\n  out: 2", "c.yaml:2: mapping values are not allowed here"),
    (b"- seed\n- 1", "c.yaml must hold 'option: value' lines"),
    (b"", "c.yaml must hold 'option: value' lines"),
    (b"--- {}\n--- {}\n", "c.yaml:2: but found another document"),
    (b"8: 1", "c.yaml: no option '8'"),
    (b"true: 1", "c.yaml: no option 'True'"),
    (b'"\\e[31m": 1', "c.yaml: no option '\\x1b[31m'"),
    (b"config: c.yaml", "c.yaml: no option 'config'"),
    (b"quiet: {a: 1}", "c.yaml: 'quiet' holds 'name: value' lines; write one value"),
    (b"quiet: [[1]]", "c.yaml: 'quiet' holds more than a list of values"),
    (b"quiet: sure", "Invalid value for '--quiet'"),
]


def quietly(args):
    """The exit code of a command in this process, and what it said."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["durian", *args]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        return _run(), out.getvalue(), err.getvalue()


def one_line(told):
    code, out, err = told
    assert (code, out, err.count("\n")) == (2, "", 1), told
    assert err.startswith("durian: ") and len(err) < 1_000
    return err


@pytest.mark.parametrize(("content", "said"), YAML, ids=[said for _, said in YAML])
def test_a_config_file_that_is_no_plain_yaml_is_refused(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_bytes(content)
    for args in COMMANDS.values():
        assert said in one_line(quietly([*args, "--config", "c.yaml"]))
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_a_config_that_is_a_folder_or_nowhere_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").mkdir()
    for args in COMMANDS.values():
        assert "config: c.yaml: Is a directory" in one_line(quietly([*args, "--config", "c.yaml"]))
        assert "config: d.yaml: No such file" in one_line(quietly([*args, "--config", "d.yaml"]))


def test_plain_values_are_read_as_before():
    text = (
        "a: 1\nb: 1.5\nc: true\nd: null\ne: x\nf: [1, [2]]\ng: {h: 0x10}\n"
        "i: 2001-02-03\nj: |\n  k\nl: '8'\n"
    )
    assert plain_value(text) == {
        "a": 1, "b": 1.5, "c": True, "d": None, "e": "x", "f": [1, [2]], "g": {"h": 16},
        "i": "2001-02-03", "j": "k\n", "l": "8",
    }  # fmt: skip
    # As NAME=VALUE; what is no plain YAML is text.
    pairs = ["a=8", "b={0: 1}", "c=*d", "e=!!int 1", "f=" + "[" * 999, "g-h="]
    assert key_values(pairs) == {
        "a": 8, "b": {0: 1}, "c": "*d", "e": "!!int 1", "f": "[" * 999, "g_h": None,
    }  # fmt: skip


def test_engine_arguments_of_a_config_keep_their_types(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"a": None, "b": "8", "c": 8, "d": True, "e": {"f": [1, "x: y"]}, "g": 0.5, "h": ""}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"engine-arg": given, "model": "m"}))
    seen = {}
    monkeypatch.setattr(
        "durian.profile.profile_dataset", lambda config, **_: seen.update(config.engine_args)
    )
    code, _, err = quietly([*COMMANDS["profile"], "--config", "c.yaml", "--quiet"])
    assert (code, err) == (0, "")
    assert seen == given


def test_more_bins_than_any_memory_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for args in ([*COMMANDS["profile"], "--measures", "pixel"], COMMANDS["group"]):
        told = quietly([*args, "--bins", "9" * 18])
        assert f"bins is {'9' * 18}; it must be 10,000 or fewer" in one_line(told)


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.integers(10**18, 10**400) | st.floats()
    | st.text(max_size=8) | st.sampled_from(["auto", "8", "0.5", "1,2", "-1", "nan"])
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)
OPTIONS = {
    "profile": ["limit", "seed", "rollouts", "max-tokens", "temperature", "top-p", "percentiles",
                "bins", "measures", "workers", "part-size", "pixel-limit", "engine-arg", "reward",
                "model", "engine", "dry-run", "quiet", "json", "price-per-mtok", "token-budget",
                "min-rollouts", "max-pixels", "perceptual", "split", "id-column", "out"],
    "eval": ["limit", "seed", "rollouts", "temperature", "compare", "table", "out", "engine-arg",
             "trust-remote-code", "base-url", "engine", "pixel-limit", "workers"],
    "train": ["weights", "eps", "bins", "percentiles", "groups", "lora-r", "lora-dropout", "grpo",
              "filter", "order", "processes", "durian", "dry-run", "rollout-batch", "missing"],
    "group": ["perceptual", "percentiles", "bins", "min-per-batch", "rollout-batch", "run"],
    "compare": ["run-a", "out", "quiet"],
}  # fmt: skip


@pytest.fixture
def no_training(monkeypatch):
    """TRL takes half a minute to import; what refuses a value of TrainConfig needs none of it."""

    def refuse(*_, **__):
        raise InputError("nothing more is looked at here")

    stages = types.SimpleNamespace(train_policy=refuse, plan_training=refuse, plan_profile=refuse)
    monkeypatch.setitem(sys.modules, "durian.train", stages)
    monkeypatch.setitem(sys.modules, "durian.planning.dry_run", stages)


@pytest.mark.parametrize("command", OPTIONS)
@settings(
    max_examples=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(data=st.data())
def test_no_value_of_a_config_is_a_crash(tmp_path, monkeypatch, no_training, command, data):
    monkeypatch.chdir(tmp_path)
    values = data.draw(st.dictionaries(st.sampled_from(OPTIONS[command]), ANYTHING, max_size=3))
    text = json.dumps(values) if data.draw(st.booleans()) else yaml.safe_dump(values)
    (tmp_path / "c.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    one_line(quietly([*COMMANDS[command], "--config", "c.yaml"]))
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from(
    ["schema", "created", "dataset", "model", "counts", "groups", "config", "tokens", "seconds"]
), ANYTHING))  # fmt: skip
def test_no_manifest_is_a_crash(manifest):
    # None of these is whole: 'groups.perceptual.measure' is not drawn.
    with pytest.raises(ValueError, match="'[a-z]+.*'"):
        manifest_of(manifest)


TEMPLATES = [
    (b"", "no {{ content }}"),
    (b"{{ content", "unexpected end of template"),
    (b"\xff{{ content }}", "not UTF-8 at byte 0"),
    (b"{{ nobody }}", "'nobody' is undefined"),
    (b"{{ 1 // 0 }}", "division"),
    (b"{{ content.__class__.__mro__ }}", "access to attribute '__class__'"),
    (b"{% include '/etc/passwd' %}", "no loader"),
    (b"{{ " + b"(" * 5_000 + b")" * 5_000 + b" }}", "t.jinja"),
    (b"{% for i in range(10 ** 9) %}x{% endfor %}", "Range too big"),
]


@pytest.mark.parametrize(("content", "said"), TEMPLATES, ids=[said for _, said in TEMPLATES])
def test_a_template_that_cannot_be_used_is_refused(here, refused, content, said):
    (here / "t.jinja").write_bytes(content)
    scripted = ["--engine", "scripted", "--model", "a.jsonl", "--prompt-template", "t.jinja"]
    for args in (["profile", "--out", "run"], ["profile", "--dry-run", "--out", "run"], ["eval"]):
        line = refused(args[0], "data.parquet", *args[1:], *scripted, "--quiet")
        assert said in line and "prompt-template: t.jinja" in line


REWARDS = [
    (b"def f(x): return 1", "r.py: no function 'g'"),
    (b"\0", "r.py: cannot load the reward file"),
    (b"\xff\xfe", "r.py: cannot load the reward file: SyntaxError"),
    (b"raise SystemExit(0)", "r.py: cannot load the reward file: SystemExit"),
    (b"def f(): f()\nf()", "r.py: cannot load the reward file: RecursionError"),
    (b"REWARD_TYPE = []\ndef g(x): ...", "r.py: REWARD_TYPE is []"),
    (b"raise ValueError('\\x1b[31m\\n' * 999)", "r.py: cannot load the reward file: ValueError"),
    (b"(" * 9_999, "r.py: cannot load the reward file"),
]


@pytest.mark.parametrize(("content", "said"), REWARDS)
def test_a_reward_file_that_cannot_be_used_is_refused(here, refused, content, said):
    (here / "r.py").write_bytes(content)
    scripted = ["--engine", "scripted", "--model", "a.jsonl", "--reward", "r.py:g", "--quiet"]
    for args in (["profile", "--out", "run"], ["profile", "--dry-run", "--out", "run"], ["eval"]):
        assert said in refused(args[0], "data.parquet", *args[1:], *scripted)


def said_by(**changes):
    whole = {"sample_id": "x", "rollout": 0, "completion": "y", "n_tokens": 1,
             "sum_logprob": -1.0, "finish_reason": "stop"}  # fmt: skip
    return json.dumps(whole | changes).encode() + b"\n"


SCRIPTS = [
    (b"", "s.jsonl"),
    (b"{", "s.jsonl"),
    (b"[1]\n", "s.jsonl"),
    (b"\xff\n", "s.jsonl"),
    (said_by()[:40], "s.jsonl"),
    (b'{"sample_id": "x"}\n', "no column 'rollout'"),
    (said_by(n_tokens="many"), "s.jsonl"),
    (said_by(completion=None), "column 'completion' has nulls"),
    (said_by(n_tokens=0), "column 'n_tokens' has numbers below 1"),
    (said_by(n_tokens=2**40), "s.jsonl"),
    (said_by() * 2, "repeated pairs of 'sample_id' and 'rollout'"),
]


@pytest.mark.parametrize(("content", "said"), SCRIPTS)
def test_a_script_that_cannot_be_replayed_is_refused(here, refused, content, said):
    (here / "s.jsonl").write_bytes(content)
    scripted = ["data.parquet", "--engine", "scripted", "--model", "s.jsonl", "--quiet"]
    assert said in refused("profile", *scripted, "--out", "run")
    assert said in refused("eval", *scripted)


@pytest.mark.parametrize("at", [0, 0.5, 0.99])
def test_a_script_in_parquet_that_was_cut_short_is_refused(here, refused, at):
    content = (here / "a" / "rollouts.parquet").read_bytes()
    (here / "s.parquet").write_bytes(content[: int(len(content) * at)])
    scripted = ["data.parquet", "--engine", "scripted", "--model", "s.parquet", "--quiet"]
    assert "s.parquet" in refused("profile", *scripted, "--out", "run")
