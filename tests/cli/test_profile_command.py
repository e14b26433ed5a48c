"""`durian profile` from outside: exit codes, the exact line, and what is on the disk."""

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from durian.samples import sample_id
from tests.cli.in_process import durian as in_process


def durian(*args: object, cwd: Path) -> SimpleNamespace:
    with contextlib.chdir(cwd):
        code, stdout, stderr = in_process(*args)
    return SimpleNamespace(returncode=code, stdout=stdout, stderr=stderr)


@pytest.fixture
def dataset(tmp_path: Path, png: bytes) -> Path:
    """Three rows, the second's image damaged, the third a repeat of the first."""
    path = tmp_path / "geometry.parquet"
    rows = [("How many?", "2", [png]), ("Which?", "red", [b"no image"]), ("How many?", "2", [png])]
    pl.DataFrame(rows, schema=["problem", "answer", "images"], orient="row").write_parquet(path)
    return path


@pytest.fixture
def script(tmp_path: Path, png: bytes) -> Path:
    """Rollouts of the first sample: one right, one wrong."""
    path = tmp_path / "rollouts.jsonl"
    key = sample_id("How many?", "2", [png])
    texts = ["<think>two</think> \\boxed{2}", "<think>three</think> \\boxed{3}"]
    path.write_text(
        "".join(
            json.dumps({"sample_id": key, "rollout": n, "completion": text, "n_tokens": 4,
                        "sum_logprob": -2.0 * (n + 1), "finish_reason": "stop"}) + "\n"
            for n, text in enumerate(texts)
        )
    )  # fmt: skip
    return path


