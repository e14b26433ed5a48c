"""All that is known of one sample: what the page and the terminal show of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from durian.records import JsonObject
from durian.rewards.canonical import distinct_answers
from durian.rewards.grade import Reference, answer_kind
from durian.rewards.kinds import KINDS
from durian.run.manifest import Manifest
from durian.viewer.columns import SECOND
from durian.viewer.completions import Completions
from durian.viewer.table import MISSING, SampleTable

LIKE = 8  # samples that are shown as like one
# Measures by which two samples are near each other, of those that the run has.
_NEAR = (
    "pass_rate", "difficulty", "mean_logprob", "answer_entropy", "label_doubt", "image_gain",
    "pixel_entropy", "spectral_entropy", "mean_tokens",
)  # fmt: skip
_HEAD = ("sample_id", "problem", "answer", "error")

CAUSES = {  # of the column `why`, in words
    "unreadable": "the sample could not be read or measured",
    "conflict": "the same image and question stand in the dataset with another answer",
    "doubtful_label": "the completions agree on another answer than the reference",
    "looped": "completions repeat themselves until they are cut",
    "cut": "completions are cut by --max-tokens before they answer",
    "unformatted": "answers stand outside the asked format",
    "solved_blind": "it is solved without its image",
    "solved": "every completion is right",
    "steady_wrong": "the completions agree on one wrong answer",
    "scattered": "every completion answers otherwise",
    "guessed": "right no more often than by chance among the choices",
    "mixed": "some completions are right, some wrong, without one cause",
}


@dataclass(frozen=True, kw_only=True)
class Said:
    """One completion, whole, and how it was judged."""

    rollout: int
    completion: str
    answer: str | None
    correct: bool | None
    formatted: bool | None
    reward: float | None
    n_tokens: int | None
    sum_logprob: float | None
    mean_logprob: float | None  # a token
    finish_reason: str | None
    blind: bool
    judged: bool | None
    step: int | None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One of the distinct answers of a sample's completions."""

    answer: str | None  # as the first completion wrote it; None: no answer was found
    right: bool
    seen: int  # completions that gave it with the image
    blind: int  # and without


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One measure of a sample, and where it stands among all samples."""

    name: str
    value: float
    unit: str
    meaning: str
    harder: str | None
    below: float  # share of samples with a smaller value
    above: float  # with a larger one
    counts: list[int]  # samples of each bar of the measure's histogram
    bar: int  # this sample's


@dataclass(frozen=True, kw_only=True)
class Like:
    """Another sample, and why it is like this one."""

    place: int
    sample_id: str
    problem: str
    answer: str
    pass_rate: float | None
    why: str


@dataclass(frozen=True, kw_only=True)
class SampleFacts:
    """One sample in full."""

    place: int  # in the table
    sample_id: str
    row: int  # of the dataset
    problem: str
    answer: str
    kind: str  # of the answer, by whose rule it is judged
    rule: str
    images: list[str]  # the size of each that is known, "" where it is not
    why: str | None  # the column, where the run has it
    cause: str | None  # in words
    evidence: list[str]
    completions: list[Said]
    answers: list[Answer]
    measures: list[Measured]
    groups: dict[str, Any]
    columns: dict[str, Any]  # the dataset's own
    rest: dict[str, Any]  # further columns of the table

    @property
    def as_json(self) -> JsonObject:
        """All of it as JSON values."""
        return asdict(self)


def sample_facts(
    table: SampleTable, completions: Completions, manifest: Manifest, place: int
) -> SampleFacts:
    """Gather what is known of the sample at a place of the table.

    Raises:
        RunFolderError: a file is damaged.
    """
    mine = [c for c in table.columns.values() if c.whose in ("table", "dataset")]
    (row,) = table.rows([place], [column.name for column in mine])
    said = [_said(each) for each in completions.by_sample(row["sample_id"])]
    own = [column.name for column in mine if column.whose == "dataset"]
    kind, rule = _rule(row.get("answer") or "", row, manifest)
    groups = {
        name: row[name]
        for name in ("perceptual_group", "reasoning_group")
        if row.get(name) is not None
    }
    why = row.get("why")
    told = {*_HEAD, *table.measured, *own, *groups, "row", "n_images", "width", "height", "why"}
    return SampleFacts(
        place=place,
        sample_id=row["sample_id"],
        row=row["row"],
        problem=row.get("problem") or "",
        answer=row.get("answer") or "",
        kind=kind,
        rule=rule,
        images=_sizes(row),
        why=why,
        cause=None if why is None else CAUSES.get(why, why),
        evidence=evidence(row, said),
        completions=said,
        answers=answers(said),
        measures=[
            _measured(table, name, row[name], place)
            for name in table.measured
            if row[name] is not None
        ],
        groups=groups,
        columns={name: row[name] for name in own},
        rest={name: value for name, value in row.items() if name not in told and value is not None},
    )


def evidence(row: Mapping[str, Any], said: Sequence[Said]) -> list[str]:
    """What speaks for a cause, in sentences: counts of the completions, and the sample's measures.

    Args:
        row: the sample's, of the table; a column may be missing.
    """
    seen, blind = ([one for one in said if one.blind == is_blind] for is_blind in (False, True))
    lines = []
    if (error := row.get("error")) is not None:
        lines.append(f"not measured: {error}")
    if seen:
        lines.append(f"{_of(seen, lambda one: one.correct)} completions are right")
    if given := [one for one in answers(seen) if one.answer is not None]:
        first = given[0]
        if len(given) == len(seen) > 1:
            lines.append(f"{len(given)} completions give {len(given)} different answers")
        elif first.seen > 1:
            what = (
                "the reference's" if first.right else f"not the reference's ({row.get('answer')})"
            )
            lines.append(f"{first.seen} of {len(seen)} give one answer, {first.answer}: {what}")
    for reason, words in (
        ("length", "are cut at their longest"),
        ("repetition", "were ended for repeating themselves"),
        ("error", "failed"),
    ):
        if any(one.finish_reason == reason for one in seen):
            lines.append(f"{_of(seen, lambda one, r=reason: one.finish_reason == r)} {words}")
    if any(one.answer is None for one in seen):
        lines.append(f"in {_of(seen, lambda one: one.answer is None)} no answer was found")
    if any(one.formatted is False for one in seen):
        lines.append(f"{_of(seen, lambda one: not one.formatted)} are not in the asked format")
    if row.get("right_unboxed"):
        lines.append(
            f"{row['right_unboxed']:.0%} of the wrong ones hold the reference outside a box"
        )
    if blind:
        lines.append(f"without the image {_of(blind, lambda one: one.correct)} are right")
    if row.get("image_gain") is not None:
        spread = row.get("image_gain_sd")
        lines.append(
            f"the image adds {row['image_gain']:+.2f} to the share right"
            + ("" if spread is None else f" (standard deviation {spread:.2f})")
        )
    if row.get("label_doubt"):
        lines.append(f"doubt of the label: {row['label_doubt']:.2f} (0 is none, 1 is all)")
    if row.get("also_in"):
        lines.append(f"it is also in {row['also_in']}")
    if row.get("estimated_from") == 0:
        lines.append("no completion was drawn of it: difficulty and confidence are predicted")
    return lines


def answers(said: Sequence[Said]) -> list[Answer]:
    """The distinct answers of completions, the most common one with the image first."""
    numbers = distinct_answers([one.answer for one in said])
    found = list[Answer]()
    for number in dict.fromkeys(numbers):
        same = [one for one, k in zip(said, numbers, strict=True) if k == number]
        found.append(
            Answer(
                answer=same[0].answer,
                right=any(one.correct for one in same),
                seen=sum(not one.blind for one in same),
                blind=sum(one.blind for one in same),
            )
        )
    return sorted(found, key=lambda one: (one.answer is None, -one.seen, -one.blind))


def samples_like(table: SampleTable, place: int) -> list[Like]:
    """Samples over the same image, then those nearest by rank in the measures.

    Raises:
        RunFolderError: a file is damaged.
    """
    same = _same_image(table, place)
    codes = [table.ranks(name).codes for name in _NEAR if name in table.columns]
    distance = np.zeros(len(table), np.int32)
    for held in codes:
        mine = int(held[place])
        apart = np.abs(held.astype(np.int16) - mine)
        apart[(held == MISSING) != (mine == MISSING)] = MISSING
        distance += apart
    distance[[place, *same]] = np.iinfo(np.int32).max
    room = min(LIKE, len(table) - 1 - len(same)) if codes else 0
    nearest = np.argpartition(distance, room)[:room] if room > 0 else np.empty(0, np.int64)
    nearest = nearest[np.argsort(distance[nearest], kind="stable")]
    whys = ["same image"] * len(same) + ["near in measures"] * len(nearest)
    places = [*same, *map(int, nearest)]
    names = ["sample_id", "problem", "answer"]
    names += ["pass_rate"] if "pass_rate" in table.columns else []
    return [
        Like(
            place=at,
            sample_id=row["sample_id"],
            problem=(row["problem"] or "")[:200],
            answer=(row["answer"] or "")[:80],
            pass_rate=row.get("pass_rate"),
            why=why,
        )
        for at, row, why in zip(places, table.rows(places, names), whys, strict=True)
    ]


def both_runs(table: SampleTable, place: int) -> JsonObject | None:
    """The sample in the second run, and its numbers in both; None where it is not there."""
    if table.second is None or table.second_places is None or table.second_places[place] < 0:
        return None
    pairs = [name for name in table.columns if SECOND + name in table.columns]
    (row,) = table.rows([place], [*pairs, *(SECOND + name for name in pairs), "change"])
    return {
        "place": int(table.second_places[place]),
        "change": row["change"],
        "pairs": [[name, row[name], row[SECOND + name]] for name in pairs],
    }


def _same_image(table: SampleTable, place: int) -> list[int]:
    for name in ("image_id", "image_cluster"):
        if name not in table.columns:
            continue
        (row,) = table.rows([place], [name])
        if row[name] is not None:
            found = np.flatnonzero((table.values(name) == row[name]).fill_null(False).to_numpy())
            if others := [int(at) for at in found if at != place][:LIKE]:
                return others
    return []


def _said(row: Mapping[str, Any]) -> Said:
    total, tokens = row.get("sum_logprob"), row.get("n_tokens")
    return Said(
        rollout=row["rollout"],
        completion=row.get("completion") or "",
        answer=row.get("answer"),
        correct=row.get("correct"),
        formatted=row.get("formatted"),
        reward=row.get("reward"),
        n_tokens=tokens,
        sum_logprob=total,
        mean_logprob=total / tokens if total is not None and tokens else None,
        finish_reason=row.get("finish_reason"),
        blind=bool(row.get("blind")),
        judged=row.get("judged"),
        step=row.get("step"),
    )


def _rule(reference: str, row: Mapping[str, Any], manifest: Manifest) -> tuple[str, str]:
    """The kind of a reference, and the rule by which answers are compared to it, in words."""
    reward = str(manifest.config.get("reward") or "boxed")
    if reward not in ("boxed", "boxed+judge"):
        return reward, f"judged by --reward {reward}"
    kind = row.get("answer_kind") or answer_kind(Reference.of(reference))
    return kind, KINDS[kind].rule if kind in KINDS else ""


def _sizes(row: Mapping[str, Any]) -> list[str]:
    count = row.get("n_images") or 0
    known = row.get("width") is not None and row.get("height") is not None
    first = f"{row['width']:,} x {row['height']:,} pixels" if known else ""
    return [first, *[""] * (count - 1)] if count else []


def _measured(table: SampleTable, name: str, value: float, place: int) -> Measured:
    column, bins = table.columns[name], table.bins(name)
    below, above = table.ranks(name).shares(value)
    return Measured(
        name=name,
        value=value,
        unit=column.unit,
        meaning=column.meaning,
        harder=column.harder,
        below=below,
        above=above,
        counts=bins.counts()[0],
        bar=int(bins.codes[place]),
    )


def _of(said: Sequence[Said], test: Any) -> str:
    return f"{sum(bool(test(one)) for one in said)} of {len(said)}"
