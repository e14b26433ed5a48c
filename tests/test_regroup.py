"""A finished run grouped anew: which samples go where, what stays, and what a kill leaves."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from durian.config import TrainConfig
from durian.errors import ConfigError, RunFolderError
from durian.groups import ChosenCuts, PerceptualCuts, perceptual_groups
from durian.normalizer import durian_advantages
from durian.records import as_json
from durian.regroup import GroupConfig, regroup_run
from durian.report import render_run
from durian.run.folder import RunFolder
from durian.run.opening import change_run
from durian.schema import DIFFICULTY, ROLLOUTS, arrow_schema, known_at
from durian.table.checked import check_manifest
from durian.table.join import open_table, table_warnings
from durian.training.arguments import plan_of
from durian.training.normalization import normalization_of
from durian.training.record import table_fingerprint

N, G, PART = 1200, 8, 500
OLD = {
    "perceptual": {"measure": "pixel_entropy", "percentiles": [25.0, 75.0], "edges": [1.0],
                   "sizes": {"easy": N, "medium": 0, "hard": 0}},
    "reasoning": {"measure": "mean_logprob", "bins": 1, "edges": [], "sizes": {"0": N}},
}  # fmt: skip


def planted():
    """Wrong 2, 4 or 7 of 8 times below 400, below 800 and above it, by `level` and by confidence.

    Shuffled; `level` rises with the error and confidence (`mean_logprob`) falls with it.
    """
    order = np.random.default_rng(0).permutation(N)
    rows = []
    for place, rank in enumerate(map(int, order)):
        wrong = (2, 4, 7)[rank // 400] + (-1) ** (rank // 2 % 2)
        rows.append(
            {
                "sample_id": f"{place:032x}", "row": place, "copies": 1, "problem": f"What? {rank}",
                "answer": "2", "n_images": 1, "width": 8, "height": 8, "pixel_entropy": 1.0,
                "mean_logprob": -rank / N, "sum_logprob": -1.0 - place, "answer_entropy": 0.5,
                "rollouts": G, "pass_rate": 1 - wrong / G, "format_rate": 1.0, "reward_mean": 0.5,
                "reward_std": 0.1, "mean_tokens": 8.0 + rank % 3, "truncated": 0.0,
                "perceptual_group": "easy", "reasoning_group": 0,
            }
        )  # fmt: skip
    return rows, order.astype(np.float64)


@pytest.fixture
def run(tmp_path):
    """A finished run of an older version: its table does not say how it was grouped."""
    rows, level = planted()
    folder = tmp_path / "run"
    folder.mkdir()
    blank = dict.fromkeys(DIFFICULTY)
    schema = arrow_schema(DIFFICULTY)
    with pq.ParquetWriter(folder / "difficulty.parquet", schema) as writer:
        for start in range(0, N, PART):
            part = [{**blank, **row} for row in rows[start : start + PART]]
            writer.write_table(pa.Table.from_pylist(part, schema))
    pq.write_table(arrow_schema(ROLLOUTS).empty_table(), folder / "rollouts.parquet")
    thumbnails = {"sample_id": pa.array([], pa.string()), "jpeg": pa.array([], pa.binary())}
    pq.write_table(pa.table(thumbnails), folder / "thumbnails.parquet")
    ids = [row["sample_id"] for row in rows]
    columns = {"sample_id": ids, "image_id": ids, "level": level, "kind": ["colour"] * N,
               "flat": [3.0] * N, "width": [float(n) for n in range(N)]}  # fmt: skip
    pl.DataFrame(columns).write_parquet(folder / "columns.parquet")
    manifest = {
        "schema": 1, "created": "2026-01-02T03:04:05+00:00", "groups": OLD,
        "dataset": {"name": "planted", "split": "train", "fingerprint": "aa"},
        "model": {"name": "judge", "fingerprint": "bb"}, "config": {}, "seconds": {"scan": 1.0},
        "counts": {"rows": N, "samples": N, "duplicate_rows": 0, "failed": 0},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def no_report(monkeypatch):
    """The report is another stage's matter, and drawing is slow."""
    monkeypatch.setattr("durian.report.render_run", lambda path, manifest: None)


def grouped(run, **asked):
    return regroup_run(GroupConfig(run=str(run), **asked))


