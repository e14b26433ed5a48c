"""The page of a training: what is drawn of a log, which panels share axes, what it says."""

import json
from pathlib import Path

import pytest

from durian.analysis.training_log import part_means
from durian.rendering.training_figures import SECONDS, lines_of, training_figures
from durian.rendering.training_page import TrainingSummary, write_training
from tests.rendering.test_validation_figure import found

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
        "rewards/accuracy": 0.5,
        "rewards/format": 1.0,
        "completions/clipped_ratio": 0.0005,
    }
    for entry in PLAIN
]
LAST = {"step": 12, "train_runtime": 3.0, "train_loss": 0.1}  # transformers' closing entry


def drawn(log, seconds=None):
    """Figure name -> its axes."""
    return {each.name: each.drawn().axes for each in training_figures(log, seconds or {})}


def titles(axes):
    return [each.get_title(loc="left") for each in axes]


def test_a_durian_training_has_a_figure_for_each_thing_it_is_about():
    panels = drawn([*OURS, LAST])
    assert {name: titles(axes) for name, axes in panels.items()} == {
        "reward": ["Mean reward", "Share of completions"],
        "signal": ["Samples without variance", "Extreme samples"],
        "spread": ["Std of rewards by perceptual group"],
        # One is good when it rises, the other when it falls: no axes of both.
        "drift": ["Kendall's tau", "Samples that would change their bin"],
        "length": ["Cut"],
        "optimizer": ["Loss"],
    }
    labels = [text.get_text() for text in panels["spread"][0].get_legend().get_texts()]
    assert labels == ["easy", "medium", "hard", "all"]
    assert {line.get_ydata()[0] for line in panels["spread"][0].lines} == {0.3, 0.4, 0.5}
    assert panels["reward"][0].get_legend() is None


def test_the_causes_that_ever_applied_have_a_panel_each_in_their_order():
    log = [
        {"step": step, "durian/why/solved": 0.1 * step, "durian/why/cut": 0.5 - 0.1 * step,
         "durian/why/looped": 0.0}
        for step in range(1, 4)
    ]  # fmt: skip
    assert titles(drawn(log)["causes"]) == ["Cut off", "Solved"]
    assert lines_of("causes")["durian/why/steady_wrong"] == "Steadily wrong"


def test_plain_grpo_is_drawn_without_what_durian_logs():
    panels = drawn([*PLAIN, LAST])
    assert {name: titles(axes) for name, axes in panels.items()} == {
        "reward": ["Mean reward"], "spread": ["Std of rewards"], "optimizer": ["Loss"],
    }  # fmt: skip


def test_the_raw_line_lies_under_its_running_mean_whose_width_the_caption_names():
    raw, smooth = drawn(PLAIN)["reward"][0].lines
    assert raw.get_xdata().tolist() == smooth.get_xdata().tolist() == list(STEPS)
    assert raw.get_ydata().tolist() == [step / 20 for step in STEPS]
    # Seven around the sixth step: its own value on a straight line. The first four: (1+2+3+4)/80.
    assert smooth.get_ydata()[5] == pytest.approx(6 / 20)
    assert smooth.get_ydata()[0] == pytest.approx(10 / 80)
    assert raw.get_alpha() < 0.5 and raw.get_linewidth() < smooth.get_linewidth()
    caption = training_figures(PLAIN, {})[0].caption
    assert caption.endswith("Thick: the running mean of 7 of them.")
    assert training_figures(PLAIN[:2], {})[0].caption.endswith("Each logged step is a dot.")


def test_a_short_training_is_dots_and_not_smoothed():
    axes = drawn([{"step": 3, "reward": 0.25}])["reward"][0]
    assert axes.lines[1].get_marker() == "o" and axes.get_xlim() == (2, 4)
    two = drawn([{"step": 1, "reward": 0.0}, {"step": 2, "reward": 1.0}])["reward"][0].lines[1]
    assert two.get_ydata().tolist() == [0.0, 1.0]


def test_small_shares_have_ticks_that_tell_them_apart_and_a_constant_is_not_magnified():
    figure = next(each for each in training_figures(OURS, {}) if each.name == "length").drawn()
    figure.draw_without_rendering()
    ticks = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert len(set(ticks)) == len(ticks) and any("." in tick for tick in ticks)
    assert figure.axes[0].get_ylim() == (0, 0.001)  # twice the constant 0.0005


def test_the_seconds_of_a_step_are_bars_from_the_first_to_the_last():
    axes = drawn(PLAIN, {"rollouts": 3.0, "updates": 6.5})[SECONDS][0]
    assert [bar.get_width() for bar in axes.patches] == [3.0, 6.5]
    assert axes.yaxis_inverted()
    assert [text.get_text() for text in axes.texts] == ["3", "6.5"]


def test_the_page_shows_the_validation_first_and_holds_every_name_as_text(tmp_path: Path):
    hostile = "<script>alert(1)</script>"
    summary = TrainingSummary(
        title=hostile,
        created="2026-02-03T04:05:06+00:00",
        facts={"Policy": hostile, "Normalizer": "durian"},
        sentences=[f"Of {hostile}."],
        logged=part_means([*OURS, LAST]),
        seconds_a_step={"rollouts": 1.0},
        validation=found(),
    )
    write_training(tmp_path / "training", [*OURS, LAST], summary)
    page = (tmp_path / "training" / "index.html").read_text(encoding="utf-8")
    assert hostile not in page and page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
    places = [page.index(f'<figure id="{name}">') for name in ("validation", "reward", "seconds")]
    assert places == sorted(places)
    # Twelve steps in five parts, of 3, 3, 2, 2 and 2; the reward's means (1+2+3)/60, ...
    for said in ("steps 1 to 3", "steps 11 to 12", "<code>durian/no_variance</code>", "0.575"):
        assert said in page, said
    assert "greedy/perceptual_hard" in page  # the numbers of a validation
    files = {path.name for path in (tmp_path / "training").iterdir()}
    assert {"index.html", "summary.json", "reward.svg", "reward.png", "validation.png"} <= files
    numbers = json.loads((tmp_path / "training" / "summary.json").read_text())
    assert numbers["logged"]["reward"][0]["mean"] == pytest.approx(0.1)
    assert "train_loss" not in numbers["logged"]


def test_a_training_that_logged_nothing_has_a_page_without_figures(tmp_path: Path):
    summary = TrainingSummary(
        title="a", created="2026-02-03", facts={}, sentences=[], logged=part_means([LAST]),
        seconds_a_step={}, validation=None,
    )  # fmt: skip
    write_training(tmp_path, [LAST], summary)
    assert "<figure" not in (tmp_path / "index.html").read_text()


def test_every_line_of_a_figure_has_a_name_of_its_own_in_the_table():
    names = lines_of("spread")
    assert names["durian/std/perceptual_hard"] == "Std of rewards by perceptual group: hard"
    assert names["durian/largest_advantage"] == "Largest advantage"
    assert len(set(names.values())) == len(names)
