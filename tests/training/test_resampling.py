"""Dynamic sampling: planted flat groups are drawn anew, and all that trains is the new sample's."""

import json
from collections import Counter
from itertools import count
from pathlib import Path

import datasets
import polars as pl
import pytest
import torch
from trl.trainer.utils import RepeatSampler

from durian.config import SamplingConfig, TrainConfig
from durian.engines.chat import load_chat
from durian.images.decode import decode
from durian.readers.dataset import open_dataset
from durian.samples import Score
from durian.train import train_policy
from durian.training import resampling
from durian.training.drawing import DrawnOrder
from durian.training.resampling import Drawn, DynamicSampling, Reserve
from durian.training.reward import Overlong, TrainingReward
from durian.training.trainer import DurianTrainer
from tests.training.hand import by_hand

# Samples of one kind are always flat; all others spread, whatever the policy writes.
PLANTED = """
REWARD_TYPE = "batch"

def reward(reward_inputs):
    flat = reward_inputs[0]["columns"]["kind"] == "colour"
    return [{"overall": 0.1 if flat else i % 2, "accuracy": 0 if flat else i % 2}
            for i, _ in enumerate(reward_inputs)]
"""


def named(names):
    return datasets.Dataset.from_dict({"sample_id": list(names), "answer": list(names)})


def score(reward, correct=False):
    return Score(reward=reward, correct=correct, formatted=None, answer=None)


def drawn(rows, scores):
    """The completions of rows, each named by its sample and number."""
    names = [f"{row['sample_id']}{n % 2}" for n, row in enumerate(rows)]
    of_rows = (list(names) for _ in range(5))  # no list is another
    ids, completion_ids, completions, logprobs, images = of_rows
    parts = (ids, completion_ids, None, completions, logprobs, {}, images, [])
    return Drawn(rows=list(rows), prompts=list(names), parts=parts, scores=scores)


def two_each(names, flat):
    """Two completions of each sample; those of flat ones have one reward."""
    rows = [{"sample_id": name} for name in names for _ in range(2)]
    return drawn(rows, [score(float(n % 2 and row["sample_id"] not in flat))
                        for n, row in enumerate(rows)])  # fmt: skip


class Order(Reserve):
    """The reserve in the order of the alphabet."""

    def _at(self, position):
        return position % len(self._ids)


@pytest.mark.parametrize(
    ("flat", "tries", "batch", "counts"),
    [
        # b and d are flat: e and f take their places.
        ("bd", 3, "aecf", (2, 2, 0)),
        # e is flat too: f takes b's place, and the next, g, in a second try d's.
        ("bde", 3, "afcg", (2, 3, 0)),
        # One try: d stays as it was.
        ("bde", 1, "afcd", (1, 2, 1)),
        # The reserve has no further sample after e to h: a passed one is not drawn again.
        ("bdefgh", 3, "abcd", (0, 4, 2)),
        ("", 3, "abcd", (0, 0, 0)),
    ],
)
def test_flat_groups_are_replaced_in_place_until_the_tries_end(flat, tries, batch, counts):
    made = two_each("abcd", flat)
    held = made.rows, made.prompts, made.parts  # TRL goes on with these very lists
    refilled = DynamicSampling(Order(named("abcdefgh"), 0), flat="spread", tries=tries).refill(
        made, lambda rows: two_each([row["sample_id"] for row in rows[::2]], flat), 2
    )
    names = [f"{name}{n}" for name in batch for n in (0, 1)]
    rows, prompts, parts = held
    assert [row["sample_id"] for row in rows[::2]] == list(batch)
    assert prompts == names and [parts[n] for n in (0, 1, 3, 4, 6)] == [names] * 5
    assert [scored.reward for scored in made.scores[1::2]] == [
        float(name not in flat) for name in batch
    ]
    assert tuple(refilled.values()) == counts
    assert tuple(refilled) == ("durian/refilled", "durian/reserve_drawn", "durian/left_flat")


@pytest.mark.parametrize(
    ("scores", "spread", "correct"),
    [
        ([score(0.1), score(1.0, True)], False, False),
        ([score(0.1), score(0.1)], True, True),
        ([score(0.0), score(0.1)], False, True),  # both wrong, one in the format
        ([score(1.0, True), score(1.0 + 5e-7, True)], True, True),  # equal but for round-off
        ([None, None], True, True),  # the reward failed
        ([None, score(1.0, True)], True, True),
    ],
)
def test_a_group_is_flat_by_its_spread_or_by_what_is_correct(scores, spread, correct):
    found = [
        bool(DynamicSampling(Order(named("a"), 0), flat=by, tries=1)._flat(scores, 2))
        for by in ("spread", "correct")
    ]
    assert found == [spread, correct]


