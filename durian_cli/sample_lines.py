"""One sample as the terminal shows it."""

from __future__ import annotations

from collections.abc import Iterator
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING

from durian.rendering.text import percent_text
from durian_cli.texts import printable, value_text

if TYPE_CHECKING:  # it loads what --help has no need of
    from durian.view import Shown
    from durian.viewer.facts import Measured, Said

_NARROWEST, _WIDEST = 40, 100  # columns
_BARS = "▁▂▃▄▅▆▇█"


def show_one(found: Shown) -> None:
    """Print a sample: problem, cause, answers, completions, measures, columns, samples like it."""
    wide = min(max(get_terminal_size((80, 24)).columns, _NARROWEST), _WIDEST)
    for line in _lines(found, wide):
        print(line)


def _lines(found: Shown, wide: int) -> Iterator[str]:
    one = found.sample
    yield from _wrapped(f"row {one.row:,}  {one.sample_id}", wide)
    yield from _headed("Problem", one.problem, wide)
    yield from _headed("Answer", f"{one.answer} ({one.kind})", wide)
    if one.images:
        sizes = ", ".join(filter(None, one.images)) or "size not known"
        yield from _headed("Images", f"{len(one.images)}: {sizes}", wide)
    yield ""
    yield from _wrapped("Why: " + (one.cause or "no cause is told by the table"), wide)
    for line in one.evidence:
        yield from _wrapped(line, wide, "  - ")
    if one.answers:
        yield from ["", "Answers, by how many completions gave them"]
        for answer in one.answers:
            blind = f", {answer.blind} blind" if answer.blind else ""
            mark = "right" if answer.right else "wrong"
            text = "none found" if answer.answer is None else answer.answer
            yield from _wrapped(f"{answer.seen}{blind}  {mark}  {text}", wide, "  ")
    for said in one.completions:
        yield ""
        yield from _wrapped(_heading(said), wide)
        yield from _wrapped(said.completion, wide, "  ")
    if one.measures:
        yield from ["", "Measures, and where this sample stands among all"]
        name = max(len(each.name) for each in one.measures)
        for each in one.measures:
            yield _measure(each, name, wide)
    for title, held in (("Groups", one.groups), ("Columns of the dataset", one.columns)):
        if held:
            yield from ["", title]
            for key, value in held.items():
                text = "none" if value is None else value_text(value)
                yield from _wrapped(f"{key}: {text}", wide, "  ")
    if found.like:
        yield from ["", "Samples like it"]
        for like in found.like:
            rate = "" if like.pass_rate is None else f", {like.pass_rate:.0%} right"
            problem = " ".join(like.problem.split())[:60]
            yield from _wrapped(f"{like.why}{rate}: {problem} ({like.sample_id})", wide, "  ")


def _heading(said: Said) -> str:
    verdict = {True: "right", False: "wrong", None: "not judged"}[said.correct]
    told = [f"Completion {said.rollout}{' (blind)' if said.blind else ''}: {verdict}"]
    told += ["a judge was asked"] if said.judged else []
    told += [f"answer {said.answer}" if said.answer is not None else "no answer found"]
    told += [f"reward {said.reward:g}"] if said.reward is not None else []
    told += [f"{said.n_tokens:,} tokens"] if said.n_tokens is not None else []
    told += [f"{said.mean_logprob:.3f} nats a token"] if said.mean_logprob is not None else []
    told += [f"ended by {said.finish_reason}"] if said.finish_reason not in (None, "stop") else []
    return ", ".join(told)


def _measure(each: Measured, name: int, wide: int) -> str:
    most = max(each.counts, default=0) or 1
    bars = "".join(_BARS[min(7, count * 8 // (most + 1))] for count in each.counts)
    where = f"more than {percent_text(each.below, 0)}"
    unit = f" {each.unit}" if each.unit else ""
    line = f"  {each.name:<{name}}  {each.value:9.4g}{unit}, {where}"
    room = wide - len(line) - 2
    return printable(line) + (f"  {bars}" if room >= len(bars) else "")


def _headed(title: str, text: str, wide: int) -> Iterator[str]:
    yield from ["", title]
    yield from _wrapped(text, wide, "  ")


def _wrapped(text: str, wide: int, indent: str = "") -> Iterator[str]:
    """Lines that fit, the text's own kept; later ones stand under the first one's text."""
    rest = " " * len(indent)
    for number, line in enumerate(text.split("\n")):
        begin = indent if number == 0 else rest
        shown = wrap(printable(line), wide, initial_indent=begin, subsequent_indent=rest)
        yield from shown or [""]
