"""What a training logged: which numbers count, how they are smoothed, parts and seconds."""

import numpy as np
import pytest

from durian.analysis.training_log import (
    logged,
    part_means,
    running_mean,
    seconds_a_step,
    smoothed_over,
)


def test_a_running_mean_is_of_the_neighbours_that_there_are():
    # Width 3 over 0, 3, 6, 0: (0+3)/2, (0+3+6)/3, (3+6+0)/3, (6+0)/2.
    assert running_mean(np.array([0.0, 3.0, 6.0, 0.0]), 3).tolist() == [1.5, 3.0, 3.0, 3.0]
    assert running_mean(np.array([2.0, 5.0]), 1).tolist() == [2.0, 5.0]


def test_what_is_no_finite_number_is_passed_over():
    log = [
        {"step": 1, "reward": 0.5},
        {"step": 2, "reward": float("nan")},
        {"step": 3, "reward": None},
        {"step": 4},
        {"reward": 0.7},
        {"step": 6, "reward": float("inf")},
        {"step": 7, "reward": 1},
    ]
    steps, values = logged(log, "reward")
    assert steps.tolist() == [1.0, 7.0] and values.tolist() == [0.5, 1.0]
    assert logged(log[1:4], "reward") is None


@pytest.mark.parametrize(("count", "width"), [(6, 1), (7, 7), (139, 7), (400, 21), (440, 23)])
def test_a_long_training_is_smoothed_over_a_twentieth_and_a_short_one_not(count, width):
    assert smoothed_over(count) == width  # odd, so that it has a middle


def test_parts_are_the_same_steps_for_every_number():
    # Seven steps in five parts: 2, 2, 1, 1, 1. The second number is logged at steps 2 and 4 only.
    log = [{"step": step, "a": float(step)} for step in range(1, 8)]
    log[1]["b"], log[3]["b"] = 10.0, 20.0
    found = part_means([*log, {"step": 7, "train_loss": 3.0}])
    assert list(found) == ["a", "b"]
    assert [(p.first_step, p.last_step, p.mean) for p in found["a"]] == [
        (1, 2, 1.5), (3, 4, 3.5), (5, 5, 5.0), (6, 6, 6.0), (7, 7, 7.0),
    ]  # fmt: skip
    assert [(p.first_step, p.logged, p.mean) for p in found["b"]] == [(1, 1, 10.0), (3, 1, 20.0)]
    assert part_means([]) == {}


def test_the_seconds_of_a_step_go_by_how_often_each_thing_is_done():
    # A rollout batch every second step (8 s / 2), two passes a step (2 x 3 s), rewards 1 s / 2:
    # 4 + 0.5 + 6 = 10.5 of 12 seconds, and 1.5 for all else.
    log = [{"step": 1, "seconds/rollout": 8.0, "seconds/reward": 1.0, "seconds/update": 3.0,
            "step_time": 12.0}]  # fmt: skip
    found = seconds_a_step(log, rollouts=0.5, updates=2)
    assert found == {"rollouts": 4.0, "rewards": 0.5, "updates": 6.0, "all else": 1.5}
    assert seconds_a_step([{"step": 1, "step_time": 3.0}], rollouts=1, updates=1) == {}
