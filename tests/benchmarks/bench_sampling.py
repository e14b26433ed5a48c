"""The sampling stage of `durian profile` against a bare `vllm.LLM.generate`, same prompts."""

import os
from itertools import islice
from pathlib import Path
from typing import Any

from durian.config import ProfileConfig
from durian.engines.chat import load_chat
from durian.engines.prompts import build_messages
from durian.measuring.look import look
from durian.measuring.sampling import open_policy
from durian.readers.dataset import open_dataset
from durian.run.progress import Silent, Stopwatch
from durian.samples import Prompt
from tests.benchmarks.timing import interleaved, ratio

DATA = Path("data")
SAMPLES, ROUNDS = 600, 5


def run() -> list[dict[str, Any]]:
    """Ratio of speed: prompts built, completions drawn and scored, against drawing alone."""
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    config = ProfileConfig(
        dataset=str(DATA / "photo_shapes" / "test.parquet"),
        model=str(DATA / "tiny_policy"),
        out="unused",
        max_tokens=64,
    )
    samples = list(islice(open_dataset(config.source).samples(), SAMPLES))
    looks = [look(s, pixel_limit=config.pixel_limit, keep=True) for s in samples]
    asked = [(sample, seen, None) for sample, seen in zip(samples, looks, strict=True)]
    policy = open_policy(config, Silent())

    from vllm import LLM, SamplingParams

    chat = load_chat(config.sampling)
    prompts = []
    for sample, seen in zip(samples, looks, strict=True):
        messages = build_messages(
            sample.problem,
            len(seen.images),
            system_prompt=config.system_prompt,
            template=None,
        )
        assert isinstance(messages, list)
        prompt = Prompt(sample_id=sample.sample_id, messages=messages, images=seen.images)
        prompts.append(
            {"prompt": chat.render(prompt), "multi_modal_data": {"image": list(seen.images)}}
        )
    bare = LLM(
        model=config.model,
        dtype="float32",
        enforce_eager=True,
        limit_mm_per_prompt={"video": 0},
        generation_config="vllm",
        seed=0,
    )
    params = SamplingParams(
        n=config.rollouts, temperature=1.0, max_tokens=config.max_tokens, logprobs=0
    )

    def generate() -> None:
        bare.reset_prefix_cache()
        bare.llm_engine.reset_mm_cache()
        bare.llm_engine.reset_encoder_cache()
        bare.generate(prompts, params, use_tqdm=False)

    seconds = interleaved(
        {"durian": lambda: list(policy.draw(asked, Stopwatch())), "bare": generate}, ROUNDS
    )
    policy.close()
    return [
        {
            "what": "sampling stage: speed against bare vLLM",
            "value": ratio(seconds["durian"], seconds["bare"]),
            "aim": ">= 0.9",
            "detail": f"{SAMPLES} prompts x {config.rollouts}, {ROUNDS} rounds",
        }
    ]
