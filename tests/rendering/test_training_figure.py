"""The picture of a training: what is drawn of a log, and how it is smoothed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from durian.rendering.training_figure import (
    draw_training,
    logged,
    running_mean,
    training_figure,
)

STEPS = range(1, 13)
PLAIN = [{"step": step, "reward": step / 20, "reward_std": 0.4, "loss": 0.0} for step in STEPS]
OURS = [
    {
        **entry,
        "durian/std/perceptual_easy": 0.3,
        "durian/std/perceptual_medium": 0.4,
        "durian/std/perceptual_hard": 0.5,
        "durian/drift/kendall_tau": 0.9,
        "durian/drift/changed_bin": 0.1,
        "durian/no_variance": 0.25,
        "durian/extreme": 0.5,
    }
    for entry in PLAIN
]
LAST = {"step": 12, "train_runtime": 3.0, "train_loss": 0.1}  # transformers' closing entry


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


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


def test_a_durian_training_has_four_panels():
    reward, std, drift, shares = draw_training([*OURS, LAST]).axes
    assert titles(reward.figure) == [
        "Reward of sampled completions",
        "Std of rewards by perceptual group",
        "Drift from the table's confidence",
        "No-variance and extreme samples",
    ]
    labels = [text.get_text() for text in std.get_legend().get_texts()]
    assert labels == ["easy", "medium", "hard", "all"]
    assert reward.get_legend() is None
    assert len(drift.lines) == len(shares.lines) == 4  # two keys, each raw and smoothed
    assert shares.get_ylim()[0] == 0
    assert {line.get_ydata()[0] for line in std.lines} == {0.3, 0.4, 0.5}


def test_it_says_what_was_trained_and_takes_no_name_for_a_formula(tmp_path):
    lines = ["org/model", "table runs/$\\frac$, measured with it", "normalizer durian"]
    figure = draw_training(PLAIN, lines)
    assert figure.get_suptitle().replace(r"\$", "$").split("\n") == lines
    assert len(training_figure(PLAIN, tmp_path / "training", lines)) == 2  # it can be drawn


def test_the_raw_line_lies_under_its_running_mean():
    raw, smooth = draw_training(PLAIN).axes[0].lines
    assert raw.get_xdata().tolist() == smooth.get_xdata().tolist() == list(STEPS)
    assert raw.get_ydata().tolist() == [step / 20 for step in STEPS]
    # Seven around the sixth step: its own value on a straight line. The first four: (1+2+3+4)/80.
    assert smooth.get_ydata()[5] == pytest.approx(6 / 20)
    assert smooth.get_ydata()[0] == pytest.approx(10 / 80)
    assert raw.get_alpha() < 0.5 and raw.get_linewidth() < smooth.get_linewidth()


def test_plain_grpo_is_drawn_without_durians_panels():
    figure = draw_training([*PLAIN, LAST])
    assert titles(figure) == ["Reward of sampled completions", "Std of rewards"]


def test_a_long_training_is_smoothed_over_a_twentieth():
    # 400 steps of 0 and 1 in turn; 21 around each: 10 or 11 of 21 are 1.
    log = [{"step": step, "reward": step % 2} for step in range(400)]
    smooth = draw_training(log).axes[0].lines[1].get_ydata()
    assert set(smooth[50:350].tolist()) == {10 / 21, 11 / 21}


def test_a_short_training_is_dots_and_not_smoothed():
    (axes,) = draw_training([{"step": 3, "reward": 0.25}]).axes
    assert axes.lines[1].get_marker() == "o" and axes.get_xlim() == (2, 4)
    two = draw_training([{"step": 1, "reward": 0.0}, {"step": 2, "reward": 1.0}]).axes[0].lines[1]
    assert two.get_ydata().tolist() == [0.0, 1.0]


def test_files_are_the_same_for_the_same_log(tmp_path: Path):
    files = training_figure(OURS, tmp_path / "training")
    assert [file.name for file in files] == ["training.svg", "training.png"]
    again = training_figure(OURS, tmp_path / "again")
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]
    with Image.open(files[1]) as image:
        assert image.size == (1280, 960)  # 8 x 6 inches at 160 dots


@pytest.mark.parametrize("log", [[], [LAST], [{"step": 1, "reward": float("nan")}]])
def test_nothing_logged_writes_nothing(log, tmp_path: Path):
    assert training_figure(log, tmp_path / "training") == []
    assert list(tmp_path.iterdir()) == []
