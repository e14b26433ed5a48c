"""Show progress on stderr and results on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from durian.analysis.evaluation import Accuracy, Evaluation, GroupAccuracy, GroupDifference
from durian.analysis.statistics.estimate import Estimate
from durian.records import JsonObject, as_json
from durian.rendering.text import counted, estimate_text, percent_text
from durian.run.progress import Progress as Watcher
from durian.run.progress import Silent
from durian_cli.cost_lines import cost_lines, reward_lines, signing_lines
from durian_cli.texts import duration, pace, printable, value_text

if TYPE_CHECKING:  # they load what --help has no need of
    from durian.analysis.one_run.summary import Summary
    from durian.analysis.two_runs.comparison import Comparison
    from durian.doctor.installation import Installation
    from durian.doctor.policy import Examined
    from durian.exporting.record import Exported
    from durian.groups import Kind
    from durian.planning.plan import ProfilePlan
    from durian.profile import Profiled
    from durian.regroup import Regrouped
    from durian.shards import ShardDone
    from durian.training.manifest import TrainingManifest
    from durian.training.plan import TrainingPlan

_EVERY = 15.0  # seconds between plain progress lines


class Bars:
    """Draws a bar for each stage, with its rate and the time left."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._begun: dict[str, tuple[float, int]] = {}

    def start(self, stage: str, total: int | None, done: int = 0) -> None:
        for task in self._bars.tasks:
            if task.total is None:  # the stage before it is over: its bar need not go on moving
                self._bars.update(task.id, total=task.completed)
        self._tasks[stage] = self._bars.add_task(stage, total=total, completed=done, rate="")
        self._begun[stage] = (time.monotonic(), 0)

    def advance(self, stage: str, steps: int = 1) -> None:
        begun, done = self._begun[stage]
        self._begun[stage] = (begun, done + steps)
        rate = pace(done + steps, time.monotonic() - begun)
        self._bars.update(self._tasks[stage], advance=steps, rate=rate)

    def note(self, text: str) -> None:
        self._bars.console.print(Text(printable(text)))


class Lines:
    """Plain lines, for logs: one when a stage begins, then one every few seconds."""

    def __init__(self) -> None:
        self._state: dict[str, tuple[int, int | None, float, int, float]] = {}

    def start(self, stage: str, total: int | None, done: int = 0) -> None:
        now = time.monotonic()
        self._state[stage] = (done, total, now, done, now)
        if total is not None:
            self.note(f"{stage}: {done:,} of {total:,} done")

    def advance(self, stage: str, steps: int = 1) -> None:
        done, total, begun, first, shown = self._state[stage]
        done, now = done + steps, time.monotonic()
        # The rate is of this attempt alone: what an earlier one had finished took no time now, and
        # counting it would promise an end too soon.
        if steps and (now - shown >= _EVERY or done == total):
            rate = (done - first) / max(now - begun, 1e-3)
            left = f" of {total:,}, {duration((total - done) / rate)} left" if total else ""
            self.note(f"{stage}: {done:,}{left}, {pace(done - first, now - begun)}")
            shown = now
        self._state[stage] = (done, total, begun, first, shown)

    def note(self, text: str) -> None:
        print(printable(text), file=sys.stderr, flush=True)


