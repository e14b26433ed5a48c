"""Flat rows of another trainer's rollout batch to the advantages of Durian's normalizers.

A trainer has one row a completion, in any order, with as many rows a sample as it likes. Packed to
samples by completions they go through the very functions that `durian train` calls, and come back
in the trainer's order. A row that is NaN (unscored, or padding that the trainer added so that a
batch divides evenly) counts in no statistic: a trainer's own GRPO is immune to padding rows, since
they form a sample of their own, but the std of a whole group is not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from durian.groups import PERCEPTUAL, perceptual_groups, reasoning_groups
from durian.normalizer import EPS, NORMALIZERS, SPREAD, Groups, Scaling, group_spread

# What `durian export` writes beside the dataset's own columns.
SAMPLE_ID = "sample_id"
PERCEPTUAL_GROUP = "durian_perceptual_group"  # 0 easy, 1 medium, 2 hard, -1 none
REASONING_GROUP = "durian_reasoning_group"  # 0 is the least confident, -1 none
PERCEPTUAL_VALUE = "durian_perceptual"  # the measure behind the groups; larger is harder
COLUMNS = (SAMPLE_ID, PERCEPTUAL_GROUP, REASONING_GROUP, PERCEPTUAL_VALUE)


class PluginError(ValueError):
    """The trainer, its settings or its data cannot carry a plug-in; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a plug-in: `durian train`'s options of the same names."""

    normalizer: str = "durian"
    weights: tuple[float, float, float] = (0.4, 0.3, 0.3)  # own, perceptual, reasoning
    groups: str = "offline"  # the table's, from the exported columns; online: of each batch
    percentiles: tuple[float, float] = (25.0, 75.0)  # online
    bins: int = 10  # online
    eps: float = EPS
    shrink: float = 0.0  # completions that the batch's std counts for in a group's

    def __post_init__(self) -> None:
        faults = {
            f"normalizer is {self.normalizer!r}; it must be one of {', '.join(NORMALIZERS)}": (
                self.normalizer not in NORMALIZERS
            ),
            f"weights is {self.weights}; it must be three numbers": len(self.weights) != 3,
            f"groups is {self.groups!r}; it must be offline or online": (
                self.groups not in ("offline", "online")
            ),
            f"percentiles is {self.percentiles}; it must be two rising numbers between 0 and 100": (
                len(self.percentiles) != 2
                or not 0 < self.percentiles[0] < self.percentiles[1] < 100
            ),
            f"bins is {self.bins}; it must be 1 or more": self.bins < 1,
            f"eps is {self.eps}; it must be 0 or more": self.eps < 0,
            f"shrink is {self.shrink}; it must be 0 or more": self.shrink < 0,
        }
        for fault, is_there in faults.items():
            if is_there:
                raise PluginError(f"durian: {fault}")

    def __str__(self) -> str:
        how = f"{self.normalizer}, groups {self.groups}"
        if NORMALIZERS[self.normalizer].weighted:
            how += f", weights {','.join(f'{weight:g}' for weight in self.weights)}"
            how += f", shrink {self.shrink:g}" if self.shrink else ""
        return how

    @property
    def scaling(self) -> Scaling:
        """How stds become factors."""
        return Scaling(self.weights, self.eps, self.shrink)

    @property
    def online(self) -> bool:
        """Whether groups are cut within each rollout batch, as the paper does."""
        return self.groups == "online"

    @classmethod
    def read(
        cls,
        given: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Settings:
        """Settings from a trainer's own config, else from DURIAN_NORMALIZER, DURIAN_WEIGHTS, ...

        Args:
            given: by the names of the fields above; numbers and lists, or texts like "0.4,0.3,0.3".
        Raises:
            PluginError: an unknown name, or a value that cannot be read.
        """
        known = [field.name for field in fields(cls)]
        return cls(**read_settings(known, given, environment, _value, where="durian"))


def _value(name: str, value: Any) -> Any:
    match name:
        case "normalizer" | "groups":
            return str(value)
        case "bins":
            return int(value)
        case "eps" | "shrink":
            return float(value)
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(float(part) for part in parts)


def read_settings(
    known: Sequence[str],
    given: Mapping[str, Any] | None,
    environment: Mapping[str, str],
    read: Callable[[str, Any], Any],
    *,
    where: str,
) -> dict[str, Any]:
    """Settings by name, from a trainer's own config, else from DURIAN_NAME.

    Args:
        known: the names that there are.
        read: turns what stands under a name into its value; what it raises is told in a line.
        where: begins that line.
    Raises:
        PluginError: an unknown name, or a value that cannot be read.
    """
    found = {
        name: environment[variable]
        for name in known
        if (variable := f"DURIAN_{name.upper()}") in environment
    } | dict(given or {})
    values = {}
    for name, value in found.items():
        if name not in known:
            raise PluginError(f"{where}: no setting {name!r}; known are {', '.join(sorted(known))}")
        try:
            values[name] = read(name, value)
        except (TypeError, ValueError, AttributeError) as error:
            raise PluginError(f"{where}: {name} is {value!r}, which cannot be read") from error
    return values


@dataclass(frozen=True, kw_only=True)
class Rows:
    """One rollout batch, one row a completion; all of length N, in the trainer's order."""

    sample: Sequence[Hashable]  # what tells this draw of a sample from all others
    rewards: Tensor  # (N,), float; NaN where unscored, or padding
    columns: Sequence[Mapping[str, Any]]  # the exported columns of each row's sample
    confidence: Tensor | None = None  # (N,), nats a token of each completion; online groups alone
    # (N,), a trainer that cuts a session of several turns into several rows: the number of the row
    # that is judged for each, the session's last. None: each row is judged for itself.
    judged: Sequence[int] | None = None


def row_advantages(
    rows: Rows, settings: Settings, *, trainer: str
) -> tuple[Tensor, dict[str, float]]:
    """The advantage of each row, in the order of the rows, and what to log of the batch.

    Args:
        trainer: the name that `durian export --to` knows the trainer by.
    Returns:
        Shape (N,), dtype and device of the rewards; numbers by name, each under `durian/`:
        `samples`, `no_variance`, `extreme` and `ungrouped` (shares of scored samples: rewards that
        do not spread; all completions but one rewarded alike, of 3 or more; in no group of either
        kind), `std/...` and `size/...` of each group (eq. 13, 19), `largest_advantage`.
    Raises:
        PluginError: a column is missing.
    """
    if rows.judged is not None:
        # Each row counted, a session of many turns would weigh more in a group's std than one of
        # few; so the rows that are judged are normalized, and the others take their advantage.
        final = sorted(set(rows.judged))
        place_of = {row: number for number, row in enumerate(final)}
        found, metrics = row_advantages(_only(rows, final), settings, trainer=trainer)
        return found[[place_of[row] for row in rows.judged]], metrics
    numbers: dict[Hashable, int] = {}
    sample = np.array(
        [numbers.setdefault(key, len(numbers)) for key in rows.sample], np.intp
    )  # (N,)
    place = _places(sample)
    # From here on it is what `durian train` does: a rectangle of samples by completions, with NaN
    # where a sample has fewer, through the same functions. At the end each row takes its own place
    # out of it again, so the trainer never sees another order.
    packed = rows.rewards.new_full((len(numbers), int(place.max(initial=-1)) + 1), float("nan"))
    packed[sample, place] = rows.rewards  # (B, G)
    first = np.unique(sample, return_index=True)[1]  # a sample's first row knows its columns
    columns = [rows.columns[row] for row in first]
    if settings.online:
        groups = _online(rows, settings, sample, columns, trainer)
    else:
        groups = Groups(
            *(
                torch.tensor([_label(row, name, trainer) for row in columns], device=packed.device)
                for name in (PERCEPTUAL_GROUP, REASONING_GROUP)
            )
        )
    function = NORMALIZERS[settings.normalizer].advantages
    advantages = function(packed, groups, settings.scaling)
    return advantages[sample, place], _metrics(packed, groups, advantages)


def _only(rows: Rows, chosen: list[int]) -> Rows:
    return Rows(
        sample=[rows.sample[row] for row in chosen],
        rewards=rows.rewards[chosen],
        columns=[rows.columns[row] for row in chosen],
        confidence=None if rows.confidence is None else rows.confidence[chosen],
    )


def _places(sample: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Number each row among those of its sample, from 0, in the order of the rows. (N,)"""
    # Sorted by sample, a row's number is its place less the place where its sample begins; then
    # back to the order of the rows. Stable, or completions of one sample would change places.
    order = np.argsort(sample, kind="stable")
    starts = np.searchsorted(sample[order], sample[order])
    place = np.empty(len(sample), np.intp)
    place[order] = np.arange(len(sample)) - starts
    return place


def _online(
    rows: Rows,
    settings: Settings,
    sample: np.ndarray[Any, Any],
    columns: Sequence[Mapping[str, Any]],
    trainer: str,
) -> Groups:
    """Groups of this batch alone: eq. 10 over the exported measure, eq. 16 over the confidence."""
    if rows.confidence is None:
        raise PluginError(
            f"durian: {trainer} gives no log-probabilities of the sampled tokens here; "
            "use groups=offline"
        )
    confidence = rows.confidence.detach().double().cpu().numpy()
    # A row without a reward is kept out of both measures: padding may repeat a real row with its
    # log-probabilities and columns, and would shift its sample's mean, or an edge between groups.
    scored = ~np.isnan(rows.rewards.detach().double().cpu().numpy())
    counts = ~np.isnan(confidence) & scored
    seen = np.bincount(sample[counts], minlength=len(columns))
    with np.errstate(invalid="ignore"):
        mean = np.bincount(sample[counts], confidence[counts], len(columns)) / np.where(
            seen, seen, np.nan
        )
    values = np.array([_number(_column(row, PERCEPTUAL_VALUE, trainer)) for row in columns])
    values[np.bincount(sample[scored], minlength=len(columns)) == 0] = np.nan
    labels = (
        [-1 if label is None else PERCEPTUAL.index(label)
         for label in perceptual_groups(values, settings.percentiles).labels],
        [-1 if label is None else label for label in reasoning_groups(mean, settings.bins).labels],
    )  # fmt: skip
    return Groups(*(torch.tensor(found, device=rows.rewards.device) for found in labels))


def _column(row: Mapping[str, Any], name: str, trainer: str) -> Any:
    if name not in row:
        raise PluginError(
            f"durian: the data has no column {name!r}; "
            f"write it by `durian export RUN --to {trainer}`"
        )
    return row[name]


def _label(row: Mapping[str, Any], name: str, trainer: str) -> int:
    value = _column(row, name, trainer)
    try:
        return -1 if value is None else int(value)
    except (TypeError, ValueError) as error:  # a word, or the NaN that pandas makes of None
        raise PluginError(
            f"durian: {name} is {value!r}, not a whole number; "
            f"write it by `durian export RUN --to {trainer}`"
        ) from error


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _metrics(rewards: Tensor, groups: Groups, advantages: Tensor) -> dict[str, float]:
    scored = ~rewards.isnan()
    has = scored.sum(dim=1) > 0
    if not bool(has.any()):
        return {"durian/samples": 0.0}
    wide, scored = rewards[has].double(), scored[has]
    high = wide.masked_fill(~scored, -torch.inf).amax(dim=1, keepdim=True)
    low = wide.masked_fill(~scored, torch.inf).amin(dim=1, keepdim=True)
    flat = (high - low)[:, 0] < SPREAD
    count = scored.sum(dim=1)
    # All but one are at the top, or all but one at the bottom.
    alike = [((wide - end).abs() < SPREAD).logical_and(scored).sum(dim=1) for end in (high, low)]
    extreme = ~flat & (count >= 3) & ((alike[0] == count - 1) | (alike[1] == count - 1))
    found = {
        "durian/samples": float(len(wide)),
        "durian/no_variance": float(flat.double().mean()),
        "durian/extreme": float(extreme.double().mean()),
        "durian/ungrouped": float(
            ((groups.perceptual < 0) & (groups.reasoning < 0))[has].double().mean()
        ),
        "durian/largest_advantage": float(advantages.abs().max()),
    }
    for kind, group in (("perceptual", groups.perceptual), ("reasoning", groups.reasoning)):
        for label, (std, size) in group_spread(rewards, group).items():
            name = PERCEPTUAL[label] if kind == "perceptual" and label < len(PERCEPTUAL) else label
            found[f"durian/std/{kind}_{name}"] = std
            found[f"durian/size/{kind}_{name}"] = float(size)
    return found


def mean_logprob(logprobs: Tensor, mask: Tensor) -> Tensor:
    """Mean over a completion's tokens, (N, T) to (N,); NaN where there are none."""
    # Chosen, not multiplied: outside of the mask a trainer may hold NaN or infinity.
    total = torch.where(mask.bool(), logprobs, 0.0).double().sum(dim=-1)
    count = mask.sum(dim=-1)
    return total / torch.where(count > 0, count, torch.nan)


class Teller:
    """Says on stderr what a plug-in replaced and what each batch was like; never silently idle."""

    def __init__(self, trainer: str) -> None:
        self._trainer = trainer
        self._settings: Settings | None = None
        self._warned: set[str] = set()

    def installed(self, replaced: str) -> None:
        """Name what now computes the advantages, once a process."""
        self.say(f"{replaced} now gives Durian's advantages")

    def batch(self, metrics: Mapping[str, float], settings: Settings) -> None:
        """Print a line for a rollout batch, before the first one by which settings it was made.

        The first batch with thin groups warns of them, and so does one without any group.
        """
        if settings != self._settings:
            self._settings = settings
            self.say(f"advantages by {settings}")
        shares = ", ".join(
            f"{text} {100 * metrics[f'durian/{name}']:.1f} %"
            for name, text in (("no_variance", "no variance"), ("extreme", "extreme"))
            if f"durian/{name}" in metrics
        )
        stds = ", ".join(
            f"{name.removeprefix('durian/size/')} {metrics[name.replace('/size/', '/std/')]:.3f} "
            f"of {size:.0f}"
            for name, size in metrics.items()
            if name.startswith("durian/size/")
        )
        if metrics.get("durian/ungrouped"):
            shares += f", in no group {100 * metrics['durian/ungrouped']:.1f} %"
        self.say(
            f"{metrics['durian/samples']:.0f} samples; {shares}; "
            f"std by group: {stds or 'no sample is in a group'}"
        )
        if not stds and metrics["durian/samples"]:
            self.warn(
                "no sample of this batch is in a group, so that each is normalized on its own as "
                "GRPO does; measure and group the dataset (`durian profile`), and export again"
            )
        thin = [
            name.removeprefix("durian/size/")
            for name, size in metrics.items()
            if name.startswith("durian/size/") and size < 2
        ]
        if thin:
            self.warn(
                f"{', '.join(thin)}: fewer than 2 prompts in a batch, so that its std is a "
                "sample's own; take larger batches, or fewer bins (`durian group RUN --bins`), and "
                "export again",
                kind="thin",
            )

    def warn(self, text: str, *, kind: str | None = None) -> None:
        """Say this, or anything of its kind, once a process."""
        if (kind or text) not in self._warned:
            self._warned.add(kind or text)
            self.say(f"warning: {text}")

    def say(self, text: str) -> None:
        """Print a line, with the trainer's name before it."""
        print(f"durian ({self._trainer}): {text}", file=sys.stderr, flush=True)
