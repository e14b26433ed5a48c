"""`durian eval`."""

from __future__ import annotations

from typing import Annotated

import typer

from durian.config import ENGINES, EvalConfig
from durian_cli.display import progress_for, show_eval, show_json
from durian_cli.options import Config, Json, Quiet, choices, key_values

Default = EvalConfig
_DATA, _POLICY, _IMAGES, _RUN = "Dataset", "Policy and sampling", "Images", "Run"


def evaluate(
    dataset: Annotated[
        str,
        typer.Argument(
            help="Hub id; a folder, file or glob of Parquet, JSONL, JSON, CSV, Arrow; "
            "an image folder with metadata.jsonl; WebDataset tars."
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="Policy: folder or hub id (openai: a name served; scripted: a rollouts table).",
            rich_help_panel=_POLICY,
        ),
    ],
    compare: Annotated[
        str | None,
        typer.Option(
            help="Another policy, judged on the same samples; differences are --model minus it.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            help="Run folder of a profile: accuracy by its groups; prompt, reward and pixel "
            "bounds as it had them, where not given.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="JSON file to write the result to.", rich_help_panel=_RUN)
    ] = None,
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
        int,
        typer.Option(
            help="Sampled completions per sample, beside the greedy one; 0: greedy alone.",
            rich_help_panel=_POLICY,
        ),
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
        int,
        typer.Option(
            help="Seed of the sampling, the intervals and the tests.", rich_help_panel=_POLICY
        ),
    ] = Default.seed,
    system_prompt: Annotated[
        str | None,
        typer.Option(
            help="System prompt; '' for none. (default: the table's, else asks for <think> and "
            "\\boxed{})",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    prompt_template: Annotated[
        str | None,
        typer.Option(
            help="Jinja2 file around the problem, as EasyR1's: {{ content }}.",
            rich_help_panel=_POLICY,
        ),
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(
            help="boxed (0.1 format + 0.9 accuracy), or FILE.py:function. (default: the table's, "
            "else boxed)",
            rich_help_panel=_POLICY,
        ),
    ] = None,
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
    config: Config = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Judge a policy: greedy and sampled accuracy, with intervals, overall and by group.

    Example: durian eval data/photo_shapes/test.parquet --model data/tiny_policy --table runs/a
    """
    settings = EvalConfig(
        dataset=dataset,
        model=model,
        compare=compare,
        table=table,
        out=out,
        split=split,
        problem_column=problem_column,
        answer_column=answer_column,
        images_column=images_column,
        image_root=image_root,
        id_column=id_column,
        limit=limit,
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
        engine_args=key_values(engine_arg or []),
        trust_remote_code=trust_remote_code,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        pixel_limit=pixel_limit,
        workers=workers,
    )
    with progress_for(quiet=quiet) as progress:
        from durian.evaluate import evaluate_policy  # here, so that --help loads no torch

        result = evaluate_policy(settings, progress=progress)
    if json:
        show_json(result)
    elif not quiet:
        show_eval(result)
