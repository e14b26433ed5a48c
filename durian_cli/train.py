"""`durian train`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from durian.config import TrainConfig
from durian.normalizer import NORMALIZERS
from durian_cli.display import progress_for, show_json, show_plan, show_training
from durian_cli.options import (
    Json,
    Quiet,
    choices,
    comma_list,
    either,
    key_values,
    load_sections,
    percentile_pair,
    weight_triple,
)

Default = TrainConfig
_DATA, _POLICY, _NORM, _RUN = "Dataset", "Policy", "Normalizer and groups", "Run"
_SAME = "(default: as the table's profile)"
_CONFIG = Annotated[
    Path | None,
    typer.Option(
        "--config",
        callback=load_sections("durian", "grpo"),
        is_eager=True,
        help="YAML file of long option names, those of the normalizer under `durian:`, fields of "
        "trl.GRPOConfig under `grpo:`; the command line wins.",
    ),
]


def train(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Argument(help="As for durian profile.")],
    table: Annotated[
        str, typer.Option(help="Run folder of the dataset's profile.", rich_help_panel=_RUN)
    ],
    model: Annotated[
        str, typer.Option(help="Policy: local folder or hub id.", rich_help_panel=_POLICY)
    ],
    out: Annotated[str, typer.Option(help="Folder to write.", rich_help_panel=_RUN)],
    split: Annotated[str, typer.Option(help="Split to read.", rich_help_panel=_DATA)] = (
        Default.split
    ),
    problem_column: Annotated[
        str, typer.Option(help="Column of the question.", rich_help_panel=_DATA)
    ] = Default.problem_column,
    answer_column: Annotated[
        str, typer.Option(help="Column of the reference answer.", rich_help_panel=_DATA)
    ] = Default.answer_column,
    images_column: Annotated[
        str, typer.Option(help="Column of the images, or of one image.", rich_help_panel=_DATA)
    ] = Default.images_column,
    image_root: Annotated[
        str | None,
        typer.Option(
            help="Folder of the image files, if not the dataset's: relative paths begin there.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(
            help="Column of sample ids. (default: a hash of the content)", rich_help_panel=_DATA
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Read the first N rows only.", rich_help_panel=_DATA)
    ] = None,
    max_prompt_tokens: Annotated[
        int | None,
        typer.Option(
            help="Leave longer prompts out. (default: what the model's context holds)",
            rich_help_panel=_DATA,
        ),
    ] = None,
    pixel_limit: Annotated[
        int, typer.Option(help="Images of more pixels are left out.", rich_help_panel=_DATA)
    ] = Default.pixel_limit,
    workers: Annotated[
        int | None,
        typer.Option(help="Image decoding threads. (default: all cores)", rich_help_panel=_DATA),
    ] = None,
    system_prompt: Annotated[
        str | None,
        typer.Option(help=f"System prompt; '' for none. {_SAME}", rich_help_panel=_POLICY),
    ] = None,
    prompt_template: Annotated[
        str | None,
        typer.Option(help=f"Jinja2 file around the problem. {_SAME}", rich_help_panel=_POLICY),
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(help=f"boxed, or FILE.py:function. {_SAME}", rich_help_panel=_POLICY),
    ] = None,
    min_pixels: Annotated[
        int | None,
        typer.Option(help=f"Smaller images are enlarged. {_SAME}", rich_help_panel=_POLICY),
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(help=f"Larger images are shrunk. {_SAME}", rich_help_panel=_POLICY),
    ] = None,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run code that comes with the model; read it first.",
            rich_help_panel=_POLICY,
        ),
    ] = False,
    lora_r: Annotated[
        int | None,
        typer.Option(
            help="Rank of a LoRA adapter. (default: all weights are trained)",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    lora_alpha: Annotated[
        int, typer.Option(help="Scale of the adapter.", rich_help_panel=_POLICY)
    ] = Default.lora_alpha,
    lora_dropout: Annotated[
        float, typer.Option(help="Dropout of the adapter.", rich_help_panel=_POLICY)
    ] = Default.lora_dropout,
    lora_target_modules: Annotated[
        str,
        typer.Option(help="Modules it adapts, comma-separated.", rich_help_panel=_POLICY),
    ] = ",".join(Default.lora_target_modules),
    freeze_vision: Annotated[
        bool,
        typer.Option(
            "--freeze-vision",
            help="Keep the vision encoder as it is.",
            rich_help_panel=_POLICY,
        ),
    ] = False,
    normalizer: Annotated[
        str,
        typer.Option(
            help=f"{either(NORMALIZERS)}.",
            autocompletion=choices(NORMALIZERS),
            rich_help_panel=_NORM,
        ),
    ] = Default.normalizer,
    weights: Annotated[
        str,
        typer.Option(
            help="Of the sample's own, the perceptual and the reasoning term (eq. 20).",
            rich_help_panel=_NORM,
        ),
    ] = "0.4,0.3,0.3",
    eps: Annotated[
        float, typer.Option(help="Added to every std.", rich_help_panel=_NORM)
    ] = Default.eps,
    groups: Annotated[
        str,
        typer.Option(
            help="offline (the table's) or online (cut within each rollout batch).",
            rich_help_panel=_NORM,
        ),
    ] = Default.groups,
    percentiles: Annotated[
        str | None,
        typer.Option(
            help="Cut easy, medium, hard anew. (default: the table's)", rich_help_panel=_NORM
        ),
    ] = None,
    bins: Annotated[
        int | None,
        typer.Option(
            help="Cut the reasoning bins anew. (default: the table's)", rich_help_panel=_NORM
        ),
    ] = None,  # fmt: skip
    missing: Annotated[
        str,
        typer.Option(
            help="Samples that the table lacks: error, or own (in no group).",
            rich_help_panel=_NORM,
        ),
    ] = Default.missing,
    rollout_batch: Annotated[
        int | None,
        typer.Option(
            help="Prompts over which the std of a group is taken. (default: GRPOConfig's "
            "generation batch)",
            rich_help_panel=_NORM,
        ),
    ] = None,
    filter: Annotated[
        str | None,
        typer.Option(
            help="SQL condition over the table's columns: 'pass_rate > 0 AND pass_rate < 1'.",
            rich_help_panel=_NORM,
        ),
    ] = None,
    order: Annotated[
        str, typer.Option(help="shuffle, easy_first or hard_first.", rich_help_panel=_NORM)
    ] = Default.order,
    grpo: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE, any field of trl.GRPOConfig, as often as needed: learning_rate=1e-6.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            help="Processes that the launch must have. (default: whatever it has)",
            rich_help_panel=_RUN,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Check everything, show the plan, a memory estimate and one prompt; load no "
            "model.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Throw an unfinished training away.", rich_help_panel=_RUN),
    ] = False,
    config: _CONFIG = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a policy by GRPO with the table's difficulty groups in the normalizer.

    Example: durian train data/photo_shapes/train.parquet --table runs/a --model data/tiny_policy
    --out runs/trained --config data/recipes/cpu_demo.yaml
    """
    settings = TrainConfig(
        dataset=dataset,
        table=table,
        model=model,
        out=out,
        split=split,
        problem_column=problem_column,
        answer_column=answer_column,
        images_column=images_column,
        image_root=image_root,
        id_column=id_column,
        limit=limit,
        system_prompt=system_prompt,
        prompt_template=prompt_template,
        reward=reward,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        pixel_limit=pixel_limit,
        max_prompt_tokens=max_prompt_tokens,
        trust_remote_code=trust_remote_code,
        workers=workers,
        normalizer=normalizer,
        weights=weight_triple(weights),
        eps=eps,
        groups=groups,
        percentiles=None if percentiles is None else percentile_pair(percentiles),
        bins=bins,
        missing=missing,
        rollout_batch=rollout_batch,
        filter=filter,
        order=order,
        lora_r=lora_r,
        lora_alpha=lora_alpha,
        lora_dropout=lora_dropout,
        lora_target_modules=comma_list(lora_target_modules),
        freeze_vision=freeze_vision,
        processes=processes,
        grpo={**ctx.meta.get("grpo", {}), **key_values(grpo or [], option="grpo")},
    )
    quiet = quiet or os.environ.get("RANK", "0") != "0"  # one process of a launch speaks
    show: Callable[[Mapping[str, Any]], None]
    with progress_for(quiet=quiet) as progress:
        if dry_run:
            from durian.planning.dry_run import plan_training  # here, so that --help loads no torch

            result, show = plan_training(settings, progress=progress), show_plan
        else:
            from durian.train import train_policy

            result, show = train_policy(settings, fresh=fresh, progress=progress), show_training
    if json and result:
        show_json(result)
    elif not quiet:
        show(result)
