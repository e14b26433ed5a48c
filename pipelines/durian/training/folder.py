"""A training's folder: held by one training, resumed by the same one, refused to any other.

OUT/training.json      what the training is of; a different one is refused
OUT/samples.arrow      the rows that take part, and samples.json, what became of the others
OUT/validation.arrow   the rows to validate on, and validation_rows.json, what became of the others
OUT/validation.json    every validation so far
OUT/best-40/           the weights of the best validation, where they are not OUT's own or the model
OUT/checkpoint-40/     whole if it has a durian.json
OUT/log.json           what was logged, step by step
OUT/training/          the page that shows both: index.html, its figures, summary.json
OUT/README.md          the model card
OUT/manifest.json      written last: a folder that has one is complete, its weights beside it
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from durian.config import TrainConfig
from durian.errors import RunFolderError
from durian.records import JsonObject
from durian.run.files import find_json, write_json
from durian.run.folder import check_same, read_manifest
from durian.run.lock import locked
from durian.training.checkpoints import drop_unfinished, newest_checkpoint

IDENTITY = "training.json"
LOCK = "lock"
LOG_FILE = "log.json"
PAGE_FOLDER = "training"


def check_training_folder(out: Path) -> None:
    """Refuse a path that cannot be a training's folder.

    Raises:
        RunFolderError: it is a file, or a folder with other things in it.
    """
    if out.is_file():
        raise RunFolderError(f"{out}: is a file; --out names a folder")
    begun = (out / IDENTITY).exists() or (out / LOCK).exists()
    if out.is_dir() and any(out.iterdir()) and not begun:
        raise RunFolderError(f"{out}: holds other files and no training; choose another --out")


@contextmanager
def open_training(out: Path, identity: JsonObject, *, fresh: bool) -> Iterator[JsonObject | None]:
    """Hold the folder of a training; gives its manifest where the training is complete.

    Args:
        identity: all that the training depends on, JSON values by key.
        fresh: throw away what another or an interrupted training left.
    Raises:
        RunFolderError: in use, not a training's, or of another identity.
    """
    check_training_folder(out)
    existed = out.exists()
    way_out = "choose another --out"
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"{out}: cannot be written ({error.strerror}); {way_out}") from error
    with locked(out / LOCK, out, way_out=way_out):
        if fresh:
            write_json(out / IDENTITY, {})  # first: what is left of a cut clearing is no one's
        # An identity of nothing ({}) marks a folder whose clearing was cut short by a kill: what is
        # left in it belongs to no one and is cleared, never resumed.
        known = find_json(out / IDENTITY, "choose another --out, or pass --fresh")
        if known:
            way_out = "repeat the old value, choose another --out, or --fresh"
            check_same(out, known, identity, way_out, config=TrainConfig)
        else:
            if known is not None:
                _clear(out)
            write_json(out / IDENTITY, identity)
        drop_unfinished(out)
        for aside in out.glob("*.tmp"):
            aside.unlink()
        try:
            yield read_manifest(out)
        except BaseException:
            # Nothing to go on from. Asked now: a complete training may have no checkpoint.
            if newest_checkpoint(out) is None and read_manifest(out) is None:
                _clear(out)
                (out / IDENTITY).unlink(missing_ok=True)
                if not existed:
                    shutil.rmtree(out, ignore_errors=True)
            raise


def _clear(out: Path) -> None:
    """Remove all but the lock and the identity, which goes last."""
    for path in out.iterdir():
        if path.name in (LOCK, IDENTITY):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
