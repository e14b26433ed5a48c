"""Two runs joined: what is counted, what is warned of, what is refused, what is written."""

import json
import shlex
import shutil
from dataclasses import replace

import polars as pl
import pytest

from durian.analysis.statistics.estimate import DrawnTogether
from durian.analysis.two_runs.comparison import SharedSamples
from durian.compare import compare_runs
from durian.config import GroupConfig
from durian.errors import ConfigError, RunFolderError
from durian.groups import ReasoningCuts
from durian.records import as_json
from durian.regroup import regroup_run
from durian.rendering.compare_sentences import compare_advice, unlike_cuts
from tests.cli.in_process import durian

N = 40  # samples of a run
FIGURES = ("flows_perceptual", "flows_reasoning", "changes", "measures")


def test_samples_are_joined_by_id_and_what_is_missing_is_counted(run):
    a, b = run("a", keys=range(30)), run("b", keys=range(10, 40), seed=1)
    found = compare_runs(a, b)
    assert found.samples == SharedSamples(both=20, only_a=10, only_b=10)
    assert found.warnings == [
        "A has 10 samples that the other lacks; its groups were cut over all of its 30",
        "B has 10 samples that the other lacks; its groups were cut over all of its 30",
    ]
    flow = found.drift.flows["perceptual"]
    assert sum(map(sum, flow.counts)) == flow.samples == 20


def test_rows_in_another_order_are_the_same_samples(run):
    a, b = run("a", keys=range(40)), run("b", keys=[*range(39, -1, -1)], seed=1)
    found = compare_runs(a, b)
    # Pixel entropy is of the sample alone here: joined by place it would be turned round.
    assert found.drift.measures["pixel_entropy"].identical
    assert found.drift.flows["perceptual"].moved.value == 0.0


def test_the_folder_holds_the_page_its_figures_and_its_numbers(run):
    a, b = run("a"), run("b", seed=1)
    found = compare_runs(a, b)
    folder = b / "compare" / "a"
    assert found.out == str(folder)
    names = {f"{name}.{kind}" for name in FIGURES for kind in ("svg", "png")}
    assert {path.name for path in folder.iterdir()} == {*names, "index.html", "summary.json"}

    def refuse(constant):
        raise AssertionError(f"{constant} in summary.json")

    kept = json.loads((folder / "summary.json").read_text(), parse_constant=refuse)
    assert kept == json.loads(json.dumps(as_json(replace(found, out=None))))
    before = (folder / "index.html").read_bytes()
    compare_runs(a, b)  # takes the place of the first, byte for byte
    assert (folder / "index.html").read_bytes() == before


def test_the_floor_is_of_all_samples_where_some_have_more_rollouts(run):
    # All but two samples keep 2 of their 4 rollouts; the two are sure of theirs. The luck of the
    # many moves them; were only those of the most rollouts taken, nothing would move.
    a, b = run("a"), run("b", seed=1)
    sure = [f"{key:032x}" for key in (0, 39)]
    for folder in (a, b):
        table, rollouts = (
            pl.read_parquet(folder / f"{name}.parquet") for name in ("difficulty", "rollouts")
        )
        is_sure = pl.col("sample_id").is_in(sure)
        kept = rollouts.filter(is_sure | (pl.col("rollout") < 2)).with_columns(
            pl.when(is_sure).then(pl.lit(-1.0)).otherwise("sum_logprob").alias("sum_logprob")
        )
        counts = kept.group_by("sample_id").agg(
            pl.len().cast(pl.Int32).alias("rollouts"), pl.col("correct").mean().alias("pass_rate")
        )
        table.drop("rollouts", "pass_rate").join(
            counts, on="sample_id", maintain_order="left"
        ).write_parquet(folder / "difficulty.parquet", metadata={"durian.schema": "1"})
        kept.write_parquet(folder / "rollouts.parquet")
    found = compare_runs(a, b).drift
    assert found.flows["reasoning"].moved_floor.value > 0.2
    assert found.a.completions == 38 * 2 + 2 * 4


