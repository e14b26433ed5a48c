"""Which columns are held against error, under which names, and what is one cluster."""

import numpy as np
import polars as pl

from durian.analysis.one_run.columns import candidates, numbers, slice_columns

MEASURES = {"pixel_entropy": "higher", "mean_logprob": "lower", "mean_tokens": "higher"}
TABLE = pl.DataFrame(
    {
        "sample_id": ["a", "b", "c", "d"],
        "row": [0, 1, 2, 3],
        "copies": [1, 1, 1, 2],
        "n_images": [1, 1, 2, 0],
        "width": [64, 64, 64, None],
        "height": [64, 32, 64, None],
        "pixel_entropy": [1.0, 2, 3, None],
        "mean_logprob": [-1.0, -2, -3, -4],
        "mean_tokens": [5.0, 5, 5, 5],
        "pass_rate": [0.0, 0.5, 1.0, 1.0],
        "reward_mean": [0.1, 0.5, 1.0, 1.0],
    }
)


def dataset(**columns):
    return pl.DataFrame({"sample_id": TABLE["sample_id"], **columns})


def test_measures_baseline_and_what_varies_are_held_against_error():
    found = candidates(TABLE, MEASURES, dataset(image_id=list("wxyz"), clutter=[0.1, 0.2, 0.3, 0]))
    # width is 64 wherever it is known; results and bookkeeping are no difficulty.
    assert {name: of.kind for name, of in found.items()} == {
        "pixel_entropy": "measure",
        "mean_logprob": "measure",
        "mean_tokens": "baseline",
        "n_images": "column",
        "height": "column",
        "clutter": "column",
    }
    assert found["mean_logprob"].harder == "lower" and found["clutter"].harder is None


def test_a_name_that_the_table_has_too_is_the_datasets():
    given = dataset(height=[1.0, 2, 3, 4], pass_rate=[4.0, 3, 2, 1], kind=list("aabb"))
    found = candidates(TABLE, MEASURES, given)
    assert found["height"].values.tolist()[:2] == [64, 32]
    assert found["dataset: height"].values.tolist() == [1, 2, 3, 4]
    assert "pass_rate" not in found and "dataset: pass_rate" in found


def test_a_dataset_may_even_use_our_prefix():
    given = dataset(**{"height": [1.0, 2, 3, 4], "dataset: height": [5.0, 6, 7, 8]})
    found = candidates(TABLE, MEASURES, given)
    assert found["dataset: height"].values.tolist() == [1, 2, 3, 4]
    assert found["dataset: dataset: height"].values.tolist() == [5, 6, 7, 8]


def test_what_is_not_finite_is_missing_and_what_is_constant_is_left_out():
    given = dataset(
        odd=[1.0, float("nan"), float("inf"), 2.0],
        same=[3.0, 3, None, float("nan")],
        none=pl.Series([None] * 4, dtype=pl.Float64),
    )
    found = candidates(TABLE, MEASURES, given)
    assert np.isnan(found["odd"].values).tolist() == [False, True, True, False]
    assert "same" not in found and "none" not in found
    assert np.isnan(numbers(pl.Series([None, 1.5])))[0]
    # Two of these add up to infinity.
    assert np.isnan(numbers(pl.Series([1e308, -1e308, 1e99]))).tolist() == [True, True, False]


def test_slices_are_texts_of_2_to_20_values():
    n = 50
    given = pl.DataFrame(
        {
            "sample_id": [f"s{i}" for i in range(n)],
            "image_id": ["x", "y"] * 25,
            "kind": ["a", "b"] * 25,
            "one": ["a"] * n,
            "twenty": [str(i % 20) for i in range(n)],
            "many": [str(i % 21) for i in range(n)],
            "some": ["a", None] * 24 + ["b", None],
            "number": [float(i) for i in range(n)],
        }
    )
    assert list(slice_columns(pl.DataFrame(), given, {"kind"})) == [
        "dataset: kind",
        "twenty",
        "some",
    ]
    assert slice_columns(pl.DataFrame(), None, set()) == {}


def test_the_kind_of_the_reference_is_a_slice_where_there_are_several():
    kinds = pl.DataFrame({"answer_kind": ["number", "choice", None], "error": ["a", "b", "c"]})
    assert slice_columns(kinds, None, set()) == {"answer_kind": ["number", "choice", None]}
    assert slice_columns(kinds.head(1), None, set()) == {}
