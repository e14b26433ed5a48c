"""A profile by four processes that share a run folder: killed, never begun, twice, without locks.

The tables are those of one process to the byte, whatever happens to the others.
"""

import json
import random
from pathlib import Path

import polars as pl
import pytest

from durian.config import ProfileConfig, Shard
from durian.run.lock import locked
from durian.run.opening import hold_shard
from durian.shards import ShardDone, profile_shard
from tests.faults.faulty import (
    Ended,
    ForkServer,
    assert_same_tables,
    files,
    make_dataset,
    points_of,
)

SHARDS = 4
SAMPLES, REPEATED = 11, (0, 5)  # rows that stand again at the end, in another shard's part


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """`profile` of 13 rows, 11 samples, in 6 parts, without its --out."""
    folder = tmp_path_factory.mktemp("shards")
    argv = make_dataset(folder, samples=SAMPLES)
    rows = pl.read_parquet(argv[1])
    pl.concat([rows, rows[list(REPEATED)], rows.head(3)]).write_parquet(argv[1])
    argv[argv.index("--part-size") + 1] = "2"
    argv.remove("--quiet")
    return [*argv, "--limit", str(SAMPLES + len(REPEATED))]


@pytest.fixture(scope="module")
def whole(server: ForkServer, profile: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    return done(server, profile, tmp_path_factory.mktemp("whole") / "run")


def done(server: ForkServer, profile: list[str], out: Path) -> Path:
    ended = server.durian(*profile, "--out", out)
    assert ended.code == 0, ended.said
    return out


def start(
    server: ForkServer, profile: list[str], out: Path, *numbers: int, **fault: object
) -> list[Ended]:
    """Some shards at the same time; of a fault that is a tuple, each has its own."""
    of_each = [
        {k: v[place] if isinstance(v, tuple) else v for k, v in fault.items()}
        for place in range(len(numbers))
    ]
    commands = [[*profile, "--out", out, "--shard", f"{n}/{SHARDS}"] for n in numbers]
    return server.together(*zip(commands, of_each, strict=True))


def manifest(run: Path) -> dict:
    return json.loads((run / "manifest.json").read_text())


@pytest.mark.parametrize(
    "more", [(), ("--measures", "pixel"), ("--sample", "10")], ids=["scripted", "pixel", "sample"]
)
def test_four_processes_come_to_the_tables_of_one(server, profile, whole, tmp_path, more):
    alone = done(server, [*profile, *more], tmp_path / "alone") if more else whole
    run = tmp_path / "run"
    ended = start(server, [*profile, *more], run, 1, 2, 3, 4)
    assert [of.code for of in ended] == [0] * 4, ended
    assert_same_tables(run, alone)
    table = pl.read_parquet(run / "difficulty.parquet")
    assert table["row"].to_list() == list(range(SAMPLES))  # of a repeated row, the first
    assert table["copies"].to_list() == [1 + (row in REPEATED) for row in range(SAMPLES)]
    # 6 parts by 4: 1, 2, 1 and 2.
    told = manifest(run)["shards"]
    assert told["count"] == 4 and len(told["seconds"]) == 4
    assert all("images" in seconds for seconds in told["seconds"])
    assert "locks" not in manifest(run)
    # Each shard tells at its end that it is complete, or what it still lacked then.
    assert sum("report:" in of.told for of in ended) >= 1
    for of in ended:
        assert "report:" in of.told or "missing: " in of.told or " completes the run" in of.told


@pytest.mark.parametrize("no_flock", [None, "refused"])
def test_shards_killed_at_random_get_there(server, profile, whole, tmp_path, no_flock):
    rng, run = random.Random(25), tmp_path / "run"
    start(server, profile, tmp_path / "counted", 1, no_flock=no_flock)
    points, killed = points_of(server.operations()), 0
    for _ in range(3):
        at, when = zip(*(rng.choice(points) for _ in range(SHARDS)), strict=True)
        ended = start(server, profile, run, 1, 2, 3, 4, at=at, when=when, no_flock=no_flock)
        assert {of.code for of in ended} <= {0, -9}, ended
        killed += sum(of.code == -9 for of in ended)
    assert killed >= SHARDS
    ended = start(server, profile, run, 1, 2, 3, 4, no_flock=no_flock)
    assert [of.code for of in ended] == [0] * 4, ended
    assert_same_tables(run, whole)
    told = "lease files with host, process and time: the file system has no flock that works"
    assert manifest(run).get("locks") == (told if no_flock else None)


def test_a_shard_that_never_began_is_named_and_then_completes_the_run(
    server, profile, whole, tmp_path
):
    run = tmp_path / "run"
    ended = start(server, profile, run, 1, 2, 4)
    assert [of.code for of in ended] == [0] * 3
    assert not (run / "manifest.json").exists()
    merge = server.durian("merge", run, "--quiet")
    # 6 parts: the third of four shards has number 3 alone.
    lacks = "shard 3/4 (not begun; 1 of 1 parts missing)"
    assert merge.code == 2
    assert merge.said == f"durian: {run}: lacks {lacks}; give the command of each again\n"
    again = start(server, profile, run, 2)[0]
    assert f"missing: {lacks}\n" in again.told
    (last,) = start(server, profile, run, 3)
    assert last.code == 0 and "report:" in last.told
    assert_same_tables(run, whole)
    assert server.durian("merge", run).code == 0  # which tells it once more


def test_a_run_that_was_killed_as_it_was_completed_is_merged(server, profile, whole, tmp_path):
    run = tmp_path / "run"
    start(server, profile, run, 1, 2, 3)
    (whole_shard,) = start(server, profile, tmp_path / "counted", 4)
    assert whole_shard.code == 0
    # Its own two parts, and then the tables: the first of those is the columns'.
    parts = len(server.operations())
    (killed,) = start(server, profile, run, 4, at=parts + 3)
    assert killed.code == -9 and not (run / "manifest.json").exists()
    merged = server.durian("merge", run)
    assert merged.code == 0, merged.said
    assert_same_tables(run, whole)
    assert manifest(run)["config"]["shard"] is None
    again = start(server, profile, run, 4)[0]
    assert again.code == 0 and "report:" in again.told


def test_what_is_another_run_is_refused_by_the_name_of_its_key(server, profile, tmp_path):
    run = tmp_path / "run"
    start(server, profile, run, 1)
    before = files(run)

    def refused(argv: list[str], shard: str) -> str:
        ended = server.durian(*argv, "--out", run, "--shard", shard)
        assert ended.code == 2 and files(run) == before
        return ended.said

    assert "was made with shards 4, not 8; repeat the old value" in refused(profile, "2/8")
    assert "was made with seed 0, not 1" in refused([*profile, "--seed", "1"], "2/4")
    assert "was made with dataset " in refused([*profile[:-1], "11"], "2/4")
    ended = server.durian(*profile, "--out", run)
    assert ended.code == 2 and "was made with shards 4, not null" in ended.said


def test_two_with_one_number_are_refused_and_fresh_spares_the_other_shards(
    server, profile, whole, tmp_path
):
    run = tmp_path / "run"
    start(server, profile, run, 1, 3, 4)
    with locked(run / "parts" / "shard-00002.lock", run, way_out=""):
        (second,) = start(server, profile, run, 2)
        assert second.code == 2
        assert f"{run}: shard 2/4: is in use by process" in second.said
        merge = server.durian("merge", run)
        assert merge.code == 2 and "shard 2/4 (at work, process " in merge.said
        # A change of the whole run waits for all of them.
        other = server.durian(*profile, "--out", run, "--seed", "1", "--fresh")
        assert other.code == 2 and "shard 2 is in use by process" in other.said
    stamp = (run / "parts" / "part-00000.parquet").stat().st_mtime_ns
    (fresh,) = server.together(([*profile, "--out", run, "--shard", "3/4", "--fresh"], {}))
    assert fresh.code == 0 and (run / "parts" / "part-00000.parquet").stat().st_mtime_ns == stamp
    assert start(server, profile, run, 2)[0].code == 0
    assert_same_tables(run, whole)


def test_of_two_last_ones_one_completes_and_the_other_says_so(
    server, profile, whole, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    start(server, profile, run, 1, 2, 3)
    config = ProfileConfig(
        dataset=profile[1], engine="scripted", model=profile[5], rollouts=2, part_size=2, bins=2,
        limit=13, out=str(run), shard=Shard(4, 4),
    )  # fmt: skip
    monkeypatch.setattr("durian.run.opening.MOMENT", 0)
    # The other one holds the run from the moment in which this one has measured its last part.
    from durian.profile import measure_samples

    held = locked(run / "parts" / "lock", run, way_out="")

    def measured(*args: object) -> None:
        measure_samples(*args)  # type: ignore[arg-type]
        held.__enter__()

    monkeypatch.setattr("durian.shards.measure_samples", measured)
    result = profile_shard(config)
    held.__exit__(None, None, None)
    assert isinstance(result, ShardDone) and result.missing == []
    assert result.rest.startswith("all parts are there, and process ")
    assert result.rest.endswith(" completes the run")
    assert server.durian("merge", run).code == 0
    assert_same_tables(run, whole)


def test_wrong_input_of_a_shard_leaves_nothing_but_what_others_have(tmp_path):
    identity, told = {"seed": 0}, []

    def hold(number: int):
        return hold_shard(
            tmp_path / "run", identity, Shard(number, 2), {}, parts=2, say=told.append
        )

    with pytest.raises(ZeroDivisionError), hold(1):
        raise ZeroDivisionError
    assert not (tmp_path / "run").exists()
    with hold(2), pytest.raises(ZeroDivisionError), hold(1):
        raise ZeroDivisionError
    assert (tmp_path / "run" / "parts" / "identity.json").exists() and not told
