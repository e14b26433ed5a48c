"""Samples to scored rollouts: prompt, engine, reward. `durian profile` and `durian eval` draw so.

A training builds the same prompts, but TRL draws its completions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from durian.config import EvalConfig, ProfileConfig
from durian.engines.base import RolloutEngine, nth_seed
from durian.engines.chat import load_chat
from durian.engines.loading import open_engine
from durian.engines.prompts import PromptTemplate, build_messages, load_template
from durian.engines.resizing import Resizing, find_resizing
from durian.errors import ConfigError, require
from durian.images.resize import resized
from durian.measuring.chunks import Chunk
from durian.measuring.look import Look
from durian.rewards import Attempts, Reward, Score, open_reward
from durian.run.progress import Progress, Stopwatch
from durian.samples import Failed, Prompt, Rollout, Sample

_Finished = TypeVar("_Finished")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A sample's rollouts and their scores, or why it lacks them.

    Without rollouts nothing could be drawn. Rollouts without scores are those that the reward
    failed on: it does not throw completions away.
    """

    rollouts: Sequence[Rollout] = ()
    scores: Sequence[Score] = ()
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A loaded policy with the prompt it is given and the reward it earns."""

    engine: RolloutEngine
    reward: Reward
    system_prompt: str
    template: PromptTemplate | None
    seed: int
    progress: Progress
    resizing: Resizing | None = None  # of the policy's processor; None where it is not known
    bounded: bool = False  # images are brought to its bounds here, for every engine alike

    def draw(
        self, chunk: Chunk, watch: Stopwatch, *, greedy: bool = False
    ) -> Callable[[], list[Drawn]]:
        """Draw the rollouts of each sample of a chunk, in order; greedy: one rollout each.

        They are being scored when this returns: draw the next chunk, then ask the function that
        it gives for the scores.

        The seed of a chunk depends on its place in the dataset alone, so that a resumed run
        draws what an uninterrupted one would have drawn.
        """
        bounds = self.resizing if self.bounded else None
        prompts = [
            build_prompt(
                s, seen, system_prompt=self.system_prompt, template=self.template, bounds=bounds
            )
            for s, seen in zip(chunk.samples, chunk.looks, strict=True)
        ]
        stage = "greedy" if greedy else "rollouts"
        with watch.time(stage):
            usable = [prompt for prompt in prompts if isinstance(prompt, Prompt)]
            self.progress.advance(stage, len(prompts) - len(usable))
            written = iter(
                self.engine.generate(
                    usable,
                    seed=chunk_seed(self.seed, chunk.first),
                    finished=lambda n: self.progress.advance(stage, n),
                    greedy=greedy,
                )
            )
        with watch.time("rewards"):
            begun = [
                self._score(sample, seen, p if isinstance(p, Failed) else next(written))
                for sample, seen, p in zip(chunk.samples, chunk.looks, prompts, strict=True)
            ]

        def drawn() -> list[Drawn]:
            with watch.time("rewards"):
                return [scored() for scored in begun]

        return drawn

    def close(self) -> None:
        """Give the policy's memory back."""
        self.reward.close()
        self.engine.close()

    def _score(
        self, sample: Sample, seen: Look, rollouts: list[Rollout] | Failed
    ) -> Callable[[], Drawn]:
        if isinstance(rollouts, Failed):
            failed = Drawn(error=rollouts.error)
            return lambda: failed
        pending = self.reward.start(attempts(sample, seen, rollouts, self.resizing))

        def scored() -> Drawn:
            try:
                return Drawn(rollouts=rollouts, scores=pending())
            except ValueError as error:
                return Drawn(rollouts=rollouts, error=str(error))

        return scored


def attempts(
    sample: Sample, seen: Look, rollouts: Sequence[Rollout], resizing: Resizing | None
) -> Attempts:
    """A sample's rollouts as a reward is given them."""
    sizes = [image.size for image in seen.images]
    return Attempts(
        completions=[r.completion for r in rollouts],
        n_tokens=[r.n_tokens for r in rollouts],
        finish_reasons=[r.finish_reason for r in rollouts],
        answer=sample.answer,
        question=sample.problem,
        options=sample.options,
        columns=sample.cells,
        image_sizes=sizes,
        seen_sizes=[] if resizing is None else [resizing.of(size) or size for size in sizes],
        opened=any(r.opened for r in rollouts),
    )


