"""`durian profile --dry-run`: counts, cost and the first prompt, without the policy.

`durian train --dry-run` likewise: its table, batches, memory and first prompt.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from durian.analysis.statistics.estimate import Estimate
from durian.config import CostConfig, ProfileConfig, TrainConfig
from durian.engines.chat import Chat, load_chat
from durian.engines.loading import check_encoder, check_engine
from durian.engines.prompts import load_template
from durian.errors import ConfigError
from durian.images.decode import size
from durian.manifest import as_profiled
from durian.measuring.first_rows import check_first_rows
from durian.measuring.look import look
from durian.measuring.measuring import signing
from durian.measuring.others import open_others
from durian.planning.cost import all_prompt_tokens, count_prompts, price, read_rate, sizes_of, times
from durian.planning.plan import ProfilePlan, PromptCount, SigningCost
from durian.readers.dataset import SampleReader, open_dataset
from durian.readers.scan import scan
from durian.rewards import answer_kind, open_reward
from durian.rewards.judged import MOST_TOKENS, PROMPT
from durian.rewards.located import SYSTEMS, fits, read_places
from durian.run.folder import RunFolder, read_manifest
from durian.run.progress import Progress, Silent
from durian.samples import Failed
from durian.table.grouping import check_measure
from durian.table.join import open_table

if TYPE_CHECKING:
    from durian.training.plan import TrainingPlan
    from durian.training.samples import Screen

PROBE = 32  # samples, the most that are looked at for the first prompt


def plan_profile(
    config: ProfileConfig, cost: CostConfig | None = None, *, progress: Progress | None = None
) -> ProfilePlan:
    """Plan what `profile_dataset` would do with these settings; nothing is written.

    Raises:
        InputError: as `profile_dataset`, or an option of the cost does not fit the profile.
    """
    check_measure("perceptual", config.perceptual)
    check_measure("reasoning", config.reasoning)
    cost, progress = cost or CostConfig(), progress or Silent()
    _check_priced(config, cost)
    if config.needs_rollouts:
        check_engine(config.sampling)
    if config.needs_patches:
        check_encoder(config.sampling)
    reader = open_dataset(config.source)
    rate = read_rate(config, cost)
    template = None
    if config.needs_rollouts:
        open_reward(config.reward, config).close()
        template = load_template(config.prompt_template) if config.prompt_template else None
    # A script has no prompts, and a server keeps its own template and processor.
    local = config.needs_rollouts and config.engine in ("vllm", "transformers")
    chat = load_chat(config.sampling) if local else None
    if config.needs_rollouts and config.engine == "openai":
        progress.note("the server is not asked yet: the run tries its chat template first of all")
    check_first_rows(
        reader,
        config if config.needs_rollouts else None,
        pixel_limit=config.pixel_limit,
        chat=None if chat is None else lambda: chat,
        say=progress.note,
        blind=config.blind if config.asks_blind else None,
    )
    sizes = sizes_of(chat) if chat else None
    # One pass over the dataset serves the scan and the sizes: its images may take longer to read
    # than all the rest.
    rows = sizes.watch(reader.samples()) if sizes else reader.samples()
    index = scan(rows, progress, own_ids=config.id_column is not None)
    out, samples = Path(config.out), len(index.rows)
    known = read_manifest(out)
    wanted = config.drawn_of(samples)
    before = ((known or {}).get("sampled") or {}).get("drawn", samples) if known else 0
    drawn = max(0, wanted - before) or wanted  # what a complete run holds is not drawn again
    plan = ProfilePlan(
        dataset=reader.name,
        read=reader.described_with(index.notes),
        rows=index.n_rows,
        samples=samples,
        parts=len(index.parts(config.part_size)),
        parts_finished=len(RunFolder(out).finished_parts()),
        complete=known is not None and before >= wanted,
        measures=list(config.measures),
        signing=_signing_cost(config, reader, samples),
    )
    if not config.needs_rollouts:
        return plan
    plan = replace(
        plan, model=config.model, engine=config.engine, completions=drawn * config.rollouts,
        drawn=drawn if drawn < samples else None,
        blind_completions=drawn * config.blind_completions or None,
    )  # fmt: skip
    plan = _with_reward(plan, config, reader, chat)
    if config.engine == "scripted":
        return plan
    prompts = PromptCount()
    if chat:
        prompts = count_prompts(config, cost, reader, index, chat, template, progress)
    elif rate.prompt_of_one is not None:
        without = rate.blind_prompt_of_one or rate.prompt_of_one
        prompts = PromptCount(
            prompt_tokens=Estimate(value=round(rate.prompt_of_one * samples)),
            blind_prompt_tokens=Estimate(value=round(without * samples))
            if config.asks_blind
            else None,
        )
    if prompts.prompt_tokens is not None:
        prompts = replace(prompts, prompt_tokens=times(prompts.prompt_tokens, drawn / samples))
    if prompts.blind_prompt_tokens is not None:
        without_images = times(prompts.blind_prompt_tokens, drawn / samples)
        prompts = replace(prompts, blind_prompt_tokens=without_images)
    return replace(
        plan,
        images=sizes.described() if sizes else None,
        prompts=prompts,
        price=price(config, cost, rate, drawn, all_prompt_tokens(prompts)),
    )


def _signing_cost(config: ProfileConfig, reader: SampleReader, samples: int) -> SigningCost | None:
    """Time the first images, those of other datasets by the same rate."""
    sign = signing(config)
    if sign is None:
        return None
    others = open_others(config)
    samples += sum(scan(o.reader.samples(), Silent(), own_ids=False).n_rows for o in others)
    first = list(islice(reader.samples(), PROBE))
    for one in first[:1]:  # what is loaded for it once does not count
        look(one, pixel_limit=config.pixel_limit, keep=False, sign=sign)
    begun = time.perf_counter()
    seen = [look(one, pixel_limit=config.pixel_limit, keep=False, sign=sign) for one in first]
    took = time.perf_counter() - begun
    tried = sum(len(one.decoded) for one in seen)
    share = samples / max(1, len(first))
    return SigningCost(images=round(tried * share), images_tried=tried, seconds=took * share)


def _with_reward(
    plan: ProfilePlan, config: ProfileConfig, reader: SampleReader, chat: Chat | None
) -> ProfilePlan:
    """Add what the first references say: the systems that they fit, what a judge is asked."""
    if config.reward not in ("iou", "point", "boxed+judge"):
        return plan
    samples = list(islice(reader.samples(), PROBE))
    if config.reward == "boxed+judge":
        # An upper bound: the judge is asked of free text alone, and only where the rule has said
        # wrong, which no one knows before the run.
        asked = [sample for sample in samples if answer_kind(sample.answer) == "text"]
        completions = plan.completions or 0
        read = [len(PROMPT) + len(sample.problem) + len(sample.answer) for sample in asked]
        return replace(
            plan,
            judged_at_most=-(-completions * len(asked) // max(1, len(samples))),
            judge_reads=round(sum(read) / max(1, len(read))),
            judge_writes_at_most=MOST_TOKENS,
        )
    resizing = None if chat is None else chat.resizing
    fitting: Counter[str] = Counter()
    for sample in samples:
        places = read_places(sample.answer, boxes=config.reward == "iou")
        found = size(sample.images[0]) if sample.images else None
        if places and found is not None:
            seen = None if resizing is None else resizing.of(found)
            fitting.update(["references", *fits(places, found, seen)])
    return replace(plan, coords={name: fitting[name] for name in ("references", *SYSTEMS)})


def _check_priced(config: ProfileConfig, cost: CostConfig) -> None:
    if cost.asked and not config.needs_rollouts:
        raise ConfigError(
            f"{cost.asked[0]} is for completions, and none of the measures draws any; leave it "
            "out, or add confidence to --measures"
        )
    if cost.asked and config.engine == "scripted":
        raise ConfigError(
            f"{cost.asked[0]}: the scripted engine's completions cost nothing; leave it out"
        )
    if config.engine == "openai" and cost.gpu_hour_price is not None:
        raise ConfigError(
            "gpu-hour-price needs the number of GPUs, which is the server's own matter with "
            "engine openai; pass --price-per-mtok"
        )


def plan_training(config: TrainConfig, *, progress: Progress | None = None) -> TrainingPlan:
    """Plan a training with these settings; nothing is written, no weights are loaded.

    Batches are planned for `processes`, whatever this launch has. Images are decoded only for the
    first prompts, so that damaged ones and long prompts are not counted yet.

    Raises:
        InputError: as `train_policy`.
    """
    # Here: TRL is an extra, and takes seconds to import.
    from durian.training.arguments import (
        check_grpo,
        check_regroup,
        drawing_warnings,
        overlong_of,
        plan_of,
        seed_of,
    )
    from durian.training.drawing import expected_of
    from durian.training.folder import check_training_folder
    from durian.training.launch import launched_processes
    from durian.training.plan import TrainingPlan, memory_estimate, plan_validation
    from durian.training.policy import count_parameters
    from durian.training.record import training_identity, training_warnings
    from durian.training.samples import open_screen, scan_rows
    from durian.training.validation_rows import read_validation_set, validated_every

    progress = progress or Silent()
    check_training_folder(Path(config.out))
    table = open_table(config)
    config = as_profiled(config, table.manifest)
    grpo = check_grpo(config.grpo, table.manifest, run=False)
    check_regroup(config, grpo, table.manifest)
    overlong_of(config, grpo)
    processes = config.processes or launched_processes()
    open_reward(config.reward, config).close()
    screen = open_screen(config, grpo)
    reader = open_dataset(config.source)
    check_first_rows(
        reader,
        config,
        pixel_limit=config.pixel_limit,
        chat=lambda: screen.chat,
        say=progress.note,
    )
    held_out = read_validation_set(config, screen, progress)
    watch = None if held_out is None else held_out.overlap.see
    rows = scan_rows(reader, config, table, screen, progress, watch)
    found = [table.find(sample_id) for sample_id in rows.ids]
    taken = sum(not isinstance(known, str) for known in found)
    batches = plan_of(config, grpo, table, samples=taken, processes=processes)
    expected = expected_of(
        config,
        table,
        [name for name, known in zip(rows.ids, found, strict=True) if not isinstance(known, str)],
        batch=batches.rollout_batch,
        seed=seed_of(grpo),
        completions=batches.generations,
    )
    identity = training_identity(config, grpo, rows.fingerprint)
    warnings = (
        *batches.warnings,
        *training_warnings(config, table, reader.name, identity),
        *drawing_warnings(config, grpo, table.manifest),
        *([] if held_out is None else held_out.warnings),
    )
    for line in warnings:
        progress.note(f"warning: {line}")
    trained, frozen = count_parameters(config)
    first, pixels = _first_training_prompt(config, reader, screen)
    memory = memory_estimate(
        trainable=trained,
        frozen=frozen,
        bytes_each=4,
        reference=bool(float(grpo.get("beta", 0.0))) and config.lora_r is None,
        processes=processes,
        pixels=pixels * batches.generation_batch_size // processes,
    )
    return TrainingPlan(
        dataset=reader.name,
        read=reader.described,
        table=config.table,
        model=config.model,
        normalizer=config.normalizer,
        weights=config.weights,
        groups=config.groups,
        rows=len(rows.ids),
        left_out=dict(Counter(known for known in found if isinstance(known, str))),
        batches=replace(batches, warnings=warnings),
        validation=None
        if held_out is None
        else plan_validation(
            held_out.reader.name,
            samples=held_out.samples,
            rollouts=config.eval_rollouts,
            every=validated_every(config, batches),
            total=batches.total_steps,
        ),
        longest_prompt=screen.most_tokens,
        parameters_trained=trained,
        parameters_left=frozen,
        first_prompt=first,
        memory_gib={name: round(value, 3) for name, value in memory.items()},
        without_variance=expected.without_variance if expected else None,
        pool_sizes=expected.pools if expected else None,
    )


def _first_training_prompt(
    config: TrainConfig, reader: SampleReader, screen: Screen
) -> tuple[str | None, int]:
    """The first prompt of the first samples that have one, and the bytes of its images' pixels."""
    for sample in islice(reader.samples(), PROBE):
        seen = look(sample, pixel_limit=config.pixel_limit, keep=True)
        if not isinstance(rendered := screen.render(sample, seen), Failed):
            prompt, text = rendered
            encoded = screen.chat.encode([text], [prompt.images])
            return text, encoded["pixel_values"].nbytes if "pixel_values" in encoded else 0
    return None, 0
