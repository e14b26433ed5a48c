"""Samples -> measured samples, in one stream -> a part's tables. Local and Ray runs measure so."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, Self

import pyarrow as pa
from PIL import Image

from durian.config import ProfileConfig
from durian.engines.base import PatchEncoder
from durian.engines.loading import open_encoder
from durian.engines.resizing import Resizing
from durian.measures import (
    BlindMeasure,
    Completions,
    ImageMeasure,
    PatchMeasure,
    RolloutMeasure,
    SignatureMeasure,
    taken,
)
from durian.measures.base import Values
from durian.measures.outcome import NOT_DRAWN
from durian.measuring.decoding import decoded
from durian.measuring.look import Look
from durian.measuring.patches import measure_patches
from durian.measuring.rows import arrow_table, difficulty_row, rollout_rows
from durian.measuring.sampling import (
    Begun,
    Drawn,
    Policy,
    build_prompt,
    open_facts,
    open_policy,
    when_scored,
)
from durian.measuring.taking import Taken, take
from durian.readers.scan import DatasetIndex
from durian.readers.stand_ins import StandIn
from durian.rewards import Reference, distinct_answers
from durian.rewards.kinds import KINDS
from durian.rewards.unboxed import stands_unboxed
from durian.run.progress import Progress, Stopwatch, timed
from durian.run.tokens import Tokens, tokens_of, with_tokens
from durian.samples import NO_IMAGE, Failed, Sample
from durian.schema import DIFFICULTY, ROLLOUTS
from durian.table.columns import SOURCE_FILE, Further, with_columns

# Samples whose images the vision encoder is given together, before they are prompted.
ENCODED_SAMPLES, ENCODED_PIXELS = 64, 64 * 1024**2


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Measured samples, as rows of the tables."""

    difficulty: list[dict[str, Any]] = field(default_factory=list)  # one a sample
    completions: list[dict[str, Any]] = field(default_factory=list)
    further: list[Further] = field(default_factory=list)  # the dataset's own columns
    seconds: dict[str, float] = field(default_factory=dict)  # by stage
    tokens: Tokens = Tokens()


@dataclass(frozen=True, kw_only=True)
class Pictured:
    """A sample, its images measured; without the images, which may wait for nothing."""

    sample: Sample
    copies: int  # rows of the dataset that it stands for
    n_images: int
    further: Further
    width: int | None
    height: int | None
    images: Taken
    reasons: list[str]  # why its images or its question are of no use

    def row(self, values: Values, *reasons: str | None) -> dict[str, Any]:
        """Its row of the difficulty table.

        Args:
            values: what is measured of its rollouts.
            reasons: why some of that is missing.
        """
        return difficulty_row(
            self.sample,
            copies=self.copies,
            n_images=self.n_images,
            width=self.width,
            height=self.height,
            values={**self.images.values, **values},
            error="; ".join(dict.fromkeys(filter(None, [*self.reasons, *reasons]))) or None,
        )


