"""Adaptive rollouts from the settings to the tables, over scripts that hold 16 of each sample."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from durian.allocation import Allocation
from durian.config import AdaptiveRollouts, ProfileConfig
from durian.errors import ConfigError, RunFolderError
from durian.measuring.chunks import Chunk
from durian.measuring.look import NOTHING
from durian.measuring.sampling import Policy
from durian.profile import profile_dataset
from durian.progress import Silent, Stopwatch
from durian.rewards import open_reward
from durian.rounds import Rounds
from durian.run.folder import RunFolder
from durian.samples import Failed, Rollout, Sample, sample_id

SAMPLES, WRITTEN, TOKENS = 40, 16, 10
BUDGET = AdaptiveRollouts(token_budget=2000)
TABLES = ("difficulty.parquet", "rollouts.parquet", "columns.parquet")


def rollout(text, n_tokens=TOKENS, logprob=-1.0):
    return Rollout(completion=text, n_tokens=n_tokens, sum_logprob=logprob, finish_reason="stop")


def right_or_wrong(is_right):
    return f"<think>hm</think> \\boxed{{{'yes' if is_right else 'no'}}}"


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Questions without images, and 16 completions of each, all of 10 tokens."""
    folder = tmp_path_factory.mktemp("scripted")
    rng = np.random.default_rng(5)
    questions = [{"problem": f"Question {i}?", "answer": "yes"} for i in range(SAMPLES)]
    (folder / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    rows = []
    for question in questions:
        ease, centre = rng.random(), -10 * rng.random()
        rows += [
            {"sample_id": sample_id(question["problem"], "yes", []), "rollout": g,
             "completion": right_or_wrong(rng.random() < ease), "n_tokens": TOKENS,
             "sum_logprob": centre - rng.random(), "finish_reason": "stop"}
            for g in range(WRITTEN)
        ]  # fmt: skip
    pl.DataFrame(rows).write_parquet(folder / "script.parquet")
    return {"dataset": str(folder / "questions.jsonl"), "model": str(folder / "script.parquet")}


def settings(scripted, out: Path, **changes) -> ProfileConfig:
    kept = {"measures": ("confidence",), "engine": "scripted", "part_size": 10, "out": str(out)}
    return ProfileConfig(**scripted, **kept | {"rollouts": AdaptiveRollouts()} | changes)


@pytest.fixture(scope="module")
def whole(scripted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adaptive run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    profile_dataset(settings(scripted, out))
    return out


@pytest.fixture(scope="module")
def budgeted(scripted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that had a budget."""
    out = tmp_path_factory.mktemp("budgeted") / "run"
    profile_dataset(settings(scripted, out, rollouts=BUDGET))
    return out


def test_each_sample_keeps_its_first_rollouts_as_if_they_were_drawn_at_once(scripted, whole):
    table = pl.read_parquet(whole / "difficulty.parquet")
    counts = dict(table.select("sample_id", "rollouts").iter_rows())
    assert set(counts.values()) <= {2, 4, 8, 16} and len(set(counts.values())) > 1
    columns = ["sample_id", "rollout", "completion", "sum_logprob"]
    kept = pl.read_parquet(whole / "rollouts.parquet").select(columns)
    script = pl.read_parquet(scripted["model"]).select(columns)
    first = script.filter(pl.col("rollout") < pl.col("sample_id").replace_strict(counts))
    assert kept.rows() == first.rows()
    rates = first.group_by("sample_id").agg(pl.col("completion").str.contains("yes").mean())
    assert dict(table.select("sample_id", "pass_rate").iter_rows()) == pytest.approx(
        dict(rates.iter_rows())
    )


def test_the_manifest_tells_what_was_asked_for_and_what_it_came_to(whole):
    manifest = json.loads((whole / "manifest.json").read_text())
    asked = {"min_rollouts": 2, "max_rollouts": 16, "token_budget": None}
    assert manifest["identity"]["rollouts"] == asked == manifest["config"]["rollouts"]
    completions = len(pl.read_parquet(whole / "rollouts.parquet"))
    assert manifest["tokens"]["completions"] == completions
    assert manifest["tokens"]["completion"] == completions * TOKENS


def test_an_interrupted_run_resumes_to_the_same_tables(scripted, budgeted, tmp_path, monkeypatch):
    write = RunFolder.write_part

    def stop_at_the_third(self, number, *tables):
        if number == 2:
            raise KeyboardInterrupt
        write(self, number, *tables)

    config = settings(scripted, tmp_path / "run", rollouts=BUDGET)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RunFolder, "write_part", stop_at_the_third)
        profile_dataset(config)
    assert len(list((tmp_path / "run" / "parts").glob("part-*.parquet"))) == 2
    profile_dataset(config)
    for name in TABLES:
        assert (tmp_path / "run" / name).read_bytes() == (budgeted / name).read_bytes(), name


def test_a_run_begun_with_another_budget_is_not_resumed(scripted, whole, tmp_path):
    with pytest.raises(RunFolderError, match="was made with rollouts .*, not 8"):
        profile_dataset(settings(scripted, whole, rollouts=8))
    with pytest.raises(RunFolderError, match='rollouts .*"token_budget": null.*900'):
        profile_dataset(settings(scripted, whole, rollouts=AdaptiveRollouts(token_budget=900)))


def test_a_token_budget_is_spent_and_not_passed_part_by_part(budgeted):
    # 2,000 tokens of 40 samples are 500 of each part of ten. Two completions of each take 200; a
    # round then costs 20 or 40 a sample, so less than 40 is left of what a round may spend.
    tokens = pl.read_parquet(budgeted / "difficulty.parquet").select(
        (pl.col("rollouts") * pl.col("mean_tokens")).alias("n")
    )["n"]
    of_parts = [int(tokens[i : i + 10].sum()) for i in range(0, SAMPLES, 10)]
    assert all(380 < of_part <= 500 for of_part in of_parts)


def test_the_first_round_is_drawn_whatever_the_budget():
    drawn = draw(Recorder(), chunk_of(30), budget=0.1)
    assert [len(of.rollouts) for of in drawn] == [2] * 30


class Recorder:
    """An engine whose completions vary by sample; keeps what it was asked."""

    def __init__(self, fails_from=None):
        self.asked, self.fails_from = [], fails_from or {}

    def generate(self, prompts, *, seed, finished, greedy=False, numbers=None):
        self.asked.append((numbers, seed, [prompt.sample_id for prompt in prompts]))
        finished(len(prompts))
        return [self._write(prompt.sample_id, numbers) for prompt in prompts]

    def _write(self, name, numbers):
        if numbers.stop > self.fails_from.get(name, numbers.stop):
            return Failed("no answer")
        rng = np.random.default_rng([int(name), numbers.start])
        return [
            rollout(right_or_wrong(rng.random() < 0.5), logprob=-10 * rng.random()) for _ in numbers
        ]

    def close(self):
        pass


def draw(engine, chunk, budget=None):
    policy = Policy(
        engine=engine,
        reward=open_reward("boxed"),
        system_prompt="",
        template=None,
        seed=0,
        progress=Silent(),
        rounds=Rounds(
            allocation=Allocation(least=2, most=16, bins=10),
            measure="mean_logprob",
            tokens_a_sample=budget,
        ),
    )
    return policy.draw(chunk, Stopwatch())


def chunk_of(count, **broken):
    samples = [
        Sample(sample_id=str(i), row=i, problem="?", answer="yes", error=broken.get(f"s{i}"))
        for i in range(count)
    ]
    return Chunk(part=0, first=0, samples=samples, looks=[NOTHING] * count)


def test_noise_alone_ends_after_the_last_round_with_the_most():
    # A budget without end: each round is worth something to a sample whose groups are a toss-up.
    engine = Recorder()
    drawn = draw(engine, chunk_of(50), budget=1e9)
    assert max(len(of.rollouts) for of in drawn) == 16
    assert engine.asked[0][0] == range(2)
    # Rounds 2 to 4 ask for the completions after 2, after 2 and 4, and after 2, 4 and 8 at most.
    later = [numbers for numbers, _, _ in engine.asked[1:]]
    assert set(later) <= {range(2, 4), range(4, 8), range(8, 16)} and len(later) <= 1 + 2 + 3


def test_no_completion_of_a_sample_is_asked_for_twice_and_each_round_has_its_own_seed():
    engine = Recorder()
    drawn = draw(engine, chunk_of(50), budget=60.0)
    asked = [(name, g) for numbers, _, names in engine.asked for name in names for g in numbers]
    assert len(asked) == len(set(asked)) == sum(len(of.rollouts) for of in drawn)
    for i, of in enumerate(drawn):
        assert sorted(g for name, g in asked if name == str(i)) == list(range(len(of.rollouts)))
    # Samples passed over and those drawn in their place would else share their luck.
    seeds = {(numbers, seed) for numbers, seed, _ in engine.asked}
    assert len(seeds) == len(engine.asked)


def test_a_sample_that_failed_is_not_drawn_again_and_a_later_failure_keeps_what_there_is():
    engine = Recorder(fails_from={"3": 0, "4": 2})
    drawn = draw(engine, chunk_of(30, s5="broken row"), budget=1e9)
    assert (drawn[3].error, drawn[5].error) == ("no answer", "broken row")
    assert not drawn[3].rollouts and not drawn[5].rollouts
    assert drawn[4].error is None and len(drawn[4].rollouts) == len(drawn[4].scores) == 2
    asked = [name for _, _, names in engine.asked for name in names]
    assert (asked.count("3"), asked.count("4"), asked.count("5")) == (1, 2, 0)


def test_greedy_completions_are_drawn_once_whatever_the_rounds():
    class Greedy(Recorder):
        def generate(self, prompts, *, seed, finished, greedy=False, numbers=None):
            assert greedy and numbers is None
            self.asked.append(numbers)
            return [[rollout("yes")] for _ in prompts]

    engine = Greedy()
    policy = Policy(
        engine=engine, reward=open_reward("boxed"), system_prompt="", template=None, seed=0,
        progress=Silent(), rounds=Rounds(allocation=Allocation(least=2, most=4, bins=2),
                                         measure="mean_logprob", tokens_a_sample=None),
    )  # fmt: skip
    assert [len(of.rollouts) for of in policy.draw(chunk_of(3), Stopwatch(), greedy=True)] == [
        1
    ] * 3
    assert len(engine.asked) == 1


def test_the_settings_say_which_is_wrong():
    with pytest.raises(ConfigError, match="min-rollouts is 1; it must be 2 or more"):
        AdaptiveRollouts(min_rollouts=1)
    with pytest.raises(ConfigError, match="max-rollouts is 4; it must be above min-rollouts"):
        AdaptiveRollouts(min_rollouts=4, max_rollouts=4)
    with pytest.raises(ConfigError, match="token-budget is 0; it must be 1 or more"):
        AdaptiveRollouts(token_budget=0)
