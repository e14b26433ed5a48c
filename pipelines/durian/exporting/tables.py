"""The tables of the exported runs, beside the rows: a folder a run, which is a run folder again."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from durian.run.folder import (
    DIFFICULTY_FILE,
    MANIFEST,
    REPORT_FOLDER,
    ROLLOUTS_FILE,
    THUMBNAILS_FILE,
)
from durian.table.columns import COLUMNS_FILE

TABLES_FOLDER = "tables"
# What the Hub shows as further parts of the dataset, by their names there.
SHOWN = {"difficulty": DIFFICULTY_FILE, "rollouts": ROLLOUTS_FILE}
_FILES = (DIFFICULTY_FILE, ROLLOUTS_FILE, COLUMNS_FILE, THUMBNAILS_FILE)


def copy_tables(folder: Path, runs: Sequence[str]) -> list[str]:
    """Copy each run's tables, manifest and report into the folder; gives where they lie in it.

    Of unfinished work, locks, logs and comparisons nothing is copied.
    """
    places: list[str] = []
    for run in map(Path, runs):
        name = place = f"{TABLES_FOLDER}/{run.resolve().name}"
        number = 1
        while place in places:  # two runs of one name
            number += 1
            place = f"{name}-{number}"
        copy = folder / place
        copy.mkdir(parents=True)
        for file in (*_FILES, MANIFEST):
            if (run / file).exists():
                shutil.copyfile(run / file, copy / file)
        if (run / REPORT_FOLDER).is_dir():
            shutil.copytree(run / REPORT_FOLDER, copy / REPORT_FOLDER)
        places.append(place)
    return places