def test_a_pixel_profile_writes_the_contracts_folder(tmp_path, dataset):
    done = durian("profile", dataset, "--measures", "pixel", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 samples of 3 rows (1 repeated row); 1 with a measure missing")
    run = tmp_path / "run"
    assert sorted(p.name for p in run.iterdir()) == [
        "columns.parquet", "difficulty.parquet", "manifest.json", "report", "rollouts.parquet",
        "thumbnails.parquet",
    ]  # fmt: skip
    assert {"index.html", "summary.json"} <= {p.name for p in (run / "report").iterdir()}
    table = pl.read_parquet(run / "difficulty.parquet")
    assert table["copies"].to_list() == [2, 1]  # rows in = rows out
    assert table["row"].to_list() == [0, 1]
    # The picture is half black, half white: 1 bit. The damaged one is a row with its reason.
    assert table["pixel_entropy"].to_list() == [1.0, None]
    assert table["error"].to_list()[0] is None
    assert "cannot decode image" in table["error"].to_list()[1]
    assert table["perceptual_group"].to_list() == ["easy", None]
    assert table["mean_logprob"].null_count() == 2


def test_a_run_in_which_every_sample_failed_is_kept_and_ends_with_1(tmp_path, script):
    # No script knows this sample, which the first rows cannot tell: nothing can be drawn.
    rows = '{"problem": "p", "answer": "1"}\n{"problem": "q", "answer": "1"}\n'
    (tmp_path / "rows.jsonl").write_text(rows)
    asked = ("profile", "rows.jsonl", "--engine", "scripted", "--model", script, "--rollouts", 2,
             "--out", "run", "--quiet")  # fmt: skip
    for _ in range(2):  # the complete run is no success the second time either
        done = durian(*asked, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "run: a measure is missing of every sample, 2 x " in done.stderr
    assert pl.read_parquet(tmp_path / "run/difficulty.parquet")["error"].null_count() == 0


def test_json_is_one_object_and_nothing_else_is_on_stdout(tmp_path, dataset, script):
    done = durian("profile", dataset, "--out", "run", "--engine", "scripted", "--model", script,
                  "--rollouts", 2, "--json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["counts"]["rows"] == 3
    assert result["counts"]["samples"] == 2
    assert result["counts"]["failed"] == 1
    table = pl.read_parquet(tmp_path / "run" / "difficulty.parquet")
    assert table["pass_rate"].to_list() == [0.5, None]
    assert table["mean_logprob"].to_list() == [-0.75, None]  # (-2/4 + -4/4) / 2
    assert table["reward_mean"].to_list() == [0.55, None]  # (1.0 + 0.1) / 2


def test_quiet_shows_nothing(tmp_path, dataset):
    done = durian("profile", dataset, "--measures", "pixel", "--out", "run", "-q", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_same_command_again_finds_the_run_complete(tmp_path, dataset):
    first = durian("profile", dataset, "--measures", "pixel", "--out", "run", cwd=tmp_path)
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    again = durian("profile", dataset, "--measures", "pixel", "--out", "run", cwd=tmp_path)
    assert again.returncode == 0
    assert again.stdout == first.stdout
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before


def test_options_come_from_yaml_and_the_command_line_wins(tmp_path, dataset):
    (tmp_path / "c.yaml").write_text(
        "measures: [pixel]\nout: from_yaml\npart-size: 1\npercentiles: [10, 90]\n"
    )
    done = durian("profile", dataset, "--config", "c.yaml", "--out", "run", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = json.loads(done.stdout)["config"]
    assert (config["out"], config["part_size"]) == ("run", 1)
    assert config["percentiles"] == [10.0, 90.0]


def test_dry_run_counts_and_writes_nothing(tmp_path, dataset, script):
    done = durian("profile", dataset, "--out", "run", "--engine", "scripted", "--model", script,
                  "--dry-run", "--json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["rows"], plan["samples"], plan["completions"]) == (3, 2, 16)
    assert "completion_tokens" not in plan  # a script has no tokens to pay for
    assert not (tmp_path / "run").exists()


def test_report_is_rebuilt_from_the_tables_alone(tmp_path, dataset):
    durian("profile", dataset, "--measures", "pixel", "--out", "run", cwd=tmp_path)
    page = tmp_path / "run" / "report" / "index.html"
    first = page.read_bytes()
    dataset.unlink()
    page.unlink()
    done = durian("report", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert page.read_bytes() == first


WRONG = [
    # arguments after `durian profile`, and the one line on stderr
    (["geometry.parquet", "--out", "run"],
     "the confidence and consensus measures need a policy: pass --model PATH_OR_HUB_ID, or"),
    (["geometry.parquet", "--out", "run", "--measures", "pixle"],
     "measures has 'pixle'; it must be some of pixel, spectral, confidence"),
    (["geometry.parquet", "--out", "run", "--measures", "pixel,spectral"],
     "the spectral measure needs a policy: pass --model PATH_OR_HUB_ID, or --measures pixel"),
    (["geometry.parquet", "--out", "run", "--measures", "spectral,confidence", "--engine",
      "scripted", "--model", "rollouts.jsonl"],
     "the spectral measure reads the weights of the policy, and the scripted engine has "
     "none; leave spectral out, or pass another --engine"),
    (["geometry.parquet", "--out", "run", "--measures", "spectral", "--model", "x", "--features",
      "patches"], "features is 'patches'; it must be encoder or projector"),
    (["geometry.parquet", "--out", "run", "--measures", "spectral", "--model", "text_only"],
     "model 'text_only': the spectral measure does not know architecture 'qwen2'; it knows gemma3, "
     "glm4v, glm4v_moe, idefics3, internvl, llava_next, llava_onevision, qwen2_5_vl, qwen2_vl, "
     "qwen3_vl, qwen3_vl_moe, smolvlm"),
    (["geometry.parquet", "--out", "run", "--measures", "pixel", "--answer-column", "solution"],
     "geometry.parquet: no column 'solution' (found: problem, answer, images)"),
    (["nowhere.parquet", "--out", "run", "--measures", "pixel"], "nowhere.parquet: no such file"),
    (["geometry.parquet", "--out", "run", "--measures", "pixel", "--percentiles", "75,25"],
     "percentiles is 75,25; it must be two rising numbers between 0 and 100"),
    (["geometry.parquet", "--out", "run", "--measures", "pixel", "--perceptual", "entropy"],
     "perceptual is 'entropy'; it must be one of "),
    (["geometry.parquet", "--out", "run", "--model", "no/where/at/all"], "no/where/at/all"),
    (["geometry.parquet", "--out", "run", "--model", "x", "--rollouts", "0"],
     "rollouts is 0; it must be 1 or more"),
    (["geometry.parquet", "--out", "run", "--model", "x", "--engine", "vlm"],
     "engine is 'vlm'; it must be one of vllm, transformers, openai, scripted"),
    (["geometry.parquet", "--out", "run", "--rollouts", "adaptive"],
     "Invalid value for '--rollouts': "),
    (["geometry.parquet"], "Missing option '--out'"),
    (["geometry.parquet", "--out", "geometry.parquet", "--measures", "pixel"],
     "geometry.parquet: is a file; --out names a folder"),
    (["geometry.parquet", "--out", "run", "--config", "c.yaml"],
     "c.yaml: no option 'rolouts'; did you mean 'rollouts'?"),
    (["geometry.parquet", "--out", "run", "--engine", "scripted", "--model", "rollouts.jsonl",
      "--reward", "mine.py:f"], "mine.py"),
    (["geometry.parquet", "--out", "run", "--engine", "scripted", "--model", "rollouts.jsonl",
      "--prompt-template", "none.jinja"], "none.jinja"),
    (["geometry.parquet", "--out", "run", "--model", "x", "--rate-from", "old"],
     "rate-from is for --dry-run; add it, or leave rate-from out"),
    (["geometry.parquet", "--out", "run", "--model", "x", "--price-per-mtok", "1,2,3"],
     "price-per-mtok is '1,2,3'; write the prices of a million prompt and completion tokens, "
     "like 0.4,1.6, or one number for both"),
    (["geometry.parquet", "--out", "run", "--measures", "pixel", "--distributed", "dask"],
     "distributed is 'dask'; it must be ray"),
    (["geometry.parquet", "--out", "run", "--measures", "pixel", "--ray-address", "auto"],
     "ray-address is for --distributed ray; pass that too, or neither"),
    (["geometry.parquet", "--out", "run", "--model", "x", "--data-parallel", "2", "--distributed",
      "ray"], "data-parallel is 2, and with --distributed ray the cluster decides how many"),
    (["geometry.parquet", "--out", "run", "--model", "x", "--engine", "openai", "--base-url",
      "http://localhost:1/v1", "--distributed", "ray"],
     "engine openai draws from one server, and its replicas are the way to scale"),
    (["geometry.parquet", "--out", "run", "--measures", "pixel", "--distributed", "ray"],
     "ray-address 'auto': no Ray cluster can be used there ("),
    (["geometry.parquet", "--out", "run", "--measures", "pixel", "--distributed", "ray",
      "--ray-address", "127.0.0.1:1"],
     "ray-address '127.0.0.1:1': no Ray cluster can be used there ([Errno 111] Connection "
     "refused); start one with `ray start --head`, or pass --ray-address HOST:PORT of its head"),
    (["geometry.parquet", "--out", "run", "--measures", "pixel", "--distributed", "ray",
      "--ray-address", "ray://head:10001"],
     "ray-address is 'ray://head:10001'; write auto, or HOST:PORT of its head"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "line"), WRONG, ids=[line[:40] for _, line in WRONG])
def test_wrong_input_is_one_line_exit_2_and_nothing_written(tmp_path, dataset, script, args, line):
    (tmp_path / "c.yaml").write_text("rolouts: 4\n")
    (tmp_path / "text_only").mkdir()
    (tmp_path / "text_only" / "config.json").write_text('{"model_type": "qwen2"}')
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    done = durian("profile", *args, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("durian: ") and done.stderr.count("\n") == 1
    assert line in done.stderr
    assert done.stdout == ""
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_a_run_of_other_settings_is_refused_by_the_key_that_differs(tmp_path, dataset):
    base = ["profile", dataset, "--measures", "pixel", "--out", "run"]
    assert durian(*base, cwd=tmp_path).returncode == 0
    done = durian(*base, "--bins", 4, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "durian: run: was made with bins 10, not 4; choose another --out (durian group changes a "
        "finished run's groups)\n"
    )
