"""The run folder: whole or absent, one process at a time, of one run."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from durian.errors import RunFolderError
from durian.measuring.rows import arrow_table
from durian.run.files import written_aside
from durian.run.folder import RunFolder, read_manifest
from durian.run.opening import hold_run
from durian.schema import DIFFICULTY, ROLLOUTS


def part(*ids: str) -> pa.Table:
    return arrow_table(
        [{"sample_id": i, "row": n, "copies": 1} for n, i in enumerate(ids)], DIFFICULTY
    )


NO_ROLLOUTS = arrow_table([], ROLLOUTS)


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), written_aside(path) as aside:
        aside.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_parts_are_joined_in_order_with_their_groups(tmp_path):
    with hold_run(tmp_path / "run", {"seed": 0}) as run:
        run.write_part(1, part("c"), NO_ROLLOUTS, {"images": 1.5})
        run.write_part(0, part("a", "b"), NO_ROLLOUTS, {"images": 0.5})
        assert run.finished_parts() == [0, 1]
        assert run.part_seconds(1) == {"images": 1.5}
        run.join_parts({"perceptual_group": pa.array(["easy", None, "hard"])}, {"version": 1})
        run.finish({"identity": {"seed": 0}})
    table = pq.read_table(tmp_path / "run" / "difficulty.parquet")
    assert table["sample_id"].to_pylist() == ["a", "b", "c"]
    assert table["perceptual_group"].to_pylist() == ["easy", None, "hard"]
    # The schema is the contract's, whichever columns are all null, and says its version.
    assert table.schema.names == list(DIFFICULTY)
    assert table.schema.types == [column.type for column in DIFFICULTY.values()]
    assert table.schema.metadata[b"durian.schema"] == b"2"
    assert table.schema.metadata[b"durian.groups"] == b'{"version": 1}'
    assert table.schema.field("mean_logprob").metadata[b"unit"] == b"nats per token"
    assert not (tmp_path / "run" / "parts").exists()
    assert read_manifest(tmp_path / "run") == {"identity": {"seed": 0}}
    assert RunFolder(tmp_path / "run").complete_manifest()["groups"] == {"version": 1}


def test_a_run_older_than_an_option_was_made_with_its_default(tmp_path):
    with hold_run(tmp_path / "run", {"seed": 0}) as run:  # no word of bins
        run.write_part(0, part("a"), NO_ROLLOUTS, {})
    with hold_run(tmp_path / "run", {"seed": 0, "bins": 10, "percentiles": (25, 75)}) as run:
        assert run.finished_parts() == [0]
    with (
        pytest.raises(RunFolderError, match="was made with bins 10, not 4"),
        hold_run(tmp_path / "run", {"seed": 0, "bins": 4}),
    ):
        pass


def test_a_begun_run_is_resumed_and_fresh_throws_it_away(tmp_path):
    with hold_run(tmp_path, {"seed": 0}) as run:
        run.write_part(0, part("a"), NO_ROLLOUTS, {})
    with hold_run(tmp_path, {"seed": 0}) as run:
        assert run.finished_parts() == [0]
    with hold_run(tmp_path, {"seed": 1}, fresh=True) as run:
        assert run.finished_parts() == []
        run.write_part(0, part("b"), NO_ROLLOUTS, {})
    with hold_run(tmp_path, {"seed": 1}) as run:
        assert run.finished_parts() == [0]


def test_resuming_another_run_names_the_key_that_differs(tmp_path):
    with hold_run(tmp_path, {"rollouts": 8, "seed": 0}) as run:
        run.write_part(0, part("a"), NO_ROLLOUTS, {})
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(RunFolderError, match=r"was made with rollouts 8, not 4; .*--fresh"):
        with hold_run(tmp_path, {"rollouts": 4, "seed": 0}):
            pass
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_a_complete_run_of_another_config_is_refused_and_untouched(tmp_path):
    with hold_run(tmp_path, {"seed": 0}) as run:
        run.finish({"identity": {"seed": 0}})
    with pytest.raises(RunFolderError, match="made with seed 0, not 1; choose another --out"):
        with hold_run(tmp_path, {"seed": 1}, fresh=True):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]


def test_parts_left_by_a_kill_after_the_manifest_are_cleared(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "part-00000.parquet").touch()
    (tmp_path / "manifest.json").write_text(json.dumps({"identity": {}}))
    with hold_run(tmp_path, {}) as run:
        assert run.manifest == {"identity": {}}
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(RunFolderError, match="holds other files and no run"):
        with hold_run(tmp_path, {}):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_fails_before_the_first_part_leaves_no_folder(tmp_path):
    with pytest.raises(RunFolderError, match="no policy"):
        with hold_run(tmp_path / "run", {}):
            raise RunFolderError("no policy")
    assert not (tmp_path / "run").exists()


def test_what_fails_after_a_part_keeps_it(tmp_path):
    with pytest.raises(OSError), hold_run(tmp_path / "run", {}) as run:
        run.write_part(0, part("a"), NO_ROLLOUTS, {})
        raise OSError
    with hold_run(tmp_path / "run", {}) as run:
        assert run.finished_parts() == [0]


def test_a_second_process_is_refused_and_told_who_works_there(tmp_path):
    code = (
        "import sys; from pathlib import Path; from durian.run.opening import hold_run\n"
        "with hold_run(Path(sys.argv[1]), {}): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(RunFolderError, match=f"in use by process {holder.pid} on "):
        with hold_run(tmp_path, {}):
            pass
    holder.kill()  # the lock dies with its holder: nothing stale to clear
    holder.communicate()
    with hold_run(tmp_path, {}) as run:
        assert run.finished_parts() == []