def test_all_processes_draw_alike_and_take_their_own(monkeypatch):
    # Three processes of two samples, of which 1, 2 and 1 are flat.
    flat, batches = "bcdfi", ["ab", "cd", "ef"]
    # What all tell each other: their samples and lacks; after the first try; after the second.
    told = [[(list(ids), sum(i in flat for i in ids)) for ids in batches], [0, 1, 0], [0, 0, 0]]
    for rank, batch in enumerate(("ag", "jn", "ek")):
        asked, answers = [], iter(told)

        def draw(rows, asked=asked):
            asked.append("".join(row["sample_id"] for row in rows[::2]))
            return two_each(asked[-1], flat)

        monkeypatch.setattr(resampling, "gather_object", lambda _, answers=answers: next(answers))
        monkeypatch.setattr(
            resampling, "PartialState", lambda rank=rank: type("P", (), {"num_processes": 3,
                                                               "process_index": rank})
        )  # fmt: skip
        made = two_each(batches[rank], flat)
        reserve = Order(named("abcdefghijklmnopqr"), 0)
        counts = DynamicSampling(reserve, flat="spread", tries=5).refill(made, draw, 2)
        # 2 each of g to l, of which i is flat: the second lacks one more; all draw one of m to o.
        assert asked == [["gh", "m"], ["ij", "n"], ["kl", "o"]][rank]
        assert "".join(row["sample_id"] for row in made.rows[::2]) == batch
        assert counts == {"durian/refilled": 4.0, "durian/reserve_drawn": 9.0,
                          "durian/left_flat": 0.0}  # fmt: skip
        assert reserve.state() == {"position": 15}


def test_the_reserve_goes_through_all_samples_and_on_from_where_it_was():
    names = "abcdefg"
    reserve = Reserve(named(names), 3)

    def ids(rows):
        return [row["sample_id"] for row in rows]

    passes = [ids(reserve.take(7, set())) for _ in range(2)]
    assert [sorted(each) for each in passes] == [list(names)] * 2 and passes[0] != passes[1]
    again = Reserve(named(names), 3)
    assert ids(again.take(3, set())) == passes[0][:3]
    resumed = Reserve(named(names), 3)
    resumed.restore(json.loads(json.dumps(again.state())))
    assert ids(resumed.take(4, set())) == passes[0][3:]
    used = set("abc")
    assert sorted(ids(resumed.take(9, used))) == list("defg") and used == set(names)
    assert ids(Reserve(named(names), 4).take(7, set())) != passes[0]


@pytest.fixture(scope="module")
def planted(settings, tmp_path_factory) -> Path:
    """A training under the planted reward, with what each rollout batch handed to the loss."""
    place = tmp_path_factory.mktemp("planted")
    (place / "planted.py").write_text(PLANTED)
    handed = []
    scored = DurianTrainer._generate_and_score_completions

    def kept(self, inputs):
        out = scored(self, inputs)
        handed.append(([row["sample_id"] for row in inputs], out["pixel_values"]))
        return out

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DurianTrainer, "_generate_and_score_completions", kept)
        given = settings | {"reward": f"{place}/planted.py:reward", "dynamic_sampling": "correct"}
        train_policy(TrainConfig(**given, out=str(place / "out")))
    torch.save(handed, place / "handed.pt")
    return place


