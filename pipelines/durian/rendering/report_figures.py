"""Draw the figures of a report, in the order of the page, each with its caption."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from matplotlib import rc_context
from matplotlib.figure import Figure

from durian.analysis.one_run.against_error import Predictor
from durian.analysis.one_run.summary import Scored, Summary
from durian.rendering import cause_figures, group_figures, measure_figures
from durian.rendering.figures import BLUE, NARROW, ORANGE, STYLE, WIDE
from durian.rendering.gradient_figure import gradient_figure, gradient_sentences
from durian.rendering.learning_figures import learning_curves, sample_curves
from durian.rendering.names import CONFIDENCE, SEEING, Grouped, grouped_by, name_of
from durian.rendering.text import shown_text

COLUMNS_DRAWN = 6  # columns beside the measures: those that predict error best


@dataclass(frozen=True)
class ReportFigure:
    """A figure for a page and, drawn anew for it, for a phone."""

    name: str  # of its files
    heading: str
    caption: str
    draw: Callable[[float], Figure]  # width in inches -> figure

    def drawn(self, width: float = WIDE) -> Figure:
        """Draw the figure in the report's style."""
        with rc_context(STYLE):
            return self.draw(width)

    def narrow(self) -> Figure:
        """Draw the figure for a phone."""
        return self.drawn(NARROW)


def report_figures(summary: Summary, units: Mapping[str, str]) -> list[ReportFigure]:
    """The figures that the numbers allow."""
    if (scored := summary.scored) is None:
        return list(_of_images(summary, units))
    return [
        *_of_learning(scored, grouped_by(summary.grouping)),
        *_of_curves(scored, units),
        *_of_groups(scored, grouped_by(summary.grouping)),
        *_of_measures(scored),
        *_of_slices(scored),
        ReportFigure(
            "pass_rates",
            "How often samples are right",
            "Samples by the share of their completions that are right.",
            lambda width: group_figures.pass_rates(scored.pass_rates.histogram, width),
        ),
        *_of_gradient(scored),
    ]


def why_figures(summary: Summary) -> list[ReportFigure]:
    """The figures of the section on causes, where any were found."""
    if (causes := summary.causes) is None:
        return []
    figures = [
        ReportFigure(
            "why",
            "Samples by cause",
            "Samples, and wrong completions, by the first cause that applies, with 95 % intervals.",
            lambda width: cause_figures.causes(causes.found, width),
        )
    ]
    groups = {name: rows for name, rows in causes.groups.items() if rows}
    if groups:
        figures.append(
            ReportFigure(
                "why_groups",
                "Causes by group and by column of the dataset",
                "Share of the samples of each group, and of each value of the dataset's own text "
                "columns, that has each cause, in per cent.",
                lambda width: cause_figures.causes_by_group(groups, width),
            )
        )
    return figures


def _of_images(summary: Summary, units: Mapping[str, str]) -> Iterator[ReportFigure]:
    """Where nothing was scored: how each measure is spread, in all and by column."""
    cuts = None if summary.grouping is None else summary.grouping.perceptual
    for name, spread in (summary.alone or {}).items():
        words, key = name_of(name), name.replace("_", "-")
        edges = cuts.edges if cuts is not None and cuts.measure == name else ()
        yield ReportFigure(
            f"spread-{key}",
            f"How {words} is spread",
            f"Samples by {words}." + (" Dashed: the cuts between the groups." if edges else ""),
            partial(
                group_figures.spread, spread.histogram, edges, f"{_capital(words)}, {units[name]}"
            ),
        )
        if spread.slices:
            yield ReportFigure(
                f"slices-{key}",
                f"{_capital(words)} by column of the dataset",
                f"{_capital(words)} by value of the dataset's own text columns: the median (dot) "
                "and the middle half of the samples (line).",
                partial(group_figures.spread_slices, spread.slices, f"{words}, {units[name]}"),
            )


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def drawn_measures(measures: Mapping[str, Predictor]) -> list[str]:
    """Names of those that figures show: every measure, and the columns that predict error best."""
    # A dataset may bring 32 columns; figures show those that tell most of error, in either
    # direction (0.5 says nothing).
    columns = {
        name: abs(predictor.auroc.value - 0.5)
        for name, predictor in measures.items()
        if predictor.kind == "column" and predictor.auroc.value is not None
    }
    best = sorted(columns, key=lambda name: -columns[name])[:COLUMNS_DRAWN]
    return [name for name, each in measures.items() if each.kind != "column" or name in best]


def _of_curves(scored: Scored, units: Mapping[str, str]) -> Iterator[ReportFigure]:
    measures = scored.measures
    curved = {
        name: measures[name].curve
        for name in drawn_measures(measures)
        if len(measures[name].curve) > 1
    }
    said = ""
    if scored.image_gain is not None and len(scored.image_gain.curve) > 1:
        curved["image_gain"] = scored.image_gain.curve
        said = (
            " What the image adds is taken from one half of the completions, the errors beside it "
            "from the other: of the same ones both would share their luck. A pass rate is part of "
            "the gain, so that errors fall along it wherever samples differ at all."
        )
    if curved:
        yield ReportFigure(
            "curves",
            "Errors along each measure",
            "Error rate along each measure, in quantile bins, with 95 % bands. Dashed: the "
            f"isotonic fit, which may only rise or only fall.{said}",
            lambda width: measure_figures.curves(curved, units, width),
        )


