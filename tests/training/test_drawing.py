"""Rollout batches that a curriculum draws: their form, their samples, and a training cut short."""

import json
import shutil
from itertools import groupby

import numpy as np
import polars as pl
import pytest
import torch
from trl.trainer.utils import RepeatSampler

from durian.config import TrainConfig
from durian.errors import ConfigError
from durian.table.join import open_table
from durian.train import train_policy
from durian.training.drawing import Drawing, DrawnOrder, drawing_of, expected_of
from tests.training.hand import equal, weights_of

SIZES = {"data_source": range(9), "mini_repeat_count": 2, "batch_size": 3, "repeat_count": 2}


class Counting:
    """A curriculum of 9 samples that draws the numbers in their order, and keeps what it learns."""

    def __init__(self):
        self.at, self.learnt = 0, []

    def draw(self):
        self.at += 3
        return np.arange(self.at - 3, self.at) % 9

    def update(self, sample, right, drawn):
        self.learnt.append([sample.tolist(), right.tolist(), drawn.tolist()])

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


def order_of(curriculum):
    return DrawnOrder(Drawing(curriculum, {f"s{n}": n for n in range(9)}, list(range(9))), **SIZES)


def test_drawn_batches_have_the_form_of_trls_order():
    trl = RepeatSampler(**SIZES, shuffle=False)
    assert (list(order_of(Counting())), len(order_of(Counting()))) == (list(trl), len(trl))


def test_a_batch_is_drawn_when_it_is_asked_for_and_the_same_in_each_pass_of_an_epoch():
    curriculum = Counting()
    order = order_of(curriculum)
    first = iter(order)
    assert [next(first) for _ in range(12)] and curriculum.at == 3
    assert next(first) == 3 and curriculum.at == 6
    assert list(order)[:24] == list(order)[:24] and curriculum.at == 9
    order.set_epoch(0)
    assert list(order)[0] == 0
    order.set_epoch(1)
    assert list(order) and curriculum.at == 18


def test_a_batch_that_was_fetched_before_a_checkpoint_stays_in_it():
    order = order_of(Counting())
    order.set_epoch(4)
    fetched = iter(order)
    before = [next(fetched) for _ in range(13)]  # of the second batch, one
    resumed = order_of(Counting())
    resumed.restore(json.loads(json.dumps(order.state())))
    resumed.set_epoch(4)
    assert list(resumed)[:13] == before
    assert list(order) == list(resumed)


def test_a_curriculum_learns_from_correctness_of_what_could_be_judged():
    curriculum = Counting()
    correct = torch.tensor([[True, False, True], [False, False, False]])
    scored = torch.tensor([[True, True, True], [True, False, False]])
    order = order_of(curriculum)
    numbers = torch.tensor(order.numbers(["s4", "s0"]))
    order.update(numbers, correct, scored)
    assert curriculum.learnt == [[[4, 0], [2.0, 0.0], [3.0, 1.0]]]


@pytest.fixture(scope="module")
def opened(settings):
    """A way to open the table under an order."""

    def opened(**given):
        config = TrainConfig(**settings | {"out": "unused"} | given)
        return config, open_table(config)

    return opened


def test_the_frontier_begins_at_what_the_table_knows(opened, run):
    config, table = opened(order="frontier", frontier_prior=2)
    frame = pl.read_parquet(run / "difficulty.parquet")
    ids = [*frame["sample_id"], "unknown"]
    drawing = drawing_of(config, table, ids, batch=4, seed=0)
    right = (frame["pass_rate"] * frame["rollouts"]).to_list() + [0]
    wrong = ((1 - frame["pass_rate"]) * frame["rollouts"]).to_list() + [0]
    mean = sum(right) / (sum(right) + sum(wrong))
    pairs = zip(right, wrong, strict=True)
    sums = [(2 * mean + r, 2 * (1 - mean) + w) for r, w in pairs]
    expected = [a * b / ((a + b) * (a + b + 1)) for a, b in sums]
    assert drawing.curriculum.weights() == pytest.approx(expected)


def test_rows_of_one_sample_are_one_to_a_curriculum(opened, run):
    config, table = opened(order="frontier")
    ids = pl.read_parquet(run / "difficulty.parquet")["sample_id"].to_list()
    drawing = drawing_of(config, table, [ids[0], ids[1], ids[0], ids[2]], batch=3, seed=0)
    assert drawing.rows == [0, 1, 3]
    assert sorted(drawing.curriculum.draw().tolist()) == [0, 1, 2]
    with pytest.raises(ConfigError, match="only 2 different ones; pass --rollout-batch 2 or less"):
        drawing_of(config, table, [ids[0], ids[1], ids[0]], batch=3, seed=0)


def test_an_estimate_counts_for_the_completions_that_would_leave_its_uncertainty(
    settings, run, tmp_path
):
    # Mean 0.25 and variance 0.0125: 0.1875 / 0.0125 - 1 = 14 completions, 3.5 of them right.
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "difficulty.parquet"
    frame = pl.read_parquet(file)
    metadata = pl.read_parquet_metadata(file)
    first = pl.int_range(pl.len()) == 0
    nothing = pl.when(first).then(None)
    frame = frame.with_columns(
        nothing.otherwise(pl.col("pass_rate")).alias("pass_rate"),
        pl.when(first).then(0).otherwise(pl.col("rollouts")).cast(pl.Int32).alias("rollouts"),
        pl.when(first).then(0.75).alias("difficulty"),
        pl.when(first).then(0.0125**0.5).alias("difficulty_sd"),
    )
    frame.write_parquet(file, metadata={"durian.schema": metadata["durian.schema"]})
    table = open_table(
        TrainConfig(**settings | {"table": str(tmp_path / "run"), "out": "x", "order": "frontier"})
    )
    assert (table.right[0], table.wrong[0]) == pytest.approx((3.5, 10.5))


