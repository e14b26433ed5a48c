"""Calling measures: what fails is a reason, and the others stand."""

import pytest

from durian.measures import Column, ImageMeasure
from durian.measuring.taking import Taken, take


def measure(name, *columns):
    return ImageMeasure(
        name=name,
        columns=tuple(Column(name=column, meaning="", words=f"the {column}") for column in columns),
        take=lambda images: {},
    )


def fails():
    raise ValueError("too small")


def test_a_measure_that_fails_is_a_reason_and_the_others_stand():
    found = take(
        [
            (measure("a", "x", "y"), lambda: {"x": 1.0, "y": None}),
            (measure("b", "z"), fails),
            (measure("c", "w"), lambda: {"w": "word"}),
        ]
    )
    assert found == Taken({"x": 1.0, "y": None, "w": "word"}, "no the z: too small")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_measure_puts_nan_or_infinity_into_a_table(value):
    found = take([(measure("a", "x", "y"), lambda: {"x": 1.0, "y": value})])
    assert found == Taken({}, f"no the x: y is {value}")


def test_a_column_that_is_not_declared_is_a_mistake_of_the_measure():
    with pytest.raises(KeyError, match="the measure a declares no column z"):
        take([(measure("a", "x"), lambda: {"z": 1.0})])
