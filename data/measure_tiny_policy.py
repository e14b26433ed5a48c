"""Measure a policy on a shipped set: greedy and sampled accuracy, by kind and by difficulty.

    python -m data.measure_tiny_policy --policy data/tiny_policy \\
        --rows data/photo_shapes/test.parquet

Sampling goes through vLLM, embedded. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image
from scipy.stats import spearmanr


def measure(policy: Path, rows: Path, rollouts: int, seed: int) -> pl.DataFrame:
    """One row a sample: right greedily, pass rate, mean log-probability, pixel entropy."""
    table = pl.read_parquet(rows)
    images = [Image.open(io.BytesIO(cell[0]["bytes"])).convert("RGB") for cell in table["images"]]
    greedy, sampled = _generate(policy, table["problem"].to_list(), images, rollouts, seed)
    records = []
    for index, answer in enumerate(table["answer"]):
        outputs = sampled[index]
        records.append(
            {
                "greedy": _boxed(greedy[index].outputs[0].text) == answer,
                "pass_rate": float(np.mean([_boxed(o.text) == answer for o in outputs.outputs])),
                "mean_logprob": float(
                    np.mean([o.cumulative_logprob / len(o.token_ids) for o in outputs.outputs])
                ),
                "mean_tokens": float(np.mean([len(o.token_ids) for o in outputs.outputs])),
                "boxed": float(np.mean([_boxed(o.text) is not None for o in outputs.outputs])),
                "pixel_entropy": _pixel_entropy(images[index]),
            }
        )
    kept = [name for name in ("kind", "clutter") if name in table.columns]
    return pl.concat([pl.DataFrame(records), table.select(kept)], how="horizontal")


def _generate(
    policy: Path, problems: list[str], images: list[Image.Image], rollouts: int, seed: int
) -> tuple[list[Any], list[Any]]:
    # Read by vLLM as it is imported; one process makes equal seeds give equal completions.
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    from transformers import AutoProcessor
    from vllm import LLM, SamplingParams

    processor = AutoProcessor.from_pretrained(policy)
    llm = LLM(
        model=str(policy),
        dtype="float32",
        enforce_eager=True,
        max_model_len=512,
        seed=seed,
        limit_mm_per_prompt={"image": 1},
    )
    prompts = []
    for problem, image in zip(problems, images, strict=True):
        text = {"type": "text", "text": problem.removeprefix("<image>")}
        message = {"role": "user", "content": [{"type": "image"}, text]}
        prompt = processor.apply_chat_template([message], add_generation_prompt=True)
        prompts.append({"prompt": prompt, "multi_modal_data": {"image": image}})
    greedy = llm.generate(prompts, SamplingParams(temperature=0.0, max_tokens=64))
    drawn = SamplingParams(n=rollouts, temperature=1.0, max_tokens=64, logprobs=0)
    return greedy, llm.generate(prompts, drawn)


def _boxed(text: str) -> str | None:
    found = re.findall(r"\\boxed\{([^{}]*)\}", text)
    return found[-1] if found else None


def _pixel_entropy(image: Image.Image) -> float:
    counts = np.array(image.convert("L").histogram())
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def summary(measured: pl.DataFrame) -> dict[str, Any]:
    """The figures that README.md quotes."""
    error = 1 - measured["pass_rate"].to_numpy()
    entropy = measured["pixel_entropy"].to_numpy()
    low, high = np.percentile(entropy, [25, 75])
    confidence = measured["mean_logprob"].to_numpy()
    edges = np.percentile(confidence, np.arange(10, 100, 10))
    bins = np.searchsorted(edges, confidence, side="right")
    means = {
        name: float(measured[name].to_numpy().mean())
        for name in ("greedy", "pass_rate", "boxed", "mean_tokens")
    }
    found: dict[str, Any] = {
        "samples": len(measured),
        **means,
        "strictly_between": float(((error > 0) & (error < 1)).mean()),
        "error_easy_medium_hard": [
            float(error[entropy <= low].mean()),
            float(error[(entropy > low) & (entropy < high)].mean()),
            float(error[entropy >= high].mean()),
        ],
        "error_by_confidence_bin": [float(error[bins == index].mean()) for index in range(10)],
    }
    if "clutter" in measured.columns:
        clutter = measured["clutter"].to_numpy()
        quarter = np.minimum(clutter * 4, 3).astype(int)
        found["spearman_clutter_entropy"] = float(spearmanr(clutter, entropy).statistic)
        found["greedy_by_clutter_quarter"] = [
            float(measured["greedy"].to_numpy()[quarter == index].mean()) for index in range(4)
        ]
        by_kind = measured.group_by("kind").agg(
            pl.len(), pl.col("greedy", "pass_rate", "mean_logprob").mean()
        )
        found["by_kind"] = by_kind.sort("kind").to_dicts()
    return found


def main(argv: list[str] | None = None) -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True, help="a Parquet file of a shipped set")
    parser.add_argument("--rollouts", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    print(json.dumps(summary(measure(args.policy, args.rows, args.rollouts, args.seed))))


if __name__ == "__main__":
    main()
