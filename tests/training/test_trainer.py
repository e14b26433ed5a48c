"""Trainings by real TRL steps: what is Durian's is exact, what is TRL's is untouched."""

import json
import shutil
import statistics
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText
from trl import GRPOConfig, GRPOTrainer

from durian.config import TrainConfig
from durian.engines.chat import check_model_exists
from durian.errors import ConfigError, RunError
from durian.normalizer import NORMALIZERS, batch_advantages, durian_advantages, grpo_advantages
from durian.train import train_policy
from durian.training.checkpoints import States, newest_checkpoint
from durian.training.policy import load_policy
from durian.training.samples import open_samples
from durian.training.trainer import DurianTrainer
from tests.notes import Notes
from tests.training.hand import by_hand, equal, weights_of
from tests.training.toy_normalizer import TOY

WEIGHTS_HALVED = (0.5, 0.0, 0.0)


def train(settings, out, **changes):
    grpo, fresh = {**settings["grpo"], **changes.pop("grpo", {})}, changes.pop("fresh", False)
    config = TrainConfig(**{**settings, **changes, "out": str(out), "grpo": grpo})
    return train_policy(config, fresh=fresh)


class StockTrainer(GRPOTrainer):
    """TRL's own trainer, and, where it is given one, another way from rewards to advantages."""

    of_rewards = None

    def _calculate_rewards(self, inputs, *rest):
        self.inputs = inputs
        self.rewards = super()._calculate_rewards(inputs, *rest)
        return self.rewards

    def _generate_and_score_completions(self, inputs):
        out = super()._generate_and_score_completions(inputs)
        if self.of_rewards is not None:
            rewards = self.rewards[:, 0].tolist()
            groups = [(x["perceptual_group"], x["reasoning_group"]) for x in self.inputs]
            out["advantages"] = torch.tensor(type(self).of_rewards(rewards, groups))
        return out


def stock(settings, prepared: Path, out: Path, of_rewards=None, **fields):
    """The same training by TRL alone, on the samples that a Durian training prepared."""
    from durian.config import SamplingConfig
    from durian.engines.chat import load_chat
    from durian.rewards import open_reward
    from durian.training.reward import TrainingReward

    kind = type(
        "Stock", (StockTrainer,), {"of_rewards": staticmethod(of_rewards) if of_rewards else None}
    )
    given = {**settings["grpo"], "save_strategy": "no", "generation_batch_size": 16,
             "max_completion_length": 40, "use_cpu": True, "bf16": False, "report_to": "none",
             "logging_steps": 1, "disable_tqdm": True, "num_completions_to_print": 0,
             "remove_unused_columns": False, **fields}  # fmt: skip
    given.pop("save_steps")
    trainer = kind(
        model=settings["model"],
        reward_funcs=[TrainingReward(open_reward("boxed"))],
        args=GRPOConfig(output_dir=str(out), **given),
        train_dataset=open_samples(prepared, 10**8).dataset,
        processing_class=load_chat(SamplingConfig(model=settings["model"])).processor,
    )
    trainer.train()
    trainer.save_model(str(out))
    return trainer


def test_the_loss_is_taken_with_equation_20(settings, whole, tmp_path):
    # TRL alone, with advantages from plain Python in place of its own: the same policy comes out.
    stock(settings, whole, tmp_path / "by_hand", of_rewards=by_hand)
    ours, hand = weights_of(whole), weights_of(tmp_path / "by_hand")
    furthest = max(float((ours[k] - hand[k]).abs().max()) for k in ours)
    assert furthest < 1e-6  # each of 6 steps moves a weight by up to 1e-3


def test_logged_advantages_and_groups_are_those_of_the_table(whole, run):
    logged = pl.read_parquet(whole / "completions" / "*.parquet")
    table = pl.read_parquet(run / "difficulty.parquet")
    names = dict(zip(("easy", "medium", "hard"), range(3), strict=True))
    known = {
        row["sample_id"]: (names[row["perceptual_group"]], row["reasoning_group"])
        for row in table.to_dicts()
    }
    for _, step in logged.group_by("step"):
        groups = [known[key] for key in step["sample_id"]]
        assert step.select("perceptual_group", "reasoning_group").rows() == groups
        expected = by_hand(step["reward"].to_list(), groups)
        assert step["advantage"].to_list() == pytest.approx(expected, abs=1e-5)


