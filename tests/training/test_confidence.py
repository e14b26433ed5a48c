"""A policy's confidence while it trains: what counts, and what says nothing."""

import math
from types import SimpleNamespace

import pytest
import torch

from durian.config import TrainConfig
from durian.train import train_policy
from durian.training import trainer as room
from durian.training.trainer import DurianTrainer


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
    grpo = {"max_steps": 2, "mask_truncated_completions": True, "max_completion_length": 2}
    given = settings | {"grpo": settings["grpo"] | grpo, "groups": "online"}
    train_policy(TrainConfig(**given, out=str(tmp_path / "out")))
    assert seen == [[-1, -1, -1, -1]]
