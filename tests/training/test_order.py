"""The order of samples in any epoch is the one that an uninterrupted training takes there."""

import json
import shutil
from types import SimpleNamespace

import polars as pl
import pytest
from trl.trainer.utils import RepeatSampler

from durian.config import TrainConfig
from durian.train import train_policy
from durian.training.order import EpochBegins, EpochOrder
from tests.notes import Notes
from tests.training.hand import equal, weights_of

SIZES = {"mini_repeat_count": 2, "batch_size": 3, "repeat_count": 2, "seed": 7}


def test_a_pass_begun_in_an_epoch_is_trls_pass_of_that_epoch():
    trl = RepeatSampler(range(9), **SIZES)
    passes = [list(trl) for _ in range(4)]
    assert len({tuple(order) for order in passes}) == 4
    for epoch in (0, 3, 1):
        ours = EpochOrder(range(9), **SIZES)
        ours.set_epoch(epoch)
        assert list(ours) == passes[epoch]


def test_an_order_takes_up_the_epoch_that_begins():
    # A process among several, resumed within its second epoch: nothing else tells its sampler.
    trl = RepeatSampler(range(9), **SIZES)
    passes = [list(trl) for _ in range(2)]
    ours = EpochOrder(range(9), **SIZES)
    for done, epoch in ((1.5, 1), (0, 0), (None, 0), (1.0, 1)):
        EpochBegins(ours).on_epoch_begin(None, SimpleNamespace(epoch=done), None)
        assert list(ours) == passes[epoch]


def test_an_unshuffled_order_has_no_epochs():
    ours = EpochOrder(range(9), **{**SIZES, "seed": None}, shuffle=False)
    ours.set_epoch(2)
    assert list(ours)[:6] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("changes", "file"),
    [({}, "model.safetensors"), ({"lora_r": 4}, "adapter_model.safetensors")],
    ids=["full", "lora"],
)
def test_a_training_cut_in_its_second_epoch_resumes_to_the_same_weights(
    rows, settings, tmp_path, changes, file
):
    # 8 samples, 4 a rollout batch, 2 steps each: 4 steps an epoch. Cut after step 6 of 8.
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    few, notes = tmp_path / "few.parquet", Notes()
    pl.read_parquet(rows).head(8).write_parquet(few)
    grpo = settings["grpo"] | {"max_steps": 8}
    given = settings | changes | {"dataset": str(few), "grpo": grpo}
    train_policy(TrainConfig(**given, out=str(whole)))
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoint-8")
    for name in ("manifest.json", file, "log.json"):
        (cut / name).unlink()
    train_policy(TrainConfig(**given, out=str(cut)), progress=notes)
    assert f"resuming from {cut / 'checkpoint-6'}" in notes.said
    steps = [json.loads((out / "log.json").read_text())["steps"] for out in (whole, cut)]
    assert [s["loss"] for s in steps[0] if "loss" in s] == [
        s["loss"] for s in steps[1] if "loss" in s
    ]
    ours, theirs = (weights_of(out, file) for out in (whole, cut))
    assert equal(ours, theirs)
    assert not equal(ours, weights_of(whole / "checkpoint-6", file))
