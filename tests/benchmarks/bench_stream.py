"""Engine steps of `durian profile` and `durian eval` against one `LLM.generate` of the same.

On a GPU a step of decoding costs nearly the same however full its batch is, so steps are what a
long-tailed policy pays for. They do not depend on the machine. Each completion has a length of its
own, the same on all roads, that `max_tokens` of its request enforces.
"""

import io
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from skimage import data

SAMPLES, ROLLOUTS = 192, 8
MEDIAN, SIGMA, LONGEST = 54.0, 0.9, 500  # tokens, log-normal: mean 79, 95 % below 238
SIZES = {"1 MP": (1154, 866), "3 MP": (2000, 1500)}
SLOTS = (32, 128)
MAX_PIXELS = 4096  # of what the policy sees: 64 x 64, so that a step is cheap
MODEL = Path("data") / "tiny_policy"
AIM = 1.03


def length_of(prompt: list[int], rollout: int) -> int:
    """Tokens of one completion: a quantile of the log-normal, by prompt and rollout alone."""
    digest = blake2b(json.dumps([prompt, rollout]).encode(), digest_size=7).digest()
    share = (int.from_bytes(digest, "little") + 0.5) / 2**56
    return max(1, min(LONGEST, round(MEDIAN * math.exp(SIGMA * NormalDist().inv_cdf(share)))))


class Steps:
    """The engine's steps, each as the number of completions that it decoded."""

    def __init__(self) -> None:
        self.busy: list[int] = []

    def idle(self, slots: int) -> float:
        """Part of the steps with fewer than half of the slots busy."""
        return sum(busy < slots / 2 for busy in self.busy) / len(self.busy)


@contextmanager
def counted() -> Iterator[Steps]:
    """Give every request its length, and count the steps of any vLLM engine of this process."""
    from vllm.v1.engine.input_processor import InputProcessor
    from vllm.v1.engine.llm_engine import LLMEngine
    from vllm.v1.engine.parallel_sampling import ParentRequest

    steps = Steps()
    parent, child = ParentRequest.__init__, ParentRequest._get_child_sampling_params
    process, step = InputProcessor.process_inputs, LLMEngine.step

    def begin(self: Any, request: Any) -> None:
        parent(self, request)
        self.prompt = request.prompt_token_ids

    def params_of(self: Any, index: int) -> Any:
        return sized(child(self, index).clone(), self.prompt, index)

    def sized(params: Any, prompt: list[int], rollout: int) -> Any:
        params.ignore_eos, params.max_tokens = True, length_of(prompt, rollout)
        params._eos_token_id, params._all_stop_token_ids = None, set()  # set before this
        return params

    def processed(self: Any, *args: Any, **how: Any) -> Any:
        request = process(self, *args, **how)
        if request.params.n == 1:  # the greedy completion stands before the sampled ones
            rollout = -1 if request.params.temperature == 0 else 0
            sized(request.params, request.prompt_token_ids, rollout)
        return request

    def stepped(self: Any) -> Any:
        outputs = step(self)
        running = len(self.engine_core.engine_core.scheduler.running)
        ended = sum(len(output.outputs) for output in outputs if output.finished)
        steps.busy.append(running + ended)
        return outputs

    methods: dict[Any, dict[str, tuple[Any, Any]]] = {
        ParentRequest: {
            "__init__": (parent, begin),
            "_get_child_sampling_params": (child, params_of),
        },
        InputProcessor: {"process_inputs": (process, processed)},
        LLMEngine: {"step": (step, stepped)},
    }
    try:
        for owner, by_name in methods.items():
            for name, (_, ours) in by_name.items():
                setattr(owner, name, ours)
        yield steps
    finally:
        for owner, by_name in methods.items():
            for name, (theirs, _) in by_name.items():
                setattr(owner, name, theirs)


