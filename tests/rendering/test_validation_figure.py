"""The picture of a training's validations: a panel of all, one a grouping, the best marked."""

import numpy as np

from durian.analysis.evaluation import Accuracy, GroupAccuracy
from durian.rendering import figures
from durian.rendering.validation_figure import draw_validations
from tests.analysis.test_validation import rates, validated, validations


def accuracy(value, low=None, high=None):
    return Accuracy(accuracy=value, low=low, high=high, n=12, interval="wilson")


def found(**changes):
    """Three validations, of three perceptual groups, six bins and a text column of one value."""
    many = []
    for step, level in ((0, 0.2), (5, 0.6), (10, 0.4)):
        one = validated(step, level, level / 2)
        one.groups.clear()
        one.groups["perceptual"] = [
            GroupAccuracy(group=name, n=12, greedy=accuracy(level + more, level, level + 0.3),
                          sampled=accuracy(more))
            for name, more in (("easy", 0.2), ("medium", 0.1), ("hard", 0.0))
        ]  # fmt: skip
        one.groups["reasoning"] = [
            GroupAccuracy(group=n, n=2, greedy=accuracy(level + n / 20)) for n in range(6)
        ]
        one.groups["kind"] = [GroupAccuracy(group="$x$", n=12, greedy=accuracy(level))]
        many.append(one)
    return validations(*many, **changes)


def drawn(axes):
    """The lines of a panel by their names."""
    return {line.get_label(): np.array(line.get_xydata()).tolist() for line in axes.get_lines()
            if not line.get_label().startswith("_")}  # fmt: skip


def test_each_grouping_has_a_panel_and_a_column_of_one_value_has_none():
    panels = draw_validations(found()).axes
    titles = [axes.get_title(loc="left") for axes in panels if axes.axison]
    assert titles == ["Accuracy on the validation set", "By perceptual group, greedy",
                      "By reasoning bin (4 of 6), greedy"]  # fmt: skip
    assert drawn(panels[0]) == {"greedy": [[0, 0.2], [5, 0.6], [10, 0.4]],
                                "sampled": [[0, 0.1], [5, 0.3], [10, 0.2]]}  # fmt: skip
    assert drawn(panels[1])["hard"] == [[0, 0.2], [5, 0.6], [10, 0.4]]
    # Of six bins the ends and two between: 0, 5/3, 10/3 and 5.
    assert list(drawn(panels[2])) == ["bin 0", "bin 2", "bin 3", "bin 5"]
    colours = {line.get_label(): line.get_color() for axes in panels for line in axes.get_lines()}
    assert colours["bin 0"] == colours["hard"] == figures.ORANGE
    assert colours["bin 5"] == colours["easy"] == figures.GREEN


def test_the_best_is_marked_and_groups_are_of_the_metrics_way():
    panels = draw_validations(found(metric="sampled")).axes
    assert [text.get_text() for text in panels[0].texts] == ["best"]
    assert panels[0].texts[0].xy == (5, 0.3)
    assert len([axes for axes in panels if axes.axison]) == 2  # the bins have only greedy ones
    assert drawn(panels[1])["easy"] == [[0, 0.2], [5, 0.2], [10, 0.2]]
    assert not draw_validations(found(metric="greedy/perceptual_hard")).axes[0].texts


def test_a_group_that_came_later_or_is_missing_once_is_drawn_where_it_is():
    known = found()
    del known.validations[1].groups["perceptual"][2]
    assert drawn(draw_validations(known).axes[1])["hard"] == [[0, 0.2], [10, 0.4]]


def test_a_narrow_picture_has_its_panels_below_each_other():
    figure = draw_validations(found(), width=figures.NARROW)
    boxes = [axes.get_gridspec().ncols for axes in figure.axes]
    assert set(boxes) == {1}
    assert rates(0.5).low == 0.25  # the intervals are planted, and drawn as bands
    assert len(draw_validations(found()).axes[1].collections) == 3