class Models:
    """The loaded parts of the policy that the chosen measures need; a context that frees them."""

    def __init__(
        self,
        config: ProfileConfig,
        progress: Progress,
        *,
        draws: bool = True,
        stand_ins: Sequence[StandIn] = (),
    ) -> None:
        """Load the vision encoder, the policy, both or none.

        Args:
            draws: completions are drawn, where a measure asks for any; else only images are
                measured.
            stand_ins: images that may stand in for a sample's own.
        Raises:
            ConfigError: one of them cannot be loaded.
        """
        self._config, self._progress = config, progress
        self.encoder: PatchEncoder | None = None
        self.policy: Policy | None = None
        with ExitStack() as opened:
            if config.needs_patches:
                progress.note(f"loading the vision encoder of {config.model}")
                self.encoder = opened.enter_context(
                    closing(open_encoder(config.sampling, features=config.features))
                )
            self._facts = open_facts(config)
            if config.needs_rollouts and draws:
                self.policy = opened.enter_context(
                    closing(open_policy(config, progress, stand_ins))
                )
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    @property
    def bounds(self) -> Resizing | None:
        """To which images are brought before the policy is shown them; None: as they are."""
        return None if self.policy is None else self.policy.bounds

    def measure(
        self,
        samples: Iterable[tuple[Sample, Look]],
        copies: Iterable[int],
        watch: Stopwatch,
    ) -> Generator[Begun[Pictured], None, None]:
        """Measure samples whose images were looked at, in order; what was drawn is being scored.

        Args:
            copies: how many rows of the dataset each sample stands for.
        Raises:
            RunError: the program behind an engine failed.
        """
        pictured = self._pictured(samples, copies, watch)
        if self.policy is not None:
            blind = ("blind",) if self._config.asks_blind else ()
            yield from self.policy.draw(pictured, watch, ways=("sampled", *blind))
        else:
            for _, _, item in pictured:
                yield Begun(item=item, drawn={})

    def rows(self, begun: Iterable[Begun[Pictured]], watch: Stopwatch) -> Iterator[Measured]:
        """The rows of measured samples, one sample's after another's."""
        for one in begun:
            with watch.time("rewards"):
                drawn = one.scored()
            yield self._rows(one.item, drawn.get("sampled", Drawn()), drawn.get("blind", Drawn()))

    def _pictured(
        self,
        samples: Iterable[tuple[Sample, Look]],
        copies: Iterable[int],
        watch: Stopwatch,
    ) -> Iterator[tuple[Sample, Look, Pictured]]:
        measures = taken(ImageMeasure, self._config.measures)
        encoded = zip(self._encoded(samples, watch), copies, strict=False)
        for (sample, seen, patches), count in encoded:
            told = _joined(of_images(seen, measures), patches)
            item = pictured(
                sample,
                seen,
                count,
                _joined(told, Taken(self._told(sample, seen))),
                asked=self._config.needs_rollouts,
                needs_images=self._config.needs_images,
            )
            yield sample, seen, item

    def _told(self, sample: Sample, seen: Look) -> Values:
        """What the policy's processor tells of a prompt; nothing where its images are not whole."""
        if self._facts is None or seen.error or sample.error:
            return {}
        sizes = [image.size for image in seen.images]
        told: dict[str, float | int | None] = {
            "image_tokens": self._facts.counts.image_tokens(sizes),
            "resize_factor": self._facts.counts.resize_factor(sizes),
        }
        if self.policy is None:  # else its engine counts the prompt's tokens as it reads them
            prompt = build_prompt(
                sample,
                seen,
                system_prompt=self._config.system_prompt,
                template=self._facts.template,
            )
            if not isinstance(prompt, Failed):
                told["prompt_tokens"] = self._facts.counts.prompt_tokens(prompt)
        return told

    def _encoded(
        self, samples: Iterable[tuple[Sample, Look]], watch: Stopwatch
    ) -> Iterator[tuple[Sample, Look, Taken]]:
        if self.encoder is None:
            for sample, seen in samples:
                yield sample, seen, Taken()
            return
        measures = taken(PatchMeasure, self._config.measures)
        for together in _together(samples):
            with watch.time("spectra"):
                patches = measure_patches(self.encoder, together, measures, self._progress)
            for (sample, seen), of_patches in zip(together, patches, strict=True):
                yield sample, seen, of_patches

    def _rows(self, of: Pictured, answer: Drawn, blind: Drawn) -> Measured:
        measures = taken(RolloutMeasure, self._config.measures)
        from_rollouts = of_rollouts(of.sample, answer, measures)
        if self.policy is None and self._config.needs_rollouts:
            from_rollouts = Taken({"rollouts": NOT_DRAWN})
        values = dict(from_rollouts.values)
        if answer.rollouts:
            values["prompt_tokens"] = answer.rollouts[0].prompt_tokens
        without = of_rollouts(of.sample, blind, taken(BlindMeasure, self._config.measures))
        unseen = blind.error if blind.error != answer.error else None
        return Measured(
            difficulty=[
                of.row(
                    {**values, **without.values},
                    answer.error,
                    from_rollouts.error,
                    unseen and f"without the image: {unseen}",
                    without.error,
                )
            ],
            completions=[
                *rollout_rows(of.sample, answer.rollouts, answer.scores),
                *rollout_rows(
                    of.sample,
                    blind.rollouts,
                    blind.scores,
                    blind=True,
                    first=len(answer.rollouts),
                ),
            ],
            further=[of.further],
            tokens=tokens_of([answer.rollouts], blind=[blind.rollouts]),
        )


def _together(samples: Iterable[tuple[Sample, Look]]) -> Iterator[list[tuple[Sample, Look]]]:
    """Samples for one pass of the vision encoder: it fills its batches, and few images wait."""
    group, pixels = list[tuple[Sample, Look]](), 0
    for sample, seen in samples:
        group.append((sample, seen))
        pixels += sum(image.width * image.height for image in seen.images)
        if len(group) == ENCODED_SAMPLES or pixels >= ENCODED_PIXELS:
            yield group
            group, pixels = [], 0
    if group:
        yield group


def pictured(
    sample: Sample,
    seen: Look,
    copies: int,
    images: Taken,
    *,
    asked: bool,
    needs_images: bool,
) -> Pictured:
    """A sample with all that is known of it but its rollouts; it holds no image.

    Args:
        copies: how many rows of the dataset it stands for.
        images: what was measured of its images.
        asked: its question is put to a policy; else an error of it is no matter.
        needs_images: a sample without one lacks something.
    """
    unasked = sample.question_error if asked else None  # images are measured anyway
    no_image = NO_IMAGE if needs_images and not sample.images else None
    # All that kept a measure from the row, each reason once. What could be measured stays beside
    # it: an image has its entropy even if its question cannot be asked.
    reasons = (sample.error, unasked, seen.error, no_image, images.error)
    return Pictured(
        sample=replace(sample, images=()),
        copies=copies,
        n_images=len(sample.images),
        further=Further(
            sample.image_id,
            {**sample.columns, SOURCE_FILE: sample.source_file},
            seen.signatures,
        ),
        width=seen.width,
        height=seen.height,
        images=images,
        reasons=[reason for reason in reasons if reason],
    )


