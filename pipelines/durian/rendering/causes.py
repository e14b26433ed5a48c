"""Causes in words: what each means, the rule by which it applies, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from durian.analysis.one_run.causes import Causes, Gain, OfCause
from durian.analysis.statistics.estimate import Estimate
from durian.causes.rules import FEWEST, GAIN
from durian.causes.thresholds import THRESHOLDS
from durian.rendering.text import counted, estimate_text, percent_text, shown_text

WORDS = {
    "unreadable": "unreadable",
    "conflict": "labels in conflict",
    "doubtful_label": "doubtful label",
    "looped": "goes round in circles",
    "cut": "cut off",
    "unformatted": "only the format is wrong",
    "solved_blind": "solved without the image",
    "solved": "solved",
    "steady_wrong": "steadily wrong",
    "scattered": "never right, no answer leads",
    "guessed": "guessed",
    "mixed": "right and wrong by turns",
}
_RULES = {
    "unreadable": "the row, an image or the question could not be read, and nothing was drawn",
    "conflict": "another sample with the same image and question has another answer",
    "doubtful_label": "label_doubt at least {doubtful_label:.3g}, of {fewest} completions or more",
    "looped": "at least {looped} of its wrong completions end in a piece repeated again and again, "
    "or were ended by the engine for that",
    "cut": "at least {cut} of its wrong completions hit the token limit",
    "unformatted": "in at least {unformatted} of its wrong completions the reference stands "
    "outside a box, or there is no answer to be read",
    "solved_blind": "solved, and right in at least {solved_blind} of the completions without the "
    "image",
    "solved": "at least {solved} right; what befell the others is not asked",
    "steady_wrong": "label_doubt at least {steady_wrong:.3g}: one wrong answer is so much more "
    "common than the right one",
    "scattered": "never right, and no wrong answer leads so far",
    "guessed": "right now and then, and P(image gain > {gain}) is below {guessed:.3g}",
    "mixed": "none of these",
}
# What was not measured, and the option that measures it.
_MEASURED_BY = {
    "conflict": "add duplicates to --measures",
    "doubtful_label": "add consensus to --measures",
    "steady_wrong": "add consensus to --measures",
    "scattered": "add consensus to --measures",
    "solved_blind": "add blind to --measures",
    "guessed": "add blind to --measures",
    "unformatted": "it needs a reward that compares answers, such as --reward boxed",
    "cut": "it needs a log that says how completions ended",
}
_FIRST = 3  # values of a column that are named as guessed


def rules(thresholds: Mapping[str, float] | None) -> dict[str, str]:
    """The rule of each cause with its threshold, in the order in which they are asked."""
    known = {**THRESHOLDS, **(thresholds or {})}
    shares = {
        name: percent_text(known[name], 0)
        for name in ("looped", "cut", "unformatted", "solved_blind", "solved")
    }
    return {
        cause: rule.format(**{**known, **shares}, fewest=FEWEST, gain=GAIN)
        for cause, rule in _RULES.items()
    }


def untold(causes: Causes) -> list[str]:
    """A line for each thing that was not measured: the causes that need it, and what measures it.

    Like "solved without the image, guessed (add blind to --measures)".
    """
    by_option: dict[str, list[str]] = {}
    for cause in causes.untold:
        if cause in _MEASURED_BY:
            by_option.setdefault(_MEASURED_BY[cause], []).append(WORDS[cause])
    return [f"{', '.join(words)} ({option})" for option, words in by_option.items()]


def advised(causes: Causes, max_tokens: int | None) -> Causes:
    """The causes with a piece of advice each, and the command or setting that follows it.

    Args:
        max_tokens: at which completions were cut, where it is known.
    """
    return replace(causes, found=[_advised(row, causes, max_tokens) for row in causes.found])


def guessed_values(causes: Causes) -> list[tuple[str, Gain]]:
    """Values of text columns on which the image surely adds less than 10 points; column, value."""
    return [
        (column, each)
        for column, values in causes.gains.items()
        for each in values
        if each.gain.high is not None and each.gain.high < GAIN
    ]


def why_sentence(causes: Causes) -> str:
    """Name the causes that most samples have, those aside that are none: solved, mixed."""
    named = sorted(
        (row for row in causes.found if row.cause not in ("solved", "mixed")),
        key=lambda row: -row.samples,
    )
    if not named:
        return ""
    said = ", ".join(f"{row.samples:,} {WORDS[row.cause]}" for row in named[:_FIRST])
    return f"Why samples are hard, by the first cause that applies: {said}."


def gain_text(gain: Estimate) -> str:
    """'the image adds 1 point (-3 to +5)'."""
    if gain.value is None:
        return "what the image adds is not known"
    points = round(100 * gain.value)
    ends = ""
    if gain.interval is not None:
        ends = " ({:+.0f} to {:+.0f})".format(*(100 * end for end in gain.interval))
    verb = "takes away" if points < 0 else "adds"
    return f"the image {verb} {counted(abs(points), 'point')}{ends}"


def _advised(row: OfCause, causes: Causes, max_tokens: int | None) -> OfCause:
    n, do = counted(row.samples, "sample"), _listing(row.cause)
    match row.cause:
        case "unreadable":
            say = f"{n}: could not be read; the reasons stand below. To take the others:"
            do = 'durian export RUN --to jsonl --out readable --filter "error IS NULL"'
        case "conflict":
            say = (
                f"{n}: the same image and question have another answer elsewhere, so that one of "
                "them is wrong. Look at them:"
            )
        case "doubtful_label":
            say = (
                f"{n}: the label is doubtful, look at them. The completions agree on another "
                "answer; a policy that is surely mistaken does that, too."
            )
        case "looped":
            looped = estimate_text(causes.looped, digits=0)
            say = (
                f"{looped} of the wrong completions repeat themselves to the end, which a larger "
                "--max-tokens does not cure. Sample against it:"
            )
            do = "durian profile … --sampling-arg presence_penalty=1.5"
        case "cut":
            cut = estimate_text(causes.cut, digits=0)
            say = f"{cut} of the wrong were cut and do not loop: raise --max-tokens."
            do = f"durian profile … --max-tokens {2 * max_tokens if max_tokens else 'MORE'}"
        case "unformatted":
            say = (
                f"{n}: the format is at fault, not the policy. The reference stands outside a box, "
                "or there is no answer to be read: see what the prompt asks for."
            )
            do = "durian profile … --dry-run"
        case "solved_blind":
            say = (
                f"{n}: right with the image, and most of the time without it. They say little of "
                "seeing; that they are of no use for training does not follow (in one study "
                "questions of text alone trained better, arXiv 2508.02669)."
            )
        case "solved":
            say = f"{n}: little is left to learn. To leave them out:"
            do = _setting("why NOT IN ('solved', 'solved_blind')")
        case "steady_wrong":
            say = (
                f"{n}: mostly one and the same wrong answer, a mistake that the policy makes again "
                "and again. Look for what they share:"
            )
        case "scattered":
            say = (
                f"{n}: never right, and the wrong answers do not agree: too hard for this policy "
                "now. Equal rewards give no gradient; to leave them for later:"
            )
            do = _setting("why <> 'scattered'")
        case "guessed":
            say = (
                f"{n}: right now and then, and surely not much more often with the image than "
                "without it." + _guessed(causes)
            )
        case _:
            say = f"{n}: right and wrong by turns, without another cause: most can be learned here."
            do = _setting("why = 'mixed'")
    return replace(row, say=say, do=do)


def _guessed(causes: Causes) -> str:
    named = guessed_values(causes)
    if not named:
        return "" if causes.gain is None else f" Of all samples, {gain_text(causes.gain)}."
    said = "; ".join(
        f"{shown_text(each.value, 40)} is guessed: {gain_text(each.gain)}"
        for _, each in named[:_FIRST]
    )
    return f" {said}."


def _listing(cause: str) -> str:
    return f"durian export RUN --to jsonl --out {cause} --filter \"why = '{cause}'\""


def _setting(condition: str) -> str:
    return f'durian train … --filter "{condition}"\nfilter: {condition}'
