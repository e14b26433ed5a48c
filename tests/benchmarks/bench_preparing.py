"""How long an engine waits for its prompts, by the number of processes that prepare them.

The work is heavy in images: 3 megapixels each, which the policy's own processor brings to size, for
8 completions of 16 tokens. Each step of the engine sleeps as long as one on a GPU decodes, so that
its cores are free for that long as they are beside a GPU. All share one engine and take turns.
"""

import time
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np
from PIL import Image
from skimage import data

from durian.config import SamplingConfig
from durian.engines.base import Request, seed_of
from durian.engines.preparing import Here, InProcesses
from durian.engines.vllm import VLLMEngine
from durian.samples import Prompt

SAMPLES, ROLLOUTS, TOKENS, ROUNDS = 48, 8, 16, 3
STEP = 0.02  # seconds that a GPU would take
WORKERS = (0, 1, 2, 4)
SIZE = (2000, 1500)


def requests(photo: Any, mark: int) -> list[Request]:
    """Prompts of distinct images, unlike those of another mark."""
    found = []
    for number in range(SAMPLES):
        pixels = photo.copy()
        pixels[:64, :64] = (number, mark % 256, mark // 256)
        parts = [{"type": "image"}, {"type": "text", "text": f"What is in picture {number}?"}]
        prompt = Prompt(
            sample_id=str(number),
            messages=[{"role": "user", "content": parts}],
            images=(Image.fromarray(pixels),),
        )
        key = (number, "sampled")
        found.append(Request(key=key, prompt=prompt, seed=seed_of(0, str(number))))
    return found


@contextmanager
def timed_steps(engine: VLLMEngine) -> Any:
    """Let each step take a GPU's time too; the seconds of all of them, and their number."""
    inner, spent = engine._llm.llm_engine.step, [0.0, 0.0]

    def step() -> Any:
        begun = time.perf_counter()
        outputs = inner()
        time.sleep(STEP)
        spent[0] += time.perf_counter() - begun
        spent[1] += 1
        return outputs

    engine._llm.llm_engine.step = step
    try:
        yield spent
    finally:
        engine._llm.llm_engine.step = inner


def run() -> list[dict[str, Any]]:
    """Seconds outside of steps and in all, by processes, against none beside the engine."""
    photo = np.asarray(Image.fromarray(data.astronaut()).resize(SIZE)).copy()
    config = SamplingConfig(
        model="data/tiny_policy", rollouts=ROLLOUTS, max_tokens=TOKENS, repeatable=False,
        engine_args={"max_num_seqs": 128, "max_model_len": 1024},
    )  # fmt: skip
    engine = VLLMEngine(config)
    here = engine._preparer
    assert isinstance(here, Here)
    ways: dict[int, Any] = {0: here}
    for workers in WORKERS[1:]:
        ways[workers] = InProcesses(workers)
        ways[workers].load(engine._llm.llm_engine.vllm_config)
    waits: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    walls: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    steps: dict[int, float] = {}
    for turn in range(ROUNDS + 1):  # the first does not count
        for workers, preparer in ways.items():
            asked = requests(photo, turn * 10 + workers)
            engine._preparer = preparer
            with timed_steps(engine) as spent:
                begun = time.perf_counter()
                answers = list(engine.stream(asked))
                wall = time.perf_counter() - begun
            assert len(answers) == SAMPLES
            if turn:
                walls[workers].append(wall)
                waits[workers].append(wall - spent[0])
                steps[workers] = spent[1]
    for preparer in ways.values():
        preparer.close()
    engine._preparer = here
    engine.close()
    each = median(waits[0]) / SAMPLES
    return [
        {
            "what": f"seconds of a stream, {workers} processes beside it prepare, against none",
            "value": median(w / own for w, own in zip(walls[workers], walls[0], strict=True)),
            "aim": "a report",
            "detail": f"{median(walls[workers]):.1f} s, outside of steps "
            f"{median(map(share, waits[workers], walls[workers])):.2f} of them, "
            f"{steps[workers]:.0f} steps" + ("" if workers else f"; {1000 * each:.0f} ms a prompt"),
        }
        for workers in WORKERS
    ]


def share(part: float, whole: float) -> float:
    return part / whole
