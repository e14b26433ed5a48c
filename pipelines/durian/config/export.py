"""Settings of `durian export`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from durian.config.dataset import ProfiledDatasetConfig
from durian.config.options import (
    CHOICE,
    COMPLETIONS,
    DATA,
    RUN,
    again,
    option,
)
from durian.config.policy import PromptConfig
from durian.config.train import TrainConfig
from durian.errors import ConfigError

FORMS = ("verl", "easyr1", "swift", "slime", "trl", "sft", "dpo", "parquet", "jsonl")
WITH_COMPLETIONS = ("sft", "dpo")
_PART = re.compile(r"[A-Za-z][\w-]*")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_TARGET = re.compile(r"\s*(\S+)\s*~\s*(\S+?)\s*(?:\+-|±)\s*(\S+)\s*")
CONTROL = "control"


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the numbers of a column are wanted; samples far from there are drawn seldom."""

    column: str
    at: float
    within: float  # a sample so far away is drawn exp(-1/2) times as often as one that is there


@dataclass(frozen=True, kw_only=True)
class Balance:
    """The column whose values are to have given shares; no shares: equal ones."""

    column: str
    shares: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class ExportConfig(ProfiledDatasetConfig):
    """What is written of which runs, for which trainer."""

    runs: tuple[str, ...] = option(
        ..., "Run folders of complete profiles, one or several.", positional=True
    )
    to: str = option(..., "What is to read it.", panel=RUN, choices=FORMS)
    out: str = option(..., "Folder to write.", panel=RUN, filled="a folder to write")
    system_prompt: str | None = again(
        PromptConfig,
        "system_prompt",
        None,
        help="System message of each prompt; '' for none.",
        panel=DATA,
        default_text="the profile's",
        profiled=False,
    )
    images: str = option(
        "embedded",
        "embedded in the rows, or paths of files beside them.",
        panel=DATA,
        choices=("embedded", "paths"),
    )
    messages: str | None = option(
        None,
        "Where images stand in messages: parts (TRL) or <image> marks (verl, ms-swift, slime, "
        "LLaMA-Factory).",
        panel=DATA,
        default_text="as the trainer reads it; parts for sft and dpo",
        choices=("parts", "marks"),
    )
    filter: str | None = again(
        TrainConfig,
        "filter",
        help="SQL condition over the columns of table and dataset: 'pass_rate > 0 AND "
        "pass_rate < 1'.",
        panel=CHOICE,
    )
    ids: str | None = option(
        None, "Parquet or JSONL file of the sample ids to take; no others are.", panel=CHOICE
    )
    order: str = option(
        "dataset",
        "easy_first, hard_first, dataset (as its rows stand) or shuffle.",
        panel=CHOICE,
        choices=("easy_first", "hard_first", "dataset", "shuffle"),
    )
    limit: int | None = option(
        None, "Take the first N samples, in that order.", panel=CHOICE, unit="samples", low=1
    )
    select: int | None = option(
        None, "Draw N samples of those that are left.", panel=CHOICE, unit="samples", low=1
    )
    balance: str | None = option(
        None,
        "Column whose values are to be equally frequent in the draw, or with shares: "
        "'kind=count:2,color:1'.",
        panel=CHOICE,
    )
    target: str | None = option(
        None,
        "Draw samples the more often the nearer a column is to a number: 'pass_rate ~ 0.5 +- 0.2'.",
        panel=CHOICE,
    )
    mix: tuple[float, ...] | None = option(
        None,
        "Share of each run, of several: 0.7,0.3.",
        panel=CHOICE,
        above=0,
        write="numbers, like 0.7,0.3",
    )
    control: str | None = option(
        None,
        "random: write a second set beside it, of the same size and categories, drawn by chance "
        "from all samples, to test the choice against.",
        panel=CHOICE,
        choices=("random",),
    )
    parts: str | None = option(
        None,
        "Files by share of the samples: train=0.9,val=0.1; samples that share an image stay "
        "together.",
        panel=CHOICE,
        default_text="train alone",
    )
    seed: int = option(0, "Seed of draws, parts and shuffle.", panel=CHOICE, low=0)
    per_sample: int = option(
        1, "Completions, or pairs, of a sample at most.", panel=COMPLETIONS, low=1
    )
    pick: str = option(
        "shortest",
        "Which right (and wrong) completions of a sample: shortest, likely or random.",
        panel=COMPLETIONS,
        choices=("shortest", "likely", "random"),
    )
    tables: bool = option(
        False,
        "Write the runs' tables, manifests and reports beside the rows too, in tables/RUN.",
        panel=RUN,
    )
    push_to_hub: str | None = option(
        None,
        "ORG/NAME: upload the folder as a private dataset; HF_TOKEN is read from the environment.",
        panel=RUN,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.runs:
            raise ConfigError("no run is named; give the --out of a profile")
        if len(self.runs) > 1 and self.dataset is not None:
            raise ConfigError("dataset names that of one run, and there are several; leave it out")
        if self.mix is not None and len(self.mix) != len(self.runs):
            raise ConfigError(
                f"mix has {len(self.mix)} shares for {len(self.runs)} runs; give one for each"
            )
        if self.select is None and self.target is not None:
            raise ConfigError("target needs a number of samples to draw; pass --select N too")
        if self.push_to_hub is not None and not _HUB_ID.fullmatch(self.push_to_hub):
            raise ConfigError(f"push-to-hub is '{self.push_to_hub}'; write ORG/NAME")
        if self.messages is not None and self.to in ("easyr1", "parquet", "jsonl"):
            raise ConfigError(
                f"messages is '{self.messages}', and {self.to} has none; leave it out"
            )
        _ = self.shares, self.wanted, self.balanced  # which are checked as they are read

    @property
    def shares(self) -> dict[str, float]:
        """The share of the samples of each part, by its name; they sum to 1.

        Raises:
            ConfigError: it cannot be read, a name is none or stands twice, or they do not.
        """
        if self.parts is None:
            return {"train": 1.0}
        found: dict[str, float] = {}
        for piece in self.parts.split(","):
            name, _, share = (word.strip() for word in piece.partition("="))
            number = _number(share)
            if not _PART.fullmatch(name) or number is None or number <= 0:
                raise ConfigError(
                    f"parts is '{self.parts}'; write names and shares: train=0.9,val=0.1"
                )
            if name in found or name == CONTROL:
                raise ConfigError(f"parts: the name '{name}' is taken; choose another")
            found[name] = number
        if abs(sum(found.values()) - 1) > 1e-6:
            raise ConfigError(
                f"parts is '{self.parts}', whose shares sum to {sum(found.values()):g}; they must "
                "sum to 1"
            )
        return found

    @property
    def wanted(self) -> Target | None:
        """The target, as `target` writes it.

        Raises:
            ConfigError: it cannot be read.
        """
        if self.target is None:
            return None
        read = _TARGET.fullmatch(self.target)
        numbers = (None, None) if read is None else (_number(read[2]), _number(read[3]))
        if read is None or numbers[0] is None or numbers[1] is None or numbers[1] <= 0:
            raise ConfigError(f"target is '{self.target}'; write 'pass_rate ~ 0.5 +- 0.2'")
        return Target(column=read[1], at=numbers[0], within=numbers[1])

    @property
    def balanced(self) -> Balance | None:
        """The balance, as `balance` writes it.

        Raises:
            ConfigError: a share cannot be read.
        """
        if self.balance is None:
            return None
        column, _, told = self.balance.partition("=")
        shares: dict[str, float] = {}
        for piece in filter(None, told.split(",")):
            name, _, share = piece.rpartition(":")
            number = _number(share)
            if not name or number is None or number <= 0:
                raise ConfigError(
                    f"balance is '{self.balance}'; write COLUMN, or COLUMN=VALUE:SHARE,VALUE:SHARE"
                )
            shares[name.strip()] = number
        return Balance(column=column.strip(), shares=shares)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
