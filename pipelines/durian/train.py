"""STAGE 2: difficulty table -> groups -> rollouts -> normalizer -> policy.

Departures from the paper, each with an option: groups are the table's, cut once over all samples
(`groups: online` cuts each rollout batch, as the paper); confidence is taken per token; every std
has 1e-6 added (`eps`); the loss, its clipping and its KL term are TRL's, by any GRPOConfig field.
"""

from __future__ import annotations

import pickle
import time
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from durian.config import TrainConfig
from durian.errors import ConfigError, RunError, one_line
from durian.manifest import as_profiled
from durian.measuring.first_rows import check_first_rows
from durian.measuring.sampling import not_bounded
from durian.readers.dataset import open_dataset
from durian.rewards import open_reward
from durian.run.folder import read_manifest
from durian.run.progress import Progress, Silent
from durian.table.join import open_table
from durian.training.arguments import (
    check_grpo,
    check_regroup,
    drawing_warnings,
    grpo_config,
    overlong_of,
    plan_of,
    seed_of,
)
from durian.training.checkpoints import States, drop_older, newest_checkpoint
from durian.training.drawing import drawing_of
from durian.training.folder import check_training_folder, open_training
from durian.training.launch import DDP_TIMEOUT, first_prepares, join_launch, process_rank
from durian.training.manifest import TrainingManifest, finished_training
from durian.training.normalization import normalization_of
from durian.training.policy import load_policy, lora_config, merge_adapter, not_merged
from durian.training.record import (
    describe_training,
    finite_log,
    training_identity,
    training_warnings,
    write_results,
)
from durian.training.regrouping import Regrouping
from durian.training.resampling import DynamicSampling, Reserve
from durian.training.reward import TrainingReward
from durian.training.samples import open_samples, open_screen, prepare_samples, scan_rows
from durian.training.trainer import DurianTrainer
from durian.training.validation import validation_of
from durian.training.validation_rows import (
    open_validation,
    prepare_validation,
    read_validation_set,
)
from durian.training.watch import Watch