@contextmanager
def progress_for(*, quiet: bool) -> Iterator[Watcher]:
    """Bars on a terminal, plain lines elsewhere, nothing when quiet."""
    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        columns = (
            TextColumn("{task.description:>8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bars:
            yield Bars(bars)
    else:
        yield Lines()


def show_json(value: object) -> None:
    """One JSON object on stdout and nothing else; ASCII, so that any terminal takes it.

    Args:
        value: a record, or a mapping.
    """
    print(json.dumps(as_json(value), allow_nan=False))


def show_shard(result: ShardDone) -> None:
    """What a shard has done, and what its run still lacks."""
    print(f"shard {result.shard}: its {counted(result.parts, 'part')} of {result.run} are there")
    print(result.rest)
    if result.completing is None:
        print(f"whoever finishes last completes the run; so does: durian merge {result.run}")


def show_profile(result: Profiled) -> None:
    """Counts, failures, seconds by stage, errors by group, and where things are."""
    manifest, run = result.manifest, Path(result.run)
    counts, tokens = manifest.counts, manifest.tokens
    again = f" ({counted(counts.duplicate_rows, 'repeated row')})" if counts.duplicate_rows else ""
    lines = [
        f"{counted(counts.samples, 'sample')} of {counted(counts.rows, 'row')}{again}; "
        f"{counts.failed:,} with a measure missing"
    ]
    lines += [f"  {n:,} x {reason}" for reason, n in _most(counts.failed_by_reason)]
    if (sampled := manifest.sampled) is not None:
        without = counts.samples - sampled.drawn
        lines.append(
            f"completions drawn of {counted(sampled.drawn, 'sample')}; {without:,} without any are "
            "predicted from samples like them"
        )
    if tokens is not None:
        read = "unknown" if tokens.prompt is None else f"{tokens.prompt:,}"
        lines.append(
            f"tokens: {read} of {tokens.prompts:,} prompts, {tokens.completion:,} of "
            f"{tokens.completions:,} completions"
        )
    timed = (manifest.seconds or {}).items()
    seconds = ", ".join(f"{stage} {duration(taken)}" for stage, taken in timed)
    lines += [f"time: {seconds}", "", *_findings(result.summary.sentences)]
    lines += [
        f"table:   {run / 'difficulty.parquet'}",
        f"report:  {run / 'report' / 'index.html'}",
    ]
    _print(lines)


def show_import(result: Profiled) -> None:
    """What of the log was matched and what was not, and then what a profile shows."""
    if (logs := result.manifest.logs) is not None:
        matched = sum(logs.matched.values())
        by = ", ".join(f"{count:,} by {what}" for what, count in logs.matched.items())
        lines = [f"{matched:,} of {counted(logs.completions, 'completion')} matched: {by}"]
        lines += [f"  {n:,} {reason}, left out" for reason, n in _most(logs.unmatched)]
        if logs.repeated:
            lines.append(f"  {logs.repeated:,} stand there again, left out")
        lines += [f"  {n:,} x line {reason}" for reason, n in _most(logs.unread)]
        _print(lines)
    show_profile(result)


def show_report(folder: Path, summary: Summary) -> None:
    """Print the findings of a report, and where its page is."""
    _print([*_findings(summary.sentences), f"report:  {folder / 'index.html'}"])


def show_compare(found: Comparison) -> None:
    """Print the changes between two runs, the verdict, and where the page is."""
    samples = found.samples
    lines = [f"{counted(samples.both, 'sample')} of both runs"]
    for name, alone in (("A", samples.only_a), ("B", samples.only_b)):
        if alone:
            lines.append(f"  {alone:,} in {name} alone")
    lines += [f"warning: {warning}" for warning in found.warnings]
    lines += [*_findings(found.sentences), *_to_group_alike(found)]
    lines.append(f"page:    {Path(found.out or '') / 'index.html'}")
    _print(lines)


def _to_group_alike(found: Comparison) -> list[str]:
    """The commands after which two runs that are grouped by other rules can be compared."""
    # Here: it loads what --help need not.
    from durian.rendering.compare_sentences import compare_advice

    if found.drift.verdict.verdict is not None:
        return []
    commands = [line for advice in compare_advice(found) for line in advice.do.splitlines()]
    return ["to compare their groups:", *(f"  {line}" for line in commands), ""] if commands else []


def show_training(result: TrainingManifest) -> None:
    """Print the results of a training: who took part, how the reward moved, where the files are."""
    counts, ends, out = result.counts, result.result, Path(result.out or "")
    lines = [f"{counts.samples:,} of {counted(counts.rows, 'row')} took part"]
    lines += [f"  {n:,} left out: {reason}" for reason, n in _most(counts.left_out)]
    if ends.reward_first is not None:
        lines.append(
            f"sampled reward {ends.reward_first:.3f} over the first {ends.averaged_steps} "
            f"logged steps, {ends.reward_last:.3f} over the last "
            f"(of {ends.logged_steps}, {duration(result.seconds['in all'])})"
        )
    if (found := result.validation) is not None:
        # Here: it loads what --help need not.
        from durian.training.facts import best_text, validation_text

        lines += [f"validation on {validation_text(found)}", f"best policy: {best_text(found)}"]
    lines += [f"page:    {out / 'training' / 'index.html'}", f"policy:  {out}"]
    _print(lines)


def show_plan(plan: ProfilePlan) -> None:
    """The dry run's counts, what the profile will cost, and the first prompt."""
    first = None if plan.prompts is None else plan.prompts.first_prompt
    counted = replace(
        plan, judged_at_most=None, judge_reads=None, judge_writes_at_most=None,
        coords=None, images=None, prompts=None, price=None, signing=None,
    )  # fmt: skip
    counts = _counts(as_json(counted))
    _print(
        [
            *counts,
            *signing_lines(plan),
            *reward_lines(plan),
            *cost_lines(plan),
            *_first_prompt(first),
        ]
    )


def show_training_plan(plan: TrainingPlan) -> None:
    """The dry run's counts, and the first prompt; its warnings have been said."""
    counts = as_json(replace(plan, first_prompt=None, validation=None))
    counts.pop("warnings")
    lines = _counts(counts)
    if (planned := plan.validation) is not None:
        lines.append(
            f"validations: {planned.validations} of {counted(planned.samples, 'sample')} of "
            f"{planned.dataset}, every {counted(planned.every, 'step')}: "
            f"{planned.completions:,} completions"
        )
    _print([*lines, *_first_prompt(plan.first_prompt)])


def _counts(counts: JsonObject) -> list[str]:
    """Print a plan, a line for each part, and how the dataset's rows are read."""
    lines = [
        f"{key.replace('_', ' ')}: {value_text(value)}"
        for key, value in counts.items()
        if key != "read"
    ]
    if (read := counts.get("read")) is not None:
        lines += [
            f"rows read as: {read['form']}",
            f"  problem from {read['problem']}",
            f"  answer from {read['answer']}",
            f"  images from {', '.join(read['images']) or 'nowhere'}",
            *(f"  {note}" for note in read["notes"]),
        ]
    return lines


def _first_prompt(text: str | None) -> list[str]:
    if text is None:
        return []
    return ["first prompt:", *("  " + line for line in text.splitlines())]


def show_schema(tables: Mapping[str, list[dict[str, str]]]) -> None:
    """Print the columns of each table."""
    console = Console()
    for name, columns in tables.items():
        table = Table(title=f"{name}.parquet", title_justify="left", box=None, pad_edge=False)
        for heading in ("column", "type", "unit", "meaning"):
            table.add_column(heading, no_wrap=heading in ("column", "type"))
        for column in columns:
            table.add_row(*column.values())
        console.print(table)


def show_installation(found: Installation) -> None:
    """Print versions, roads and extras of this machine."""
    console = Console()
    versions = _table("package", "version")
    for package, version in found.versions.items():
        versions.add_row(package, version or "not installed")
    console.print(versions)
    gpus = "no torch to ask" if found.gpus is None else ", ".join(found.gpus) or "none"
    lines = [
        "",
        f"GPU:      {gpus}",
        f"chromium: {found.chromium or 'none; the tests of pages need it, nothing else does'}",
        f"disk:     {found.disk_free_gib:,} GiB free here",
        "",
    ]
    _print(lines)
    roads = _table("road", "works", "what it lacks")
    for road in found.roads:
        lacks = f"{', '.join(road.lacks)}: {road.way_out}" if road.lacks else ""
        roads.add_row(road.name, "yes" if road.works else "no", lacks)
    console.print(roads)
    console.print()
    extras = _table("extra", "installed", "adds")
    for extra in found.extras:
        extras.add_row(extra.name, "yes" if extra.installed else "no", extra.adds)
    console.print(extras)


def show_checks(found: Examined) -> None:
    """Print a line a check, and how many are wrong."""
    table = _table("check", "verdict", "what was found")
    for check in found.checks:
        table.add_row(check.name, check.verdict, Text(printable(check.said)))
    Console().print(table)
    wrong = f"{found.wrong} wrong" if found.wrong else "nothing wrong"
    _print(["", f"{wrong} with {found.model} and engine {found.engine}"])


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=heading == headings[0])
    return table


def show_eval(result: Evaluation) -> None:
    """Accuracy of each policy and their difference, overall and by group, and what was left out."""
    console, counts, compared = Console(), result.counts, result.comparison
    for model in result.models:
        whole = GroupAccuracy(
            group="all", n=counts.judged, greedy=model.greedy, sampled=model.sampled
        )
        table = _by_group(whole, model.perceptual, model.reasoning, _accuracy)
        for label, key, show in (
            ("in the format", "format_rate", _percent),
            ("tokens", "mean_tokens", lambda mean: f"{mean:.1f}"),
            ("cut by max-tokens", "truncated", _percent),
        ):
            rates = (model.greedy, model.sampled)
            table.add_row(label, "", *(show(getattr(way, key)) for way in rates if way is not None))
        console.print(Text(printable(f"accuracy of {model.name}")), table, "", sep="\n")
        if model.pass_at is not None:
            tries = [f"pass@{k}" for k in result.settings.pass_at]
            passed = _table("right at least once", "samples", *tries)
            for row in model.pass_at:
                shown = (_share(each) for each in row.shares)
                passed.add_row(Text(printable(row.label)), f"{row.n:,}", *shown)
            console.print(passed, "", sep="\n")
    if compared is not None:
        total = GroupDifference(
            group="all",
            n=counts.judged,
            greedy=compared.greedy.difference,
            sampled=None if compared.sampled is None else compared.sampled.difference,
        )
        title = Text(printable(f"{compared.first} minus {compared.second}, in points"))
        table = _by_group(total, compared.perceptual, compared.reasoning, _points)
        console.print(title, table, "", sep="\n")
    lines = list(result.sentences)
    if counts.duplicate_rows:
        lines.append(f"repeated rows, judged once: {counts.duplicate_rows:,}")
    if counts.failed:
        lines.append(
            f"{counts.failed:,} of {counted(counts.samples, 'sample')} failed; in no rate:"
        )
        lines += [f"  {n:,} x {reason}" for reason, n in _most(counts.failed_by_reason)]
    if result.table is not None:
        for label, without in (
            ("not in the table", result.table.not_in_table),
            ("in no perceptual group", result.table.in_no_perceptual_group),
            ("in no reasoning group", result.table.in_no_reasoning_group),
        ):
            if without:
                lines.append(f"{label}: {without:,} of the samples judged")
    if (folder := result.settings.folder) is not None:
        lines += [
            f"written: {folder / 'rollouts.parquet'}",
            f"page:    {folder / 'index.html'}",
        ]
    elif result.settings.out is not None:
        lines.append(f"result:  {result.settings.out}")
    _print(lines)


def show_export(result: Exported) -> None:
    """Print what was chosen and left out, where it lies, and the line that launches the trainer."""
    lines = list(result.sentences)
    lines += [f"  {n:,} x {reason}" for reason, n in _most(result.left_out)]
    lines += [f"  column {old} is {new}" for old, new in result.renamed.items()]
    lines += [f"written: {result.out}/{part.file}" for part in result.parts]
    lines += [f"tables:  {result.out}/{place}" for place in result.tables]
    lines.append(f"page:    {result.out}/report/index.html")
    if result.pushed is not None:
        lines.append(f"pushed:  {result.pushed}")
    _print([*lines, "launch:", *(f"  {line}" for line in result.launch)])


def show_group(result: Regrouped) -> None:
    """Print the groups as they are now: where they are cut, their sizes and error rates."""
    from durian.analysis.one_run.summary import NO_GROUP  # here: it loads what --help need not
    from durian.rendering.sentences import in_no_group

    console, groups, scored = Console(), result.groups, result.summary.scored
    asked_of: dict[Kind, tuple[str, Any]] = {
        "perceptual": ("percentiles", groups.perceptual.percentiles),
        "reasoning": ("bins", groups.reasoning.bins),
    }
    for kind, (cut, asked) in asked_of.items():
        cuts = groups.by(kind)
        if not any(cuts.sizes.values()):
            _print([f"no {kind} groups: no sample has a {cuts.measure}", ""])
            continue
        rows = [] if scored is None else scored.groups(kind)
        rates = {str(row.group): row.error_rate for row in rows}
        shown = ", ".join(f"{x:g}" for x in asked) if isinstance(asked, tuple) else asked
        table = Table(box=None, pad_edge=False)
        for heading, side in (("group", "left"), ("samples", "right"), ("error rate", "left")):
            table.add_column(heading, justify="right" if side == "right" else "left")
        for name, size in cuts.sizes.items():
            table.add_row(Text(printable(name)), f"{size:,}", _share(rates.get(name)))
        without = result.summary.samples - sum(cuts.sizes.values())
        if without:
            table.add_row(NO_GROUP, f"{without:,}", _share(rates.get(NO_GROUP)))
        end = "" if cuts.harder is None else f" ({cuts.harder} is hard)"
        title = f"{kind} groups by {cuts.measure}{end}, {cut} {shown}"
        console.print(Text(printable(title)), table, sep="\n")
        lines = [f"cut at {', '.join(f'{edge:.6g}' for edge in cuts.edges)}"]
        if cuts.chosen is not None and not cuts.chosen.told_apart:
            lines.append("the error rates of some neighbours cannot be told apart (95 %)")
        _print([*(lines if cuts.edges else []), ""])
    _print([f"warning: {sentence}" for sentence in in_no_group(result.summary)])
    run = Path(result.run)
    said = "" if result.changed else " (as it was: nothing to change)"
    _print(
        [
            f"table:   {run / 'difficulty.parquet'}, grouping {groups.version}{said}",
            f"report:  {run / 'report' / 'index.html'}",
        ]
    )


Row = TypeVar("Row", GroupAccuracy, GroupDifference)


def _by_group(
    whole: Row,
    perceptual: Sequence[Row] | None,
    reasoning: Sequence[Row] | None,
    show: Callable[[Any], str],
) -> Table:
    """Lay out a row for all samples, then one a group; a column for each way of drawing."""
    table = Table(box=None, pad_edge=False)
    ways: list[str] = [way for way in ("greedy", "sampled") if getattr(whole, way) is not None]
    for heading in ("", "samples", *ways):
        table.add_column(heading, justify="right" if heading == "samples" else "left")
    labelled: list[tuple[str, Row]] = [("all", whole)]
    labelled += [(f"perceptual {row.group}", row) for row in perceptual or ()]
    labelled += [(f"reasoning {row.group}", row) for row in reasoning or ()]
    for label, row in labelled:
        shown = (show(getattr(row, way)) for way in ways)
        table.add_row(Text(printable(label)), f"{row.n:,}", *shown)
    return table


def _accuracy(accuracy: Accuracy) -> str:
    return _share(accuracy.estimate)


def _share(estimate: Estimate | None) -> str:
    return "-" if estimate is None or estimate.value is None else estimate_text(_brief(estimate))


def _points(difference: Estimate) -> str:
    return estimate_text(_brief(difference), "", sign="+")


def _brief(estimate: Estimate) -> Estimate:
    """The number of a cell, which has no room for why it has no interval: the sentences say it."""
    return estimate if estimate.value is None else replace(estimate, reason=None)


def _percent(share: float | None) -> str:
    return "-" if share is None else percent_text(share)


def _findings(sentences: Sequence[str]) -> list[str]:
    return [*sentences, ""] if sentences else []


def _most(reasons: Mapping[str, int], most: int = 5) -> list[tuple[str, int]]:
    shown = list(reasons.items())[:most]
    rest = sum(list(reasons.values())[most:])
    return [*shown, ("other reasons, in the column 'error'", rest)] if rest else shown


def _print(lines: list[str]) -> None:
    for line in lines:
        print(printable(line))