def test_settings_that_change_the_meaning_are_warned_of_with_both_values(run):
    a = run("a", config={"reward": "boxed", "temperature": 1.0})
    drawn = {"temperature": 0.7, "sampling_args": {"top_k": 20, "min_p": 0.1}}
    b = run("b", config={"reward": "mine.py:score", **drawn}, bins=5)
    assert compare_runs(a, b).warnings == [
        "sampling args differs: none in A, min_p=0.1, top_k=20 in B",
        "temperature differs: 1.0 in A, 0.7 in B",
        "reward differs: boxed in A, mine.py:score in B",
        "reasoning bins differs: 4 in A, 5 in B",
    ]


def test_questions_of_one_image_are_one_cluster(run):
    a = run("a")
    assert compare_runs(a, run("b", seed=1)).clusters == DrawnTogether(of="sample", n=40)
    with_images = run("c", seed=1, images=lambda key: f"image {key // 4}")
    assert compare_runs(a, with_images).clusters == DrawnTogether(of="image", n=10)


def test_a_run_against_a_policy_that_forgot_names_what_was_unlearned(run):
    # A knows the upper half for sure and nothing else; B the lower.
    a = run("a", skill=lambda key: float(key >= 20))
    b = run("b", skill=lambda key: float(key < 20))
    found = compare_runs(a, b).drift
    assert found.learned.learned.samples == found.learned.unlearned.samples == 20
    assert found.change.value == 0.0
    # A's least confident bins are B's most confident ones.
    assert found.gains["reasoning"].own.value > 0.9
    assert found.gains["reasoning"].stale.value < 0.1
    assert found.verdict.verdict == "profile again"
    assert found.verdict.thin_because == [
        "only 40 samples", "there is no interval",
    ]  # fmt: skip


def test_runs_without_a_policy_have_no_verdict_and_say_why(run):
    a, b = run("a", scored=False), run("b", scored=False)
    found = compare_runs(a, b)
    assert found.drift.verdict.verdict is None
    assert found.sentences[0] == (
        "Of the 40 samples of both runs, neither run has scored completions."
    )
    assert found.sentences[-1].startswith("No verdict: no sample is in both's groups and scored")
    assert found.drift.flows["perceptual"].moved.value == 0.0


def test_a_run_without_a_policy_beside_one_with_says_which(run):
    found = compare_runs(run("a", scored=False), run("b"))
    assert "A has no scored completions" in found.sentences[0]
    assert found.warnings == []  # settings of a policy that one run has not


def test_what_is_no_pair_of_runs_is_refused_in_one_line(run, tmp_path):
    a, b = run("a"), run("b", seed=1)
    cases = [
        ((a, a), ConfigError, "is given twice; compare needs two runs"),
        ((a, tmp_path / "none"), RunFolderError, "is not a run folder"),
        ((a, run("c", keys=range(100, 110))), RunFolderError, "has no sample of"),
    ]
    trained = tmp_path / "trained"
    trained.mkdir()
    (trained / "manifest.json").write_text('{"kind": "training", "model": "m"}')
    cases.append(((a, trained), RunFolderError, "has no difficulty.parquet"))
    broken = tmp_path / "broken"
    shutil.copytree(b, broken)
    (broken / "difficulty.parquet").write_bytes(b"no table")
    cases.append(((a, broken), RunFolderError, "cannot be read"))
    cut = tmp_path / "cut"
    shutil.copytree(b, cut)
    (cut / "rollouts.parquet").write_bytes(b"PAR1")
    cases.append(((a, cut), RunFolderError, "rollouts.parquet: cannot be read"))
    for runs, kind, said in cases:
        with pytest.raises(kind) as raised:
            compare_runs(*runs)
        assert said in str(raised.value) and "\n" not in str(raised.value)
        assert not (runs[1] / "compare").exists()