def write_dataset(path: Path, size: tuple[int, int], samples: int = SAMPLES) -> None:
    """Distinct JPEGs of one photograph, each with its own question."""
    photo = Image.fromarray(data.astronaut()).resize(size)
    rows: dict[str, list[Any]] = {"problem": [], "answer": [], "images": []}
    for number in range(samples):
        pixels = np.asarray(photo).copy()
        pixels[:16, :64] = (number % 256, number // 256, 0)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=80)
        rows["problem"].append(f"What is shown in picture {number}?")
        rows["answer"].append("a")
        rows["images"].append([file.getvalue()])
    pq.write_table(pa.table(rows), path)


def engine_args(slots: int) -> dict[str, Any]:
    return {"max_num_seqs": slots, "max_num_batched_tokens": 4096, "max_model_len": 1024}


def measure(road: str, dataset: Path, slots: int) -> dict[str, float]:
    """The steps of one road, their idle part, and this process's peak memory in MiB."""
    import resource

    for name, value in (("ENABLE_V1_MULTIPROCESSING", "0"), ("LOGGING_LEVEL", "ERROR")):
        os.environ.setdefault(f"VLLM_{name}", value)
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    with counted() as steps, tempfile.TemporaryDirectory() as out:
        {"profile": profile, "eval": evaluate, "bare": bare, "bare eval": bare_eval}[road](
            dataset, slots, Path(out)
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"steps": len(steps.busy), "idle": steps.idle(slots), "peak": peak}


def settings(dataset: Path, slots: int, out: Path) -> dict[str, Any]:
    return {
        "dataset": str(dataset), "model": str(MODEL), "out": str(out / "run"),
        "rollouts": ROLLOUTS, "max_tokens": LONGEST, "max_pixels": MAX_PIXELS,
        "engine_args": engine_args(slots),
    }  # fmt: skip


def profile(dataset: Path, slots: int, out: Path) -> None:
    from durian import profile_dataset
    from durian.config import ProfileConfig

    profile_dataset(ProfileConfig(**settings(dataset, slots, out)))


def evaluate(dataset: Path, slots: int, out: Path) -> None:
    from durian import evaluate_policy
    from durian.config import EvalConfig

    evaluate_policy(EvalConfig(**settings(dataset, slots, out)))


def bare(dataset: Path, slots: int, out: Path, *, greedy: bool = False) -> None:
    """One `LLM.generate` of all that a profile asks, the images brought to size before."""
    from vllm import LLM, SamplingParams

    from durian.config import ProfileConfig
    from durian.engines.chat import load_chat
    from durian.engines.resizing import find_resizing
    from durian.measuring.look import look
    from durian.measuring.sampling import build_prompt
    from durian.readers.dataset import open_dataset
    from durian.samples import Prompt

    config = ProfileConfig(**settings(dataset, slots, out))
    chat = load_chat(config.sampling)
    bounds = find_resizing(chat.processor.image_processor)
    assert bounds is not None
    asked, params = [], []
    sampled = SamplingParams(n=ROLLOUTS, temperature=1.0, max_tokens=LONGEST, logprobs=0)
    ways = [SamplingParams(temperature=0.0, max_tokens=LONGEST), sampled] if greedy else [sampled]
    for sample in open_dataset(config.source).samples():
        seen = look(sample, pixel_limit=config.pixel_limit, keep=True)
        prompt = build_prompt(
            sample, seen, system_prompt=config.system_prompt, template=None, bounds=bounds
        )
        assert isinstance(prompt, Prompt)
        for way in ways:
            text = chat.render(prompt)
            asked.append({"prompt": text, "multi_modal_data": {"image": list(prompt.images)}})
            params.append(way)
    llm = LLM(
        model=str(MODEL), dtype="float32", enforce_eager=True, limit_mm_per_prompt={"video": 0},
        generation_config="vllm", seed=0, mm_processor_kwargs={"size": chat.image_size},
        **engine_args(slots),
    )  # fmt: skip
    llm.generate(asked, params, use_tqdm=False)  # type: ignore[arg-type]


def bare_eval(dataset: Path, slots: int, out: Path) -> None:
    bare(dataset, slots, out, greedy=True)


def apart(road: str, dataset: Path, slots: int) -> dict[str, float]:
    """`measure` in a process of its own, since memory's peak never falls."""
    code = (
        "import json, sys; from pathlib import Path; from tests.benchmarks.bench_stream import "
        "measure; print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))"
    )
    command = [sys.executable, "-c", code, road, str(dataset), str(slots)]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    return found


def run() -> list[dict[str, Any]]:
    """Ratio of steps to those of one queue, by command, size of images and slots."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        datasets = {words: Path(folder) / f"{words}.parquet" for words in SIZES}
        for words, size in SIZES.items():
            write_dataset(datasets[words], size)
        first = datasets[next(iter(SIZES))]
        for slots in SLOTS:
            for road in ("profile", "eval"):
                # Of either size: the policy sees all images alike.
                queue = apart("bare" if road == "profile" else "bare eval", first, slots)
                for words, dataset in datasets.items():
                    ours = apart(road, dataset, slots)
                    rows.append(
                        {
                            "what": f"steps of {road} against one queue, {words}, {slots} slots",
                            "value": ours["steps"] / queue["steps"],
                            "aim": f"<= {AIM}",
                            "detail": f"{ours['steps']:.0f} and {queue['steps']:.0f}; fewer than "
                            f"half busy in {ours['idle']:.2f} and {queue['idle']:.2f} of them; "
                            f"peak {ours['peak']:.0f} MiB",
                        }
                    )
    return rows
