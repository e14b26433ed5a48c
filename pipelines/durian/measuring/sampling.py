"""Samples to scored rollouts: prompt, engine, reward. `durian profile` and `durian eval` draw so.

A training builds the same prompts, but TRL draws its completions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic, TypeVar

from durian.config import EvalConfig, ProfileConfig
from durian.engines.base import Request, RolloutEngine, seed_of
from durian.engines.chat import load_chat
from durian.engines.loading import open_engine
from durian.engines.prompt_facts import PromptFacts
from durian.engines.prompts import PromptTemplate, ask, load_template
from durian.engines.resizing import Resizing
from durian.errors import ConfigError, RunError, require
from durian.measuring.blinding import Blinding
from durian.measuring.look import Look, within
from durian.readers.stand_ins import StandIn
from durian.rewards import Attempts, Pending, Reward, Score, open_reward
from durian.rewards.beside import RewardBeside
from durian.rewards.custom import CustomReward
from durian.rewards.score import Size
from durian.run.progress import Progress, Stopwatch, timed
from durian.samples import Failed, Prompt, Rollout, Sample

Item = TypeVar("Item")
BLIND_WAY = {"greedy": "blind greedy", "sampled": "blind"}  # each way without the image
BLIND_WAYS = tuple(BLIND_WAY.values())
# Of drawing, and the stage that each is.
WAYS = {"greedy": "greedy", "sampled": "rollouts", "blind greedy": "blind", "blind": "blind"}
SCORING = 16  # samples whose scores are waited for at a time
UNSCORED = 2048  # samples that may be drawn before the first of them is scored


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
    bounds: Resizing | None = None  # to which images are brought here, for every engine alike
    blinding: Blinding | None = None  # how it is asked without the images; None: it is not
    scoring: ThreadPoolExecutor = field(default_factory=partial(ThreadPoolExecutor, SCORING))

    def draw(
        self,
        samples: Iterable[tuple[Sample, Look, Item]],
        watch: Stopwatch,
        *,
        ways: Sequence[str] = ("sampled",),
    ) -> Generator[Begun[Item], None, None]:
        """Draw the rollouts of each sample, in one stream; give the samples in their order.

        A sample is given once it is drawn, and is then being scored.

        Args:
            samples: pulled as the engine has room; with each, what is to come back beside it.
            ways: of `WAYS`: greedy is one rollout at temperature 0. Those that are blind are of
                samples with images alone.
        """
        asked = dict[int, _Asked[Item]]()  # by the sample's place: what is in hand
        answers = self.engine.stream(self._requests(samples, ways, asked))
        given = 0
        with closing(answers):
            for key, rollouts in timed(answers, "rollouts", watch):
                place, way = key
                self.progress.advance(WAYS[way])
                with watch.time("rewards"):
                    asked[place].drawn[way] = self._score(asked[place], rollouts)
                while (first := asked.get(given)) and len(first.drawn) == len(first.ways):
                    del asked[given]
                    drawn = {way: first.drawn[way] for way in first.ways}
                    yield Begun(item=first.item, drawn=drawn)
                    given += 1

    def _requests(
        self,
        samples: Iterable[tuple[Sample, Look, Item]],
        ways: Sequence[str],
        asked: dict[int, _Asked[Item]],
    ) -> Iterator[Request]:
        for place, (sample, seen, item) in enumerate(samples):
            prompt = build_prompt(
                sample, seen, system_prompt=self.system_prompt, template=self.template,
                bounds=self.bounds,
            )  # fmt: skip
            prompts = {way: prompt for way in ways if way not in BLIND_WAYS}
            if self.blinding is not None and sample.images:
                blind = prompt
                if not isinstance(prompt, Failed):
                    blind = self.blinding.prompt(sample, prompt)
                prompts |= {way: blind for way in ways if way in BLIND_WAYS}
            # Without its images: the engine alone holds them, for as long as it needs them.
            asked[place] = _Asked(
                sample=replace(sample, images=()),
                sizes=[image.size for image in seen.images],
                item=item,
                ways=tuple(prompts),
            )
            for way in ways:
                if way not in prompts:
                    self.progress.advance(WAYS[way])
            for way, to_write in prompts.items():
                yield self._request(place, way, sample.sample_id, to_write)

    def _request(self, place: int, way: str, sample_id: str, prompt: Prompt | Failed) -> Request:
        if way not in BLIND_WAYS:
            seed = seed_of(self.seed, sample_id)
            return Request(key=(place, way), prompt=prompt, seed=seed, greedy=way == "greedy")
        assert self.blinding is not None
        # Seeds of its own: by the same random numbers both would be right or wrong together, and
        # the difference would look surer than it is.
        return Request(
            key=(place, way),
            prompt=prompt,
            seed=seed_of(self.seed, f"{sample_id} blind"),
            greedy=way == "blind greedy",
            rollouts=self.blinding.rollouts,
            blind=True,
        )

    def close(self) -> None:
        """Give the policy's memory back, and give up what is being scored."""
        self.scoring.shutdown(wait=False, cancel_futures=True)
        self.reward.close()
        self.engine.close()

    def _score(self, asked: _Asked[Item], rollouts: list[Rollout] | Failed) -> Future[Drawn]:
        if isinstance(rollouts, Failed):
            failed = Future[Drawn]()
            failed.set_result(Drawn(error=rollouts.error))
            return failed
        pending = self.reward.start(attempts(asked.sample, asked.sizes, rollouts, self.resizing))
        return self.scoring.submit(_scored, rollouts, pending)


