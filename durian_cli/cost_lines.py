"""What a profile will cost, as lines of at most 80 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from durian_cli.texts import duration

# Of a plan; shown by `cost_lines` rather than one by one.
COST_KEYS = (
    "images", "prompts_sampled", "prompts_failed", "prompt_tokens", "prompt_tokens_of_one",
    "reads_of_a_prompt", "completion_tokens", "tokens_per_second", "seconds", "rate_from",
    "rate_differs", "gpu_hours", "money", "not_known", "judged_at_most", "coords",
)  # fmt: skip


def cost_lines(plan: Mapping[str, Any]) -> list[str]:
    """Images that are resized, tokens, time and money, and what is not known of them."""
    return [
        *_images(plan.get("images")),
        *_prompts(plan),
        *_completions(plan),
        *(f"{what} not known: {way}" for what, way in plan["not_known"].items()),
    ]


def _images(images: Mapping[str, Any] | None) -> list[str]:
    if images is None or not images["all"]:
        return []
    changed = {
        f"shrunk to {images['max_pixels']:,} pixels": images["shrunk"],
        f"enlarged to {images['min_pixels']:,}": images["enlarged"],
        "too thin for the model": images["refused"],
        "without a readable header": images["unreadable"],
    }
    told = ", ".join(f"{count:,} {fate}" for fate, count in changed.items() if count)
    lines = [f"images: {images['all']:,}; {told or 'none is shrunk or enlarged'}"]
    for image in images["named"]:
        which = f" image {image['image']}" if image["image"] > 1 else ""
        becomes = "refused" if image["becomes"] is None else f"to {_size(image['becomes'])}"
        lines.append(f"  row {image['row']:,}{which}: {_size(image['size'])} {becomes}")
    more = sum(images[fate] for fate in ("shrunk", "enlarged", "refused")) - len(images["named"])
    return [*lines, f"  and {more:,} more"] if more else lines


def _prompts(plan: Mapping[str, Any]) -> list[str]:
    tokens, one = plan.get("prompt_tokens"), plan.get("prompt_tokens_of_one")
    lines: list[str] = []
    if tokens is None:
        lines.append("prompt tokens not known: the server counts them; pass --rate-from RUN")
    elif "prompts_sampled" not in plan:
        lines.append(f"prompt tokens: {tokens['value']:,}, by the mean of {plan['rate_from']}")
    else:
        sampled, samples = plan["prompts_sampled"], plan["samples"]
        how = f"{sampled:,} of {samples:,} prompts counted"
        if tokens["high"] is not None and sampled < samples:
            how = f"{tokens['low']:,} to {tokens['high']:,}; {how}"
        lines.append(f"prompt tokens: {tokens['value']:,} ({how})")
    if one is not None:
        lines.append(
            f"  of one: mean {one['mean']:,.1f}, largest {one['largest']:,}; "
            f"{100 * one['image_share']:.0f} % stand for images"
        )
    if (reads := plan.get("reads_of_a_prompt", 1)) > 1:
        lines.append(f"  this engine reads each prompt {reads} times, once a rollout")
    for reason, count in plan.get("prompts_failed", {}).items():
        lines.append(f"  {count:,} of those counted will fail: {reason}")
    return lines


def _completions(plan: Mapping[str, Any]) -> list[str]:
    tokens, seconds, money = plan["completion_tokens"], plan["seconds"], plan["money"]
    lines = [f"completion tokens: {_bounds(tokens, '{:,}'.format)}"]
    if plan["rate_from"] is not None:
        lines.append(f"  expected: as {plan['rate_from']} wrote them")
    if plan["rate_differs"]:
        lines.append(f"  warning: that run had another {', '.join(plan['rate_differs'])}")
    if seconds["at_most"] is not None:
        rate = f"{plan['tokens_per_second']:,.0f} tokens a second"
        lines.append(f"time of the rollouts: {_bounds(seconds, duration)} ({rate})")
    for what, bounds in money.items():
        if bounds["at_most"] is not None:
            lines.append(f"price of {what}: {_bounds(bounds, _amount)}")
    return lines


def reward_lines(plan: Mapping[str, Any]) -> list[str]:
    """What a judge will be asked, and which systems the references of boxes fit."""
    lines = []
    if "judged_at_most" in plan:
        lines.append(f"the judge is asked about {plan['judged_at_most']:,} answers at most")
    if coords := plan.get("coords"):
        fit = ", ".join(f"{name} {n:,}" for name, n in coords.items() if name != "references")
        lines.append(f"references that fit a system, of {coords['references']:,}: {fit}")
    return lines


def _bounds(bounds: Mapping[str, Any], show: Any) -> str:
    expected = "" if bounds["expected"] is None else f"{show(bounds['expected'])} expected, "
    return f"{expected}{show(bounds['at_most'])} at most"


def _amount(money: float) -> str:
    return f"{money:,.2f}" if money >= 1 else f"{money:.2g}"


def _size(size: list[int]) -> str:
    return f"{size[0]:,} x {size[1]:,}"
