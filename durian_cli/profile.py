"""`durian profile`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from durian.config import ENGINES, FEATURES, CostConfig, ProfileConfig
from durian.errors import ConfigError
from durian_cli.display import progress_for, show_json, show_plan, show_profile
from durian_cli.options import (
    Config,
    Json,
    Quiet,
    choices,
    comma_list,
    key_values,
    percentile_pair,
    price_pair,
)

Default = ProfileConfig
_DATA, _POLICY, _IMAGES = "Dataset", "Policy and sampling", "Images"
_GROUPS, _RUN, _COST = "Groups", "Run", "Cost, with --dry-run"


def profile(
    dataset: Annotated[
        str,
        typer.Argument(
            help="Hub id; a folder, file or glob of Parquet, JSONL, JSON, CSV, Arrow; "
            "an image folder with metadata.jsonl; WebDataset tars."
        ),
    ],
    out: Annotated[str, typer.Option(help="Run folder to write.", rich_help_panel=_RUN)],
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
        str,
        typer.Option(
            help="Column of the images, or of one image; `image` is found by itself.",
            rich_help_panel=_DATA,
        ),
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
    measures: Annotated[
        str,
        typer.Option(
            help="What to measure: some of pixel, spectral, confidence.", rich_help_panel=_RUN
        ),
    ] = ",".join(Default.measures),
    features: Annotated[
        str,
        typer.Option(
            help="What spectral reads: patches before the projector (encoder) or after it "
            "(projector).",
            autocompletion=choices(FEATURES),
            rich_help_panel=_POLICY,
        ),
    ] = Default.features,
    model: Annotated[
        str | None,
        typer.Option(
            help="Policy: folder or hub id (openai: a name served; scripted: a rollouts table).",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="vllm, transformers, openai (a server), or scripted (replays a table).",
            autocompletion=choices(ENGINES),
            rich_help_panel=_POLICY,
        ),
    ] = Default.engine,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="Address of the openai engine's server, like http://localhost:8000/v1; the key "
            "comes from OPENAI_API_KEY.",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    rollouts: Annotated[
        int, typer.Option(help="Completions per sample.", rich_help_panel=_POLICY)
    ] = Default.rollouts,
    temperature: Annotated[
        float, typer.Option(help="Sampling temperature.", rich_help_panel=_POLICY)
    ] = Default.temperature,
    top_p: Annotated[
        float, typer.Option(help="Nucleus sampling.", rich_help_panel=_POLICY)
    ] = Default.top_p,
    max_tokens: Annotated[
        int, typer.Option(help="Longest completion, in tokens.", rich_help_panel=_POLICY)
    ] = Default.max_tokens,
    seed: Annotated[
        int, typer.Option(help="Seed of the sampling.", rich_help_panel=_POLICY)
    ] = Default.seed,
    system_prompt: Annotated[
        str,
        typer.Option(
            help="System prompt; '' for none. (default: asks for <think> and \\boxed{})",
            show_default=False,
            rich_help_panel=_POLICY,
        ),
    ] = Default.system_prompt,
    prompt_template: Annotated[
        str | None,
        typer.Option(
            help="Jinja2 file around the problem, as EasyR1's: {{ content }}.",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    reward: Annotated[
        str,
        typer.Option(
            help="boxed (0.1 format + 0.9 accuracy), or FILE.py:function.", rich_help_panel=_POLICY
        ),
    ] = Default.reward,
    tensor_parallel: Annotated[
        int, typer.Option(help="GPUs that share one policy.", rich_help_panel=_POLICY)
    ] = Default.tensor_parallel,
    data_parallel: Annotated[
        int,
        typer.Option(
            help="Engine processes side by side, each with its own GPUs (or cores).",
            rich_help_panel=_POLICY,
        ),
    ] = Default.data_parallel,
    distributed: Annotated[
        str | None,
        typer.Option(
            help="ray: measure on an existing Ray cluster, one engine an actor.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="Where that cluster is: auto, or HOST:PORT of its head. (default: auto)",
            rich_help_panel=_RUN,
        ),
    ] = None,
    engine_arg: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE for the engine's own loader, as often as needed: max_model_len=8192.",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    trust_remote_code: Annotated[
        bool,
        typer.Option(
            "--trust-remote-code",
            help="Run code that comes with the model; read it first.",
            rich_help_panel=_POLICY,
        ),
    ] = False,
    min_pixels: Annotated[
        int | None,
        typer.Option(help="Smaller images are enlarged for the policy.", rich_help_panel=_IMAGES),
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(help="Larger images are shrunk for the policy.", rich_help_panel=_IMAGES),
    ] = None,
    pixel_limit: Annotated[
        int,
        typer.Option(
            help="Images of more pixels are not decoded, but reported.", rich_help_panel=_IMAGES
        ),
    ] = Default.pixel_limit,
    workers: Annotated[
        int | None,
        typer.Option(help="Image decoding threads. (default: all cores)", rich_help_panel=_IMAGES),
    ] = None,
    perceptual: Annotated[
        str, typer.Option(help="Column behind perceptual_group.", rich_help_panel=_GROUPS)
    ] = Default.perceptual,
    reasoning: Annotated[
        str, typer.Option(help="Column behind reasoning_group.", rich_help_panel=_GROUPS)
    ] = Default.reasoning,
    percentiles: Annotated[
        str, typer.Option(help="Cuts between easy, medium, hard.", rich_help_panel=_GROUPS)
    ] = "25,75",
    bins: Annotated[
        int, typer.Option(help="Reasoning bins.", rich_help_panel=_GROUPS)
    ] = Default.bins,
    part_size: Annotated[
        int,
        typer.Option(
            help="Samples a part; a finished part survives anything.", rich_help_panel=_RUN
        ),
    ] = Default.part_size,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show counts, cost and the first prompt; run no model.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    cost_sample: Annotated[
        int,
        typer.Option(help="Prompts counted for the estimate of all.", rich_help_panel=_COST),
    ] = CostConfig.cost_sample,
    rate_from: Annotated[
        str | None,
        typer.Option(
            help="A finished run, whose length and rate of completions this one is given.",
            rich_help_panel=_COST,
        ),
    ] = None,
    tokens_per_second: Annotated[
        float | None,
        typer.Option(help="Completion tokens a second, of all GPUs.", rich_help_panel=_COST),
    ] = None,
    price_per_mtok: Annotated[
        str | None,
        typer.Option(
            help="Price of a million tokens: of prompts and completions, like 0.4,1.6, or one.",
            rich_help_panel=_COST,
        ),
    ] = None,
    gpu_hour_price: Annotated[
        float | None, typer.Option(help="Price of an hour of one GPU.", rich_help_panel=_COST)
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Throw unfinished parts away rather than resume.", rich_help_panel=_RUN
        ),
    ] = False,
    config: Config = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure how hard each sample is for a model, and write the difficulty table.

    Example: durian profile data/photo_shapes/test.parquet --model data/tiny_policy --out runs/a
    """
    settings = ProfileConfig(
        dataset=dataset,
        out=out,
        split=split,
        problem_column=problem_column,
        answer_column=answer_column,
        images_column=images_column,
        image_root=image_root,
        id_column=id_column,
        limit=limit,
        measures=comma_list(measures),
        features=features,
        model=model,
        engine=engine,
        base_url=base_url,
        rollouts=rollouts,
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        seed=seed,
        system_prompt=system_prompt,
        prompt_template=prompt_template,
        reward=reward,
        tensor_parallel=tensor_parallel,
        data_parallel=data_parallel,
        distributed=distributed,
        ray_address=ray_address,
        engine_args=key_values(engine_arg or []),
        trust_remote_code=trust_remote_code,
        workers=workers,
        part_size=part_size,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        pixel_limit=pixel_limit,
        perceptual=perceptual,
        reasoning=reasoning,
        percentiles=percentile_pair(percentiles),
        bins=bins,
    )
    cost = CostConfig(
        cost_sample=cost_sample,
        rate_from=rate_from,
        tokens_per_second=tokens_per_second,
        price_per_mtok=price_pair(price_per_mtok),
        gpu_hour_price=gpu_hour_price,
    )
    if cost.asked and not dry_run:
        raise ConfigError(f"{cost.asked[0]} is for --dry-run; add it, or leave {cost.asked[0]} out")
    show: Callable[[Mapping[str, Any]], None]
    with progress_for(quiet=quiet) as progress:
        if dry_run:
            from durian.planning.dry_run import plan_profile  # here, so that --help loads no torch

            result, show = plan_profile(settings, cost, progress=progress), show_plan
        else:
            from durian.profile import profile_dataset

            result, show = profile_dataset(settings, fresh=fresh, progress=progress), show_profile
    if json:
        show_json(result)
    elif not quiet:
        show(result)