def contents(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def table_of(run):
    return pl.read_parquet(run / "difficulty.parquet")


def test_a_column_of_the_dataset_groups_the_table_and_all_else_stays(run, no_report):
    before = table_of(run)
    result = grouped(run, perceptual="level", reasoning="sum_logprob", bins=3)
    after = table_of(run)
    groups = ["perceptual_group", "reasoning_group", "why"]  # an older run had told no causes
    assert after.drop(groups).equals(before.drop(groups))
    # Levels 0 to 1199: the quartiles are 299.75 and 899.25, and the high end is the hard one.
    level = planted()[1]
    expected = np.select([level <= 299, level >= 900], ["easy", "hard"], "medium")
    assert after["perceptual_group"].to_list() == expected.tolist()
    # sum_logprob falls with the row: the last third is the least confident.
    assert after["reasoning_group"].to_list() == [2] * 400 + [1] * 400 + [0] * 400
    assert result.changed and result.groups.version == 2
    assert result.groups.perceptual == PerceptualCuts(
        measure="level", percentiles=(25.0, 75.0), edges=(299.75, 899.25),
        sizes={"easy": 300, "medium": 600, "hard": 300},
    )  # fmt: skip
    assert RunFolder(run).complete_manifest()["groups"] == as_json(result.groups)
    file = pq.ParquetFile(run / "difficulty.parquet")
    assert file.schema_arrow.names == list(DIFFICULTY) and file.num_row_groups == 3
    assert file.schema_arrow.metadata[b"durian.schema"] == b"2"


def test_the_table_s_own_column_is_meant_where_the_dataset_has_one_of_its_name(run):
    with pytest.raises(ConfigError, match="'width' is 8 for all samples"):
        grouped(run, perceptual="width")


def test_what_is_not_named_stays_as_it_is(run, no_report):
    first = grouped(run, perceptual="level", percentiles=(10.0, 50.0))
    second = grouped(run, bins=4)
    assert second.groups.perceptual == first.groups.perceptual
    assert second.groups.reasoning.measure == "mean_logprob"
    assert table_of(run)["perceptual_group"].value_counts().sort("count")["count"].to_list() == [
        120, 480, 600,
    ]  # fmt: skip
    third = grouped(run, reasoning="sum_logprob")
    assert third.groups.reasoning.bins == 4 and third.groups.version == 4


def test_older_groupings_are_kept_in_the_manifest(run, no_report):
    grouped(run, bins=2)
    grouped(run, bins=3)
    manifest = json.loads((run / "manifest.json").read_text())
    assert [groups["reasoning"]["bins"] for groups in manifest["regrouped"]] == [1, 2]
    assert manifest["regrouped"][0] == OLD and manifest["groups"]["reasoning"]["bins"] == 3
    assert manifest["seconds"] == {"scan": 1.0}


def test_the_same_grouping_again_changes_nothing(run, no_report):
    grouped(run, perceptual="level", bins="auto", percentiles="auto")
    before = contents(run)
    again = grouped(run, perceptual="level", bins="auto", percentiles="auto")
    assert not again.changed and again.groups.version == 2
    assert contents(run) == before


def test_an_older_run_keeps_its_manifest_s_groups_until_it_is_grouped_anew(run, no_report):
    assert RunFolder(run).complete_manifest()["groups"] == OLD
    before = contents(run)
    assert not grouped(run).changed and contents(run) == before
    assert RunFolder(run).complete_manifest()["groups"] == OLD


def test_auto_finds_the_planted_steps_from_either_end(run, no_report):
    result = grouped(run, perceptual="level", percentiles="auto", bins="auto")
    perceptual, reasoning = result.groups.perceptual, result.groups.reasoning
    # Twenty bins of 60: one of them holds the step at 400, another that at 800.
    assert perceptual.percentiles == reasoning.bins == "auto"
    assert list(perceptual.edges) == pytest.approx([400, 800], abs=60)
    for step in (-800 / N, -400 / N):
        assert min(abs(edge - step) for edge in reasoning.edges) <= 60 / N
    table = table_of(run)
    wrong = 1 - table["pass_rate"].to_numpy()
    rates = [wrong[(table["perceptual_group"] == g).to_numpy()].mean() for g in
             ("easy", "medium", "hard")]  # fmt: skip
    assert rates == sorted(rates) and rates[0] < 0.35 and rates[2] > 0.75
    least, most = (
        wrong[(table["reasoning_group"] == g).to_numpy()].mean()
        for g in (0, len(reasoning.sizes) - 1)
    )
    assert least > 0.75 and most < 0.35  # bin 0 is the least confident
    assert reasoning.chosen == ChosenCuts(start=20, told_apart=True)


def test_training_sees_a_grouping_by_a_dataset_s_column_and_found_cuts(run, no_report):
    grouped(run, perceptual="level", percentiles="auto", reasoning="level", bins="auto")
    config = TrainConfig(dataset="d", table=str(run), model="m", out="o", order="hard_first")
    table, groups = open_table(config), RunFolder(run).complete_manifest()["groups"]
    level = planted()[1]
    assert table.perceptual.tolist() == level.tolist() == table.confidence.tolist()
    sizes = groups["perceptual"]["sizes"]
    assert np.bincount(table.perceptual_group).tolist() == list(sizes.values())
    hardest = level >= max(groups["reasoning"]["edges"])  # the dataset's own: its high end
    assert (table.reasoning_group == 0).tolist() == hardest.tolist()
    ids = list(table.number)
    assert level[table.order(ids)[0]] == N - 1  # the hardest first
    online = normalization_of(config, table.manifest)
    assert online.bins == len(groups["reasoning"]["sizes"])
    assert online.percentiles == pytest.approx(
        (100 * sizes["easy"] / N, 100 * (sizes["easy"] + sizes["medium"]) / N)
    )
    assert online.reasoning_harder == "higher"


def test_the_end_that_is_hard_can_be_said_and_is_remembered(run, no_report):
    result = grouped(run, perceptual="level:lower", reasoning="level:lower", bins=3)
    level = planted()[1]
    # Levels 0 to 1199: the quartiles are 299.75 and 899.25, the thirds begin at 400 and 800.
    expected = np.select([level <= 299, level >= 900], ["hard", "easy"], "medium")
    assert table_of(run)["perceptual_group"].to_list() == expected.tolist()
    assert (table_of(run)["reasoning_group"] == 0).to_list() == (level < 400).tolist()
    assert result.groups.perceptual.harder == result.groups.reasoning.harder == "lower"
    kept = pq.read_schema(run / "difficulty.parquet").metadata[b"durian.groups"]
    assert json.loads(kept)["perceptual"]["harder"] == "lower"
    assert json.loads((run / "manifest.json").read_text())["groups"] == json.loads(kept)
    # Cut elsewhere, by the same column named again: still from the same end.
    again = grouped(run, perceptual="level", percentiles=(10.0, 50.0)).groups
    assert again.perceptual.harder == "lower"
    # The highest 10 % are easy and the lower half is hard: 50 % turned round is the median.
    assert (table_of(run)["perceptual_group"] == "hard").to_list() == (level < 600).tolist()
    back = grouped(run, perceptual="level:higher", percentiles=(25.0, 75.0)).groups.perceptual
    assert back.harder is None  # as the column is taken unasked
    assert (table_of(run)["perceptual_group"] == "hard").to_list() == (level >= 900).tolist()


def test_training_cuts_and_orders_from_the_end_that_the_table_remembers(run, no_report):
    grouped(run, perceptual="level:lower", reasoning="level:lower", bins=3)
    asked = {"dataset": "d", "table": str(run), "model": "m", "out": "o"}
    config = TrainConfig(**asked, percentiles=(50.0, 75.0), bins=2, order="hard_first")
    table, level = open_table(config), planted()[1]
    assert ((table.perceptual_group == 2) == (level <= 299)).all()
    assert ((table.reasoning_group == 0) == (level < 600)).all()
    assert level[table.order(list(table.number))[0]] == 0
    online = normalization_of(config, table.manifest)
    assert (online.perceptual_harder, online.reasoning_harder) == ("lower", "lower")


def test_a_column_may_itself_be_called_like_an_end(run, no_report):
    columns = pl.read_parquet(run / "columns.parquet")
    columns.rename({"level": "level:lower"}).write_parquet(run / "columns.parquet")
    result = grouped(run, perceptual="level:lower").groups.perceptual
    assert (result.measure, result.harder) == ("level:lower", None)
    result = grouped(run, perceptual="level:lower:lower").groups.perceptual
    assert (result.measure, result.harder) == ("level:lower", "lower")


def test_samples_without_the_column_are_in_no_group_and_train_by_their_own(run, no_report):
    columns = pl.read_parquet(run / "columns.parquet")
    level = pl.when(pl.col("level") < 90).then("level")  # 90 of 1,200 have it
    columns.with_columns(level=level).write_parquet(run / "columns.parquet")
    sizes = grouped(run, perceptual="level").groups.perceptual.sizes
    assert sizes == {"easy": 23, "medium": 44, "hard": 23}  # of levels 0 to 89: 22.25, 66.75
    config = TrainConfig(dataset="d", table=str(run), model="m", out="o")
    table = open_table(config)
    assert (table.perceptual_group == -1).sum() == 1110
    warned = table_warnings(
        table.manifest, dataset="planted", fingerprint="aa", model="judge", model_print="bb"
    )
    assert warned == [
        "1,110 of the table's 1,200 samples have no perceptual group (they have no level): the "
        "perceptual term of each will be its own"
    ]
    # As it says: the perceptual term of a sample in no group is plain GRPO's.
    rewards = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    none = torch.tensor([-1, -1])
    alone = durian_advantages(rewards, none, none, weights=(0.0, 1.0, 0.0))
    assert torch.equal(alone, durian_advantages(rewards, none, none, weights=(1.0, 0.0, 0.0)))


def test_a_training_knows_a_table_that_was_grouped_anew(run, no_report):
    before = table_fingerprint(run)
    grouped(run)
    assert table_fingerprint(run) == before
    grouped(run, bins=2)
    assert table_fingerprint(run) != before


# --- a rollout batch


def test_too_many_bins_for_a_rollout_batch_are_refused_with_how_many_fit(run):
    # 10 bins of 120 samples of 1,200: 51.2 of 512 prompts. 9 bins: the smallest holds 133,
    # 56.7 prompts.
    with pytest.raises(ConfigError) as raised:
        grouped(run, bins=10, min_per_batch=52)
    assert str(raised.value) == (
        "min-per-batch is 52, and the reasoning group 0 is expected to hold 51.2 of 512 prompts; "
        "pass --bins 9, or a larger --rollout-batch"
    )


def test_bins_that_a_rollout_batch_fills_are_cut(run, no_report):
    assert grouped(run, bins=10, min_per_batch=51).changed
    assert grouped(run, bins=8, min_per_batch=8, rollout_batch=64).changed  # exactly 8


def test_groups_that_stay_are_held_against_the_batch_too(run, no_report):
    grouped(run, perceptual="level", percentiles=(2.0, 98.0), bins=10)
    with pytest.raises(ConfigError, match="reasoning group 0 .* 6.4 of 64 .* pass --bins 8"):
        grouped(run, percentiles=(25.0, 75.0), min_per_batch=8, rollout_batch=64)
    # 24 of 1,200 samples are easy: 1.28 of 64 prompts.
    with pytest.raises(ConfigError, match="perceptual group easy is expected to hold 1.3 of 64"):
        grouped(run, bins=4, min_per_batch=8, rollout_batch=64)


def test_auto_merges_until_a_rollout_batch_fills_every_bin(run, no_report):
    result = grouped(run, bins="auto", min_per_batch=24, rollout_batch=64)
    sizes = result.groups.reasoning.sizes
    assert len(sizes) == 2 and all(64 * size / N >= 24 for size in sizes.values())
    assert result.groups.reasoning.chosen.min_per_batch == 24
    with pytest.raises(ConfigError, match="no two groups of 'mean_logprob' are each .* 64 prompts"):
        grouped(run, bins="auto", min_per_batch=33, rollout_batch=64)


# --- what is refused, with nothing changed


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"perceptual": "levle"}, r"no column 'levle' of numbers in .*; did you mean 'level'"),
        ({"perceptual": "zzz"}, r"no column 'zzz' .*; it has 'row', .*'level'"),
        ({"reasoning": "kind"}, "no column 'kind' of numbers"),  # texts
        ({"reasoning": "perceptual_group"}, "no column 'perceptual_group' of numbers"),
        ({"reasoning": "reasoning_group"}, "no column 'reasoning_group' of numbers"),
        ({"perceptual": "a\x1b[2Jb"}, r"no column 'a\\x1b\[2Jb' of numbers"),
        ({"perceptual": "spectral_entropy"}, "no sample has 'spectral_entropy'"),
        ({"percentiles": (10.0, 90.0)}, "'pixel_entropy' is 1 for all samples"),
        ({"perceptual": "flat"}, "'flat' is 3 for all samples"),
        (
            {"perceptual": "levle:lower"},
            r"no column 'levle' of numbers in .*; did you mean 'level'",
        ),
        (
            {"perceptual": "pixel_entropy:lower"},
            "of 'pixel_entropy' the higher end is the hard one; pass --perceptual pixel_entropy",
        ),
        ({"perceptual": "truncated", "percentiles": "auto"}, "'truncated' is 0 for all samples"),
        ({"bins": 0}, "bins is 0; it must be 1 or more"),
        ({"percentiles": (75.0, 25.0)}, "percentiles is 75,25"),
        ({"min_per_batch": 0}, "min-per-batch is 0; it must be 1 or more"),
        ({"rollout_batch": 64}, "pass --min-per-batch N too"),
        ({"min_per_batch": 65, "rollout_batch": 64}, "a rollout batch has 64 prompts"),
    ],
)
def test_what_cannot_be_cut_is_refused_and_nothing_changes(run, asked, said):
    before = contents(run)
    with pytest.raises(ConfigError, match=said):
        grouped(run, **asked)
    assert contents(run) == before