def test_each_rollout_batch_tells_what_its_samples_fail_by(whole):
    steps = json.loads((whole / "log.json").read_text())["steps"]
    told = [
        {name: value for name, value in entry.items() if name.startswith("durian/why/")}
        for entry in steps
        if "durian/why/solved" in entry
    ]
    assert all(len(one) == 7 and sum(one.values()) == pytest.approx(1) for one in told)
    logged = pl.read_parquet(whole / "completions" / "*.parquet")
    rates = logged.group_by("step", "sample_id").agg((pl.col("reward") > 0.5).mean())
    # Entries and batches are of equally many steps each: their means are one.
    solved = rates.group_by("step").agg((pl.col("reward") >= 0.875).mean())["reward"].mean()
    assert statistics.fmean(one["durian/why/solved"] for one in told) == pytest.approx(solved)
    assert solved > 0


def first_batch(folder: Path) -> pl.DataFrame:
    """The completions of a training's first rollout batch, as they were logged."""
    return pl.read_parquet(folder / "completions" / "completions_00001.parquet")


@pytest.fixture(scope="module")
def trls(settings, whole, tmp_path_factory):
    """By `scale_rewards`: rewards and advantages of stock TRL's first rollout batch."""
    logs = {}
    for scale in ("group", "batch", "none"):
        out = tmp_path_factory.mktemp(scale)
        logged = stock(settings, whole, out, scale_rewards=scale, max_steps=1)._logs
        logs[scale] = list(logged["rewards"]["reward"]), list(logged["advantages"])
    return logs


@pytest.mark.parametrize(
    ("changes", "scale"),
    [
        ({"normalizer": "grpo"}, "group"),
        ({"normalizer": "batch"}, "batch"),
        ({"normalizer": "dr_grpo"}, "none"),
        ({"weights": (1.0, 0.0, 0.0)}, "group"),
    ],
    ids=["grpo", "batch", "dr_grpo", "own term alone"],
)
def test_our_siblings_train_with_trls_own_numbers_at_its_eps(
    settings, trls, tmp_path, changes, scale
):
    train(settings, tmp_path / "out", eps=1e-4, grpo={"max_steps": 1}, **changes)
    rewards, advantages = trls[scale]
    logged = first_batch(tmp_path / "out")
    assert logged["reward"].to_list() == pytest.approx(rewards, abs=1e-7)
    assert logged["advantage"].to_list() == pytest.approx(advantages, abs=1e-5)
    assert max(map(abs, advantages)) > 0.1


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": (0.5, 0.0, 0.0)},
        {"normalizer": "grpo", "eps": 0.5},
        {"normalizer": "batch", "eps": 0.5},
        {"shrink": 8.0},
    ],
    ids=["half of the own term", "grpo with an eps", "batch with an eps", "shrunk"],
)
def test_trainer_and_library_agree_to_the_bit(settings, tmp_path, changes):
    # Half the own term was once trained at its whole size, and these two without their eps.
    train(settings, tmp_path / "out", grpo={"max_steps": 1}, **changes)
    logged = first_batch(tmp_path / "out")
    rewards = torch.tensor(logged["reward"].to_list()).view(4, 4)
    groups = logged.select("perceptual_group", "reasoning_group").to_torch()[::4].T
    expected = {
        "durian": lambda: durian_advantages(rewards, *groups, WEIGHTS_HALVED),
        "grpo": lambda: grpo_advantages(rewards, eps=0.5),
        "batch": lambda: batch_advantages(rewards, eps=0.5),
        "shrunk": lambda: durian_advantages(rewards, *groups, shrink=8.0),
    }["shrunk" if "shrink" in changes else changes.get("normalizer", "durian")]()
    assert logged["advantage"].to_list() == expected.flatten().tolist()
    assert torch.count_nonzero(expected) > 0


def test_a_normalizer_of_one_file_trains(settings, whole, tmp_path, monkeypatch):
    monkeypatch.setitem(NORMALIZERS, "toy", TOY)
    train(settings, tmp_path / "toy", normalizer="toy", grpo={"max_steps": 2})
    logged = first_batch(tmp_path / "toy")
    rewards, bins = logged["reward"].to_list(), logged["reasoning_group"].to_list()
    assert len(set(bins)) > 1
    expected = [
        (reward - statistics.fmean(rewards[i - i % 4 : i - i % 4 + 4])) * (bins[i] + 1)
        for i, reward in enumerate(rewards)
    ]
    assert logged["advantage"].to_list() == pytest.approx(expected, abs=1e-6)

    # TRL alone steps to the same policy with these advantages in place of its own.
    def by_bin(rewards, groups):
        means = [statistics.fmean(rewards[i - i % 4 : i - i % 4 + 4]) for i in range(len(rewards))]
        triples = zip(rewards, means, groups, strict=True)
        return [(reward - mean) * (of[1] + 1) for reward, mean, of in triples]

    stock(settings, whole, tmp_path / "by_hand", of_rewards=by_bin, max_steps=2)
    ours, hand = weights_of(tmp_path / "toy"), weights_of(tmp_path / "by_hand")
    # Each step moves a weight by up to 1e-3; Adam magnifies what is left of rounding.
    assert max(float((ours[k] - hand[k]).abs().max()) for k in ours) < 1e-4
    first = json.loads((tmp_path / "toy" / "log.json").read_text())["steps"][0]
    assert any(key.startswith("durian/std/reasoning_") for key in first)
    assert not any(key.startswith("durian/share/") for key in first)