def build_prompt(
    sample: Sample,
    seen: Look,
    *,
    system_prompt: str,
    template: PromptTemplate | None,
    bounds: Resizing | None = None,
) -> Prompt | Failed:
    """Build the prompt of a sample, or say why there is none.

    Args:
        bounds: to which its images are brought; None leaves them as they are. One that the rule
            refuses is left to the engine, which says why.
    """
    error = sample.error or seen.error or sample.question_error
    if error is not None:
        return Failed(error)
    messages = build_messages(
        sample.problem,
        len(seen.images),
        system_prompt=system_prompt if sample.system is None else sample.system,
        template=template,
        row=sample.cells,
    )
    if isinstance(messages, Failed):
        return messages
    # Brought to the bounds here and not by each engine, so that all of them show the policy the
    # same image.
    images = seen.images
    if bounds is not None:
        images = tuple(resized(image, bounds.of(image.size) or image.size) for image in images)
    return Prompt(sample_id=sample.sample_id, messages=messages, images=images)


def open_policy(config: ProfileConfig | EvalConfig, progress: Progress) -> Policy:
    """Load the template, the reward and then the policy, the slow one last.

    Args:
        config: of an evaluation, what it left open filled in (`manifest.as_profiled`).
    Raises:
        ConfigError: one of them cannot be loaded.
    """
    assert config.system_prompt is not None and config.reward is not None
    template = load_template(config.prompt_template) if config.prompt_template else None
    reward = open_reward(config.reward, config)
    bounded = config.min_pixels is not None or config.max_pixels is not None
    resizing = _resizing(config, bounded) if bounded or reward.reads_images else None
    if bounded and resizing is None:
        progress.note(f"warning: {not_bounded(config.model)}")
    progress.note(f"loading {config.model} into {config.engine}")
    return Policy(
        engine=open_engine(config.sampling),
        reward=reward,
        system_prompt=config.system_prompt,
        template=template,
        seed=config.seed,
        progress=progress,
        resizing=resizing,
        bounded=bounded,
    )


def not_bounded(model: str | None) -> str:
    """Say whose bounds hold where the processor has a rule of its own for sizes."""
    return (
        f"the processor of {model} sizes images by a rule of its own: they are handed over as they "
        "are, and min-pixels and max-pixels are left to it"
    )


def _resizing(config: ProfileConfig | EvalConfig, bounded: bool) -> Resizing | None:
    """Find how the policy's processor resizes; of a server's, only where bounds are asked for."""
    if config.engine == "scripted" or (config.engine == "openai" and not bounded):
        return None
    if config.engine != "openai":
        return find_resizing(load_chat(config.sampling).processor.image_processor)
    require("--min-pixels and --max-pixels", "torch", "torchvision", "transformers")
    try:
        found = find_resizing(load_chat(config.sampling).processor.image_processor)
    except ConfigError as error:
        raise ConfigError(
            f"min-pixels and max-pixels need the processor of the served policy ({error}); give as "
            "--model the folder or hub id that the server has, or leave them out and start vLLM "
            "with --mm-processor-kwargs"
        ) from error
    if found is None:  # the server's own rule would know no bounds
        raise ConfigError(f"{not_bounded(config.model)}; leave them out with engine openai")
    return found


def one_behind(begun: Iterable[Callable[[], _Finished]]) -> Iterator[_Finished]:
    """Finish each chunk once the next is drawn: its answers are graded while the engine draws.

    Args:
        begun: the drawn chunks, each as the function that waits for its scores.
    """
    held: Callable[[], _Finished] | None = None
    for one in begun:
        if held is not None:
            yield held()
        held = one
    if held is not None:
        yield held()


def chunk_seed(seed: int, first: int) -> int:
    """A seed of 31 bits for the chunk that begins at sample number `first`."""
    return nth_seed(seed, first)
