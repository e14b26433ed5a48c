"""Stale reasoning bins are cut anew, in the step where planted drift shows, and not by chance."""

import json
import shutil
from dataclasses import asdict

import datasets
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from durian.config import TrainConfig
from durian.errors import ConfigError
from durian.groups import reasoning_groups
from durian.table.join import open_table
from durian.train import train_policy
from durian.training.arguments import check_regroup
from durian.training.regrouping import Regrouping
from tests.notes import Notes
from tests.training.hand import equal, weights_of

KNOWN = [-8.0, -7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0]
FLIPPED = [-5.0, -6.0, -7.0, -8.0]  # of the first four


def regrouping(below, known=KNOWN, labels=(0, 0, 1, 1, 2, 2, 3, 3), bins=4):
    names = [f"s{n}" for n in range(len(known))]
    rows = {"sample_id": [*names, "s0"], "reasoning_group": [*labels, 0],
            "confidence": [*known, known[0]]}  # s0 stands for two rows  # fmt: skip
    return Regrouping(
        datasets.Dataset.from_dict(rows), bins=bins, harder="lower", draws=2, below=below, seed=0
    )


def twice(values, surer=0.0):
    """Two completions of each sample that are sure alike: chance would leave the order as it is."""
    return np.array(values)[:, None].repeat(2, axis=1) + surer


def test_bins_are_cut_anew_in_the_step_where_the_drift_shows():
    bins = regrouping(below=0.4)
    assert bins.place["s7"] == 7 and bins.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    # A policy that has grown surer of all alike is in the same order.
    assert bins.note(1, [0, 1, 2, 3], twice(KNOWN[:4], 0.5)) is None
    assert bins.note(2, [4, 5, 6, 7], twice(KNOWN[4:], 1.5)) is None
    # Of 28 pairs the 6 of the first four are turned round: tau = (22 - 6) / 28; by chance 1.
    cut = bins.note(3, [0, 1, 2, 3], twice(FLIPPED, 2.0))
    found = {"tau": pytest.approx(16 / 28), "tau_by_chance": pytest.approx(1)}
    assert asdict(cut) == {"step": 3, "moved": 4, "samples": 8, **found}
    assert bins.labels.tolist() == [1, 1, 0, 0, 2, 2, 3, 3]
    assert bins.known.tolist() == pytest.approx([*FLIPPED, *KNOWN[4:]])
    # What was seen before counts no more: half of the samples have to be drawn again.
    assert bins.state()["_now"] == [None] * 8
    # Held against the new ones, the same policy is as it was.
    assert bins.note(4, [0, 1, 2, 3], twice(FLIPPED, 2.0)) is None
    assert bins.note(5, [4, 5, 6, 7], twice(KNOWN[4:], 2.0)) is None
    assert bins.cuts == [cut]


def test_drift_within_the_threshold_leaves_the_bins():
    bins = regrouping(below=0.5)  # 1 - 16/28 is 0.43
    bins.note(1, [4, 5, 6, 7], twice(KNOWN[4:]))
    assert bins.note(2, [0, 1, 2, 3], twice(FLIPPED)) is None
    assert bins.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_bins_are_judged_once_half_of_the_samples_are_drawn():
    bins = regrouping(below=0.4)
    assert bins.note(1, [0, 1, 2], twice(FLIPPED[:3])) is None  # 3 of 8, all turned round
    assert bins.note(2, [3], twice(FLIPPED[3:])) is not None


def test_an_order_that_is_noise_is_not_stale():
    # No sample is harder than another: two profiles of one policy agree by luck alone, tau near 0.
    drawing = np.random.default_rng(0)
    known = drawing.normal(size=(400, 2)).mean(axis=1).tolist()
    labels = reasoning_groups(np.array(known), 4).labels
    bins = regrouping(0.3, known, labels)
    assert bins.note(1, range(400), drawing.normal(size=(400, 8))) is None


def test_what_was_not_drawn_or_says_nothing_keeps_what_it_had():
    # s7 was never profiled: drawn, it gains a bin. s4 is cut off each time, s5 and s6 not drawn.
    bins = regrouping(0.4, [*KNOWN[:7], np.nan], [0, 0, 1, 1, 2, 2, 3, -1])
    nan = np.nan
    drawn = np.array([*twice(FLIPPED), [nan, nan], [-0.5, nan]])
    cut = bins.note(1, [0, 1, 2, 3, 4, 7], drawn)
    assert (cut.tau, cut.samples) == (-1.0, 8)
    assert bins.known.tolist() == pytest.approx([*FLIPPED, -4.0, -3.0, -2.0, -0.5])
    assert bins.labels.tolist() == [1, 1, 0, 0, 2, 2, 3, 3]


