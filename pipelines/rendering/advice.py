"""What to do about what a report found: one line each, with the option or setting that does it."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from pipelines.rendering.names import grouped_by, name_of
from pipelines.rendering.sentences import best_measure, difference_between

VARIED = "pass_rate > 0 AND pass_rate < 1"
FEW = 0.05  # a share that is not worth a line
SURE = 0.9  # a pass rate this reliable needs no further rollouts
UNSURE = 0.5  # samples that keep their bin on average; below it, bins are mostly noise


def advice(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """Lines of advice, the weightiest first: `say` in words, `do` the exact option or setting.

    `do` may be several lines: the command line, then the same in a config file.
    """
    if "error_rate" not in summary:
        return []
    lines = [_filter(summary), _regroup(summary), _bins(summary), _rollouts(summary)]
    return [line for line in (*lines, _missing(summary)) if line]


def _filter(summary: Mapping[str, Any]) -> dict[str, str] | None:
    share = summary["pass_rates"]["no_variance"]
    if share < FEW:
        return None
    left = round(summary["pass_rates"]["samples"] * (1 - share))
    return {
        "say": f"Leave out the {100 * share:.0f} % without variance: their rollouts cost time and "
        f"give no gradient. {left:,} samples remain.",
        "do": f'durian train … --filter "{VARIED}"\nfilter: {VARIED}',
    }


def _regroup(summary: Mapping[str, Any]) -> dict[str, str] | None:
    """Group by the measure that predicts error best, where it is surely better."""
    best, now = best_measure(summary), grouped_by(summary.get("grouping")).reasoning
    if best is None or best == now:
        return None
    over = difference_between(summary, best, now)
    if over is None or over["low"] is None or over["low"] <= 0:
        return None
    return {
        "say": f"Cut the reasoning bins by {name_of(best)}: it predicts error better than "
        f"{name_of(now)} (AUROC {over['value']:+.2f}, {over['low']:+.2f} to {over['high']:+.2f}).",
        "do": f"durian group RUN --reasoning {best}",
    }


def _bins(summary: Mapping[str, Any]) -> dict[str, str] | None:
    of = summary.get("reliability", {}).get("reasoning", {})
    if of.get("same_group") is None or of["same_group"] >= UNSURE:
        return None
    return {
        "say": f"Use fewer reasoning bins: were the rollouts drawn again, a sample would keep its "
        f"bin only {100 * of['same_group']:.0f} % of the time, and only "
        f"{100 * of['certain']:.0f} % of the samples have a bin that is sure at 95 %.",
        "do": "durian group RUN --bins auto",
    }


def _rollouts(summary: Mapping[str, Any]) -> dict[str, str] | None:
    """More rollouts where pass rates are unsure; how many by Spearman and Brown's formula."""
    of = summary.get("reliability")
    known = of["pass_rate"]["reliability"] if of else None
    if of is None or known is None or not 0 < known < SURE:
        return None
    times = SURE * (1 - known) / (known * (1 - SURE))
    needed = ceil(of["rollouts"] * times)
    return {
        "say": f"Pass rates from {of['rollouts']} rollouts have a reliability of {known:.2f} "
        f"(1 is exact); about {needed} would bring {SURE}, if single pass rates matter to you.",
        "do": f"durian profile … --rollouts {needed}",
    }


def _missing(summary: Mapping[str, Any]) -> dict[str, str] | None:
    lost = sum(row["samples"] for row in summary["missing"])
    if not lost:
        return None
    return {
        "say": f"{lost:,} samples lack a measure (see what failed, below) and are in no group; "
        "training would take each on its own. To leave them out:",
        "do": 'durian train … --filter "error IS NULL"\nfilter: error IS NULL',
    }
