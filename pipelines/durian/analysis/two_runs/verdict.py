"""Judge whether a profile's groups have gone stale for the policy in hand, and on what grounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from durian.analysis.statistics.estimate import AGREED, Estimate
from durian.analysis.two_runs.group_flow import Gain
from durian.groups import Kind
from durian.records import left_out

KEEP, AGAIN = "keep the groups", "profile again"
MARGIN = 0.02  # AUROC that fresh groups must gain to be worth a profile
FEW = 100  # samples


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether A's groups still serve B, and what that rests on."""

    verdict: str | None  # `KEEP`, `AGAIN`; None where no grouping can be judged
    reason: str | None = left_out()  # why there is none
    because: Kind | None = left_out()  # the grouping it rests on
    unjudged: dict[Kind, str]  # grouping -> why it cannot be judged
    thin: bool | None = left_out()
    thin_because: list[str] | None = left_out()
    margin: float = MARGIN


def verdict(gains: Mapping[Kind, Gain]) -> Verdict:
    """Judge whether A's groups still serve B: "keep the groups" or "profile again".

    The rule: profile again when, for either grouping, B's own groups order its errors clearly
    better than A's groups do. The gain is the AUROC of B's wrong completions by B's groups less
    that by A's. B's groups look better than they are, because they and the errors come from the
    same completions: what a second profile of B would gain over a first is taken off. What is left
    must exceed 0.02, with its 95 % interval above 0 (or the same in every cluster). Otherwise
    the groups are kept.

    The evidence is thin where the interval is missing or holds 0.02, or with fewer than 100
    samples.
    """
    known = {kind: gain for kind, gain in gains.items() if gain.excess.value is not None}
    unjudged = {k: gain.excess.reason or "" for k, gain in gains.items() if k not in known}
    if not known:
        reason = "; ".join(dict.fromkeys(unjudged.values()))
        return Verdict(verdict=None, reason=reason, unjudged=unjudged)
    # Groups that cannot move say nothing while others can.
    moving = {kind: gain for kind, gain in known.items() if not gain.identical} or known
    because = max(moving, key=lambda kind: _asks(moving[kind].excess))
    gain, thin = moving[because], []
    if gain.samples < FEW:
        thin.append(f"only {gain.samples} samples")
    ends = gain.excess.interval
    if ends is None and not gain.identical:
        thin.append("there is no interval")
    elif ends is not None and ends[0] <= MARGIN <= ends[1]:
        thin.append(f"the interval holds {MARGIN}")
    return Verdict(
        verdict=AGAIN if _asks(gain.excess)[0] else KEEP,
        because=because,
        unjudged=unjudged,
        thin=bool(thin),
        thin_because=thin,
    )


def no_verdict(unlike: Mapping[Kind, str]) -> Verdict:
    """None, where a grouping has another rule in B than in A: a gain may be the rule's doing.

    Args:
        unlike: grouping -> how its rule differs.
    """
    return Verdict(verdict=None, reason="; ".join(unlike.values()), unjudged=dict(unlike))


def _asks(excess: Estimate) -> tuple[bool, float]:
    """Whether a grouping asks for a new profile, and how strongly."""
    gained = excess.value or 0.0
    # Where all clusters agree there is no interval, and nothing is surer.
    sure = excess.reason == AGREED if excess.low is None else excess.low > 0
    return sure and gained > MARGIN, gained
