"""What `--repeatable` costs with real vLLM, in steps and in seconds, and whether it keeps its word.

The same prompts are drawn by an engine of many slots, by one of few, backwards, and the last third
alone as after a kill: what shares a batch differs each time. Lengths are long-tailed, as in
`bench_stream`, and the same on all roads, so that only the tokens can differ.
"""

import os
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from durian.config import ProfileConfig
from durian.engines.base import Request, seed_of
from durian.engines.vllm import VLLMEngine
from durian.measuring.look import look
from durian.measuring.sampling import build_prompt
from durian.readers.dataset import open_dataset
from durian.samples import Rollout
from tests.benchmarks.bench_stream import LONGEST, counted

SAMPLES, ROLLOUTS, ROUNDS = 64, 8, 3
SLOTS = {"many": 128, "few": 16}
DATASET, MODEL = "data/photo_shapes/test.parquet", "data/tiny_policy"

Drawn = dict[Any, list[Rollout]]


def opened(slots: int, *, repeatable: bool) -> VLLMEngine:
    config = settings(repeatable=repeatable, engine_args={"max_num_seqs": slots})
    return VLLMEngine(config.sampling)


def settings(**changes: Any) -> ProfileConfig:
    return ProfileConfig(
        dataset=DATASET, out="unused", model=MODEL, rollouts=ROLLOUTS, max_tokens=LONGEST, **changes
    )


def requests() -> list[Request]:
    config, found = settings(), []
    for sample in open_dataset(config.source).samples():
        if len(found) == SAMPLES:
            break
        seen = look(sample, pixel_limit=config.pixel_limit, keep=True)
        prompt = build_prompt(sample, seen, system_prompt="", template=None)
        key, seed = (len(found), "sampled"), seed_of(0, sample.sample_id)
        found.append(Request(key=key, prompt=prompt, seed=seed))
    return found


def draw(engine: VLLMEngine, asked: Sequence[Request]) -> tuple[Drawn, int, float]:
    """What was drawn, in how many steps, in how many seconds."""
    with counted() as steps:
        begun = time.perf_counter()
        drawn: Any = dict(engine.stream(asked))
        return drawn, len(steps.busy), time.perf_counter() - begun


def alike(one: Drawn, other: Drawn) -> tuple[float, float]:
    """The share of completions with equal tokens, and how far their log-probabilities are apart."""
    pairs = [pair for key in other for pair in zip(one[key], other[key], strict=True)]
    same = [(a, b) for a, b in pairs if (a.completion, a.n_tokens) == (b.completion, b.n_tokens)]
    return len(same) / len(pairs), max(abs(a.sum_logprob - b.sum_logprob) for a, b in same)


def run() -> list[dict[str, Any]]:
    """Equal completions by what else is in the batch; steps and seconds against not repeatable."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    asked, rows = requests(), []
    # Closed together at the end: the first that is closed takes what they share.
    engine, free = (opened(SLOTS["many"], repeatable=word) for word in (True, False))
    narrow = opened(SLOTS["few"], repeatable=True)
    whole, steps, _ = draw(engine, asked)
    _, free_steps, _ = draw(free, asked)
    seconds: list[float] = []
    for _ in range(ROUNDS):
        seconds.append(draw(engine, asked)[2] / draw(free, asked)[2])
    roads = {
        "again": draw(engine, asked)[0],
        "backwards": draw(engine, asked[::-1])[0],
        "the last third alone": draw(engine, asked[-len(asked) // 3 :])[0],
    }
    roads[f"with {SLOTS['few']} slots in place of {SLOTS['many']}"] = draw(narrow, asked)[0]
    for one in (engine, free, narrow):
        one.close()
    for road, drawn in roads.items():
        share, apart = alike(whole, drawn)
        rows.append(
            {
                "what": f"--repeatable, equal completions, {road}",
                "value": share,
                "aim": ">= 0.99",
                "detail": f"log-probabilities of those within {apart:.1e} nats",
            }
        )
    rows.append(
        {
            "what": "--repeatable, steps against without",
            "value": steps / free_steps,
            "aim": "a report",
            "detail": f"{steps} and {free_steps}",
        }
    )
    rows.append(
        {
            "what": "--repeatable, seconds against without",
            "value": median(seconds),
            "aim": "a report",
            "detail": f"on a CPU; rounds {', '.join(f'{ratio:.2f}' for ratio in seconds)}",
        }
    )
    return rows
