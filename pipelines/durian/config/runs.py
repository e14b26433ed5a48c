"""Settings of the commands that read finished runs, and those that are no run's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from durian.config.options import RUN, Config, option


@dataclass(frozen=True, kw_only=True)
class RunConfig(Config):
    """The run that is read."""

    run: str = option(..., "Run folder of a complete profile.", positional=True)


@dataclass(frozen=True, kw_only=True)
class ReportConfig(RunConfig):
    """The run that is reported on, and the folder for the page."""

    out: Path | None = option(
        None,
        "Folder to write instead of report/ in the run; a run on a server (s3://...) needs it, "
        "since nothing is written there.",
    )


@dataclass(frozen=True, kw_only=True)
class LocalRunConfig(Config):
    """The run that is looked at, on a file system."""

    run: Path = option(..., "Run folder of a complete profile.", positional=True)


@dataclass(frozen=True, kw_only=True)
class MergeConfig(Config):
    """The run whose shards are put together."""

    run: Path = option(..., "Run folder of a profile in shards.", positional=True)


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Config):
    """The two runs to compare, and the folder for the page."""

    run_a: str = option(..., "Run folder of the older profile: its groups.", positional=True)
    run_b: str = option(..., "Run folder of the policy in hand.", positional=True)
    out: Path | None = option(
        None,
        "Folder to write; by default compare/<name of A> in B's folder; needed where that is on a "
        "server.",
    )


@dataclass(frozen=True, kw_only=True)
class ResumeConfig(Config):
    """Whether a stage goes on with what an earlier attempt left."""

    fresh: bool = option(False, "Throw unfinished work away rather than resume.", panel=RUN)


@dataclass(frozen=True, kw_only=True)
class AttemptConfig(ResumeConfig):
    """Options of one attempt at a stage: only to plan it, or to begin it anew."""

    dry_run: bool = option(
        False,
        "Check everything and show the plan: counts, cost or memory, and the first prompt; no "
        "model is run.",
        panel=RUN,
    )


@dataclass(frozen=True, kw_only=True)
class ShownConfig(Config):
    """Options of every command: its config file, and how much it prints."""

    config: Path | None = option(None, "YAML file of long option names; the command line wins.")
    quiet: bool = option(False, "Show nothing but errors.", short="-q")
    json: bool = option(False, "Print the result as one JSON object.")
