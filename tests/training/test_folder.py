"""A training's folder: what a kill or an interrupt leaves is gone on from, never mixed."""

import json
from pathlib import Path

import pytest

from durian.training.checkpoints import MARK, drop_older, newest_checkpoint
from durian.training.folder import open_training


def checkpoint(out: Path, step: int, *, whole: bool = True) -> Path:
    folder = out / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").touch()
    if whole:
        (folder / MARK).write_text(json.dumps({"weights": None}))
    return folder


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()}


def test_an_interrupt_after_the_manifest_keeps_a_training_without_checkpoints(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), open_training(out, {"seed": 0}, fresh=False):
        (out / "model.safetensors").touch()
        (out / "manifest.json").write_text("{}")
        raise KeyboardInterrupt
    assert {"model.safetensors", "manifest.json", "training.json"} <= names(out)


def test_what_fails_before_the_first_checkpoint_leaves_no_folder(tmp_path):
    with pytest.raises(ZeroDivisionError), open_training(tmp_path / "out", {}, fresh=False):
        raise ZeroDivisionError
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cut", ["at the first file", "at the last file"])
def test_a_fresh_start_that_is_cut_short_never_goes_on_from_old_checkpoints(
    tmp_path, monkeypatch, cut
):
    with open_training(tmp_path, {"seed": 0}, fresh=False):
        checkpoint(tmp_path, 2)
    from durian.training import folder

    def killed(out: Path) -> None:
        if cut == "at the last file":
            real(out)
        raise SystemExit

    real = folder._clear
    monkeypatch.setattr(folder, "_clear", killed)
    with pytest.raises(SystemExit), open_training(tmp_path, {"seed": 1}, fresh=True):
        pass
    monkeypatch.undo()
    with open_training(tmp_path, {"seed": 1}, fresh=False):
        assert newest_checkpoint(tmp_path) is None
        assert json.loads((tmp_path / "training.json").read_text()) == {"seed": 1}
        checkpoint(tmp_path, 4)
    assert names(tmp_path) == {"lock", "training.json", "checkpoint-4"}


def test_half_written_files_and_checkpoints_are_cleared_on_resuming(tmp_path):
    with open_training(tmp_path, {"seed": 0}, fresh=False):
        checkpoint(tmp_path, 2)
    checkpoint(tmp_path, 4, whole=False)
    (tmp_path / "log.json.tmp").touch()
    with open_training(tmp_path, {"seed": 0}, fresh=False):
        assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert names(tmp_path) == {"lock", "training.json", "checkpoint-2"}


def test_older_checkpoints_lose_their_mark_first(tmp_path, monkeypatch):
    for step in (2, 4, 10):  # 10 is the latest, though not the last by its name
        checkpoint(tmp_path, step)
    drop_older(tmp_path, None)
    drop_older(tmp_path, 3)
    assert names(tmp_path) == {"checkpoint-2", "checkpoint-4", "checkpoint-10"}
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"

    def killed(folder: Path) -> None:
        raise SystemExit

    monkeypatch.setattr("durian.training.checkpoints.shutil.rmtree", killed)
    with pytest.raises(SystemExit):
        drop_older(tmp_path, 2)
    monkeypatch.undo()
    assert not (tmp_path / "checkpoint-2" / MARK).exists()  # half of it: no longer whole
    drop_older(tmp_path, 1)
    assert names(tmp_path) == {"checkpoint-2", "checkpoint-10"}
