"""Estimate the cost of a profile before a token is paid for: tokens, time and money.

Prompts are rendered by the policy's own chat template and counted by its own processor, over a
sample that is spread over the dataset. Completions cannot be foreseen: their length and rate are
taken from a finished run, or left open. Nothing is guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from durian.analysis.statistics.estimate import Estimate
from durian.analysis.statistics.spread import spread, total
from durian.config import CostConfig, ProfileConfig
from durian.config.options import named
from durian.engines.chat import Chat
from durian.engines.prompts import PromptTemplate
from durian.engines.resizing import Resizing, Size
from durian.errors import ConfigError, RunFolderError, one_line
from durian.images.decode import size
from durian.measuring.blinding import Blinding
from durian.measuring.look import look
from durian.measuring.sampling import build_prompt
from durian.planning.plan import (
    Bounds,
    ImageFates,
    NamedImage,
    OnePrompt,
    Price,
    PromptCount,
)
from durian.readers.dataset import SampleReader
from durian.readers.scan import DatasetIndex
from durian.run.progress import Progress
from durian.run.tokens import Tokens
from durian.samples import Failed, Prompt, Sample
from durian.table.checked import check_manifest

MOST_NAMED = 5  # images that are named one by one


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The lengths of a finished run's prompts and completions, and its speed; None: not known."""

    prompt_of_one: float | None = None  # tokens, mean over samples
    completion_of_one: float | None = None  # tokens, mean over completions
    blind_prompt_of_one: float | None = None  # the same of what was asked without the image
    blind_completion_of_one: float | None = None
    tokens_per_second: float | None = None  # completion tokens, of all engines together
    differs: tuple[str, ...] = ()  # settings of the run that are not those of the profile to come


@dataclass
class ImageSizes:
    """Counts the images that a processor's bounds shrink or enlarge, by their headers alone."""

    resizing: Resizing
    counts: Counter[str] = field(default_factory=Counter)
    named: list[NamedImage] = field(default_factory=list)

    def watch(self, samples: Iterator[Sample]) -> Iterator[Sample]:
        """The same samples, their images counted as they pass."""
        # The sizes are read while the scan goes over the dataset anyway, from headers alone: all
        # images are judged and none is decoded.
        judge = lru_cache(1024)(self._judge)  # many images are of few sizes
        for sample in samples:
            for number, data in enumerate(sample.images, start=1):
                found = size(data)
                fate, becomes = judge(found) if found else ("unreadable", None)
                self.counts["all"] += 1
                self.counts[fate] += 1
                if fate in ("shrunk", "enlarged", "refused") and len(self.named) < MOST_NAMED:
                    assert found is not None  # else it is unreadable
                    self.named.append(
                        NamedImage(
                            row=sample.row, image=number, fate=fate, size=found, becomes=becomes
                        )
                    )
            yield sample

    def _judge(self, size: Size) -> tuple[str, Size | None]:
        bounded, free = self.resizing.of(size), self.resizing.unbounded(size)
        if bounded is None or free is None:
            return "refused", None
        before, after = free[0] * free[1], bounded[0] * bounded[1]
        return "shrunk" if after < before else "enlarged" if after > before else "kept", bounded

    def described(self) -> ImageFates:
        """Give the counts of the images that have passed so far."""
        return ImageFates(
            min_pixels=self.resizing.min_pixels,
            max_pixels=self.resizing.max_pixels,
            all=self.counts["all"],
            shrunk=self.counts["shrunk"],
            enlarged=self.counts["enlarged"],
            refused=self.counts["refused"],
            unreadable=self.counts["unreadable"],
            named=self.named,
        )


def sizes_of(chat: Chat) -> ImageSizes | None:
    """Make a counter of resized images; None for a processor that has no bounds in pixels."""
    return None if chat.resizing is None else ImageSizes(chat.resizing)