@dataclass(frozen=True, kw_only=True)
class _Asked(Generic[Item]):
    """A sample that the engine has in hand."""

    sample: Sample
    sizes: Sequence[Size]  # of its images, in the file
    item: Item
    ways: Sequence[str]  # in which it is drawn
    drawn: dict[str, Future[Drawn]] = field(default_factory=dict)  # by way, those that are there


@dataclass(frozen=True, kw_only=True)
class Begun(Generic[Item]):
    """A sample that is drawn and being scored, with what was to come back beside it."""

    item: Item
    drawn: Mapping[str, Future[Drawn]]  # by way

    @property
    def ready(self) -> bool:
        """Whether its scores are there."""
        return all(scores.done() for scores in self.drawn.values())

    def scored(self) -> dict[str, Drawn]:
        """Wait for its scores.

        Raises:
            RunError: nothing can be scored any more.
        """
        return {way: scores.result() for way, scores in self.drawn.items()}


def when_scored(begun: Iterable[Begun[Item]]) -> Iterator[Begun[Item]]:
    """Give each sample once its scores are there, in order, and never wait while more can be drawn.

    So no reward holds the engine up, unless `UNSCORED` samples wait for it. Where drawing fails,
    what was drawn before is given first: it may complete a part.
    """
    waiting = deque[Begun[Item]]()
    try:
        for one in begun:
            waiting.append(one)
            while waiting and (waiting[0].ready or len(waiting) > UNSCORED):
                yield waiting.popleft()
    except RunError:
        yield from waiting
        raise
    yield from waiting


def _scored(rollouts: Sequence[Rollout], pending: Pending) -> Drawn:
    try:
        return Drawn(rollouts=rollouts, scores=pending())
    except ValueError as error:
        return Drawn(rollouts=rollouts, error=str(error))


def attempts(
    sample: Sample, sizes: Sequence[Size], rollouts: Sequence[Rollout], resizing: Resizing | None
) -> Attempts:
    """A sample's rollouts as a reward is given them; `sizes` are its images' in the file."""
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
    messages = ask(sample, len(seen.images), system_prompt=system_prompt, template=template)
    if isinstance(messages, Failed):
        return messages
    # Brought to the bounds here and not by each engine, so that all of them show the policy the
    # same image.
    images = seen.images if seen.bounded is None else seen.bounded
    if bounds is not None and seen.bounded is None:
        images = within(bounds, images)
    return Prompt(sample_id=sample.sample_id, messages=messages, images=images)


def open_policy(
    config: ProfileConfig | EvalConfig, progress: Progress, stand_ins: Sequence[StandIn] = ()
) -> Policy:
    """Load the template, the reward and then the policy, the slow one last.

    Args:
        config: of an evaluation, what it left open filled in (`manifest.as_profiled`).
        stand_ins: images that may stand in for a sample's own, where it is asked so.
    Raises:
        ConfigError: one of them cannot be loaded.
    """
    assert config.system_prompt is not None and config.reward is not None
    template = load_template(config.prompt_template) if config.prompt_template else None
    reward = open_reward(config.reward, config)
    # A Ray actor keeps it: it has a main thread too, and the function may ask Ray where it is.
    in_actor = isinstance(config, ProfileConfig) and config.distributed is not None
    if isinstance(reward, CustomReward) and not in_actor:
        reward = RewardBeside(config.reward, config)
    bounded = config.min_pixels is not None or config.max_pixels is not None
    with ExitStack() as opened:
        opened.callback(reward.close)  # a process of its own must not outlive a failure
        resizing = _resizing(config, bounded) if bounded or reward.reads_images else None
        if bounded and resizing is None:
            progress.note(f"warning: {not_bounded(config.model)}")
        progress.note(f"loading {config.model} into {config.engine}")
        engine = open_engine(config.sampling)
        opened.pop_all()
    if engine.told:
        progress.note(engine.told)
    return Policy(
        engine=engine,
        reward=reward,
        system_prompt=config.system_prompt,
        template=template,
        seed=config.seed,
        progress=progress,
        resizing=resizing,
        bounds=resizing if bounded else None,
        blinding=Blinding(
            config.blind or "none",
            config.blind_rollouts,
            stand_ins,
            pixel_limit=config.pixel_limit,
            bounds=resizing if bounded else None,
            seed=config.seed,
        )
        if config.asks_blind
        else None,
    )


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the policy's processor tells of prompts, and how these are written."""

    counts: PromptFacts
    template: PromptTemplate | None


def open_facts(config: ProfileConfig) -> Facts | None:
    """Load the policy's processor to count the tokens of prompts; None where it is not at hand.

    Raises:
        ConfigError: it cannot be loaded.
    """
    if not config.counts_prompts:
        return None
    return Facts(
        counts=PromptFacts(load_chat(config.sampling)),
        template=load_template(config.prompt_template) if config.prompt_template else None,
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
        return load_chat(config.sampling).resizing
    require("--min-pixels and --max-pixels", "torch", "torchvision", "transformers")
    try:
        found = load_chat(config.sampling).resizing
    except ConfigError as error:
        raise ConfigError(
            f"min-pixels and max-pixels need the processor of the served policy ({error}); give as "
            "--model the folder or hub id that the server has, or leave them out and start vLLM "
            "with --mm-processor-kwargs"
        ) from error
    if found is None:  # the server's own rule would know no bounds
        raise ConfigError(f"{not_bounded(config.model)}; leave them out with engine openai")
    return found
