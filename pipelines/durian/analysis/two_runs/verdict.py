"""Have a profile's groups gone stale for the policy in hand? One verdict, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEEP, AGAIN = "keep the groups", "profile again"
MARGIN = 0.02  # AUROC that fresh groups must gain to be worth a profile
FEW = 100  # samples
AGREED = "all resamples agree"  # the reason of `bootstrap.with_interval`


def verdict(gains: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Whether A's groups still serve B: "keep the groups" or "profile again".

    The rule: profile again when, for either grouping, B's own groups order its errors clearly
    better than A's groups do. The gain is the AUROC of B's wrong completions by B's groups less
    that by A's. B's groups look better than they are, because they and the errors come from the
    same completions: what a second profile of B would gain over a first is taken off. What is left
    must exceed 0.02, with its 95 % interval above 0 (or all resamples alike). Otherwise the groups
    are kept.

    The evidence is thin where the interval is missing or holds 0.02, or with fewer than 100
    samples.

    Args:
        gains: by grouping, as `group_flow.fresh_gain`.
    Returns:
        `verdict` (None with its `reason` where no grouping can be judged), `because` (the grouping
        it rests on), `unjudged` (grouping -> why it cannot be), `thin`, `thin_because`, `margin`.
    """
    known = {kind: gain for kind, gain in gains.items() if gain["excess"]["value"] is not None}
    unjudged = {k: gain["excess"]["reason"] for k, gain in gains.items() if k not in known}
    if not known:
        reason = "; ".join(dict.fromkeys(unjudged.values()))
        return {"verdict": None, "reason": reason, "unjudged": unjudged, "margin": MARGIN}
    # Groups that cannot move say nothing while others can.
    moving = {kind: gain for kind, gain in known.items() if not gain["identical"]} or known
    because = max(moving, key=lambda kind: _asks(moving[kind]["excess"]))
    gain = moving[because]
    excess, thin = gain["excess"], []
    if gain["samples"] < FEW:
        thin.append(f"only {gain['samples']} samples")
    if excess["low"] is None and not gain["identical"]:
        thin.append("there is no interval")
    elif excess["low"] is not None and excess["low"] <= MARGIN <= excess["high"]:
        thin.append(f"the interval holds {MARGIN}")
    return {
        "verdict": AGAIN if _asks(excess)[0] else KEEP,
        "because": because,
        "unjudged": unjudged,
        "thin": bool(thin),
        "thin_because": thin,
        "margin": MARGIN,
    }


def _asks(excess: Mapping[str, Any]) -> tuple[bool, float]:
    """Does a grouping ask for a new profile, and how strongly."""
    if excess["low"] is None:  # as sure as resamples can be where they all agree
        sure = excess.get("reason") == AGREED
    else:
        sure = excess["low"] > 0
    return sure and excess["value"] > MARGIN, excess["value"]