def count_prompts(
    config: ProfileConfig,
    cost: CostConfig,
    reader: SampleReader,
    index: DatasetIndex,
    chat: Chat,
    template: PromptTemplate | None,
    progress: Progress,
) -> PromptCount:
    """Estimate the tokens of all prompts from `cost.cost_sample` of them.

    A prompt that cannot be used (a damaged image, one that the processor refuses) has none, as in
    the run that follows.
    """
    drawn = spread(len(index.rows), cost.cost_sample, seed=config.seed)
    # Prompts are drawn one from each of equal blocks of the dataset: datasets are often sorted by
    # source or size, and their first rows would price one source for all. A prompt that fails stays
    # 0 and counts so in the total: the run will not pay for it either.
    lengths, without = np.zeros((2, len(drawn.places)))  # (n,) tokens each
    of_images, failed, first, first_blind = 0, Counter[str](), None, None
    progress.start("prompts", len(lengths))
    rows = [index.rows[int(place)] for place in drawn.places]
    for place, sample in enumerate(reader.samples(rows=rows)):
        counted = _count(sample, config, chat, template)
        if isinstance(counted, Failed):
            failed[counted.error] += 1
        else:
            text, lengths[place], images, blind = counted
            of_images += images
            first = text if first is None else first
            if blind is not None:
                first_blind = first_blind or blind[0]
                without[place] = blind[1]
        progress.advance("prompts")
    found = PromptCount(
        prompts_sampled=len(lengths),
        prompts_failed=dict(failed.most_common()),
        prompt_tokens=times(total(lengths, drawn.blocks), 1),
        blind_prompt_tokens=times(total(without, drawn.blocks), 1) if config.asks_blind else None,
        first_blind_prompt=first_blind,
    )
    if first is None:
        return found
    usable = len(lengths) - failed.total()
    return replace(
        found,
        prompt_tokens_of_one=OnePrompt(
            mean=float(lengths.sum()) / usable,
            largest=int(lengths.max()),
            image_share=of_images / float(lengths.sum()),
        ),
        # vLLM reads a prompt once for all of its rollouts, `generate` once for each.
        reads_of_a_prompt=config.rollouts if config.engine == "transformers" else 1,
        first_prompt=first,
    )


def _count(
    sample: Sample, config: ProfileConfig, chat: Chat, template: PromptTemplate | None
) -> tuple[str, int, int, tuple[str, int] | None] | Failed:
    """A prompt's text, its tokens, how many of them stand for images; and as it is asked blind."""
    seen = look(sample, pixel_limit=config.pixel_limit, keep=True)
    prompt = build_prompt(sample, seen, system_prompt=config.system_prompt, template=template)
    text = prompt if isinstance(prompt, Failed) else chat.render(prompt)
    if isinstance(text, Failed):
        return text
    try:
        tokens = chat.token_ids(text, seen.images)
    except Exception as error:  # processors raise whatever comes, as to the engine
        return Failed(f"prompt refused: {one_line(error)}")
    blind = None
    if config.asks_blind and sample.images and isinstance(prompt, Prompt):
        blind = _count_blind(sample, prompt, config, chat)
    return text, len(tokens), chat.count_image_tokens(tokens), blind


def _count_blind(
    sample: Sample, prompt: Prompt, config: ProfileConfig, chat: Chat
) -> tuple[str, int] | None:
    """The text of a prompt as it is asked blind, and its tokens; None where it cannot be."""
    # Another sample's image is counted as one of the same size.
    blinding = Blinding("none" if config.blind == "none" else "gray")
    blind = blinding.prompt(sample, prompt)
    text = blind if isinstance(blind, Failed) else chat.render(blind)
    if isinstance(blind, Failed) or isinstance(text, Failed):
        return None
    try:
        return text, len(chat.token_ids(text, blind.images))
    except Exception:  # processors raise whatever comes; the run tells it, a row at a time
        return None


def read_rate(config: ProfileConfig, cost: CostConfig) -> Rate:
    """Read the length and the rate of completions from a finished run and the options.

    Raises:
        ConfigError: `rate_from` is no finished run, or one that counted no tokens.
    """
    if cost.rate_from is None:
        return Rate(tokens_per_second=cost.tokens_per_second)
    try:
        manifest = check_manifest(Path(cost.rate_from))
    except RunFolderError as error:
        raise ConfigError(f"rate-from: {error}") from error
    tokens = manifest.tokens
    if tokens is None or not tokens.completion:
        raise ConfigError(
            f"rate-from: {cost.rate_from}: counted no tokens (it drew no completions, or an older "
            "Durian made it); give another run, or pass --tokens-per-second"
        )
    # The run's own clock over its own tokens. That rate holds for settings that are equal; those
    # that differ and matter are named beside the estimate instead of being corrected for.
    seconds, known = (manifest.seconds or {}).get("rollouts"), manifest.config
    blind = tokens.blind or Tokens()
    measured = (tokens.completion + blind.completion) / seconds if seconds else None
    return Rate(
        blind_prompt_of_one=blind.prompt / blind.prompts if blind.prompt else None,
        blind_completion_of_one=blind.completion / blind.completions if blind.prompts else None,
        prompt_of_one=None if tokens.prompt is None else tokens.prompt / tokens.prompts,
        completion_of_one=tokens.completion / tokens.completions,
        tokens_per_second=cost.tokens_per_second or measured,
        differs=tuple(
            name
            for name in named(ProfileConfig, "telling")
            if known.get(name) != getattr(config, name)
        ),
    )


