"""The figures of a report: whatever columns are called, and however many there are."""

import math
from xml.etree import ElementTree

import pytest

from durian.analysis.one_run.against_error import Predictor
from durian.analysis.one_run.error_curve import CurvePoint
from durian.analysis.statistics.error_share import ErrorsOfGroup
from durian.analysis.statistics.estimate import Estimate
from durian.rendering.figures import bars, encode_figure, label
from durian.rendering.group_figures import slices
from durian.rendering.measure_figures import curves
from durian.rendering.report_figures import COLUMNS_DRAWN, drawn_measures

RATE = Estimate(value=0.5, low=0.4, high=0.6)
ERRORS = {"samples": 4, "completions": 8, "errors": 4, "error_share": RATE, "error_rate": RATE}
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
    points = [CurvePoint(group=0, mean=mean, isotonic=0.5, **ERRORS) for mean in (1.0, 2.0)]
    for figure in (
        curves({name: points}, {}, 4.2),
        slices({name: [ErrorsOfGroup(group=name, **ERRORS)]}, 4.2),
    ):
        ElementTree.fromstring(encode_figure(figure, "svg"))  # well-formed


def test_characters_without_a_shape_are_boxes_and_dollars_are_dollars():
    assert label("a难b") == "a□b"
    assert label("$x$") == r"\$x\$"


def test_columns_that_predict_error_best_are_drawn_and_no_more_than_fit():
    def predictor(kind, auroc):
        estimate = Estimate(value=auroc)
        return Predictor(
            n=9, kind=kind, harder="higher", auroc=estimate, spearman=estimate, kendall=estimate,
            aurc=estimate, excess_aurc=estimate, base_rate=0.5, curve=[], risk_coverage=[],
        )  # fmt: skip

    measures = {"pixel_entropy": predictor("measure", None)}
    for k in range(20):
        measures[f"c{k}"] = predictor("column", 0.5 + k / 100)
    drawn = drawn_measures(measures)
    assert drawn[0] == "pixel_entropy"
    assert drawn[1:] == [f"c{k}" for k in range(20 - COLUMNS_DRAWN, 20)]


def test_where_no_interval_is_no_bar_of_error_is_drawn_rather_than_one_of_no_length():
    below, above = bars([Estimate(value=0.5), Estimate(value=0.4, low=0.3, high=0.6)])
    assert math.isnan(below[0]) and math.isnan(above[0])
    assert (below[1], above[1]) == (pytest.approx(0.1), pytest.approx(0.2))
