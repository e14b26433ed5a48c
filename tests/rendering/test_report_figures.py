"""The figures of a report: whatever columns are called, and however many there are."""

from xml.etree import ElementTree

import pytest

from durian.rendering.figures import encode_figure, label
from durian.rendering.group_figures import slices
from durian.rendering.measure_figures import curves
from durian.rendering.report_figures import COLUMNS_DRAWN, drawn_measures

RATE = {"value": 0.5, "low": 0.4, "high": 0.6}
NAMES = [
    "$\\frac{1}{$",
    "_hidden",
    "难度",
    "\ud800",
    "a\nb\x00",
    "<b>&amp;",
    "x" * 500,
    "",
    "{0} %s",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_column_or_value_can_be_drawn(name):
    points = [{"mean": mean, "error_rate": RATE, "isotonic": 0.5} for mean in (1.0, 2.0)]
    for figure in (
        curves({name: points}, {}, 4.2),
        slices({name: [{"group": name, "error_rate": RATE}]}, 4.2),
    ):
        ElementTree.fromstring(encode_figure(figure, "svg"))  # well-formed


def test_characters_without_a_shape_are_boxes_and_dollars_are_dollars():
    assert label("a难b") == "a□b"
    assert label("$x$") == r"\$x\$"


def test_columns_that_predict_error_best_are_drawn_and_no_more_than_fit():
    measures = {"pixel_entropy": {"kind": "measure", "auroc": {"value": None}}}
    for k in range(20):
        measures[f"c{k}"] = {"kind": "column", "auroc": {"value": 0.5 + k / 100}}
    drawn = drawn_measures(measures)
    assert drawn[0] == "pixel_entropy"
    assert drawn[1:] == [f"c{k}" for k in range(20 - COLUMNS_DRAWN, 20)]