def of_images(seen: Look, measures: Sequence[ImageMeasure]) -> Taken:
    """What measures say of decoded images; nothing where none is."""
    if not seen.decoded:
        return Taken()
    return take((measure, partial(measure.take, seen.decoded)) for measure in measures)


def of_rollouts(
    sample: Sample, answer: Drawn, measures: Sequence[RolloutMeasure | BlindMeasure]
) -> Taken:
    """What measures say of a sample's completions; nothing where there are none."""
    if not answer.rollouts:
        return Taken()
    reference = Reference.of(sample.answer, sample.options)
    completions = Completions(
        rollouts=answer.rollouts,
        scores=answer.scores,
        answers=distinct_answers([score.answer for score in answer.scores]),
        # Where the answer is compared by a kind's rule; a place in the image is no last word.
        unboxed=[
            stands_unboxed(rollout.completion, reference)
            if score.kind in KINDS and not score.correct
            else None
            for rollout, score in zip(answer.rollouts, answer.scores, strict=bool(answer.scores))
        ],
    )
    return take((measure, partial(measure.take, completions)) for measure in measures)


def _joined(one: Taken, other: Taken) -> Taken:
    reasons = "; ".join(filter(None, (one.error, other.error)))
    return Taken({**one.values, **other.values}, reasons or None)


def measure_here(
    config: ProfileConfig,
    samples: Iterable[Sample],
    parts: Sequence[tuple[int, Sequence[int]]],
    index: DatasetIndex,
    progress: Progress,
    *,
    draws: bool = True,
    done: int = 0,
) -> Generator[Measured, None, None]:
    """Measure samples on this machine, one stream from the first to the last; part by part.

    Args:
        samples: those of `parts`, in order.
        parts: part number and the numbers of its samples, rising.
        draws: as `Models` takes it.
        done: samples that finished parts hold already.
    Raises:
        ConfigError: a policy or its encoder cannot be loaded.
        RunError: the program behind an engine failed.
    """
    watch = Stopwatch()
    with Models(config, progress, draws=draws, stand_ins=index.stand_ins) as models:
        start_stages(config, parts, progress, draws=draws, done=done)
        seen = decoded(
            samples,
            keep=kept(config, draws=draws),
            pixel_limit=config.pixel_limit,
            workers=config.workers,
            progress=progress,
            bounds=models.bounds,
            sign=signing(config),
        )
        copies = (index.copies[number] for _, numbers in parts for number in numbers)
        begun = models.measure(timed(seen, "images", watch), copies, watch)
        # Closed in this order: nothing is drawn any more, then nothing decoded.
        with closing(seen), closing(begun):
            measured = models.rows(when_scored(begun), watch)
            for _, places in parts:
                # A part is given once its own samples are there: to look for the next one would be
                # to measure it, and a stop meanwhile would lose this part.
                yield together(islice(measured, len(places)), watch)


def together(samples: Iterable[Measured], watch: Stopwatch) -> Measured:
    """Measured samples as one, with the seconds of all that was timed since the last."""
    part, tokens = Measured(), Tokens()
    for one in samples:
        for stage, seconds in one.seconds.items():
            watch.add(stage, seconds)
        part.difficulty.extend(one.difficulty)
        part.completions.extend(one.completions)
        part.further.extend(one.further)
        tokens += one.tokens
    return replace(part, tokens=tokens, seconds=watch.lap())


def shown(config: ProfileConfig, *, draws: bool) -> bool:
    """Whether the decoded images are shown to a policy or its encoder."""
    return config.needs_patches or (config.needs_rollouts and draws)


def kept(config: ProfileConfig, *, draws: bool) -> bool:
    """Whether images stay decoded until they are shown, or the prompts' tokens are counted."""
    return shown(config, draws=draws) or config.counts_prompts


def signing(config: ProfileConfig) -> Callable[[Image.Image], bytes] | None:
    """The function that makes the images' signatures; None where no measure wants any."""
    return next((measure.sign for measure in taken(SignatureMeasure, config.measures)), None)


def stages(config: ProfileConfig, *, draws: bool) -> list[str]:
    """List the stages whose samples a profile's progress counts."""
    used = {
        "images": True,
        "spectra": config.needs_patches,
        "rollouts": config.needs_rollouts and draws,
        "blind": config.asks_blind and draws,
    }
    return [stage for stage, is_used in used.items() if is_used]


def start_stages(
    config: ProfileConfig,
    parts: Sequence[tuple[int, Sequence[int]]],
    progress: Progress,
    *,
    draws: bool,
    done: int,
) -> None:
    """Tell the progress of the samples of `parts`, and how many were done before."""
    total = done + sum(len(numbers) for _, numbers in parts)
    for stage in stages(config, draws=draws):
        progress.start(stage, total, done)


def part_tables(part: Measured) -> tuple[pa.Table, pa.Table, dict[str, float]]:
    """A measured part: its difficulty rows, its completions, its seconds by stage."""
    difficulty = with_columns(arrow_table(part.difficulty, DIFFICULTY), part.further)
    completions = arrow_table(part.completions, ROLLOUTS)
    return with_tokens(difficulty, part.tokens), completions, part.seconds