def _of_groups(scored: Scored, grouped: Grouped) -> Iterator[ReportFigure]:
    even = "Dotted: the errors it would have if all were wrong equally often."
    seeing, reasoning = perceptual_label(grouped), reasoning_label(grouped)
    if any(row.samples for row in scored.perceptual):
        yield ReportFigure(
            "perceptual",
            "Errors by perceptual group",
            f"Errors by perceptual group, from easy ({shown_text(grouped.easy_seen, 80)}) to hard "
            f"({shown_text(grouped.hard_seen, 80)}), with 95 % intervals. {even}",
            lambda width: group_figures.errors_by_group(
                scored.groups("perceptual"), seeing, BLUE, width
            ),
        )
    if scored.reasoning:
        yield ReportFigure(
            "reasoning",
            "Errors by reasoning bin",
            f"Errors by reasoning bin, from the {shown_text(grouped.hardest_bin, 80)} to the "
            f"{shown_text(grouped.easiest_bin, 80)}, with 95 % intervals. {even}",
            lambda width: group_figures.errors_by_group(
                scored.groups("reasoning"), reasoning, ORANGE, width
            ),
        )
    if (joint := scored.joint) is not None:
        yield ReportFigure(
            "joint",
            "Both together",
            "Wrong completions and, with them, the number of samples, where perceptual groups and "
            "reasoning bins meet. Empty: no samples.",
            lambda width: group_figures.joint_view(joint, (seeing, reasoning), width),
        )


def _of_learning(scored: Scored, grouped: Grouped) -> Iterator[ReportFigure]:
    if (learning := scored.learning) is None:
        return
    names = {"perceptual": perceptual_label(grouped), "reasoning": reasoning_label(grouped)}
    yield ReportFigure(
        "learning",
        "How the policy learned",
        "Right completions along the training's steps, of all samples and by group, with 95 % "
        "bands. Each point is of the samples that were drawn at its steps.",
        lambda width: learning_curves(learning, names, width),
    )
    if learning.samples:
        yield ReportFigure(
            "learning_samples",
            "Samples that moved the most",
            "Right completions of single samples along the training's steps: those that rose the "
            "most, then those that fell. Of many samples some move by luck.",
            lambda width: sample_curves(learning.samples, width),
        )


def perceptual_label(grouped: Grouped) -> str:
    """An axis label that names an unusual column behind the perceptual groups."""
    if grouped.perceptual in SEEING:
        return "Perceptual group"
    return f"Group by {name_of(grouped.perceptual)} ({grouped.perceptual_end} is hard)"


def reasoning_label(grouped: Grouped) -> str:
    """An axis label that names the column behind the reasoning bins."""
    if grouped.reasoning in CONFIDENCE:
        return "Confidence bin (0 = least confident)"
    return f"Bin of {name_of(grouped.reasoning)} (0 = {grouped.hardest_bin.split()[0]})"


def _of_measures(scored: Scored) -> Iterator[ReportFigure]:
    measures = {name: scored.measures[name] for name in drawn_measures(scored.measures)}
    kinds = {name: predictor.kind for name, predictor in measures.items()}
    known = {n: each.auroc for n, each in measures.items() if each.auroc.value is not None}
    over = {
        row.first: row.difference
        for row in scored.differences
        if row.second == "mean_tokens" and row.first in known
    }
    if known:
        yield ReportFigure(
            "auroc",
            "Which measure tells wrong from right",
            "How well each measure tells wrong completions from right ones, with 95 % intervals: "
            "1 is always, 0.5 is chance, below 0.5 it points the other way."
            + (" Beside it: how much that is above the length of the completions." if over else "")
            + (
                " A plain column (blue) is turned the way that fits, so it leans above 0.5."
                if "column" in kinds.values()
                else ""
            ),
            lambda width: measure_figures.aurocs(known, kinds, over, width),
        )
    covered = {
        name: predictor.risk_coverage
        for name, predictor in measures.items()
        if predictor.risk_coverage and predictor.kind != "column"
    }
    if covered and known:
        yield ReportFigure(
            "risk_coverage",
            "What remains when the hardest are left out",
            "Error rate of the samples that are kept when those that a measure calls hardest are "
            "left out first. Dotted: all samples, or leaving out at random.",
            lambda width: measure_figures.risk_coverage(covered, scored.error_rate, width),
        )
    halves = {
        name: each
        for name, each in (scored.split_half or {}).items()
        if each.same.value is not None and each.other.value is not None
    }
    if halves:
        yield ReportFigure(
            "split_half",
            "Does confidence know more than its own luck?",
            "AUROC of error of confidence that is taken from half of each sample's rollouts. "
            "Against the errors of that same half it shares their luck; the other half is the "
            "honest figure for new completions.",
            lambda width: measure_figures.split_halves(halves, width),
        )


def _of_gradient(scored: Scored) -> Iterator[ReportFigure]:
    if (shares := scored.gradient) is not None:
        yield ReportFigure(
            "gradient",
            "Who gets the gradient",
            " ".join(gradient_sentences(shares)),
            partial(gradient_figure, shares),
        )


def _of_slices(scored: Scored) -> Iterator[ReportFigure]:
    if scored.slices:
        yield ReportFigure(
            "slices",
            "Errors by column of the dataset",
            "Error rate by value of the dataset's own text columns, with 95 % intervals.",
            lambda width: group_figures.slices(scored.slices, width),
        )