def train_policy(
    config: TrainConfig, *, fresh: bool = False, progress: Progress | None = None
) -> TrainingManifest | None:
    """Train a policy with the table's groups in the normalizer; resume it if it is begun.

    Runs in each process of a launch; the first one prepares the samples and writes the results.

    Args:
        fresh: throw an unfinished training away rather than resume it.
    Returns:
        The manifest of the finished training with its folder; in other processes than the first,
        None.
    Raises:
        InputError: an option, the dataset, the table, the model or the folder is wrong.
        RunError: the training stopped part-way; the same call resumes it.

    >>> from durian.config import TrainConfig
    >>> grpo = {"max_steps": 1, "num_generations": 2, "per_device_train_batch_size": 4}
    >>> config = TrainConfig(dataset="shapes.parquet", table="runs/before", model="tiny_policy",
    ...                      out="runs/policy", grpo=grpo)
    >>> durian.train_policy(config).result.logged_steps
    1
    """
    from transformers import PrinterCallback  # here: durian.training says first what is missing

    progress, out, begun = progress or Silent(), Path(config.out), time.perf_counter()
    check_training_folder(out)
    # All that can be refused from the settings alone is refused first, then what the first rows
    # show, then what a look at every image shows; only then are weights loaded. A mistake costs
    # seconds instead of the hours in between.
    table = open_table(config)
    config = as_profiled(config, table.manifest)
    grpo = check_grpo(config.grpo, table.manifest)
    check_regroup(config, grpo, table.manifest)
    plan_of(config, grpo, table, samples=None)  # refused now rather than after all is read
    screen = open_screen(config, grpo)
    if screen.chat.image_size and screen.resizing is None and process_rank() == 0:
        progress.note(f"warning: {not_bounded(config.model)}")
    reward = TrainingReward(
        open_reward(config.reward, config),
        opened=screen.chat.opens_thinking,
        resizing=screen.chat.resizing,
        overlong=overlong_of(config, grpo),
    )
    first = process_rank() == 0
    # Only the first process holds the folder and knows the dataset. The others go ahead to the
    # meeting point, unless the training is complete and nobody will come there.
    finished = not fresh and read_manifest(out) is not None
    if finished and not first:
        return None  # the first process says so
    if not finished:
        join_launch(float(grpo.get("ddp_timeout", DDP_TIMEOUT)))
    with ExitStack() as held:
        held.callback(reward.close)
        with nullcontext() if finished else first_prepares():
            if first:
                reader = open_dataset(config.source)
                for line in reader.said:
                    progress.note(line)
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
                validated_on = None if held_out is None else held_out.index.fingerprint
                identity = training_identity(config, grpo, rows.fingerprint, validated_on)
                complete = held.enter_context(open_training(out, identity, fresh=fresh))
                if complete is not None:
                    return finished_training(out, complete)
                for line in (
                    *training_warnings(config, table, reader.name, identity),
                    *drawing_warnings(config, grpo, table.manifest),
                    *([] if held_out is None else held_out.warnings),
                ):
                    progress.note(f"warning: {line}")
                prepare_samples(out, config, reader, rows, table, screen, progress)
                if held_out is not None:
                    prepare_validation(out, config, held_out, screen, progress)
        samples = open_samples(out, config.pixel_limit, screen.resizing)
        plan = plan_of(config, grpo, table, samples=samples.rows)
        if first:
            for line in plan.warnings:
                progress.note(f"warning: {line}")
        normalization = normalization_of(config, table.manifest)
        longest = samples.counts.longest_prompt or 0
        drawing = drawing_of(
            config, table, samples.ids, batch=plan.rollout_batch, seed=seed_of(grpo)
        )
        validated = open_validation(out, config, screen.resizing)
        if validated is not None:
            longest = max(longest, validated.counts.longest_prompt)
        args = grpo_config(config, grpo, plan, longest_prompt=longest)
        resampling = None
        if config.dynamic_sampling is not None:
            # Opened a second time: the images of the rollout batch in hand stay decoded.
            rows_again = open_samples(out, config.pixel_limit, screen.resizing).dataset
            resampling = DynamicSampling(
                Reserve(rows_again, args.seed),
                flat=config.dynamic_sampling,
                tries=config.max_tries,
            )
        regrouping = None
        if config.regroup is not None:
            regrouping = Regrouping(
                samples.dataset,
                bins=normalization.bins,
                harder=normalization.reasoning_harder,
                draws=int(table.manifest.config.get("rollouts") or plan.generations),
                below=config.regroup,
                seed=args.seed,
            )
        validation = validation_of(validated, config, plan, reward, args, progress)
        checkpoint = newest_checkpoint(out)
        model = load_policy(config, args, checkpoint)
        try:
            trainer = DurianTrainer(
                normalization=normalization,
                reward=reward,
                model=model,
                args=args,
                train_dataset=samples.dataset,
                chat=screen.chat,
                validation=validation,
                states=States(checkpoint),
                drawing=drawing,
                resampling=resampling,
                regrouping=regrouping,
                peft_config=lora_config(config),
                callbacks=[Watch(progress, checkpoint)],
            )
        except (ValueError, ImportError, NotImplementedError) as error:  # a field that TRL refuses
            raise ConfigError(f"grpo: {one_line(error)}") from error
        trainer.remove_callback(PrinterCallback)  # Watch says it in fewer words
        try:
            if checkpoint is None:
                trainer.train()
            elif not trainer.take_finished(checkpoint):
                trainer.train(resume_from_checkpoint=str(checkpoint))
        except pickle.UnpicklingError as error:  # torch loads no code, nor what is damaged
            raise RunError(
                f"{checkpoint}: holds what is no state of a training ({one_line(error)}); remove "
                "this checkpoint to go on from the one before it, or pass --fresh"
            ) from error
        trainer.save_policy(out)
        if not first:
            return None
        if validation is not None:
            validation.drop_others(trainer.state.global_step)
        drop_older(out, args.save_total_limit)  # a kill right after the last one left one too many
        if config.lora_r is not None and trainer.is_deepspeed_enabled:
            progress.note(f"warning: {not_merged(config.model, out)}")
        elif config.lora_r is not None:
            merge_adapter(trainer, config, out)
        log = finite_log(trainer.state.log_history)
        found = None if validation is None else validation.found
        manifest = describe_training(
            config, table.manifest, reader.name, samples.counts, plan, log,
            None if regrouping is None else regrouping.cuts, found,
            time.perf_counter() - begun,
        )  # fmt: skip
        write_results(out, log, manifest, found)
        return replace(manifest, out=str(out))