def test_auto_leaves_out_the_medium_group_where_only_two_can_be_told_apart(run, no_report):
    # mean_tokens is 8, 9 or 10, whatever the error.
    result = grouped(run, perceptual="mean_tokens", percentiles="auto")
    found = result.groups.perceptual
    assert found.edges in ((8.5,), (9.5,)) and not found.chosen.told_apart
    assert sorted(found.sizes.values()) == [0, 400, 800] and found.sizes["medium"] == 0
    tokens, groups = table_of(run)["mean_tokens"], table_of(run)["perceptual_group"]
    assert (groups == "hard").to_list() == (tokens > found.edges[0]).to_list()
    config = TrainConfig(dataset="d", table=str(run), model="m", out="o", groups="online")
    online = normalization_of(config, check_manifest(run)).percentiles
    # Cut anew at those percentiles of the whole table, the same samples are hard.
    assert perceptual_groups(tokens.to_numpy(), online).labels == groups.to_list()
    plan_of(config, {"num_generations": 8}, open_table(config), samples=N, processes=1)


def test_auto_refuses_a_column_of_nearly_one_value(run):
    table = table_of(run).with_columns(truncated=pl.Series([0.0] * 1170 + list(range(1, 31))))
    table.write_parquet(run / "difficulty.parquet", metadata={"durian.schema": "1"})
    with pytest.raises(ConfigError, match="bins: auto .* share one value of 'truncated'"):
        grouped(run, reasoning="truncated", bins="auto")


