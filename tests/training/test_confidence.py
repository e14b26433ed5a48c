"""A policy's confidence while it trains: what counts, and what says nothing."""

import json
import math
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from durian.config import TrainConfig
from durian.train import train_policy
from durian.training import trainer as room
from durian.training.trainer import DurianTrainer

FAILS_EVERY_SECOND = """
REWARD_TYPE = "batch"  # called once a sample
calls = []

def score(completions):
    calls.append(len(completions))
    if len(calls) % 2:
        raise ValueError("out of order")
    return [float(place % 2) for place, _ in enumerate(completions)]
"""


def confidence(logps, mask, *, whole):
    normalization = SimpleNamespace(whole_logprob=whole)
    given = SimpleNamespace(_normalization=normalization), torch.tensor(logps), torch.tensor(mask)
    return DurianTrainer._sequence_confidence(*given).tolist()


@pytest.mark.parametrize(("whole", "expected"), [(False, -0.5), (True, -1.0)])
def test_a_completion_without_tokens_says_nothing_of_confidence(whole, expected):
    # -0.25 - 0.75 over two tokens; the second completion was cut, and is masked out.
    first, second = confidence(
        [[-0.25, -0.75, -9.0], [-1.0, -1.0, -1.0]], [[1, 1, 0], [0, 0, 0]], whole=whole
    )
    assert first == expected and math.isnan(second)


def test_a_sample_whose_completions_are_all_cut_is_in_no_online_group(
    settings, tmp_path, monkeypatch
):
    # Two tokens are too few for an answer: every completion is cut and masked.
    seen = []
    inner = DurianTrainer._log_batch

    def kept(self, batch, advantages):
        seen.append(batch.reasoning_group.tolist())
        inner(self, batch, advantages)

    monkeypatch.setattr(room.DurianTrainer, "_log_batch", kept)
    grpo = {"max_steps": 1, "mask_truncated_completions": True, "max_completion_length": 2}
    given = settings | {"grpo": settings["grpo"] | grpo, "groups": "online"}
    train_policy(TrainConfig(**given, out=str(tmp_path / "out")))
    assert seen == [[-1, -1, -1, -1]]


def test_online_groups_are_cut_by_the_policys_own_confidence_and_the_tables_entropy(
    settings, run, tmp_path, monkeypatch
):
    own = [-0.3, -0.1, -0.4, -0.2]  # least sure first: the third, the first, the fourth, the second
    monkeypatch.setattr(DurianTrainer, "_confidence_now", lambda self, out: torch.tensor(own))
    given = settings | {"grpo": settings["grpo"] | {"max_steps": 1}}
    train_policy(TrainConfig(**given, groups="online", bins=4, out=str(tmp_path / "out")))
    logged = pl.read_parquet(tmp_path / "out" / "completions" / "completions_00001.parquet")
    assert logged["reasoning_group"].to_list()[::4] == [1, 3, 0, 2]
    # Of four entropies the lowest is easy, the highest hard.
    table = dict(pl.read_parquet(run / "difficulty.parquet")["sample_id", "pixel_entropy"].rows())
    entropies = [table[sample] for sample in logged["sample_id"].to_list()[::4]]
    ends = {min(entropies): 0, max(entropies): 2}
    assert logged["perceptual_group"].to_list()[::4] == [ends.get(h, 1) for h in entropies]


def test_confidence_is_taken_with_the_images():
    # The forward pass is TRL's: here it says what it was given, and -1 for each of two tokens.
    seen = {}

    def forward(model, ids, mask, kept, batch_size, **images):
        seen.update(images)
        return torch.full((2, kept), -1.0), None, None

    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=forward,
        _sequence_confidence=lambda logps, mask: logps.double().mean(dim=1),
        model=None, _generations=2, args=SimpleNamespace(per_device_train_batch_size=2),
    )  # fmt: skip
    ids = torch.ones(2, 2, dtype=torch.long)
    out = {f"{part}_{kind}": ids for part in ("prompt", "completion") for kind in ("ids", "mask")}
    out |= {"pixel_values": torch.zeros(8, 4), "image_grid_thw": torch.ones(2, 3), "advantages": 0}
    assert DurianTrainer._confidence_now(trainer, out).tolist() == [-1.0]
    assert seen.keys() == {"pixel_values", "image_grid_thw"}


@pytest.mark.parametrize(("harder", "tau"), [("lower", 1.0), ("higher", -1.0)])
def test_drift_puts_completions_in_their_places_and_knows_the_hard_end(harder, tau):
    # Three samples of two completions, seen in another order than theirs (slots 4 5 0 1 2 3).
    # By sample the policy's confidence now is -3, -2, -1: the order of the table's -0.9, -0.5, -0.1
    # where lower is harder; where higher is, the table's measure runs the other way.
    rows = [(4, -1.0), (5, -1.0), (0, -3.0), (1, -3.0), (2, -2.0), (3, -2.0)]
    trainer = SimpleNamespace(
        _confidence=[torch.tensor(rows[:2]), torch.tensor(rows[2:])],
        _batch=SimpleNamespace(
            rewards=torch.zeros(3, 2), confidence=torch.tensor(np.array([-0.9, -0.5, -0.1]))
        ),
        _normalization=SimpleNamespace(reasoning_harder=harder, bins=3), _regrouping=None,
        _metrics={"train": defaultdict(list)}, temperature=1.0,
    )  # fmt: skip
    DurianTrainer._log_drift(trainer)
    assert trainer._metrics["train"]["durian/drift/kendall_tau"] == [tau]
    assert not trainer._confidence


def test_a_trainings_log_has_its_drift_and_the_share_without_variance(settings, tmp_path):
    given = settings | {"grpo": settings["grpo"] | {"max_steps": 2}}
    # All 40 tokens cost: a completion loses a fortieth of 1 for each of its own.
    train_policy(TrainConfig(**given, out=str(tmp_path / "out"), overlong_buffer=40, shrink=8.0))
    steps = json.loads((tmp_path / "out" / "log.json").read_text())["steps"]
    assert any("durian/drift/kendall_tau" in step for step in steps)
    assert any("durian/no_variance" in step for step in steps)
    first = steps[0]  # draws its rollout batch; the second learns from the same
    assert all(first[f"seconds/{part}"] > 0 for part in ("rollout", "reward", "update"))
    assert first["tokens_per_second"] > 0 and "seconds/rollout" not in steps[1]
    assert first["step_time"] > first["seconds/update"]
    lost = -first["completions/mean_length"] / 40
    assert first["rewards/overlong"] == pytest.approx(lost, rel=1e-6)


def test_completions_that_nothing_could_score_train_nothing(settings, tmp_path):
    # The reward fails on every second sample: its completions have no reward, and no advantage.
    reward = tmp_path / "reward.py"
    reward.write_text(FAILS_EVERY_SECOND)
    given = settings | {"grpo": settings["grpo"] | {"max_steps": 1}}
    train_policy(TrainConfig(**given, reward=f"{reward}:score", out=str(tmp_path / "out")))
    logged = pl.read_parquet(tmp_path / "out" / "completions" / "completions_00001.parquet")
    (step, *_) = json.loads((tmp_path / "out" / "log.json").read_text())["steps"]
    unscored = logged["reward"].is_null() | logged["reward"].is_nan()
    assert step["rewards/failed"] == pytest.approx(unscored.mean())
    assert 0 < unscored.sum() < len(logged)
    assert logged.filter(unscored)["advantage"].to_list() == [0.0] * unscored.sum()
