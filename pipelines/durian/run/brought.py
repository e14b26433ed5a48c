"""A complete run that lies on a server: its tables are brought here, and it is only read."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from durian.errors import ConfigError, DurianError, RunFolderError, is_address, without_secrets
from durian.places import Remote, place_of
from durian.run.folder import MANIFEST, REPORT_FOLDER, SUMMARY_FILE

_SUMMARY = f"{REPORT_FOLDER}/{SUMMARY_FILE}"
_CHUNK = 8 << 20  # bytes in memory


@contextmanager
def brought(run: str | Path) -> Iterator[Path]:
    """Give a run folder of this machine: itself, or a copy that is gone in the end.

    Raises:
        RunFolderError: it lies on a server, and is no complete run there.
    """
    place = place_of(str(run))
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="durian-") as aside:
        copy = Path(aside, place.name)
        try:
            bring(place, copy)
            yield copy
        except DurianError as error:  # the copy's name means nothing to a person
            raise type(error)(str(error).replace(str(copy), str(place))) from error


def bring(run: Remote, copy: Path) -> None:
    """Copy what is read of a complete run, a few bytes of it in memory.

    Raises:
        RunFolderError: it is no complete run.
    """
    files = run.files()
    if MANIFEST not in files:
        raise RunFolderError(
            f"{run}: is not a run folder (no {MANIFEST}); give the address of a complete run"
        )
    (copy / REPORT_FOLDER).mkdir(parents=True)
    for name in files:
        table = "/" not in name and name.endswith(".parquet")
        if table or name in (MANIFEST, _SUMMARY):
            with (run / name).open() as there, (copy / name).open("wb") as here:
                shutil.copyfileobj(there, here, _CHUNK)


def check_changed_here(run: str | Path, way_out: str) -> None:
    """Refuse to change a run that lies on a server.

    Raises:
        ConfigError: it does.
    """
    if is_address(str(run)):
        raise ConfigError(
            f"{without_secrets(str(run))}: lies on a server, where a run is only read; {way_out}"
        )