def price(
    config: ProfileConfig,
    cost: CostConfig,
    rate: Rate,
    samples: int,
    prompt_tokens: Estimate | None,
) -> Price:
    """Price completions, seconds and money as the run of `rate` would have them.

    Args:
        samples: distinct ones.
        prompt_tokens: over all samples, each prompt once, with the image and without; None where
            they are not known.
    """
    of_one = rate.completion_of_one
    tokens = _completion_tokens(config, rate, samples)
    # Tokens to seconds to hours to money: each step is taken of both bounds, and one that is not
    # known stays unknown through all of them.
    seconds = _each(tokens, lambda n: rate.tokens_per_second and n / rate.tokens_per_second)
    gpus = config.tensor_parallel * config.data_parallel
    hours = _each(seconds, lambda s: s / 3600 * gpus)
    money: dict[str, Bounds] = {}
    missing: dict[str, str] = {}
    if of_one is None:
        missing["the length of completions"] = "pass --rate-from RUN"
    if rate.tokens_per_second is None:
        missing["time"] = "pass --rate-from RUN, or --tokens-per-second"
    elif config.distributed is not None:
        missing["the time on a cluster"] = "divide that of the rollouts by its number of actors"
    if cost.price_per_mtok is not None:
        if prompt_tokens is None:
            way = "the server counts prompts; pass --rate-from RUN, of a run with it"
            missing["the price of tokens"] = way
        else:
            money["tokens"] = _price_of_tokens(cost.price_per_mtok, prompt_tokens, tokens)
    if (gpu_hour_price := cost.gpu_hour_price) is not None:
        money["gpus"] = _each(hours, lambda h: h * gpu_hour_price)
    return Price(
        completion_tokens=tokens,
        tokens_per_second=rate.tokens_per_second,
        seconds=seconds,
        gpu_hours=hours if config.engine != "openai" else None,
        rate_from=cost.rate_from,
        rate_differs=list(rate.differs),
        money=money,
        not_known=missing,
    )


def _completion_tokens(config: ProfileConfig, rate: Rate, samples: int) -> Bounds:
    count, without = samples * config.rollouts, samples * config.blind_completions
    at_most, length = (count + without) * config.max_tokens, rate.completion_of_one
    if length is None:
        return Bounds(expected=None, at_most=at_most)
    blind = rate.blind_completion_of_one or length
    most = config.max_tokens
    return Bounds(
        expected=round(count * min(length, most) + without * min(blind, most)), at_most=at_most
    )


def all_prompt_tokens(prompts: PromptCount) -> Estimate | None:
    """Tokens of prompts with the image and without, their bounds added as if both erred alike."""
    seeing, blind = prompts.prompt_tokens, prompts.blind_prompt_tokens
    if seeing is None or blind is None:
        return seeing
    names = ("value", "low", "high")
    sums = {n: (getattr(seeing, n), getattr(blind, n)) for n in names}
    return replace(seeing, **{n: a + b for n, (a, b) in sums.items() if None not in (a, b)})


def _price_of_tokens(
    price_per_mtok: tuple[float, float], prompt_tokens: Estimate, completion_tokens: Bounds
) -> Bounds:
    read, written = (each / 1e6 for each in price_per_mtok)
    value = prompt_tokens.value or 0.0
    most = value if prompt_tokens.high is None else prompt_tokens.high
    expected, at_most = completion_tokens.expected, completion_tokens.at_most
    return Bounds(
        expected=None if expected is None else value * read + expected * written,
        at_most=None if at_most is None else most * read + at_most * written,
    )


def _each(bounds: Bounds, change: Callable[[float], float | None]) -> Bounds:
    """The same change of each bound that is known."""
    return Bounds(
        expected=None if bounds.expected is None else change(bounds.expected),
        at_most=None if bounds.at_most is None else change(bounds.at_most),
    )


def times(estimate: Estimate, factor: float) -> Estimate:
    """A whole number of tokens and its interval, so many times."""
    value, low, high = (
        None if number is None else round(factor * number)
        for number in (estimate.value, estimate.low, estimate.high)
    )
    return replace(estimate, value=value, low=low, high=high)
