"""`durian profile --dry-run`: counts, cost and the first prompt, without the policy."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

from pipelines.config import ProfileConfig
from pipelines.engines.chat import load_chat
from pipelines.progress import Progress, Silent
from pipelines.prompts import load_template
from pipelines.readers.dataset import SampleReader, open_dataset
from pipelines.readers.look import look
from pipelines.readers.scan import scan
from pipelines.rewards import open_reward
from pipelines.samples import Failed
from pipelines.sampling import build_prompt
from pipelines.table.grouping import check_measure
from pipelines.table.run_folder import RunFolder, read_manifest

PROBE = 32  # samples whose prompts are rendered to estimate the cost


def plan_profile(config: ProfileConfig, *, progress: Progress | None = None) -> dict[str, Any]:
    """What `profile_dataset` would do with these settings; nothing is written.

    Returns:
        Counts of rows, samples, parts in all and parts already finished; with a policy, also the
        number of completions, the estimated prompt tokens, the most completion tokens, and the
        first prompt as the policy would read it.
    Raises:
        InputError: as `profile_dataset`.
    """
    check_measure("perceptual", config.perceptual)
    check_measure("reasoning", config.reasoning)
    reader = open_dataset(config.source)
    index = scan(reader.samples(), progress or Silent(), own_ids=config.id_column is not None)
    out = Path(config.out)
    plan = {
        "dataset": reader.name,
        "rows": index.n_rows,
        "samples": len(index.rows),
        "parts": len(index.parts(config.part_size)),
        "parts_finished": len(RunFolder(out).finished_parts()),
        "complete": read_manifest(out) is not None,
        "measures": list(config.measures),
    }
    return {**plan, **_plan_policy(config, reader, len(index.rows))} if config.needs_model else plan


def _plan_policy(config: ProfileConfig, reader: SampleReader, samples: int) -> dict[str, Any]:
    open_reward(config.reward)
    template = load_template(config.prompt_template) if config.prompt_template else None
    plan: dict[str, Any] = {
        "model": config.model,
        "engine": config.engine,
        "completions": samples * config.rollouts,
        "completion_tokens_at_most": samples * config.rollouts * config.max_tokens,
    }
    if config.engine == "scripted":
        return plan
    chat = load_chat(config.sampling)
    lengths: list[int] = []
    for sample in islice(reader.samples(), PROBE):
        seen = look(sample, pixel_limit=config.pixel_limit, keep=True)
        prompt = build_prompt(sample, seen, system_prompt=config.system_prompt, template=template)
        text = prompt if isinstance(prompt, Failed) else chat.render(prompt)
        if isinstance(text, Failed):
            continue
        try:
            length = chat.count_tokens(text, list(seen.images))
        except ValueError:  # the processor refuses its images, as the engine will
            continue
        plan.setdefault("first_prompt", text)
        lengths.append(length)
    if lengths:
        plan["prompt_tokens_estimated"] = round(fmean(lengths) * samples)
        plan["prompt_tokens_of_one"] = {"mean": fmean(lengths), "largest": max(lengths)}
    return plan
