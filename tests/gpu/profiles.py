"""The part of the GPU check that profiles by vLLM: throughput, repeats, log-probabilities."""

from __future__ import annotations

import io
import statistics
import string
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.gpu.ground import Facts, Place, Skipped, check
from tests.gpu.sizes import random_policy

LONGEST = 400  # tokens of a completion; they end at one token of 62, which makes a long tail
ROLLOUTS = 4
NEAR = 0.7  # of bare vLLM's tokens a second, with one image processor for both
REPEATED = 0.99  # share of completions that are to be equal, on one machine
ROUNDED = 0.05  # nats a token, between vLLM's kernels and transformers' in bfloat16


def profile_by_vllm(place: Place) -> Facts:
    """A profile of images of one megapixel against bare vLLM, repeated, and against transformers.

    Its policy has random weights and may write only letters and digits, of which one ends it: so
    lengths have a long tail, and a completion's text gives its tokens back.
    """
    if find_spec("vllm") is None:
        raise Skipped("vLLM is not installed")
    model, rows = place.work / "policy", place.work / "rows.parquet"
    count = random_policy(model, large=place.gpu)
    synthetic_rows(rows, *((300, 1024) if place.gpu else (6, 64)))
    letters = single_tokens(model)
    engine = {"gpu_memory_utilization": 0.5} if place.gpu else {}
    given = {
        "model": str(model), "rollouts": ROLLOUTS, "bins": 3, "engine_args": engine,
        "max_tokens": LONGEST if place.gpu else 24, "system_prompt": "",
        "sampling_args": {
            "allowed_token_ids": list(letters.values()), "stop_token_ids": [letters["0"]]
        },
    }  # fmt: skip
    facts: Facts = {"parameters": count}
    with_spectral = ("pixel", "spectral", "confidence")
    # On a CPU, where loading is most of it, the first of three is the first of two.
    first = {"repeatable": not place.gpu, "measures": with_spectral}
    facts |= profiled(place, "fast", rows, given | first)
    twice = ("once", "again") if place.gpu else ("fast", "once")
    for name in set(twice) - {"fast"}:
        profiled(place, name, rows, given | {"repeatable": True})
    facts["repeated"], facts["repeated_apart_by"] = alike(*(place.work / name for name in twice))
    facts |= by_itself(rows, given)
    facts["of_bare"] = facts["tokens_a_second"] / facts["bare_tokens_a_second"]
    facts["from_transformers"] = from_transformers(place.work / "once", rows, model, letters)
    return check(
        facts,
        (not facts["errors"], "samples with errors"),
        (facts["spectral"] == facts["samples"], "samples without spectral entropy"),
        (facts["of_bare"] > NEAR or not place.gpu, f"{facts['of_bare']:.2f} of bare vLLM"),
        # On a GPU sums are in no fixed order: it is told, and no promise.
        (facts["repeated"] >= REPEATED or place.gpu, "another draw the second time"),
        (facts["from_transformers"] < ROUNDED, "other log-probabilities than transformers"),
    )


def synthetic_rows(path: Path, count: int, side: int) -> None:
    """Rows of a smooth image with some noise, `side` x `side`, each its own."""
    from PIL import Image

    rng = np.random.default_rng(0)
    across, down = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    images = []
    for _ in range(count):
        a, b, c = rng.uniform(1, 9, 3)
        waves = np.stack([np.sin(a * across), np.cos(b * down), np.sin(c * (across + down))], -1)
        noise = rng.normal(0, 6, (side, side, 1))
        pixels = np.clip(127 + 100 * waves + noise, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=90)
        images.append([{"bytes": file.getvalue(), "path": None}])
    texts = [f"What is number {number}?" for number in range(count)]
    rows = {"problem": texts, "answer": ["1"] * count, "images": images}
    pq.write_table(pa.table(rows), path)