def test_no_flat_group_is_left_and_each_row_is_the_new_samples_own(planted, settings, run):
    table = pl.read_parquet(run / "difficulty.parquet").to_dicts()
    rows = pl.read_parquet(settings["dataset"]).to_dicts()
    kinds = {row["sample_id"]: rows[row["row"]]["kind"] for row in table}
    order = [row["sample_id"] for row in table]
    # TRL's order of 24 samples in batches of 4, 6 steps of 2 a batch: three of them.
    wanted = list(RepeatSampler(range(24), mini_repeat_count=1, batch_size=4, seed=42))[:12]
    flat = [sum(kinds[order[i]] == "colour" for i in wanted[n : n + 4]) for n in (0, 4, 8)]
    steps = json.loads((planted / "out" / "log.json").read_text())["steps"]
    logged = [step for step in steps if "durian/refilled" in step]
    assert [step["durian/refilled"] for step in logged] == flat and sum(flat) > 2
    assert all(step["durian/reserve_drawn"] >= step["durian/refilled"] for step in logged)
    assert all(step["durian/left_flat"] == step["durian/no_variance"] == 0 for step in logged)

    files = sorted((planted / "out" / "completions").glob("*.parquet"))  # one a step
    names = dict(zip(("easy", "medium", "hard"), range(3), strict=True))
    known = {
        row["sample_id"]: (row["problem"], names[row["perceptual_group"]], row["reasoning_group"])
        for row in table
    }
    for number, file in enumerate(files[::2]):
        batch = pl.read_parquet(file)
        ids = batch["sample_id"].to_list()
        stays = [
            order[i] for i in wanted[4 * number : 4 * number + 4] if kinds[order[i]] != "colour"
        ]
        assert set(stays) <= set(ids) and Counter(ids) == dict.fromkeys(ids, 4)
        assert all(kinds[sample_id] != "colour" for sample_id in ids)
        assert batch["reward"].to_list() == [0.0, 1.0] * 8
        groups = batch.select("perceptual_group", "reasoning_group").rows()
        assert groups == [known[sample_id][1:] for sample_id in ids]
        for prompt, sample_id in zip(batch["prompt"], ids, strict=True):
            assert known[sample_id][0].removeprefix("<image>") in str(prompt)
        expected = by_hand(batch["reward"].to_list(), groups)
        assert batch["advantage"].to_list() == pytest.approx(expected, abs=1e-5)


def test_the_forward_passes_see_the_images_of_the_new_samples(planted, settings):
    processor = load_chat(SamplingConfig(model=settings["model"])).processor.image_processor
    config = TrainConfig(**settings, out="out")
    pictures = {
        sample.sample_id: decode(sample.images[0], pixel_limit=10**8, keep=True).rgb
        for sample in open_dataset(config.source).samples()
    }
    for ids, pixels in torch.load(planted / "handed.pt"):
        expected = processor(images=[pictures[i] for i in ids], return_tensors="pt")["pixel_values"]
        assert torch.equal(pixels, expected)


def test_a_curriculum_learns_from_flat_samples_too_though_they_do_not_train(
    planted, settings, tmp_path, monkeypatch
):
    # Each completion of a sample loses something else for its length, which makes no flat group
    # spread.
    told, judged, judge, losses = [], [], TrainingReward.judge, count()
    monkeypatch.setattr(Overlong, "of", lambda self, n_tokens: -0.1 * (next(losses) % 4))
    monkeypatch.setattr(DrawnOrder, "update", lambda self, *shown: told.append(shown))
    monkeypatch.setattr(
        TrainingReward, "judge",
        lambda self, texts, **given: judged.append(len(texts)) or judge(self, texts, **given),
    )  # fmt: skip
    given = settings | {"reward": f"{planted}/planted.py:reward", "order": "frontier",
                        "dynamic_sampling": "spread", "overlong_buffer": 40,
                        "grpo": settings["grpo"] | {"max_steps": 1}}  # fmt: skip
    train_policy(TrainConfig(**given, out=str(tmp_path / "out")))
    (step, *_) = json.loads((tmp_path / "out" / "log.json").read_text())["steps"]
    assert step["durian/refilled"] > 0 > step["rewards/overlong"]
    kinds = pl.read_parquet(settings["dataset"])["kind"].to_list()
    shown = {}
    for sample, correct, scored in told:
        assert scored.all()
        shown |= dict(zip(sample.tolist(), correct.sum(dim=1).tolist(), strict=True))
    # Once each, the first four and those drawn for the flat ones; half of four right, or none.
    assert len(shown) == sum(len(sample) for sample, *_ in told) == 4 + step["durian/reserve_drawn"]
    assert shown == {number: 0 if kinds[number] == "colour" else 2 for number in shown}
    assert sum(judged) == 4 * len(shown)  # and judged once
    # What trains is a batch of all kinds but that one.
    logged = pl.read_parquet(tmp_path / "out" / "completions" / "*.parquet")
    assert logged["reward"].n_unique() > 2  # shaped
    assert "color" not in str(logged["prompt"].to_list())