@pytest.mark.parametrize(
    "fields",
    [
        {"loss_type": "grpo"},
        {"loss_type": "bnpo"},
        {"loss_type": "dr_grpo"},
        {"loss_type": "dapo", "epsilon_high": 0.28},
        {"loss_type": "cispo", "epsilon_high": 5.0},
        {"loss_type": "grpo", "importance_sampling_level": "sequence"},
        {"beta": 0.04},
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_every_loss_trains_with_durians_advantages(settings, tmp_path, fields):
    train(settings, tmp_path / "out", grpo={"max_steps": 1, **fields})
    logged = first_batch(tmp_path / "out")
    groups = logged.select("perceptual_group", "reasoning_group").rows()
    expected = by_hand(logged["reward"].to_list(), groups)
    assert logged["advantage"].to_list() == pytest.approx(expected, abs=1e-5)
    assert not equal(weights_of(tmp_path / "out"), weights_of(Path(settings["model"])))


def test_online_groups_are_cut_within_each_rollout_batch(settings, tmp_path):
    train(settings, tmp_path / "out", groups="online", percentiles=(25.0, 75.0), bins=4,
          grpo={"max_steps": 1})  # fmt: skip
    logged = pl.read_parquet(tmp_path / "out" / "completions" / "completions_00001.parquet")
    # Of 4 prompts of distinct confidence, 4 quantile bins hold one each; of 4 of distinct entropy
    # the lowest is easy, the highest hard.
    assert sorted(logged["reasoning_group"].to_list()[::4]) == [0, 1, 2, 3]
    assert sorted(logged["perceptual_group"].to_list()[::4]) == [0, 1, 1, 2]


def test_a_frozen_vision_encoder_stays_and_the_rest_moves(settings, tmp_path):
    train(settings, tmp_path / "out", freeze_vision=True, grpo={"max_steps": 1})
    before, after = weights_of(Path(settings["model"])), weights_of(tmp_path / "out")
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved and not any("visual" in key for key in moved)
    assert any("visual" in key for key in before)


@pytest.mark.parametrize("held", ["whole", "sharded", "is_deepspeed_enabled"])
def test_an_adapter_comes_with_the_model_that_it_makes_or_says_how_to_make_it(
    settings, tmp_path, monkeypatch, held
):
    # LoRA: W + (alpha / r) B A, here alpha 8 and r 4.
    out, notes = tmp_path / "out", Notes()
    told = held == "is_deepspeed_enabled"
    if held == "sharded":  # as over FSDP, where no process holds the whole model
        monkeypatch.setattr(DurianTrainer, held, True)
    if told:  # after the training, which has no DeepSpeed here
        save = DurianTrainer.save_policy
        monkeypatch.setattr(
            DurianTrainer,
            "save_policy",
            lambda self, out: (save(self, out), setattr(self, held, True)),
        )
    grpo = settings["grpo"] | {"max_steps": 1}
    given = settings | {"lora_r": 4, "lora_alpha": 8, "grpo": grpo, "out": str(out)}
    train_policy(TrainConfig(**given), progress=notes)
    assert "LoRA of rank 4" in (out / "README.md").read_text()  # ours, not PEFT's
    said = [line for line in notes.said if "merge_and_unload" in line]
    assert (len(said), (out / "merged").exists()) == ((1, False) if told else (0, True))
    if told:
        assert f"load {settings['model']}, then" in said[0] and f"model, '{out}')" in said[0]
        base = AutoModelForImageTextToText.from_pretrained(settings["model"])
        PeftModel.from_pretrained(base, str(out)).merge_and_unload().save_pretrained(out / "merged")
    base, merged = weights_of(Path(settings["model"])), weights_of(out / "merged")
    adapter = weights_of(out, "adapter_model.safetensors")
    assert base.keys() == merged.keys()
    added = 0
    for name, weight in base.items():
        inner = name.removesuffix(".weight").removeprefix("model.")
        pair = [
            value
            for kind in ("lora_A", "lora_B")
            for key, value in adapter.items()
            if key.endswith(f"{inner}.{kind}.weight")
        ]
        expected = weight + 2 * (pair[1] @ pair[0]) if pair else weight
        assert torch.allclose(merged[name], expected, atol=1e-6), name
        added += bool(pair) and not torch.equal(weight, expected)
    assert added > 10
    if not told:
        way_out = f"an adapter without its base model; pass {out}/merged"
        with pytest.raises(ConfigError, match=way_out):
            check_model_exists(str(out))
        check_model_exists(str(out / "merged"))


def test_a_checkpoint_of_shards_is_left_to_the_trainer(settings, tmp_path):
    # What FSDP writes: no file that a loader of models could read.
    shards = tmp_path / "checkpoint-2"
    (shards / "pytorch_model_fsdp_0").mkdir(parents=True)
    config = TrainConfig(**{**settings, "out": str(tmp_path), "grpo": {}})
    args = GRPOConfig(output_dir=str(tmp_path), use_cpu=True)
    weights, base = (load_policy(config, args, at).state_dict() for at in (shards, None))
    assert equal(weights, base)


def test_fresh_throws_an_unfinished_training_away(settings, whole, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    (out / "manifest.json").unlink()
    (out / "checkpoint-2" / "old").touch()
    shutil.copy(Path(settings["model"]) / "model.safetensors", out / "checkpoint-6")  # another's
    with pytest.raises(RunError, match="or pass --fresh"):
        train(settings, out)
    train(settings, out, fresh=True)
    assert equal(weights_of(out), weights_of(whole))
    assert not (out / "checkpoint-2" / "old").exists()


def test_a_checkpoint_of_other_weights_is_refused(settings, whole, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    for name in ("manifest.json", "checkpoint-6", "checkpoint-4"):
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copy(Path(settings["model"]) / "model.safetensors", out / "checkpoint-2")
    with pytest.raises(RunError, match="weights were not restored"):
        train(settings, out)


def test_a_checkpoint_is_whole_before_an_older_one_goes(tmp_path, monkeypatch):
    # A kill in between must find one to go on from; transformers alone would drop first.
    seen = {}
    trainer = object.__new__(DurianTrainer)
    trainer.args = SimpleNamespace(save_total_limit=1, should_save=True, output_dir=str(tmp_path))
    trainer.state = SimpleNamespace(global_step=4)
    trainer.accelerator = SimpleNamespace(wait_for_everyone=lambda: None)
    trainer._states = States(None)

    def save(self, model, trial):
        seen["limit while it saves"] = self.args.save_total_limit
        (tmp_path / "checkpoint-4").mkdir()

    def drop(out, keep):
        seen["kept"], seen["whole"] = keep, newest_checkpoint(out)

    monkeypatch.setattr(GRPOTrainer, "_save_checkpoint", save)
    monkeypatch.setattr(DurianTrainer, "_whole_model", lambda self: None)
    monkeypatch.setattr("durian.training.trainer.drop_older", drop)
    trainer._save_checkpoint(None, None)
    whole = tmp_path / "checkpoint-4"
    assert seen == {"limit while it saves": None, "kept": 1, "whole": whole}
    assert trainer.args.save_total_limit == 1  # given back: the next one drops too


def test_code_in_a_checkpoints_pickle_does_not_run(settings, whole, tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    out = tmp_path / "out"
    shutil.copytree(whole, out)
    for name in ("manifest.json", "checkpoint-6", "checkpoint-4"):
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    torch.save(Bomb(), out / "checkpoint-2" / "optimizer.pt")
    with pytest.raises(RunError, match="checkpoint-2: holds what is no state of a training") as no:
        train(settings, out)
    assert "\n" not in str(no.value) and not (tmp_path / "ran").exists()


def test_the_model_card_is_of_this_training(whole):
    card = (whole / "README.md").read_text()
    assert "trained by GRPO with Durian" in card and "None" not in card
    assert "24 of 24 rows" in card and r"rows\.parquet, split train" in card
    assert "trl" in card.split("## Versions")[1]


def test_a_finished_training_is_not_done_twice(settings, whole):
    before = (whole / "model.safetensors").stat().st_mtime_ns
    assert train(settings, whole).kind == "training"
    assert (whole / "model.safetensors").stat().st_mtime_ns == before