def single_tokens(model: Path) -> dict[str, int]:
    """The token of each letter and digit alone."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    ids = {
        c: tokenizer.encode(c, add_special_tokens=False)
        for c in string.ascii_letters + "0123456789"
    }
    return {character: own[0] for character, own in ids.items() if len(own) == 1}


def profiled(place: Place, name: str, rows: Path, given: dict[str, Any]) -> Facts:
    """Profile, and say how fast, and what became of the samples."""
    from durian.config import ProfileConfig
    from durian.profile import profile_dataset

    out = place.work / name
    manifest = profile_dataset(ProfileConfig(dataset=str(rows), out=str(out), **given)).manifest
    table = pq.read_table(out / "difficulty.parquet").to_pydict()
    lengths = pq.read_table(out / "rollouts.parquet")["n_tokens"].to_pylist()
    assert manifest.tokens is not None and manifest.seconds is not None
    return {
        "samples": len(table["error"]),
        "errors": [error for error in table["error"] if error],
        "spectral": sum(value is not None for value in table["spectral_entropy"]),
        "seconds": dict(manifest.seconds),
        "tokens_a_second": manifest.tokens.completion / manifest.seconds["rollouts"],
        "mean_tokens": statistics.fmean(lengths),
        "longest": max(lengths),
    }


def alike(one: Path, other: Path) -> tuple[float, float]:
    """The share of equal completions of two runs, and how far apart the sums of those are."""
    read = [pq.read_table(run / "rollouts.parquet").to_pydict() for run in (one, other)]
    pairs = [
        dict(zip(zip(r["sample_id"], r["rollout"], strict=True),
                 zip(r["completion"], r["sum_logprob"], strict=True), strict=True))
        for r in read
    ]  # fmt: skip
    first, second = pairs
    assert first.keys() == second.keys()
    same = [key for key in first if first[key][0] == second[key][0]]
    apart = [abs(first[key][1] - second[key][1]) for key in same]
    return len(same) / len(first), max(apart, default=0.0)


def by_itself(rows: Path, given: dict[str, Any]) -> Facts:
    """Tokens a second of bare `LLM.generate` over the same prompts in one queue."""
    from durian.config import SamplingConfig
    from durian.engines.loading import open_engine
    from durian.engines.vllm import VLLMEngine

    kept = ("model", "rollouts", "max_tokens", "engine_args", "sampling_args")
    engine = open_engine(SamplingConfig(**{name: given[name] for name in kept}, repeatable=False))
    assert isinstance(engine, VLLMEngine)
    try:
        prompts = [
            {"prompt": text, "multi_modal_data": {"image": image}}
            for text, image in asked(rows, engine._chat)
        ]
        begun = time.perf_counter()
        outputs = engine._llm.generate(prompts, engine._sampled, use_tqdm=False)
        seconds = time.perf_counter() - begun
    finally:
        engine.close()
    tokens = sum(len(one.token_ids) for output in outputs for one in output.outputs)
    return {"bare_tokens_a_second": tokens / seconds}


def asked(rows: Path, chat: Any) -> list[tuple[str, Any]]:
    """The prompts of the rows as a policy reads them, each with its image."""
    from PIL import Image

    from durian.samples import Prompt

    found = []
    for row in pq.read_table(rows).to_pylist():
        image = Image.open(io.BytesIO(row["images"][0]["bytes"])).convert("RGB")
        parts = [{"type": "image"}, {"type": "text", "text": row["problem"]}]
        prompt = Prompt(
            sample_id="", messages=[{"role": "user", "content": parts}], images=(image,)
        )
        found.append((str(chat.render(prompt)), image))
    return found


def from_transformers(run: Path, rows: Path, model: Path, letters: dict[str, int]) -> float:
    """The largest difference, nats a token, of some completions' log-probabilities."""
    import torch
    from transformers import AutoModelForImageTextToText

    from durian.config import SamplingConfig
    from durian.engines.chat import load_chat

    chat = load_chat(SamplingConfig(model=str(model)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded: Any = AutoModelForImageTextToText
    policy = loaded.from_pretrained(model, dtype="auto" if device == "cuda" else torch.float32)
    policy = policy.to(device).eval()
    table = pq.read_table(run / "difficulty.parquet").to_pydict()
    row_of = dict(zip(table["sample_id"], table["row"], strict=True))
    prompts, worst = asked(rows, chat), 0.0
    for rollout in pq.read_table(run / "rollouts.parquet").slice(0, 8 * ROLLOUTS).to_pylist():
        written = [letters[c] for c in rollout["completion"]]
        if rollout["finish_reason"] == "stop":
            written.append(letters["0"])
        assert len(written) == rollout["n_tokens"]
        text, image = prompts[row_of[rollout["sample_id"]]]
        inputs = chat.encode([text], [[image]])
        after = torch.tensor([written])
        inputs["input_ids"] = torch.cat([inputs["input_ids"], after], dim=1)
        for name, value in (("attention_mask", 1), ("mm_token_type_ids", 0)):
            if name in inputs:
                more = torch.full_like(after, value)
                inputs[name] = torch.cat([inputs[name], more], dim=1)
        with torch.inference_mode():
            logits = policy(**inputs.to(device)).logits[0, -len(written) - 1 : -1]
        logprobs = logits.double().log_softmax(-1).cpu()[range(len(written)), written]
        apart = abs(float(logprobs.sum()) - rollout["sum_logprob"]) / len(written)
        worst = max(worst, apart)
    return worst
