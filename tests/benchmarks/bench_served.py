"""The openai engine and vLLM's own server against the embedded vLLM engine, same prompts."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from durian.config import ProfileConfig, SamplingConfig
from durian.engines.loading import open_engine
from durian.measuring.look import look
from durian.measuring.sampling import build_prompt
from durian.readers.dataset import open_dataset
from durian.samples import Failed, Prompt
from tests.benchmarks.timing import interleaved, ratio
from tests.engines.drawing import draw

DATA = Path("data")
SAMPLES, ROLLOUTS, ROUNDS = 300, 8, 3


def run() -> list[dict[str, Any]]:
    """Ratio of speed, and the largest difference of a log-probability on equal completions."""
    model = str(DATA / "tiny_policy")
    prompts = _prompts()
    with _served(model) as url:
        settings = {"rollouts": ROLLOUTS, "max_tokens": 64}
        engines = {
            "served": open_engine(
                SamplingConfig(model="tiny", engine="openai", base_url=url, **settings)
            ),
            "embedded": open_engine(SamplingConfig(model=model, **settings)),
        }
        seconds = interleaved(
            {name: lambda e=engine: draw(e, prompts, 1) for name, engine in engines.items()},
            ROUNDS,
        )
        greedy = {name: draw(engine, prompts, greedy=True) for name, engine in engines.items()}
        for engine in engines.values():
            engine.close()
    pairs = [
        (one, other)
        for ours, theirs in zip(greedy["served"], greedy["embedded"], strict=True)
        if not isinstance(ours, Failed) and not isinstance(theirs, Failed)
        for one, other in zip(ours, theirs, strict=True)
    ]
    same = [(a, b) for a, b in pairs if (a.completion, a.n_tokens) == (b.completion, b.n_tokens)]
    return [
        {
            "what": "served policy: speed against the embedded engine",
            "value": ratio(seconds["served"], seconds["embedded"]),
            "aim": ">= 0.7",
            "detail": f"{SAMPLES} prompts x {ROLLOUTS}, {ROUNDS} rounds, client and server share "
            f"{len(os.sched_getaffinity(0))} cores",
        },
        {
            "what": "served policy: greedy completions equal to the embedded engine's",
            "value": len(same) / SAMPLES,
            "aim": "1",
            "detail": f"{len(same)} of {SAMPLES}, text and number of tokens",
        },
        {
            "what": "served policy: largest difference of a completion's log-probability, nats",
            "value": max(abs(a.sum_logprob - b.sum_logprob) for a, b in same),
            "aim": "<= 1e-3",
            "detail": f"{len(same)} greedy completions, {sum(a.n_tokens for a, _ in same)} tokens",
        },
    ]


def _prompts() -> list[Prompt]:
    config = ProfileConfig(
        dataset=str(DATA / "photo_shapes" / "test.parquet"), out="unused", model="tiny"
    )
    prompts = []
    for sample in islice(open_dataset(config.source).samples(), SAMPLES):
        seen = look(sample, pixel_limit=config.pixel_limit, keep=True)
        prompt = build_prompt(sample, seen, system_prompt=config.system_prompt, template=None)
        assert isinstance(prompt, Prompt)
        prompts.append(prompt)
    return prompts


@contextmanager
def _served(model: str):  # type: ignore[no-untyped-def]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            sys.executable, "-m", "vllm.entrypoints.openai.api_server",
            "--model", model, "--served-model-name", "tiny",
            "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager",
            "--limit-mm-per-prompt", '{"video": 0}', "--no-enable-chunked-prefill",
            "--max-num-batched-tokens", "4096", "--disable-uvicorn-access-log",
        ],
        env=os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}/v1"
    try:
        while server.poll() is None:
            try:
                urllib.request.urlopen(f"{url}/models", timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait(60)
