"""Chunks of samples -> measured chunks -> a part's tables. Local and Ray runs measure so."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import pyarrow as pa

from durian.config import ProfileConfig
from durian.engines.base import PatchEncoder
from durian.engines.loading import open_encoder
from durian.measures import Completions, ImageMeasure, PatchMeasure, RolloutMeasure, taken
from durian.measuring.chunks import Chunk, decoded_chunks
from durian.measuring.look import Look
from durian.measuring.patches import measure_patches
from durian.measuring.rows import arrow_table, difficulty_row, rollout_rows
from durian.measuring.sampling import Drawn, Policy, open_policy
from durian.measuring.taking import Taken, take
from durian.readers.scan import DatasetIndex
from durian.rewards import distinct_answers
from durian.run.progress import Progress, Stopwatch
from durian.run.tokens import Tokens, tokens_of, with_tokens
from durian.samples import Sample
from durian.schema import DIFFICULTY, ROLLOUTS
from durian.table.columns import SOURCE_FILE, Further, with_columns

NO_IMAGE = "no image"  # the reason of a sample of text alone, where images are measured


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The measured samples of one chunk, as rows of the tables."""

    difficulty: list[dict[str, Any]] = field(default_factory=list)  # one a sample
    completions: list[dict[str, Any]] = field(default_factory=list)
    further: list[Further] = field(default_factory=list)  # the dataset's own columns
    seconds: dict[str, float] = field(default_factory=dict)  # by stage
    tokens: Tokens = Tokens()