def test_a_folder_of_other_things_is_not_written_to(run, tmp_path):
    a, b = run("a"), run("b", seed=1)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    for out, said in ((taken, "holds other files"), (taken / "notes.txt", "is a file")):
        with pytest.raises(ConfigError, match=said):
            compare_runs(a, b, out)
    assert [path.name for path in taken.iterdir()] == ["notes.txt"]
    assert not compare_runs(a, b, tmp_path / "new" / "one").warnings


def test_runs_that_are_grouped_by_other_rules_have_no_flow_and_no_verdict(run):
    a, b = run("a"), run("b", seed=1, bins=5)
    regroup_run(GroupConfig(run=b, perceptual="row", percentiles=(10.0, 50.0)))
    found = compare_runs(a, b)
    flows, drift = found.drift.flows, found.drift
    assert (flows["perceptual"].samples, flows["reasoning"].samples) == (0, 0)
    assert flows["perceptual"].moved.reason == (
        "A is grouped by pixel entropy at 25 and 75 %, B by row at 10 and 50 %"
    )
    assert drift.gains["reasoning"].excess.reason == (
        "A is grouped by confidence per token in 4 bins, B by confidence per token in 5 bins"
    )
    assert drift.verdict.verdict is None and set(drift.verdict.unjudged) == {
        "perceptual", "reasoning",
    }  # fmt: skip
    assert found.sentences[-1].startswith("No verdict: A is grouped by pixel entropy")
    # What A's own groups say of the errors of both stands.
    assert drift.changes["perceptual"] and drift.changes["reasoning"]


def test_a_run_without_groups_is_no_rule_to_follow(run):
    a, b = run("a", scored=False), run("b", seed=1, bins=5)
    found = compare_runs(a, b)
    assert found.drift.flows["reasoning"].moved.reason == (
        "A has no confidence per token, B is grouped by confidence per token in 5 bins"
    )
    [advice] = compare_advice(found)
    assert advice.do == f"durian group {a} --reasoning COLUMN"
    assert advice.say.startswith(f"{a} has no reasoning groups, for it has no confidence per token")


def test_one_sample_was_learned(run):
    # Of 3 samples A knows the first two, B all.
    a = run("a", keys=range(3), skill=lambda key: float(key < 2))
    b = run("b", keys=range(3), skill=lambda key: 1.0)
    assert any("1 sample was learned (" in said for said in compare_runs(a, b).sentences)


def test_one_grouping_that_is_unlike_leaves_the_other_s_moves_but_no_verdict(run):
    found = compare_runs(run("a"), run("b", seed=1, bins=5))
    assert found.drift.flows["perceptual"].moved.value == 0
    assert found.drift.verdict.verdict is None  # not "keep": the entropy of images cannot move


@pytest.mark.parametrize("auto", [False, True], ids=["B as A", "both anew"])
def test_the_commands_that_it_advises_group_both_runs_alike(run, auto):
    a, b = run("a"), run("b", seed=1, bins=5)
    regroup_run(GroupConfig(run=a, perceptual="row:lower", **({"bins": "auto"} if auto else {})))
    advised = compare_advice(compare_runs(a, b))
    assert len(advised) == 2
    commands = [shlex.split(line) for advice in advised for line in advice.do.splitlines()]
    assert [command[2] for command in commands] == [str(b), *([str(a)] if auto else []), str(b)]
    for command in commands:
        assert durian(*command[1:])[0] == 0
    found = compare_runs(a, b)
    assert found.drift.flows["perceptual"].samples == found.drift.flows["reasoning"].samples == N
    assert found.drift.verdict.verdict is not None
    assert found.grouping.b.perceptual.harder == "lower"
    (advice,) = compare_advice(found)
    assert advice.do.startswith("durian train … --table ")


def test_cuts_found_in_each_run_s_errors_are_unlike_though_asked_alike():
    one = ReasoningCuts(measure="mean_logprob", bins="auto", edges=(-1.0,), sizes={"0": 2, "1": 2})
    assert unlike_cuts(one, replace(one, sizes={"0": 3, "1": 1})) is None
    assert "cuts of their own (auto)" in (unlike_cuts(one, replace(one, edges=(-2.0,))) or "")
