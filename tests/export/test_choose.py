"""Quotas, draws, parts, order and control: planted tables, shares worked out by hand."""

import json

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durian.config import ExportConfig
from durian.errors import ConfigError
from durian.exporting.choose import choose, quotas
from durian.exporting.pool import open_pool
from durian.schema import DIFFICULTY, arrow_schema
from tests.manifests import manifest

N = 600


def plant(folder, first=0, n=N):
    """Samples of which 300 are of kind a, 200 of b, 100 of c; two share an image."""
    numbers = np.arange(first, first + n)
    kinds = np.array(["a", "a", "a", "b", "b", "c"])[numbers % 6]
    filled = {
        "sample_id": [f"{k:032x}" for k in numbers], "row": numbers, "copies": [1] * n,
        "problem": ["q"] * n, "answer": ["1"] * n, "n_images": [1] * n,
        "pixel_entropy": numbers % 7 + 1.0, "mean_logprob": -(numbers % 11) - 1.0,
        "pass_rate": (numbers % 9) / 8, "perceptual_group": ["easy"] * n,
        "reasoning_group": [0] * n,
    }  # fmt: skip
    schema = arrow_schema(DIFFICULTY)
    arrays = [pa.array(filled.get(f.name, [None] * n), f.type) for f in schema]
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(arrays, schema=schema), folder / "difficulty.parquet")
    pl.DataFrame(
        {
            "sample_id": filled["sample_id"],
            "image_id": [f"{k // 2:032x}" for k in numbers],
            "kind": kinds,
        }
    ).write_parquet(folder / "columns.parquet")
    (folder / "manifest.json").write_text(json.dumps(manifest()))
    return str(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """300 samples, of which the first 100 are the last ones of the first run."""
    return plant(tmp_path_factory.mktemp("planted"), first=500, n=300)


def chosen(*runs, **settings):
    config = ExportConfig(runs=runs, to="parquet", out="o", **settings)
    pool = open_pool(config)
    return pool, choose(config, pool, np.ones(len(pool), np.bool_))


def kinds_of(pool, places):
    counts = np.bincount(pool.category[places], minlength=len(pool.categories))
    return dict(zip(pool.categories, counts.tolist(), strict=True))


def test_quotas_by_hand():
    # 60 by 2 1 1: 30 15 15. Of the last only 5 are there: its 10 go to the others by 2 to 1.
    assert quotas(60, np.array([2.0, 1, 1]), np.array([99, 99, 99])).tolist() == [30, 15, 15]
    assert quotas(60, np.array([2.0, 1, 1]), np.array([99, 99, 5])).tolist() == [37, 18, 5]
    assert quotas(10, np.array([1.0, 1, 1]), np.array([99, 99, 99])).tolist() == [4, 3, 3]
    # Without a total, the most of which 0.7 and 0.3 hold: 70 of 70, and 30 with them.
    assert quotas(None, np.array([0.7, 0.3]), np.array([70, 99])).tolist() == [70, 30]
    assert quotas(50, np.array([1.0, 0]), np.array([9, 99])).tolist() == [9, 0]


@given(
    st.integers(1, 500),
    st.lists(st.tuples(st.floats(0.01, 10), st.integers(0, 200)), min_size=1, max_size=8),
)
def test_quotas_sum_to_the_total_and_keep_within_what_there_is(total, kinds):
    shares, available = (np.array(column) for column in zip(*kinds, strict=True))
    found = quotas(total, shares, available)
    assert (found >= 0).all() and (found <= available).all()
    assert found.sum() == min(total, available.sum())


def test_a_draw_has_its_size_and_equal_shares(run):
    pool, found = chosen(run, select=90, balance="kind")
    assert kinds_of(pool, found.sets["train"]) == {"a": 30, "b": 30, "c": 30}
    _, again = chosen(run, select=90, balance="kind")
    assert again.sets["train"].tolist() == found.sets["train"].tolist()
    _, other = chosen(run, select=90, balance="kind", seed=1)
    assert other.sets["train"].tolist() != found.sets["train"].tolist()


def test_shares_can_be_given_and_a_kind_without_one_is_left_out(run):
    pool, found = chosen(run, select=90, balance="kind=a:1,c:2")
    assert kinds_of(pool, found.sets["train"]) == {"a": 30, "b": 0, "c": 60}


def test_balance_alone_takes_as_many_as_the_rarest_allows(run):
    pool, found = chosen(run, balance="kind")
    assert kinds_of(pool, found.sets["train"]) == {"a": 100, "b": 100, "c": 100}


def test_a_target_draws_the_near_ones_more_often(run):
    pool, found = chosen(run, select=120, target="pass_rate ~ 0.5 +- 0.125")
    # Eighths away: weights w = exp(-k^2 / 2) = 1, 0.61, 0.135, 0.011, 0.0003, about 67 of each.
    # Drawn without replacement each is among the 120 with 1 - exp(-t w), t = 1 as the sum over all
    # tells: 42 at 0.5, 2 x 31 beside it, 2 x 8 next, under one of the others.
    drawn = np.bincount(np.rint(pool.pass_rate[found.sets["train"]] * 8).astype(int), minlength=9)
    assert 28 < drawn[4] < 56 and 42 < drawn[3] + drawn[5] < 80 and 5 < drawn[2] + drawn[6] < 30
    assert drawn[[0, 1, 7, 8]].sum() < 8
    # However narrow: then the nearest are taken, which are 67 or so.
    pool, found = chosen(run, select=60, target="pass_rate ~ 0.5 +- 1e-300")
    assert set(pool.pass_rate[found.sets["train"]]) == {0.5}
    # Over many seeds, by their weights: 0.61 of a draw of one, while there are plenty of both.
    counts = np.zeros(9)
    for seed in range(60):
        _, few = chosen(run, select=6, target="pass_rate ~ 0.5 +- 0.125", seed=seed)
        counts += np.bincount(
            np.rint(pool.pass_rate[few.sets["train"]] * 8).astype(int), minlength=9
        )
    # Shares 1 and twice 0.61 of 2.5: 144 and 175 of 360, sd below 10.
    assert 100 < counts[4] < 190 and 130 < counts[3] + counts[5] < 220


def test_several_runs_are_mixed_by_share_and_no_sample_comes_twice(run, second):
    pool, found = chosen(run, second, select=100, mix=(0.7, 0.3))
    assert (len(pool), pool.repeated) == (800, 100)
    assert np.bincount(pool.run[found.sets["train"]]).tolist() == [70, 30]
    pool, found = chosen(run, second, mix=(0.5, 0.5), balance="kind")
    # Of the second run 200 are its own, 600 to 799: 33 of c, so 33 of each kind, and as many of the
    # first.
    assert kinds_of(pool, found.sets["train"]) == {"a": 66, "b": 66, "c": 66}


def test_filter_and_ids_leave_what_holds_for_both(run, tmp_path):
    _, found = chosen(run, filter="pass_rate = 0.5 AND kind = 'a'")
    # k % 9 == 4 and k % 6 in 0, 1, 2: k % 18 in 4, 13, of which 13 (1 mod 6) alone: 33 of 600.
    assert len(found.sets["train"]) == 33
    file = tmp_path / "ids.jsonl"
    file.write_text("".join(json.dumps({"sample_id": f"{k:032x}"}) + "\n" for k in (13, 14, 9999)))
    pool, found = chosen(run, filter="pass_rate = 0.5", ids=str(file))
    assert [pool.ids[k] for k in found.sets["train"]] == [f"{13:032x}"]
    parquet = tmp_path / "ids.parquet"
    pl.DataFrame({"anything": [f"{14:032x}"]}).write_parquet(parquet)
    pool, found = chosen(run, ids=str(parquet))
    assert found.sets["train"].tolist() == [14]


@pytest.mark.parametrize(("order", "first"), [("easy_first", -1.0), ("hard_first", -11.0)])
def test_order_goes_by_the_measure_behind_the_reasoning_groups(run, order, first):
    pool, found = chosen(run, order=order, limit=54)
    # mean_logprob runs through -1 to -11, each about 54 times; -1 is the surest.
    assert set(pool.confidence[found.sets["train"]]) == {first}
    assert (np.diff(found.sets["train"]) > 0).all()  # ties as in the dataset


def test_parts_have_their_shares_and_share_no_image(run):
    pool, found = chosen(run, parts="train=0.8,val=0.15,test=0.05")
    sizes = {name: len(places) for name, places in found.sets.items()}
    assert sizes == {"train": 480, "val": 90, "test": 30}
    images = [set(pool.clusters.codes[places]) for places in found.sets.values()]
    assert not images[0] & images[1] and not images[0] & images[2] and not images[1] & images[2]


def test_the_control_is_as_large_as_the_choice_by_category_and_not_in_other_parts(run):
    pool, found = chosen(
        run, filter="pass_rate > 0.7", select=60, balance="kind", control="random",
        parts="train=0.5,val=0.5",
    )  # fmt: skip
    train, val, control = found.sets.values()
    assert kinds_of(pool, control) == kinds_of(pool, train)
    assert not set(pool.clusters.codes[control]) & set(pool.clusters.codes[val])
    # By chance from all samples, not from those that the filter leaves.
    assert (pool.pass_rate[control] < 0.7).sum() > 10


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"balance": "kinds"}, "balance: no column 'kinds' in the table; did you mean 'kind'?"),
        ({"balance": "sample_id"}, "balance: 'sample_id' has 600 values; name a column with 100"),
        ({"balance": "kind=d:1"}, "balance: no sample has kind 'd'; there are a, b, c"),
        ({"balance": "kind=a"}, "balance is 'kind=a'; write COLUMN, or COLUMN=VALUE:SHARE"),
        ({"select": 601}, "select is 601, and 600 samples are left to draw from"),
        ({"select": 5, "target": "kind ~ 1 +- 1"}, "target: 'kind' holds no numbers"),
        ({"select": 5, "target": "pass_rat ~ 1 +- 1"}, "target: no column 'pass_rat' in the table"),
        ({"select": 5, "target": "pass_rate ~ 1"}, "write 'pass_rate ~ 0.5 +- 0.2'"),
        ({"select": 5, "target": "pass_rate ~ 1 +- 0"}, "write 'pass_rate ~ 0.5 +- 0.2'"),
        ({"select": 5, "target": "spectral_entropy ~ 1 +- 1"}, "and 0 samples that have spectral"),
        ({"target": "pass_rate ~ 1 +- 1"}, "target needs a number of samples to draw"),
        ({"filter": "pass_rate > 2"}, "filter: no sample of 600 passes 'pass_rate > 2'"),
        ({"filter": "pass_rat > 0"}, "filter: no column 'pass_rat' in the table; did you mean"),
        ({"mix": (0.5, 0.5)}, "mix has 2 shares for 1 runs; give one for each"),
        ({"mix": (0.0,)}, "mix is 0; each must be above 0"),
        ({"parts": "train=0.9,val=0.2"}, "whose shares sum to 1.1; they must sum to 1"),
        ({"parts": "train=1,train=0"}, "write names and shares: train=0.9,val=0.1"),
        ({"parts": "train=0.5,train=0.5"}, "parts: the name 'train' is taken; choose another"),
        ({"parts": "train=0.5,control=0.5"}, "parts: the name 'control' is taken"),
        ({"parts": "../x=1"}, "write names and shares: train=0.9,val=0.1"),
        ({"limit": 1, "parts": "train=0.5,val=0.5"}, "parts: 'val' would be empty"),
        ({"ids": "nowhere.jsonl"}, "ids: nowhere.jsonl: cannot be read"),
        ({"messages": "parts"}, "messages is 'parts', and parquet has none; leave it out"),
        ({"push_to_hub": "no slash"}, "push-to-hub is 'no slash'; write ORG/NAME"),
    ],
)  # fmt: skip
def test_a_choice_that_cannot_be_made_is_refused(run, settings, said):
    with pytest.raises(ConfigError) as refused:
        chosen(run, **settings)
    assert said in str(refused.value)


def test_ids_of_another_run_are_refused(run, tmp_path):
    file = tmp_path / "ids.jsonl"
    file.write_text('{"sample_id": "other"}\n')
    with pytest.raises(ConfigError, match="none of its 1 ids is in the table"):
        chosen(run, ids=str(file))
    file.write_text('{"a": "x", "b": "y"}\n')
    with pytest.raises(ConfigError, match=r"no column 'sample_id' \(found: a, b\)"):
        chosen(run, ids=str(file))
