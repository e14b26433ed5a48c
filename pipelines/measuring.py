"""Chunks of samples -> measured chunks -> a part's tables. Local and Ray runs measure so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any, Self

import pyarrow as pa

from pipelines.config import ProfileConfig
from pipelines.engines.protocol import PatchEncoder, open_encoder
from pipelines.progress import Progress, Stopwatch
from pipelines.readers.chunks import Chunk
from pipelines.rounds import rounds_of
from pipelines.sampling import Drawn, Policy, open_policy
from pipelines.spectra import Spectrum, measure_spectra
from pipelines.table.dataset_columns import Further, with_columns
from pipelines.table.rows import arrow_table, difficulty_row, rollout_rows
from pipelines.table.schema import DIFFICULTY, ROLLOUTS


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of one chunk, as rows of the tables."""

    difficulty: list[dict[str, Any]] = field(default_factory=list)  # one a sample
    completions: list[dict[str, Any]] = field(default_factory=list)
    further: list[Further] = field(default_factory=list)  # the dataset's own columns
    seconds: dict[str, float] = field(default_factory=dict)  # by stage


class Models:
    """What the measures that were asked for need of the policy, loaded; a context that frees it."""

    def __init__(self, config: ProfileConfig, progress: Progress, *, samples: int) -> None:
        """Load the vision encoder, the policy, both or none.

        Args:
            samples: of the whole run, however few of them are measured here.
        Raises:
            ConfigError: one of them cannot be loaded.
        """
        self._config, self._progress = config, progress
        self.encoder: PatchEncoder | None = None
        self.policy: Policy | None = None
        with ExitStack() as opened:
            if "spectral" in config.measures:
                progress.note(f"loading the vision encoder of {config.model}")
                self.encoder = opened.enter_context(
                    closing(open_encoder(config.sampling, features=config.features))
                )
            if config.needs_rollouts:
                self.policy = opened.enter_context(
                    closing(open_policy(config, progress, rounds_of(config, samples)))
                )
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def measure(self, chunk: Chunk, copies: Sequence[int]) -> Measured:
        """Measure the samples of a chunk whose images were looked at.

        Args:
            copies: how many rows of the dataset each sample stands for.
        Raises:
            RunError: the program behind an engine failed.
        """
        measures, watch = self._config.measures, Stopwatch()
        watch.add("images", chunk.seconds)
        spectra = [Spectrum()] * len(chunk.samples)
        if self.encoder:
            with watch.time("spectra"):
                spectra = measure_spectra(self.encoder, chunk, self._progress)
        drawn = [Drawn()] * len(chunk.samples)
        if self.policy:
            drawn = self.policy.draw(chunk, watch)
        measured = Measured(
            further=[Further(sample.image_id, sample.columns) for sample in chunk.samples],
            seconds=watch.seconds,
        )
        of_images = {"pixel", "spectral"} & set(measures)
        for sample, count, seen, spectrum, answer in zip(
            chunk.samples, copies, chunk.looks, spectra, drawn, strict=True
        ):
            no_image = "no image" if of_images and not sample.images else None
            reasons = (sample.error, seen.error, no_image, spectrum.error, answer.error)
            measured.difficulty.append(
                difficulty_row(
                    sample,
                    copies=count,
                    width=seen.width,
                    height=seen.height,
                    pixel_entropy=seen.pixel_entropy if "pixel" in measures else None,
                    spectral_entropy=spectrum.entropy,
                    rollouts=answer.rollouts,
                    scores=answer.scores,
                    error="; ".join(dict.fromkeys(filter(None, reasons))) or None,
                )
            )
            measured.completions.extend(rollout_rows(sample, answer.rollouts, answer.scores))
        return measured


def part_tables(chunks: Iterable[Measured]) -> tuple[pa.Table, pa.Table, dict[str, float]]:
    """The measured chunks of one part, in order: its difficulty rows, its completions, seconds."""
    part, watch = Measured(), Stopwatch()
    for chunk in chunks:
        part.difficulty.extend(chunk.difficulty)
        part.completions.extend(chunk.completions)
        part.further.extend(chunk.further)
        for stage, seconds in chunk.seconds.items():
            watch.add(stage, seconds)
    difficulty = with_columns(arrow_table(part.difficulty, DIFFICULTY), part.further)
    return difficulty, arrow_table(part.completions, ROLLOUTS), watch.seconds