def test_the_state_goes_through_json_and_on_to_the_same_cut():
    whole = regrouping(below=0.4)
    whole.note(1, [0, 1, 2, 3], twice(KNOWN[:4], 0.5))
    whole.note(2, [4, 5, 6, 7], twice(KNOWN[4:], 1.5))
    resumed = regrouping(below=0.4)
    resumed.restore(json.loads(json.dumps(whole.state(), allow_nan=False)))
    cuts = [bins.note(3, [0, 1, 2, 3], twice(FLIPPED, 2.0)) for bins in (whole, resumed)]
    assert cuts[0] == cuts[1] and cuts[0] is not None
    again = regrouping(below=0.4)
    again.restore(json.loads(json.dumps(whole.state(), allow_nan=False)))
    assert again.state() == whole.state() == resumed.state()
    assert again.cuts == whole.cuts and again.labels.tolist() == [1, 1, 0, 0, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("changes", "grpo", "said"),
    [
        ({"groups": "online"}, {}, "groups is 'online'"),
        ({"normalizer": "grpo"}, {}, "no reasoning bin takes part"),
        ({"weights": (0.7, 0.3, 0.0)}, {}, "no reasoning bin takes part"),
        ({}, {"temperature": 0.7}, "'temperature' is 0.7"),
    ],
)
def test_what_has_no_bins_to_cut_anew_is_refused(settings, changes, grpo, said):
    manifest = open_table(TrainConfig(**settings, out="out")).manifest
    config = TrainConfig(**{**settings, **changes}, out="out", regroup=0.1)
    with pytest.raises(ConfigError, match=f"regroup is 0.1, but .*{said}.*; leave it out"):
        check_regroup(config, {"temperature": 1.0} | grpo, manifest)
    check_regroup(TrainConfig(**settings, out="out", regroup=0.1), {"temperature": 1.0}, manifest)


def test_bins_of_another_measure_than_confidence_are_refused(settings):
    manifest = open_table(TrainConfig(**settings, out="out")).manifest
    cuts = manifest.groups
    object.__setattr__(cuts.reasoning, "measure", "pass_rate")
    with pytest.raises(ConfigError, match="bins are of pass_rate, .*--reasoning mean_logprob"):
        check_regroup(
            TrainConfig(**settings, out="out", regroup=0.1), {"temperature": 1.0}, manifest
        )


def test_a_training_over_a_turned_table_cuts_its_bins_anew_and_resumes_exactly(
    settings, run, tmp_path
):
    # The table says the contrary of what the policy is sure of. Half of 24 samples are 3 rollout
    # batches of 4, two steps each: in step 6 the third one's rows have all been seen and the bins
    # are stale; the fourth batch has the new ones.
    turned, notes = tmp_path / "turned", Notes()
    shutil.copytree(run, turned)
    table = pl.read_parquet(turned / "difficulty.parquet")
    sure = table["mean_logprob"]
    table = table.with_columns(
        mean_logprob=sure.min() + sure.max() - sure, reasoning_group=2 - table["reasoning_group"]
    )
    file = turned / "difficulty.parquet"
    schema = pq.read_schema(file).metadata
    pq.write_table(table.to_arrow().replace_schema_metadata(schema), file)
    given = {**settings, "table": str(turned), "regroup": 0.1}
    given["grpo"] = settings["grpo"] | {"max_steps": 8, "learning_rate": 1e-5}
    manifest = train_policy(TrainConfig(**given, out=str(tmp_path / "whole")), progress=notes)
    (cut,) = manifest.regrouped
    assert cut.step == 6 and cut.tau < 0 < cut.tau_by_chance and cut.samples == 24
    said = f"bins were stale and are cut anew ({cut.moved} samples moved; tau {cut.tau:.2f}, by"
    assert any(said in line and line.startswith("step 6: ") for line in notes.said)
    card = (tmp_path / "whole" / "README.md").read_text()
    assert f"cut anew in step 6 \\({cut.moved} of 24 samples moved" in card.replace("\\.", ".")

    labels = dict(zip(table["sample_id"], table["reasoning_group"], strict=True))
    files = sorted((tmp_path / "whole" / "completions").glob("*.parquet"))[::2]
    seen = [pl.read_parquet(file) for file in files]
    same = [
        [
            labels[name] == label
            for name, label in batch.select("sample_id", "reasoning_group").rows()
        ]
        for batch in seen
    ]
    assert [all(batch) for batch in same] == [True, True, True, False]
    state = json.loads((tmp_path / "whole" / "checkpoint-8" / "durian.json").read_text())["states"]
    kept = dict(zip(table["sample_id"], state["labels"]["labels"], strict=True))
    logged = seen[3].select("sample_id", "reasoning_group").rows()
    assert logged == [(name, kept[name]) for name, _ in logged]
    assert cut.moved == sum(kept[name] != label for name, label in labels.items())

    out = tmp_path / "cut"  # two steps before the bins are
    shutil.copytree(tmp_path / "whole", out)
    for name in ("manifest.json", "model.safetensors", "log.json"):
        (out / name).unlink()
    for later in (6, 8):
        shutil.rmtree(out / f"checkpoint-{later}")
    resumed = train_policy(TrainConfig(**given, out=str(out)))
    assert resumed.regrouped == manifest.regrouped
    assert equal(weights_of(out), weights_of(tmp_path / "whole"))
    assert not equal(weights_of(out), weights_of(out / "checkpoint-6"))