def test_auto_without_scored_completions_is_refused(run):
    table = table_of(run).with_columns(pass_rate=pl.lit(None, pl.Float64))
    table.write_parquet(run / "difficulty.parquet", metadata={"durian.schema": "1"})
    with pytest.raises(ConfigError, match="bins is 'auto', .* no scored completions; give numbers"):
        grouped(run, bins="auto")


def test_a_run_that_is_not_complete_or_in_use_is_refused(run, tmp_path, no_report):
    before = contents(run)
    with change_run(run):
        with pytest.raises(RunFolderError, match="is in use by process .*; wait for it"):
            grouped(run, bins=2)
        assert (run / "lock").exists()  # the refused one leaves the holder's lock
    assert contents(run) == before
    (run / "manifest.json").unlink()
    with pytest.raises(RunFolderError, match="is not a run folder"):
        grouped(run, bins=2)
    (run / "parts").mkdir()
    with pytest.raises(RunFolderError, match="is not complete: run its profile again"):
        grouped(run, bins=2)
    with pytest.raises(RunFolderError, match="is not a run folder"):
        grouped(tmp_path / "nowhere", bins=2)
    assert not (tmp_path / "nowhere").exists()


def test_a_table_of_a_newer_durian_or_one_that_is_damaged_is_refused(run):
    table_of(run).write_parquet(run / "difficulty.parquet", metadata={"durian.schema": "99"})
    with pytest.raises(RunFolderError, match="is of a newer Durian"):
        grouped(run, bins=2)
    (run / "difficulty.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(RunFolderError, match="difficulty.parquet: cannot be read"):
        grouped(run, bins=2)
    (run / "manifest.json").write_text("{}")  # of a training
    with pytest.raises(RunFolderError, match="is not of a profile"):
        grouped(run, bins=2)


# --- kills

KILLED = """
import os, signal, sys
from durian.regroup import GroupConfig, regroup_run
from durian.report import render_run
replace, left = os.replace, int(sys.argv[2])
def kill_at(*paths):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    replace(*paths)
os.replace = kill_at
regroup_run(GroupConfig(run=sys.argv[1], reasoning="level", bins=3))
"""


@pytest.mark.parametrize(("renames", "version"), [(0, 1), (1, 2)])
def test_a_kill_at_either_rename_leaves_a_valid_run_that_the_same_command_mends(
    run, no_report, renames, version
):
    done = subprocess.run([sys.executable, "-c", KILLED, str(run), str(renames)])
    assert done.returncode == -signal.SIGKILL
    groups = RunFolder(run).complete_manifest()["groups"]
    assert groups.get("version", 1) == version
    counts = table_of(run)["reasoning_group"].value_counts()
    assert {str(bin): n for bin, n in counts.rows()} == groups["reasoning"]["sizes"]
    result = grouped(run, reasoning="level", bins=3)
    assert result.changed == (version == 1) and result.groups.version == 2
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["groups"] == as_json(result.groups) and manifest["regrouped"] == [OLD]
    assert not list(run.glob("*.tmp")) and not (run / "lock").exists()


def test_the_report_is_built_again_with_the_new_groups(run):
    result = grouped(run, perceptual="level", bins=2)
    summary = json.loads((run / "report" / "summary.json").read_text())
    assert [row["samples"] for row in summary["perceptual"]] == [300, 600, 300]
    assert [row["samples"] for row in summary["reasoning"]] == [600, 600]
    assert as_json(result.summary.scored.reasoning) == summary["reasoning"]
    assert Path(run / "report" / "index.html").exists()


def test_a_report_of_the_same_groups_is_not_drawn_again(run, monkeypatch):
    drawn, render = [], render_run

    def counted(path, manifest):
        drawn.append(path)
        return render(path, manifest)

    monkeypatch.setattr("durian.report.render_run", counted)
    monkeypatch.setattr("durian.rendering.page.report_figures", lambda summary, units: [])
    first = grouped(run, bins=3)
    again = grouped(run, bins=3)
    assert len(drawn) == 1 and not again.changed and again.summary == first.summary
    grouped(run, bins=4)
    assert len(drawn) == 2
    # A kill between table and page leaves the page of the older groups: it is drawn again.
    (run / "report" / "summary.json").write_text(json.dumps(as_json(first.summary)))
    grouped(run, bins=4)
    assert len(drawn) == 3


def why(run):
    return table_of(run)["why"].to_list()


def test_causes_are_found_anew_with_other_thresholds_and_nothing_else_changes(run, no_report):
    first = grouped(run, why={"solved": 0.875})
    before, rates = table_of(run), table_of(run)["pass_rate"]
    # Wrong in 1 to 8 of 8: solved from 7 of 8 on. Without the answers nothing else is known.
    assert why(run) == ["solved" if rate >= 0.875 else "mixed" for rate in rates]
    assert first.changed and first.groups.version == 2
    after = grouped(run, why={"solved": 0.6})
    assert why(run) == ["solved" if rate >= 0.6 else "mixed" for rate in rates]
    assert table_of(run).drop("why").equals(before.drop("why"))
    assert after.groups.why["solved"] == 0.6 and after.groups.version == 3
    kept = json.loads((run / "manifest.json").read_text())
    assert kept["groups"]["why"]["solved"] == 0.6
    assert [old.get("why", {}).get("solved") for old in kept["regrouped"]] == [None, 0.875]
    # Other thresholds leave these as they are, and the same ones change nothing.
    assert grouped(run, why={"cut": 0.9}).groups.why["solved"] == 0.6
    assert not grouped(run, why={"cut": 0.9}).changed and not grouped(run).changed


def test_a_table_of_version_1_has_no_causes_and_says_so(run, no_report):
    file = run / "difficulty.parquet"
    table = pq.read_table(file).select(known_at(DIFFICULTY, 1))
    pq.write_table(table.replace_schema_metadata({b"durian.schema": b"1"}), file)
    pq.write_table(
        pq.read_table(run / "rollouts.parquet").select(known_at(ROLLOUTS, 1)),
        run / "rollouts.parquet",
    )
    assert grouped(run, reasoning="sum_logprob", bins=3).groups.why is None
    before = contents(run)
    with pytest.raises(ConfigError, match="older Durian, whose tables have no such column"):
        grouped(run, why={"cut": 0.9})
    assert contents(run) == before