def test_an_order_by_the_pass_rate_of_a_table_that_has_none_is_refused(settings, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "difficulty.parquet"
    metadata = pl.read_parquet_metadata(file)
    none = [pl.lit(None, pl.Float64).alias(name) for name in ("pass_rate", "difficulty")]
    pl.read_parquet(file).with_columns(none).write_parquet(
        file, metadata={"durian.schema": metadata["durian.schema"]}
    )
    given = settings | {"table": str(tmp_path / "run"), "out": "x", "order": "pools"}
    with pytest.raises(ConfigError, match="order is 'pools', by the pass rate, which no sample"):
        open_table(TrainConfig(**given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"frontier_decay": 0.9}, "frontier-decay is for order frontier, and order is shuffle"),
        ({"order": "frontier", "pools": {"easy": 1}}, "pools is for order pools, and order is fro"),
        ({"order": "pools", "pools": {"simple": 1}}, "pools has no 'simple'; name easy, medium or"),
        ({"order": "pools", "pools": {"easy": "many"}}, "pools: easy is 'many'; it must be a numb"),
        ({"order": "pools", "pools": {"easy": 0}}, "pools gives no pool a share"),
        ({"order": "frontier", "frontier_prior": 0}, "frontier-prior is 0; it must be above 0"),
        ({"order": "frontier", "frontier_decay": 2}, "frontier-decay is 2; it must be "),
    ],
)
def test_what_an_order_cannot_be_told_is_refused(settings, given, said):
    with pytest.raises(ConfigError) as refused:
        TrainConfig(**settings | {"out": "unused"} | given)
    assert said in str(refused.value)


def test_a_dry_run_tells_what_each_order_should_draw(opened, run):
    ids = pl.read_parquet(run / "difficulty.parquet")["sample_id"].to_list()
    sizes = {"batch": 4, "seed": 0, "completions": 4}
    assert expected_of(*opened(), ids, **sizes) is None
    frontier = expected_of(*opened(order="frontier", frontier_prior=0.5), ids, **sizes)
    assert frontier.pools is None
    assert frontier.without_variance["frontier"] < frontier.without_variance["shuffle"]
    pools = expected_of(*opened(order="pools"), ids, **sizes)
    assert list(pools.without_variance) == ["shuffle", "pools"]
    assert list(pools.pools) == ["easy", "medium", "hard"] and sum(pools.pools.values()) == len(ids)
    few = {"easy": 1.0} if pools.pools["easy"] < 20 else {"hard": 1.0}
    with pytest.raises(ConfigError, match="order pools: pools of .* for a batch of 20; give more"):
        expected_of(*opened(order="pools", pools=few), ids, **sizes | {"batch": 20})


@pytest.fixture(scope="module")
def frontier(settings, rows, tmp_path_factory):
    """The settings and the folder of a training at the frontier: two epochs of two batches."""
    place = tmp_path_factory.mktemp("frontier")
    pl.read_parquet(rows).head(8).write_parquet(place / "few.parquet")
    grpo = settings["grpo"] | {"max_steps": 8}
    # Rewards are shaped, so that a right completion may earn less than one half: of 40 tokens, 3.
    given = settings | {"order": "frontier", "dataset": str(place / "few.parquet"), "grpo": grpo}
    given |= {"overlong_buffer": 40, "overlong_penalty": 3.0}
    train_policy(TrainConfig(**given, out=str(place / "whole")))
    return given, place / "whole"


def test_a_training_at_the_frontier_draws_by_what_its_completions_showed(frontier, run):
    given, whole = frontier
    config = TrainConfig(**given, out="unused")
    table = open_table(config)
    logged = [pl.read_parquet(file) for file in sorted(whole.glob("completions/*.parquet"))]
    assert len(logged) == 8  # steps, two a rollout batch
    assert all((batch["reward"] < 0.5).all() for batch in logged)
    known = pl.read_parquet(run / "difficulty.parquet")
    answers = dict(zip(known["sample_id"], known["answer"], strict=True))

    def wanted(names):
        return [(name, f"boxed{{{answers[name]}}}") for name in names]

    # By hand, from the log: a batch is drawn after the one before it was learnt from, since each
    # is passed over twice.
    order = json.loads((whole / "checkpoint-8" / "durian.json").read_text())["states"]["order"]
    names = list(table.number)[:8]  # the dataset is the first rows of the profile's
    drawing = drawing_of(config, table, names, batch=4, seed=42)
    for batch in logged[::2]:
        drawn = [names[number] for number in drawing.curriculum.draw()]
        seen = [name for name, _ in groupby(batch["sample_id"])]
        assert seen == drawn and len(set(seen)) == 4
        texts = {name: own["completion"] for (name,), own in batch.group_by("sample_id")}
        right = [
            sum(boxed in said[0]["content"] for said in texts[name].to_list())
            for name, boxed in wanted(seen)
        ]
        numbers = np.array([drawing.number[name] for name in seen])
        drawing.curriculum.update(numbers, np.array(right, float), np.full(4, 4.0))
    assert order["curriculum"] == drawing.curriculum.state_dict()


def test_a_training_at_the_frontier_cut_in_its_second_epoch_resumes_to_the_same_weights(
    frontier, tmp_path
):
    given, whole = frontier
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    shutil.rmtree(cut / "checkpoint-8")
    for name in ("manifest.json", "model.safetensors", "log.json"):
        (cut / name).unlink()
    train_policy(TrainConfig(**given, out=str(cut)))
    assert equal(weights_of(whole), weights_of(cut))
    marks = [json.loads((out / "checkpoint-8" / "durian.json").read_text()) for out in (whole, cut)]
    assert marks[0] == marks[1]
