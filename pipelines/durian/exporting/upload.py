"""An export on a server: written here, then put there file by file."""

from __future__ import annotations

from pathlib import Path

from durian.errors import ConfigError, RunFolderError
from durian.exporting.folder import EXPORT_FILE
from durian.places import Remote
from durian.run.progress import Progress

_BEGUN = "export.unfinished"  # there while files are put: a folder in between is no export


def check_upload(place: Remote) -> None:
    """Refuse an address that nothing can be put to, or that holds anything but an export.

    Raises:
        ConfigError, RunFolderError: see above.
    """
    if place.root.startswith("http"):
        raise ConfigError(f"out is {place}; a web server takes no files: give a folder or a bucket")
    if place.is_file():
        raise RunFolderError(f"{place}: is no folder; choose another --out")
    there = place.files()
    if there and EXPORT_FILE not in there and _BEGUN not in there:
        raise RunFolderError(f"{place}: holds other files and no export; choose another --out")


def upload(folder: Path, place: Remote, progress: Progress) -> None:
    """Put an export in the place of an earlier one; what only that one had is removed.

    Raises:
        RunError: the server takes no more; the same command begins again.
    """
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    files.sort(key=EXPORT_FILE.__eq__)  # last what makes it an export
    progress.start("upload", len(files))
    (place / _BEGUN).put(b"")
    if EXPORT_FILE in place.files():
        (place / EXPORT_FILE).remove()
    for name in files:
        (place / name).put(folder / name)
        progress.advance("upload")
    for name in {*place.files(), _BEGUN} - {*files}:
        (place / name).remove()
