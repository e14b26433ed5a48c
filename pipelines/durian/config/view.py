"""Settings of `durian view` and `durian show`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from durian.config.dataset import ProfiledDatasetConfig
from durian.config.options import CHOICE, RUN, again, option
from durian.config.runs import LocalRunConfig
from durian.config.train import TrainConfig
from durian.errors import ConfigError

PORT = 8791  # where it is taken a free one is


@dataclass(frozen=True, kw_only=True)
class PicturesConfig(ProfiledDatasetConfig, LocalRunConfig):
    """A run, and where the images of its samples are."""


@dataclass(frozen=True, kw_only=True)
class ViewConfig(PicturesConfig):
    """What is looked at, and from where it can be."""

    run_b: Path | None = option(
        None, "A second run of the same samples, to look at both side by side.", positional=True
    )
    filter: str | None = again(
        TrainConfig,
        "filter",
        help="Open on the samples of an SQL condition: 'pass_rate > 0 AND pass_rate < 1'.",
        panel=CHOICE,
    )
    marks: Path | None = option(
        None,
        "File of the samples that you mark, .jsonl or .parquet, kept at each mark; "
        "durian export --ids reads it.",
        panel=CHOICE,
        default_text="kept until the viewer ends",
    )
    host: str = option(
        "127.0.0.1",
        "Address to serve at; one that others reach asks for the token in the address shown.",
        panel=RUN,
        filled="an address",
    )
    port: int | None = option(
        None,
        "Port to serve at.",
        panel=RUN,
        low=0,
        high=65_535,
        default_text=f"{PORT}, or a free one",
    )
    no_open: bool = option(False, "Open no browser.", panel=RUN)
    static: Path | None = option(
        None,
        "Write a folder with one page and its images instead, to share; it needs no server.",
        panel=RUN,
    )
    limit: int = option(
        200,
        "With --static: the first N samples, as they are sorted.",
        panel=RUN,
        unit="samples",
        low=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.marks is not None:
            if self.marks.suffix not in (".jsonl", ".parquet"):
                raise ConfigError(f"marks is '{self.marks}'; name a .jsonl or .parquet file")
            inside = self.marks.expanduser().resolve()
            for run in filter(None, (self.run, self.run_b)):
                if inside.is_relative_to(run.expanduser().resolve()):
                    raise ConfigError(
                        f"marks is '{self.marks}', in the run; name a file outside of it"
                    )


@dataclass(frozen=True, kw_only=True)
class ShowConfig(LocalRunConfig):
    """One sample of a run, by its row or its id."""

    row: int | None = option(None, "Row of the dataset that the sample is.", panel=CHOICE, low=0)
    id: str | None = option(None, "Its sample id.", panel=CHOICE)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.row is None) == (self.id is None):
            raise ConfigError("name one sample: --row N, or --id ID")
