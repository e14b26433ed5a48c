"""Print the cost of a profile as lines of at most 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durian_cli.texts import duration

if TYPE_CHECKING:  # they load what --help has no need of
    from durian.planning.plan import Bounds, ImageFates, Price, ProfilePlan, PromptCount


def cost_lines(plan: ProfilePlan) -> list[str]:
    """Images that are resized, tokens, time and money, and what is not known of them."""
    if plan.price is None:
        return []
    drawn = [] if plan.drawn is None else [f"completions of {plan.drawn:,} samples are drawn"]
    return [
        *_images(plan.images),
        *drawn,
        *_prompts(plan.prompts, plan.price, plan.samples),
        *_completions(plan.price),
        *(f"{what} not known: {way}" for what, way in plan.price.not_known.items()),
    ]


def _images(images: ImageFates | None) -> list[str]:
    if images is None or not images.all:
        return []
    changed = {
        f"shrunk to {images.max_pixels:,} pixels": images.shrunk,
        f"enlarged to {images.min_pixels:,}": images.enlarged,
        "too thin for the model": images.refused,
        "without a readable header": images.unreadable,
    }
    told = ", ".join(f"{count:,} {fate}" for fate, count in changed.items() if count)
    lines = [f"images: {images.all:,}; {told or 'none is shrunk or enlarged'}"]
    for image in images.named:
        which = f" image {image.image}" if image.image > 1 else ""
        becomes = "refused" if image.becomes is None else f"to {_size(image.becomes)}"
        lines.append(f"  row {image.row:,}{which}: {_size(image.size)} {becomes}")
    more = images.shrunk + images.enlarged + images.refused - len(images.named)
    return [*lines, f"  and {more:,} more"] if more else lines


def _prompts(prompts: PromptCount | None, price: Price, samples: int) -> list[str]:
    lines: list[str] = []
    if prompts is None or (tokens := prompts.prompt_tokens) is None:
        return ["prompt tokens not known: the server counts them; pass --rate-from RUN"]
    if (sampled := prompts.prompts_sampled) is None:
        lines.append(f"prompt tokens: {tokens.value:,}, by the mean of {price.rate_from}")
    else:
        how = f"{sampled:,} of {samples:,} prompts counted"
        if tokens.high is not None and sampled < samples:
            how = f"{tokens.low:,} to {tokens.high:,}; {how}"
        lines.append(f"prompt tokens: {tokens.value:,} ({how})")
    if (one := prompts.prompt_tokens_of_one) is not None:
        lines.append(
            f"  of one: mean {one.mean:,.1f}, largest {one.largest:,}; "
            f"{100 * one.image_share:.0f} % stand for images"
        )
    if (blind := prompts.blind_prompt_tokens) is not None:
        lines.append(f"  and as they are asked blind: {blind.value:,}")
    if (reads := prompts.reads_of_a_prompt or 1) > 1:
        lines.append(f"  this engine reads each prompt {reads} times, once a rollout")
    for reason, count in (prompts.prompts_failed or {}).items():
        lines.append(f"  {count:,} of those counted will fail: {reason}")
    return lines


def _completions(price: Price) -> list[str]:
    lines = [f"completion tokens: {_bounds(price.completion_tokens, '{:,}'.format)}"]
    if price.rate_from is not None:
        lines.append(f"  expected: as {price.rate_from} wrote them")
    if price.rate_differs:
        lines.append(f"  warning: that run had another {', '.join(price.rate_differs)}")
    if price.seconds.at_most is not None:
        rate = f"{price.tokens_per_second:,.0f} tokens a second"
        lines.append(f"time of the rollouts: {_bounds(price.seconds, duration)} ({rate})")
    for what, bounds in price.money.items():
        if bounds.at_most is not None:
            lines.append(f"price of {what}: {_bounds(bounds, _amount)}")
    return lines


def signing_lines(plan: ProfilePlan) -> list[str]:
    """Print how long it takes to sign the images for near-duplicates."""
    if (cost := plan.signing) is None:
        return []
    return [
        f"images to sign for duplicates: about {cost.images:,}, {duration(cost.seconds)} of a core",
        f"  by the first {cost.images_tried:,} of them, decoded here",
    ]


def reward_lines(plan: ProfilePlan) -> list[str]:
    """Print the number of a judge's questions, and the systems that references of boxes fit."""
    lines = []
    if plan.judged_at_most is not None:
        lines.append(f"the judge is asked about {plan.judged_at_most:,} answers at most")
    if plan.judged_at_most:
        lines.append(
            f"  each time it reads {plan.judge_reads:,} characters and the answer, and writes "
            f"{plan.judge_writes_at_most} tokens at most"
        )
    if coords := plan.coords:
        fit = ", ".join(f"{name} {n:,}" for name, n in coords.items() if name != "references")
        lines.append(f"references that fit a system, of {coords['references']:,}: {fit}")
    return lines


def _bounds(bounds: Bounds, show: Any) -> str:
    expected = "" if bounds.expected is None else f"{show(bounds.expected)} expected, "
    return f"{expected}{show(bounds.at_most)} at most"


def _amount(money: float) -> str:
    return f"{money:,.2f}" if money >= 1 else f"{money:.2g}"


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]:,} x {size[1]:,}"
