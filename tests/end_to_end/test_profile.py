"""dataset -> profile -> table and report, by the command line, with the policy that ships."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from skimage.measure import shannon_entropy

from tests.end_to_end.waiting import wait_until

ROWS, ROLLOUTS = 48, 4


def profile(dataset: Path, out: Path, *args: object) -> None:
    command = [sys.executable, "-m", "durian_cli", "profile", str(dataset), "--out", str(out)]
    done = subprocess.run(
        [*command, *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_WAIT_POLICY": "passive"},
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def rows(photo_shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first test rows of photo_shapes, then the first of them once more."""
    table = pl.read_parquet(photo_shapes).head(ROWS)
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pl.concat([table, table.head(1)]).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def run(rows: Path, tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile in two parts by vLLM."""
    out = tmp_path_factory.mktemp("runs") / "vllm"
    profile(rows, out, "--model", tiny_policy, "--rollouts", ROLLOUTS, "--max-tokens", 64,
            "--part-size", 32)  # fmt: skip
    return out


def test_rows_in_are_rows_out_in_order(run: Path) -> None:
    table = pl.read_parquet(run / "difficulty.parquet")
    assert table["row"].to_list() == list(range(ROWS))
    assert table["copies"].to_list() == [2] + [1] * (ROWS - 1)
    assert table["error"].null_count() == ROWS
    counts = json.loads((run / "manifest.json").read_text())["counts"]
    assert (counts["rows"], counts["samples"], counts["duplicate_rows"]) == (ROWS + 1, ROWS, 1)


def test_the_manifest_counts_the_tokens_of_both_parts(run: Path, rows: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(Path(__file__).parents[2] / "data" / "tiny_policy")
    tokens = json.loads((run / "manifest.json").read_text())["tokens"]
    assert (tokens["prompts"], tokens["completions"]) == (ROWS, ROWS * ROLLOUTS)
    rollouts = pl.read_parquet(run / "rollouts.parquet")
    assert tokens["completion"] == rollouts["n_tokens"].sum()
    # Its processor makes 64 x 64 of every square image, in steps of 16: 4 x 4 tokens.
    prompt = (
        "<|im_start|>user\n<|vision_start|>{}<|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n"
    )
    problems = pl.read_parquet(rows)["problem"][:ROWS].str.strip_prefix("<image>").str.strip_chars()
    texts = [prompt.format("<|image_pad|>" * 16, problem) for problem in problems]
    assert tokens["prompt"] == sum(len(ids) for ids in tokenizer(texts)["input_ids"])


def test_pixel_entropy_is_scikit_images_of_the_gray_image(run: Path, rows: Path) -> None:
    import io

    from PIL import Image

    table = pl.read_parquet(run / "difficulty.parquet")
    for value, images in zip(
        table["pixel_entropy"], pl.read_parquet(rows)["images"][:ROWS], strict=True
    ):
        gray = np.asarray(Image.open(io.BytesIO(images[0]["bytes"])).convert("L"))
        assert value == pytest.approx(shannon_entropy(gray), abs=1e-12)


def test_a_default_profile_tells_what_the_completions_agree_on(run: Path) -> None:
    # Answers to these questions are single words and digits: equal ones are written alike.
    rollouts = pl.read_parquet(run / "rollouts.parquet")
    table = pl.read_parquet(run / "difficulty.parquet")
    assert table["consensus"].n_unique() > 2
    for row in table.iter_rows(named=True):
        own = rollouts.filter(sample_id=row["sample_id"])
        written = Counter(own["answer"].drop_nulls())
        wrong = Counter(own.filter(correct=False)["answer"].drop_nulls())
        if not written:
            assert row["consensus"] is row["label_doubt"] is None
            continue
        assert row["consensus"] == max(written.values()) / ROLLOUTS
        assert written[row["consensus_answer"]] == max(written.values())
        more = max(wrong.values(), default=0) - own["correct"].sum()
        assert row["label_doubt"] == max(0, more) / ROLLOUTS
        assert (row["right_unboxed"] is None) == bool(own["correct"].all())


def test_every_measure_follows_from_the_rollouts_kept(run: Path) -> None:
    table = pl.read_parquet(run / "difficulty.parquet")
    rollouts = pl.read_parquet(run / "rollouts.parquet")
    assert len(rollouts) == ROWS * ROLLOUTS
    again = rollouts.group_by("sample_id", maintain_order=True).agg(
        (pl.col("sum_logprob") / pl.col("n_tokens")).mean().alias("mean_logprob"),
        pl.col("sum_logprob").mean(),
        pl.col("correct").mean().alias("pass_rate"),
        pl.col("formatted").mean().alias("format_rate"),
        pl.col("reward").mean().alias("reward_mean"),
        pl.col("reward").std().alias("reward_std"),
        pl.col("n_tokens").mean().alias("mean_tokens"),
        (pl.col("finish_reason") == "length").mean().alias("truncated"),
    )
    assert again["sample_id"].to_list() == table["sample_id"].to_list()
    for name in again.columns[1:]:
        np.testing.assert_allclose(again[name], table[name], rtol=1e-12, atol=1e-15, err_msg=name)
    # The policy answers as it was taught: in the format, mostly, and the reward follows from it.
    assert table["format_rate"].mean() > 0.9
    expected = 0.1 * rollouts["formatted"] + 0.9 * rollouts["correct"]
    np.testing.assert_allclose(rollouts["reward"], expected, atol=1e-12)


def test_groups_are_cut_at_numpys_percentiles(run: Path) -> None:
    table = pl.read_parquet(run / "difficulty.parquet")
    entropy = table["pixel_entropy"].to_numpy()
    low, high = np.percentile(entropy, [25, 75])
    expected = np.where(entropy <= low, "easy", np.where(entropy >= high, "hard", "medium"))
    assert table["perceptual_group"].to_list() == expected.tolist()
    confidence = table["mean_logprob"].to_numpy()
    bins = table["reasoning_group"].to_numpy()
    assert bins.min() == 0 and bins.max() == 9
    assert (np.diff(bins[np.argsort(confidence)]) >= 0).all()


def test_the_report_is_there_and_says_what_was_found(run: Path) -> None:
    report = run / "report"
    names = {path.name for path in report.iterdir()}
    assert {"index.html", "summary.json", "perceptual.svg", "curves.png"} <= names
    summary = json.loads((report / "summary.json").read_text())
    rate = 1 - pl.read_parquet(run / "rollouts.parquet")["correct"].mean()
    assert summary["error_rate"]["value"] == pytest.approx(rate)


def test_a_run_is_rescored_without_sampling_again(run: Path, rows: Path, tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(
        "def longer(reward_input):\n    return float(reward_input['response_length'] > 12)\n"
    )
    profile(rows, tmp_path / "again", "--engine", "scripted", "--model", run / "rollouts.parquet",
            "--rollouts", ROLLOUTS, "--reward", f"{tmp_path / 'long.py'}:longer")  # fmt: skip
    before = pl.read_parquet(run / "rollouts.parquet")
    after = pl.read_parquet(tmp_path / "again" / "rollouts.parquet")
    assert after["completion"].to_list() == before["completion"].to_list()
    assert after["correct"].to_list() == (before["n_tokens"] > 12).to_list()
    assert after["formatted"].null_count() == len(after)  # this reward does not judge it
    old = pl.read_parquet(run / "difficulty.parquet")
    new = pl.read_parquet(tmp_path / "again" / "difficulty.parquet")
    np.testing.assert_allclose(old["mean_logprob"], new["mean_logprob"], rtol=1e-12)


def test_a_resumed_run_draws_what_an_uninterrupted_one_draws(
    run: Path, rows: Path, tiny_policy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "resumed"
    command = [
        sys.executable, "-m", "durian_cli", "profile", str(rows), "--model", str(tiny_policy),
        "--rollouts", str(ROLLOUTS), "--max-tokens", "64", "--part-size", "32", "--out", str(out),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    first = out / "parts" / "part-00000.parquet"
    wait_until(process, first.exists)
    process.kill()
    process.wait()
    assert not (out / "manifest.json").exists()
    stamp = first.stat().st_mtime_ns
    watched = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    _, said = watched.communicate()
    assert watched.returncode == 0, said
    assert b"rollouts: 32 of 48 done" in said  # the finished part was not drawn again
    assert stamp
    for name in ("difficulty.parquet", "rollouts.parquet"):
        assert pl.read_parquet(out / name).equals(pl.read_parquet(run / name)), name


def test_transformers_fills_the_same_table(rows: Path, tiny_policy: Path, tmp_path: Path) -> None:
    profile(rows, tmp_path / "hf", "--engine", "transformers", "--model", tiny_policy, "--limit",
            12, "--rollouts", 2, "--max-tokens", 64)  # fmt: skip
    table = pl.read_parquet(tmp_path / "hf" / "difficulty.parquet")
    assert table["error"].null_count() == len(table) == 12
    assert (table["mean_logprob"] < 0).all() and table["format_rate"].mean() > 0.8