class Models:
    """The loaded parts of the policy that the chosen measures need; a context that frees them."""

    def __init__(self, config: ProfileConfig, progress: Progress) -> None:
        """Load the vision encoder, the policy, both or none.

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
            if config.needs_rollouts:
                self.policy = opened.enter_context(closing(open_policy(config, progress)))
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def measure(self, chunk: Chunk, copies: Sequence[int]) -> Callable[[], Measured]:
        """Measure the samples of a chunk whose images were looked at.

        What was drawn is being scored when this returns: begin the next chunk, then ask the
        function that it gives for what was measured.

        Args:
            copies: how many rows of the dataset each sample stands for.
        Raises:
            RunError: the program behind an engine failed.
        """
        config, watch = self._config, Stopwatch()
        watch.add("images", chunk.seconds)
        patches = [Taken()] * len(chunk.samples)
        if self.encoder:
            measures = taken(PatchMeasure, config.measures)
            with watch.time("spectra"):
                patches = measure_patches(self.encoder, chunk, measures, self._progress)
        measures_of_images = taken(ImageMeasure, config.measures)
        seen = [_of_images(of_sample, measures_of_images) for of_sample in chunk.looks]
        images = [_joined(*pair) for pair in zip(seen, patches, strict=True)]
        if self.policy is None:
            nothing = [Drawn()] * len(chunk.samples)
            return partial(self._rows, chunk, copies, images, lambda: nothing, watch)
        scored = self.policy.draw(chunk, watch)
        chunk.looks = [replace(of_sample, decoded=()) for of_sample in chunk.looks]  # their memory
        return partial(self._rows, chunk, copies, images, scored, watch)

    def _rows(
        self,
        chunk: Chunk,
        copies: Sequence[int],
        images: Sequence[Taken],
        scored: Callable[[], list[Drawn]],
        watch: Stopwatch,
    ) -> Measured:
        drawn, needs_images = scored(), self._config.needs_images
        measures = taken(RolloutMeasure, self._config.measures)
        measured = Measured(
            further=[
                Further(sample.image_id, {**sample.columns, SOURCE_FILE: sample.source_file})
                for sample in chunk.samples
            ],
            seconds=watch.seconds,
            tokens=tokens_of(answer.rollouts for answer in drawn),
        )
        for sample, count, seen, of_images, answer in zip(
            chunk.samples, copies, chunk.looks, images, drawn, strict=True
        ):
            of_rollouts = _of_rollouts(answer, measures)
            no_image = NO_IMAGE if needs_images and not sample.images else None
            unasked = sample.question_error if self.policy else None  # images are measured anyway
            # All that kept a measure from the row, each reason once. What could be measured stays
            # beside it: an image has its entropy even if its question cannot be asked.
            reasons = (
                sample.error, unasked, seen.error, no_image, of_images.error, answer.error,
                of_rollouts.error,
            )  # fmt: skip
            measured.difficulty.append(
                difficulty_row(
                    sample,
                    copies=count,
                    width=seen.width,
                    height=seen.height,
                    values={**of_images.values, **of_rollouts.values},
                    error="; ".join(dict.fromkeys(filter(None, reasons))) or None,
                )
            )
            measured.completions.extend(rollout_rows(sample, answer.rollouts, answer.scores))
        return measured


def _of_images(seen: Look, measures: Sequence[ImageMeasure]) -> Taken:
    if not seen.decoded:
        return Taken()
    return take((measure, partial(measure.take, seen.decoded)) for measure in measures)


def _of_rollouts(answer: Drawn, measures: Sequence[RolloutMeasure]) -> Taken:
    if not answer.rollouts:
        return Taken()
    completions = Completions(
        rollouts=answer.rollouts,
        scores=answer.scores,
        answers=distinct_answers([score.answer for score in answer.scores]),
    )
    return take((measure, partial(measure.take, completions)) for measure in measures)


def _joined(one: Taken, other: Taken) -> Taken:
    reasons = "; ".join(filter(None, (one.error, other.error)))
    return Taken({**one.values, **other.values}, reasons or None)


def measure_here(
    config: ProfileConfig,
    samples: Iterable[Sample],
    parts: Sequence[tuple[int, range]],
    index: DatasetIndex,
    progress: Progress,
) -> Generator[tuple[int, Measured], None, None]:
    """Measure samples on this machine: the number of its part, and each measured chunk, in order.

    Args:
        samples: those of `parts`, in order.
        parts: part number and the numbers of its samples, rising, to the end of the index.
    Raises:
        ConfigError: a policy or its encoder cannot be loaded.
        RunError: the program behind an engine failed.
    """
    with Models(config, progress) as models:
        start_stages(config, parts, progress)
        # Three chunks are on their way: the next is decoded in threads, this one is drawn by the
        # engine, and the one before is scored, by processes of the reward where it has any. So
        # neither images nor mathematics holds the engine up. What is given comes in the order of
        # the dataset all the same.
        held: tuple[int, Callable[[], Measured]] | None = None
        for chunk in decoded_chunks(
            samples,
            parts,
            keep=config.needs_model,
            pixel_limit=config.pixel_limit,
            workers=config.workers,
            progress=progress,
        ):
            if held is not None and held[0] != chunk.part:
                # A part is given whole before the next is begun: a stop then would lose it.
                yield held[0], held[1]()
                held = None
            copies = index.copies[chunk.first : chunk.first + len(chunk.samples)]
            begun = chunk.part, models.measure(chunk, copies)
            if held is not None:  # scored while this chunk was drawn
                yield held[0], held[1]()
            held = begun
        if held is not None:
            yield held[0], held[1]()


def stages(config: ProfileConfig) -> list[str]:
    """List the stages whose samples a profile's progress counts."""
    used = {
        "images": True,
        "spectra": config.needs_patches,
        "rollouts": config.needs_rollouts,
    }
    return [stage for stage, is_used in used.items() if is_used]


def start_stages(
    config: ProfileConfig, parts: Sequence[tuple[int, range]], progress: Progress
) -> None:
    """Tell the progress of all samples, those before `parts` done."""
    for stage in stages(config):
        progress.start(stage, parts[-1][1].stop, parts[0][1].start)


def part_tables(chunks: Iterable[Measured]) -> tuple[pa.Table, pa.Table, dict[str, float]]:
    """The measured chunks of one part, in order: its difficulty rows, its completions, seconds."""
    part, watch, tokens = Measured(), Stopwatch(), Tokens()
    for chunk in chunks:
        part.difficulty.extend(chunk.difficulty)
        part.completions.extend(chunk.completions)
        part.further.extend(chunk.further)
        tokens += chunk.tokens
        for stage, seconds in chunk.seconds.items():
            watch.add(stage, seconds)
    difficulty = with_columns(arrow_table(part.difficulty, DIFFICULTY), part.further)
    difficulty = with_tokens(difficulty, tokens)
    return difficulty, arrow_table(part.completions, ROLLOUTS), watch.seconds
