"""Samples asked without their image: beside the others on every road, and never counted as one."""

import io
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from durian.compare import compare_runs
from durian.config import EvalConfig, ExportConfig, ProfileConfig
from durian.errors import ConfigError, RunError, RunFolderError
from durian.evaluate import evaluate_policy
from durian.export import export_run
from durian.profile import profile_dataset
from durian.report import build_report
from durian.rewards.boxed import BoxedReward
from durian.run.folder import RunFolder

N, G, B = 14, 4, 3  # samples with an image, completions with it and without
OURS = ["blind_pass_rate", "image_gain", "image_gain_sd"]


def picture(seed, size=(24, 16)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return {"bytes": file.getvalue()}


@pytest.fixture(autouse=True, scope="module")
def light():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("durian.analysis.one_run.reliability.REDRAWS", 10)
        patch.setattr("durian.analysis.two_runs.floor.REDRAWS", 10)
        patch.setattr("durian.rendering.page.encode_figure", lambda *_: b"")
        patch.setattr(BoxedReward, "close", lambda _: None)  # its graders last beyond one run
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset of N samples with an image and one of text, and a script that answers them."""
    folder = tmp_path_factory.mktemp("blind")
    rows = [
        {"problem": f"<image>How many are there in {i}?", "answer": str(i), "images": [picture(i)]}
        for i in range(N)
    ]
    rows.append({"problem": "How many is 3?", "answer": "3", "images": []})
    pl.DataFrame(rows).write_parquet(folder / "rows.parquet")
    pixels = ProfileConfig(
        dataset=str(folder / "rows.parquet"), measures=("pixel",), out=str(folder / "pixels")
    )
    profile_dataset(pixels)
    ids = pl.read_parquet(folder / "pixels" / "difficulty.parquet")["sample_id"].to_list()
    # With the image sample i is right in i % 5 of 4; without it in i % 4 of 3, in one token, surely
    # and with another word, so that whoever counted one of these would show it.
    with (folder / "script.jsonl").open("w") as script:
        for i, sample_id in enumerate(ids):
            for g in range(G + B):
                blind = g >= G
                right = g - G < i % 4 if blind else g < i % 5
                line = {
                    "sample_id": sample_id, "rollout": g,
                    "completion": ("blind " * 9 if blind else "seen ")
                    + f"<think>.</think> \\boxed{{{i if right else 99}}}",
                    "n_tokens": 1 if blind else 5 + g, "sum_logprob": -0.01 if blind else -2.0 - g,
                    "finish_reason": "stop", "blind": blind,
                }  # fmt: skip
                script.write(json.dumps(line) + "\n")
    return folder


def profile(folder, name, *measures, **changes):
    config = ProfileConfig(
        dataset=str(folder / "rows.parquet"), out=str(folder / name), engine="scripted",
        model=str(folder / "script.jsonl"), measures=("pixel", "confidence", *measures),
        rollouts=G, part_size=6, **changes,
    )  # fmt: skip
    return profile_dataset(config)


@pytest.fixture(scope="module")
def runs(folder):
    """The dataset profiled with and without the measure."""
    return {
        "blind": profile(folder, "with", "blind", blind_rollouts=B),
        "plain": profile(folder, "without"),
    }


def table(found):
    return pl.read_parquet(f"{found.run}/difficulty.parquet")


def rollouts(found):
    return pl.read_parquet(f"{found.run}/rollouts.parquet")


def test_blind_completions_stand_behind_the_others_of_their_sample(runs):
    said = rollouts(runs["blind"])
    counts = Counter(said.select("blind").rows())
    assert counts == {(False,): (N + 1) * G, (True,): N * B}
    assert said.filter("blind")["rollout"].unique().sort().to_list() == [G, G + 1, G + 2]
    assert said.filter("blind")["completion"].str.starts_with("blind").all()
    text_alone = said.filter(pl.col("sample_id") == table(runs["blind"])["sample_id"][-1])
    assert text_alone["blind"].to_list() == [False] * G


def test_the_share_right_without_the_image_is_of_those_alone(runs):
    # i % 4 of 3 completions, at most all; nothing of the sample without an image.
    wanted = [min(i % 4, B) / B for i in range(N)] + [None]
    assert table(runs["blind"])["blind_pass_rate"].to_list() == wanted
    assert table(runs["blind"])["image_gain"].is_null().to_list() == [False] * N + [True]
    assert table(runs["blind"])["error"].to_list() == [None] * N + ["no image"]


def test_no_other_column_counts_them(runs):
    # But for the cause, which may be that the image was not needed.
    ours, plain = (table(runs[name]).drop(*OURS, "why") for name in ("blind", "plain"))
    assert ours.equals(plain)
    assert table(runs["plain"]).select(pl.col(OURS).null_count()).row(0) == (N + 1,) * 3


def test_nothing_of_the_report_counts_them(runs):
    ours, plain = (runs[name].summary for name in ("blind", "plain"))
    assert ours.scored.completions == plain.scored.completions == (N + 1) * G
    for name in ("error_rate", "reliability", "pass_rates", "split_half", "perceptual", "looped"):
        assert getattr(ours.scored, name) == getattr(plain.scored, name), name
    assert ours.scored.measures["mean_tokens"] == plain.scored.measures["mean_tokens"]
    assert "blind_pass_rate" not in plain.scored.measures
    assert build_report(Path(runs["blind"].run)) == ours


def test_no_card_of_the_page_shows_one(runs):
    page = (Path(runs["blind"].run) / "report" / "index.html").read_text()
    assert "seen " in page and "blind blind" not in page


def test_blind_is_part_of_a_runs_identity_where_it_is_measured(runs, folder):
    assert profile(folder, "with", "blind", blind_rollouts=B).run == runs["blind"].run
    for changes, said in (
        ({"blind_rollouts": 2}, "blind_rollouts 3, not 2"),
        ({"blind_rollouts": B, "blind": "gray"}, 'blind "none", not "gray"'),
    ):
        with pytest.raises(RunFolderError, match=said):
            profile(folder, "with", "blind", **changes)
    # As many as with the image, said or not, is one run; and a run without it has neither.
    plain = json.loads((Path(runs["plain"].run) / "manifest.json").read_text())["identity"]
    assert (plain["blind"], plain["blind_rollouts"]) == ("none", None)
    for way in ({"blind": "gray"}, {"blind_rollouts": 2}):
        with pytest.raises(ConfigError, match="add blind to --measures"):
            profile(folder, "unused", **way)
    with pytest.raises(ConfigError, match="--blind-rollouts 1"):
        profile(folder, "unused", "blind", temperature=0.0, blind_rollouts=2)


@pytest.mark.parametrize("form", ["sft", "dpo"])
def test_no_export_takes_one(runs, tmp_path, form):
    out = tmp_path / form
    export_run(ExportConfig(runs=(runs["blind"].run,), to=form, out=str(out)))
    written = pl.read_parquet(out / "train.parquet").to_dicts()
    assert len(written) > 5
    assert "seen " in str(written) and "blind " not in str(written)


def test_a_comparison_counts_none(runs, tmp_path):
    # As if the other run had none: of the drift, what luck alone would do is drawn from them.
    copy = shutil.copytree(runs["plain"].run, tmp_path / "copy")
    alone = compare_runs(runs["plain"].run, copy, tmp_path / "alone")
    found = compare_runs(runs["plain"].run, runs["blind"].run, tmp_path / "out")
    assert found.drift == alone.drift
    assert "blind blind" not in (tmp_path / "out" / "index.html").read_text()


def test_a_script_of_a_run_is_replayed_with_its_blind_completions(runs, folder):
    again = ProfileConfig(
        dataset=str(folder / "rows.parquet"), out=str(folder / "again"), engine="scripted",
        model=f"{runs['blind'].run}/rollouts.parquet", rollouts=G, blind_rollouts=B, part_size=6,
        measures=("pixel", "confidence", "blind"),
    )  # fmt: skip
    assert table(profile_dataset(again)).equals(table(runs["blind"]))


def test_a_sample_grows_with_its_blind_completions(runs, folder):
    profile(folder, "grown", "blind", blind_rollouts=B, sample=12)
    before = pl.read_parquet(folder / "grown" / "rollouts.parquet")
    part = pl.read_parquet(folder / "grown" / "difficulty.parquet")
    left = part.filter(pl.col("rollouts") == 0)
    # What was not drawn has no share, and a predicted gain where it has an image.
    assert left["blind_pass_rate"].is_null().all()
    assert (left["image_gain_sd"].is_null() == (left["n_images"] == 0)).all()
    assert before["sample_id"].n_unique() == 12
    grown = profile(folder, "grown", "blind", blind_rollouts=B)
    assert rollouts(grown).equals(rollouts(runs["blind"]))
    assert table(grown).equals(table(runs["blind"]))


def test_a_run_that_was_stopped_goes_on_with_its_blind_completions(runs, folder, monkeypatch):
    write = RunFolder.write_part

    def stop(run, number, *tables):
        if number == 1:
            raise RunError("stopped")
        write(run, number, *tables)

    monkeypatch.setattr(RunFolder, "write_part", stop)
    with pytest.raises(RunError):
        profile(folder, "stopped", "blind", blind_rollouts=B)
    monkeypatch.undo()
    begun = profile(folder, "stopped", "blind", blind_rollouts=B)
    assert rollouts(begun).equals(rollouts(runs["blind"]))
    assert table(begun).equals(table(runs["blind"]))


@pytest.mark.parametrize("blind", ["gray", "other"])
def test_what_stands_in_for_the_image_is_drawn_in_the_same_stream(runs, folder, blind):
    found = profile(folder, blind, "blind", blind=blind, blind_rollouts=B)
    assert rollouts(found).equals(rollouts(runs["blind"]))  # a script sees no image
    assert found.manifest.identity["blind"] == blind


def judged(folder, **changes):
    config = EvalConfig(
        dataset=str(folder / "rows.parquet"), engine="scripted", rollouts=G, part_size=6,
        **{"model": str(folder / "script.jsonl"), "blind": "none", "blind_rollouts": B} | changes,
    )  # fmt: skip
    return evaluate_policy(config)


def test_an_evaluation_tells_what_the_image_adds(folder):
    found = judged(folder, out=str(folder / "judged"))
    (model,) = found.models
    sampled, greedy = model.seeing["sampled"], model.seeing["greedy"]
    # Over the 14 with an image: i % 5 of 4 right is 0 1 2 3 4 0 1 2 3 4 0 1 2 3, 26 of 56; i % 4 of
    # 3 without is three times 0 1 2 3 and 0 1, 19 of 42. The first is right where i % 5 > 0, of 14
    # in 11; without where i % 4 > 0, in 10.
    assert (sampled.samples, sampled.seeing.value) == (N, pytest.approx(26 / 56))
    assert sampled.blind.value == pytest.approx(19 / 42)
    assert sampled.gain.value == pytest.approx(26 / 56 - 19 / 42)
    assert (greedy.seeing.value, greedy.blind.value) == pytest.approx((11 / 14, 10 / 14))
    # The accuracy is of the fifteen, none of it blind.
    assert model.sampled.completions == (N + 1) * G
    said = pl.read_parquet(folder / "judged" / "rollouts.parquet")
    counts = Counter(said.select("greedy", "blind").rows())
    assert counts == {
        (True, False): N + 1, (False, False): (N + 1) * G, (True, True): N, (False, True): N * B,
    }  # fmt: skip
    assert any("multi-modal gain" in sentence for sentence in found.sentences)
    plain = judged(folder, blind=None, blind_rollouts=None)
    assert plain.models[0].seeing is None
    assert plain.models[0].sampled == model.sampled and plain.models[0].greedy == model.greedy


def test_two_policies_are_told_apart_by_what_they_learned(folder, tmp_path):
    # A policy of before that is right as often without the image, and never with it.
    script = pl.read_ndjson(folder / "script.jsonl").with_columns(
        completion=pl.when("blind").then("completion").otherwise(pl.lit("\\boxed{no}"))
    )
    script.write_ndjson(tmp_path / "before.jsonl")
    found = judged(folder, compare=str(tmp_path / "before.jsonl"))
    moved = found.comparison.learned["sampled"]
    assert (moved.seeing.value, moved.gain.value) == pytest.approx((26 / 56, 26 / 56))
    assert (moved.blind.value, moved.leakage.value) == (0, 0)
    assert found.sentences[-1].startswith(f"From {tmp_path}/before.jsonl to")
    assert "it learned to see." in " ".join(found.sentences)


def test_a_comparison_tells_what_was_learned(runs, folder, tmp_path):
    script = pl.read_ndjson(folder / "script.jsonl").with_columns(
        completion=pl.when("blind").then(pl.lit("\\boxed{no}")).otherwise("completion")
    )
    script.write_ndjson(tmp_path / "before.jsonl")
    before = ProfileConfig(
        dataset=str(folder / "rows.parquet"), out=str(tmp_path / "before"), engine="scripted",
        model=str(tmp_path / "before.jsonl"), measures=("pixel", "confidence", "blind"),
        rollouts=G, blind_rollouts=B,
    )  # fmt: skip
    profile_dataset(before)
    found = compare_runs(before.out, runs["blind"].run, tmp_path / "out")
    assert (found.seeing.a.blind.value, found.learned.leakage.value) == pytest.approx((0, 19 / 42))
    assert found.learned.gain.value == pytest.approx(-19 / 42)
    assert any("learned to guess" in sentence for sentence in found.sentences)
    # Without it in one of the runs nothing is said of what was learned.
    alone = compare_runs(runs["plain"].run, runs["blind"].run, tmp_path / "alone")
    assert alone.learned is None and alone.seeing.a is None
