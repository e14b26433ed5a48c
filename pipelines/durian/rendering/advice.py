"""What to do about what a report found: one line each, with the option or setting that does it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from math import ceil
from typing import Any

from durian.rendering.names import SEEING, grouped_by, name_of
from durian.rendering.sentences import best_measure, difference_between, unequal

VARIED = "pass_rate > 0 AND pass_rate < 1"
FEW = 0.05  # a share that is not worth a line
RELIABLE = 0.9  # pass rates that need no further rollouts
SURE = 0.5  # share of samples whose bin is sure at 95 %; below it, bins are mostly noise


def advice(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """Lines of advice, the weightiest first: `say` in words, `do` the exact option or setting.

    `do` may be two lines: the command line, then the same in a config file.
    """
    if "error_rate" not in summary:
        return []
    lines = (_filter, _perceptual, _reasoning, _bins, _rollouts, _missing)
    return [line for of in lines if (line := of(summary))]


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


def _perceptual(summary: Mapping[str, Any]) -> dict[str, str] | None:
    """Another column for the perceptual groups, where it surely predicts error better."""
    now = grouped_by(summary.get("grouping")).perceptual
    known = {
        name: of["auroc"]
        for name, of in summary["measures"].items()
        if (of.get("kind") == "column" or name in SEEING) and of["auroc"]["low"] is not None
    }
    if now not in known:
        return None
    best = max(known, key=lambda name: float(known[name]["low"]))
    if known[best]["low"] > known[now]["high"]:
        return {
            "say": f"Cut the perceptual groups by {name_of(best)}: it predicts error better than "
            f"{name_of(now)} (AUROC {known[best]['value']:.2f} against "
            f"{known[now]['value']:.2f}).",
            "do": f"durian group RUN --perceptual {shlex.quote(best)}",
        }
    contrast = summary.get("contrast", {}).get("perceptual", {"low": None})
    if contrast["low"] is None or contrast["low"] > 0:
        return None
    return {
        "say": f"Do not lean on {name_of(now)}: its hard group is not surely wrong more often than "
        "its easy one, so it does not mark what this policy finds hard. To give the perceptual "
        "groups no weight:",
        "do": "durian train … --weights 0.7,0,0.3\nweights: [0.7, 0, 0.3]",
    }


def _reasoning(summary: Mapping[str, Any]) -> dict[str, str] | None:
    """Another confidence for the bins, where it is surely better, and not by the luck it shares.

    A measure of a sample's rollouts shares their luck with the errors of the same rollouts: it must
    be the better one on the other half, too.
    """
    best, now = best_measure(summary), grouped_by(summary.get("grouping")).reasoning
    halves = summary.get("split_half", {})
    if best is None or best == now or best not in halves or now not in halves:
        return None
    over = difference_between(summary, best, now)
    unseen, unseen_now = halves[best]["other"]["value"], halves[now]["other"]["value"]
    if over is None or over["low"] is None or over["low"] <= 0:
        return None
    if unseen is None or unseen_now is None or unseen <= unseen_now:
        return None
    return {
        "say": f"Cut the reasoning bins by {name_of(best)}: it predicts error better than "
        f"{name_of(now)} (AUROC {over['value']:+.2f}, {over['low']:+.2f} to {over['high']:+.2f}).",
        "do": f"durian group RUN --reasoning {best}",
    }


def _bins(summary: Mapping[str, Any]) -> dict[str, str] | None:
    of = summary.get("reliability", {}).get("reasoning", {})
    if of.get("certain") is None or of["certain"] >= SURE:
        return None
    return {
        "say": "Use fewer reasoning bins: had the rollouts been drawn again, a sample would keep "
        f"its bin {100 * of['same_group']:.0f} % of the time, and only {100 * of['certain']:.0f} % "
        "of the samples have a bin that is sure at 95 %. To merge bins that cannot be told apart:",
        "do": "durian group RUN --bins auto",
    }


def _rollouts(summary: Mapping[str, Any]) -> dict[str, str] | None:
    """More rollouts where pass rates are unsure; how many by Spearman and Brown's formula."""
    of = summary.get("reliability")
    known = of["pass_rate"]["reliability"] if of else None
    if of is None or known is None or not 0 < known < RELIABLE or unequal(summary):
        return None  # the formula is for one number of rollouts
    twice, double = 2 * of["rollouts"], 2 * known / (1 + known)
    needed = ceil(of["rollouts"] * RELIABLE * (1 - known) / (known * (1 - RELIABLE)) - 1e-9)
    return {
        "say": f"If single pass rates matter to you, draw more rollouts: {of['rollouts']} give "
        f"them a reliability of {known:.2f} (1 is exact), {twice} would give {double:.2f}; "
        f"{RELIABLE} takes about {needed:,}.",
        "do": f"durian profile … --rollouts {twice}",
    }


def _missing(summary: Mapping[str, Any]) -> dict[str, str] | None:
    lost = sum(row["samples"] for row in summary["missing"])
    if not lost:
        return None
    are, them = ("sample lacks", "it") if lost == 1 else ("samples lack", "them")
    return {
        "say": f"{lost:,} {are} a measure (see what failed, below) and may be in no group; "
        f"training would then take each on its own. To leave {them} out:",
        "do": 'durian train … --filter "error IS NULL"\nfilter: error IS NULL',
    }
