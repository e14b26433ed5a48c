"""A finished run as one object: its tables, the numbers of its report, and its page."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl

from durian.analysis.one_run.summary import Summary
from durian.run.brought import brought
from durian.run.folder import DIFFICULTY_FILE, REPORT_FOLDER, ROLLOUTS_FILE
from durian.run.manifest import Manifest
from durian.table.checked import check_run, check_summary, read_frame


@dataclass(frozen=True)
class Run:
    """The folder of a finished profile. Tables are read when they are first asked for."""

    path: Path  # of a run on a server, that of a copy that goes with this object
    manifest: Manifest  # config, dataset, model, counts, groups, versions

    @cached_property
    def difficulty(self) -> pl.DataFrame:
        """The difficulty table, one row a sample; `durian schema` prints the columns.

        Raises:
            RunFolderError: the file is not there, or damaged.
        """
        return read_frame(self.path / DIFFICULTY_FILE, lambda frame: frame)

    @cached_property
    def rollouts(self) -> pl.DataFrame:
        """The completions, one row each, joined to `difficulty` by `sample_id`.

        Those that `blind` marks were drawn without the image, and count in no pass rate.

        Raises:
            RunFolderError: the file is not there, or damaged.
        """
        return read_frame(self.path / ROLLOUTS_FILE, lambda frame: frame)

    @property
    def summary(self) -> Summary:
        """The numbers of the report, read anew from report/summary.json.

        Raises:
            RunFolderError: the file is not there, or damaged.
        """
        return check_summary(self.path)

    def report(self) -> Path:
        """Build the report again from the tables alone, and give the path of its page.

        Raises:
            RunFolderError: a table is damaged, or the folder is in use or not writable.
        """
        from durian.report import build_report  # here: drawing loads slowly

        build_report(self.path)
        return self.path / REPORT_FOLDER / "index.html"


def open_run(path: str | Path) -> Run:
    """Open the folder of a finished profile, to read its tables and numbers.

    Args:
        path: a folder, or the address of one on a server (s3://bucket/run), whose tables are
            copied to a temporary folder.
    Raises:
        RunFolderError: no run folder, not complete, damaged, or of a newer Durian.

    >>> run = durian.open_run("runs/before")
    >>> run.difficulty.filter(pl.col("pass_rate") < 1).height  # samples with something to learn
    6
    >>> run.rollouts.columns[:3]
    ['sample_id', 'rollout', 'completion']
    >>> run.report().name
    'index.html'
    """
    with ExitStack() as opened:
        here = opened.enter_context(brought(path))
        run = Run(here, check_run(here))
        # Tables are read when they are asked for, so that a copy goes when the object does.
        weakref.finalize(run, opened.pop_all().close)
    return run
