"""The parts of the GPU check: each trains, or measures, and raises where the result is wrong.

Usage: python -m tests.gpu.parts NAME OUT [--rehearse]; leaves OUT/NAME.json.

A part gives facts, whether it passes or not. In a rehearsal the launches are of two processes on
the CPU, with accelerate's real engines over gloo (see `launched`); on a GPU they are of one process
over NCCL, or of two over gloo on the one GPU where the part says so.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "data" / "tiny_policy"
ROWS = 8  # two rollout batches of four prompts an epoch: four optimizer steps
GENERATIONS = 4
KL_AT_START = 1e-3  # the reference is the policy: more is another model
LOGPROB_GAP = 0.1  # nats a token, between vLLM and the trainer, at step 1
TORN = 1e-3  # a weight may differ by this much after a resume on a GPU, whose sums are not ordered

Facts = dict[str, Any]


class Wrong(Exception):
    """The part fails; `facts` say how."""

    def __init__(self, why: str, facts: Facts) -> None:
        super().__init__(why)
        self.facts = facts


class Skipped(Exception):
    """The part cannot be run here."""


@dataclass(frozen=True)
class Place:
    """Where a part works, and on what."""

    out: Path  # of the whole check
    work: Path  # of this part
    gpu: bool

    @property
    def rows(self) -> Path:
        return self.out / "profile_on_gpu" / "rows.parquet"

    @property
    def table(self) -> Path:
        return self.out / "profile_on_gpu" / "run"


# --- what the parts share ---


def settings(place: Place, **changes: Any) -> dict[str, Any]:
    """Of a training of four prompts x four completions a rollout batch, two steps each."""
    given: dict[str, Any] = {
        "table": str(place.table),
        "model": str(POLICY),
        "rollout_batch": 4,
        "grpo": {
            "num_generations": GENERATIONS,
            "per_device_train_batch_size": 8,
            "learning_rate": 1e-3,
            "lr_scheduler_type": "constant",
            "gradient_checkpointing": False,
            "max_steps": 2,
            "save_steps": 2,
            "log_completions": True,
        },
    }
    grpo = given["grpo"] | changes.pop("grpo", {})
    return given | changes | {"grpo": grpo}


def train(place: Place, name: str, *, rows: Path | None = None, **changes: Any) -> Facts:
    """Train in this process; gives the facts that `Watched` kept."""
    import durian.train
    from durian.config import TrainConfig
    from tests.gpu.launched import Watched

    facts = place.work / f"{name}.facts.json"
    Watched.order = {"facts": str(facts)}
    durian.train.DurianTrainer = Watched
    given = settings(place, **changes)
    out = place.work / name
    durian.train.train_policy(
        TrainConfig(dataset=str(rows or place.rows), out=str(out), **given), progress=None
    )
    return {
        **json.loads(facts.read_text()),
        "manifest": json.loads((out / "manifest.json").read_text()),
    }


def launch(
    place: Place,
    name: str,
    *,
    processes: int = 1,
    shared: bool = False,
    environ: dict[str, str] | None = None,
    kill_after: int | None = None,
    **changes: Any,
) -> tuple[int, Facts]:
    """Train in launched processes, as the command line does; gives the exit code and the facts."""
    given = settings(place, **changes)
    durian = {"rollout_batch": given.pop("rollout_batch")}
    config = place.work / f"{name}.yaml"
    config.write_text(json.dumps(given | {"durian": durian}))  # JSON is YAML
    facts = place.work / f"{name}.facts.json"
    facts.unlink(missing_ok=True)
    pretended = ("shared" if shared else None) if place.gpu else "cpu"
    order = {"pretend": pretended, "kill_after": kill_after, "facts": str(facts)}
    arguments = ["train", str(place.rows), "--config", str(config), "--out", str(place.work / name)]
    count = processes if place.gpu else max(2, processes)
    code = (_torchrun if place.gpu else _forked)(count, environ or {}, order, arguments)
    return code, json.loads(facts.read_text()) if facts.exists() else {}


def _torchrun(count: int, environ: dict[str, str], order: Facts, arguments: list[str]) -> int:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(count),
        "--master_addr", "127.0.0.1", "--master_port", str(free_port()),
        "-m", "tests.gpu.launched", json.dumps(order), *arguments,
    ]  # fmt: skip
    return subprocess.run(command, env={**os.environ, **environ}, check=False).returncode


def _forked(count: int, environ: dict[str, str], order: Facts, arguments: list[str]) -> int:
    """The same without a launcher: forked once the imports, most of the time, are done."""
    from tests.gpu.launched import run

    port = str(free_port())
    children = {}
    for rank in range(count):
        if (child := os.fork()) == 0:
            os.environ.update(
                environ, RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count),
                LOCAL_WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=port,
            )  # fmt: skip
            sys.argv = ["durian", *arguments]
            code = 1
            try:
                run(order)
            except SystemExit as ended:
                code = int(ended.code or 0)
            except BaseException:  # whatever it is, it must end in this child
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        children[child] = rank
    worst = 0
    while children:
        child, status = os.wait()
        children.pop(child)
        code = os.waitstatus_to_exitcode(status)
        if code and not worst:
            worst = code
            for other in children:  # as torchrun does: the others would wait for ever
                os.kill(other, signal.SIGKILL)
    return worst


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def weights(folder: Path) -> dict[str, Any]:
    """The whole model's weights in a folder; none where there are none."""
    from safetensors.torch import load_file

    found: dict[str, Any] = {}
    for file in sorted(folder.glob("model*.safetensors")):
        found |= load_file(file)
    return found


def furthest(one: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference of a weight; infinite where the two do not have the same ones."""
    if not one or one.keys() != other.keys():
        return float("inf")
    return max(float((one[k].float() - other[k].float()).abs().max()) for k in one)


def logged(out: Path) -> list[Facts]:
    """The steps of log.json."""
    return [step for step in json.loads((out / "log.json").read_text())["steps"] if "loss" in step]


def as_killed(whole: Path, out: Path, step: int) -> None:
    """A copy of a finished training as a kill after the checkpoint of `step` would leave it."""
    shutil.copytree(whole, out)
    for path in out.iterdir():
        number = path.name.partition("checkpoint-")[2]
        if number and int(number) > step:
            shutil.rmtree(path)
        elif path.name in ("manifest.json", "log.json", "model.safetensors"):
            path.unlink()


def order_of(out: Path) -> dict[int, list[str]]:
    """By step: the samples that a training drew completions for."""
    found = {}
    for file in sorted((out / "completions").glob("*.parquet")):
        rows = pq.read_table(file).to_pydict()
        found[int(rows["step"][0])] = rows["sample_id"]
    return found


def check(facts: Facts, *claims: tuple[bool, str]) -> Facts:
    """The facts; raises `Wrong` with all claims that do not hold."""
    broken = [why for holds, why in claims if not holds]
    if broken:
        raise Wrong("; ".join(broken), facts)
    return facts


FSDP2 = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_OFFLOAD_PARAMS": "false",
    "FSDP_SYNC_MODULE_STATES": "true",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}
ZERO3 = {
    "ACCELERATE_USE_DEEPSPEED": "true",
    "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3",
    "ACCELERATE_DEEPSPEED_ZERO3_INIT": "true",
    "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true",
    "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "none",
    "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "none",
}


# --- the parts ---


def profile_on_gpu(place: Place) -> Facts:
    """A profile by transformers' engine; the others train on its table. Spectral as on a CPU."""
    source = pq.read_table(ROOT / "data" / "photo_shapes" / "train.parquet").slice(0, ROWS)
    pq.write_table(source, place.rows)
    from durian.config import ProfileConfig
    from durian.profile import profile_dataset

    begun = time.perf_counter()
    profile_dataset(
        ProfileConfig(
            dataset=str(place.rows), out=str(place.table), model=str(POLICY), max_tokens=40,
            engine="transformers", rollouts=GENERATIONS, bins=3,
            measures=("pixel", "spectral", "confidence"),
        )
    )  # fmt: skip
    table = pq.read_table(place.table / "difficulty.parquet").to_pydict()
    facts = {
        "seconds": time.perf_counter() - begun,
        "errors": [error for error in table["error"] if error],
        "pass_rate": statistics.fmean(table["pass_rate"]),
        "mean_logprob": statistics.fmean(table["mean_logprob"]),
    }
    if place.gpu:
        cpu = place.work / "cpu"
        subprocess.run(
            [sys.executable, "-m", "durian_cli", "profile", str(place.rows), "--out", str(cpu),
             "--model", str(POLICY), "--engine", "transformers", "--measures", "pixel,spectral",
             "--quiet"],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, check=True,
        )  # fmt: skip
        other = pq.read_table(cpu / "difficulty.parquet").to_pydict()
        for name in ("pixel_entropy", "spectral_entropy"):
            apart = [abs(a - b) for a, b in zip(table[name], other[name], strict=True)]
            facts[f"{name}_gpu_against_cpu"] = max(apart)
    return check(
        facts,
        (not facts["errors"], "samples with errors"),
        (facts["mean_logprob"] < 0, "confidence is no log-probability"),
        (facts.get("spectral_entropy_gpu_against_cpu", 0) < 0.01, "spectral entropy differs"),
        (facts.get("pixel_entropy_gpu_against_cpu", 0) == 0, "pixel entropy differs"),
    )


def one_gpu(place: Place) -> Facts:
    """A training without a launcher, twice: on the GPU, and how far it repeats itself."""
    given = {"max_steps": 8, "save_steps": 8}
    first, second = (train(place, name, grpo=given) for name in ("first", "second"))
    one, two = (weights(place.work / name) for name in ("first", "second"))
    facts = {
        **{key: first[key] for key in ("device", "distributed", "peak_gib") if key in first},
        "moved": furthest(one, weights(POLICY)),
        "repeated_to": furthest(one, two),
        "rewards": [s["reward"] for s in logged(place.work / "first") if "reward" in s],
        "step_seconds": [step.get("step_time") for step in logged(place.work / "first")],
        "same_order": order_of(place.work / "first") == order_of(place.work / "second"),
    }
    return check(
        facts,
        (facts["device"].startswith("cuda") or not place.gpu, "not on the GPU"),
        (0 < facts["moved"] < 1, "the weights have not moved as they should"),
        (facts["same_order"], "the order of samples is another the second time"),
    )


def launched_device_map(place: Place) -> Facts:
    """DDP over NCCL, world of one: no device map under a launcher, weights as without one."""
    code, facts = launch(place, "out")
    alone = train(place, "alone")
    out = place.work / "out"
    facts = {
        "code": code,
        **{k: facts.get(k) for k in ("device_map", "backend", "device", "distributed")},
        "without_launcher": alone["device_map"],
        "from_one_process": furthest(weights(out), weights(place.work / "alone")),
    }
    return check(
        facts,
        (code == 0, f"ended with code {code}"),
        (not facts["device_map"], f"loaded with device map {facts['device_map']} under a launcher"),
        (facts["backend"] == ("nccl" if place.gpu else "gloo"), "another backend"),
        (bool(weights(out)), "no weights in OUT"),
    )


def two_processes_one_gpu(place: Place) -> Facts:
    """DDP over gloo, both processes on one GPU: advantages over both processes' samples."""
    code, facts = launch(place, "out", processes=2, shared=True)
    out = place.work / "out"
    facts = {"code": code, **{k: facts.get(k) for k in ("backend", "device", "batches")}}
    if code:
        raise Wrong(f"ended with code {code}", facts)
    facts["advantages_off_by"] = advantages_off_by(out)
    return check(
        facts,
        (len(facts["batches"][0]["samples"]) == 8, "a process does not have half of the rows"),
        (facts["advantages_off_by"] < 1e-5, "advantages are not those of all rows"),
        (0 < furthest(weights(out), weights(POLICY)) < 1, "the weights have not moved"),
    )


def advantages_off_by(out: Path) -> float:
    """How far the logged advantages are from the normalizer's own, on the CPU."""
    import torch

    from durian.normalizer import durian_advantages

    worst = 0.0
    for file in (out / "completions").glob("*.parquet"):
        rows = pq.read_table(file).to_pydict()
        rewards = torch.tensor(rows["reward"]).view(-1, GENERATIONS)
        seen, thought = (
            torch.tensor(rows[name]).long()[::GENERATIONS]
            for name in ("perceptual_group", "reasoning_group")
        )
        ours = durian_advantages(rewards, seen, thought).flatten()
        worst = max(worst, float((ours - torch.tensor(rows["advantage"])).abs().max()))
    return worst


def fsdp2_full(place: Place) -> Facts:
    """FSDP2 with a KL term: reference right at step 1, killed and resumed, weights in OUT."""
    grpo = {"max_steps": 4, "beta": 0.04, "log_completions": True}
    code, facts = launch(place, "whole", environ=FSDP2, grpo=grpo)
    whole, out = place.work / "whole", place.work / "killed"
    facts = {"code": code, **{k: facts.get(k) for k in ("backend", "device", "distributed")}}
    if code:
        raise Wrong(f"ended with code {code}", facts)
    facts["kl"] = [step.get("kl") for step in logged(whole)]
    facts["weights"] = len(weights(whole))
    facts["killed"], _ = launch(place, "killed", environ=FSDP2, grpo=grpo, kill_after=3)
    facts["resumed"], _ = launch(place, "killed", environ=FSDP2, grpo=grpo)
    facts["resumed_apart_by"] = furthest(weights(whole), weights(out))
    return check(
        facts,
        (abs(facts["kl"][0]) < KL_AT_START, f"KL at step 1 is {facts['kl'][0]}"),
        (facts["weights"] > 0, "no weights in OUT"),
        (facts["killed"] != 0, "was not killed"),
        (facts["resumed"] == 0, f"resuming ended with code {facts['resumed']}"),
        (facts["resumed_apart_by"] <= (TORN if place.gpu else 0), "resumed to other weights"),
    )


def fsdp2_sharded(place: Place) -> Facts:
    """FSDP2 with accelerate's default, sharded checkpoints: whole weights in OUT all the same."""
    environ = FSDP2 | {"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}
    grpo = {"max_steps": 4, "beta": 0.04}
    code, _ = launch(place, "whole", environ=environ, grpo=grpo)
    whole, out = place.work / "whole", place.work / "killed"
    facts: Facts = {"code": code, "manifest": (whole / "manifest.json").exists()}
    facts["weights"] = len(weights(whole))
    facts["files"] = sorted(path.name for path in whole.iterdir()) if whole.is_dir() else []
    if code == 0 and facts["weights"]:
        facts["kl"] = [step.get("kl") for step in logged(whole)]
        as_killed(whole, out, 2)
        facts["resumed"], _ = launch(place, "killed", environ=environ, grpo=grpo)
        facts["resumed_apart_by"] = furthest(weights(whole), weights(out))
    return check(
        facts,
        (code == 0, f"ended with code {code}"),
        (facts["weights"] > 0, "ended well, and OUT holds no weights"),
        (facts.get("resumed", 0) == 0, "could not be resumed"),
        (
            facts.get("resumed_apart_by", 0.0) <= (TORN if place.gpu else 0),
            "resumed to other weights",
        ),
    )


def fsdp2_two_processes(place: Place) -> Facts:
    """FSDP2 over two processes that load on rank 0 only: the reference is right, or refused."""
    environ = FSDP2 | {"FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
    code, facts = launch(
        place, "out", processes=2, shared=True, environ=environ, grpo={"beta": 0.04}
    )
    facts = {"code": code, **{k: facts.get(k) for k in ("backend", "device", "distributed")}}
    log = place.out / f"{place.work.name}.log"
    said = log.read_text(errors="replace") if log.exists() else ""
    facts["refused"] = code != 0 and "durian: " in said and "reference" in said
    if code and not facts["refused"]:
        if place.gpu and "gloo" in said.lower():
            raise Skipped("gloo does not shard tensors of a GPU")
        raise Wrong(f"ended with code {code}", facts)
    if not facts["refused"]:
        facts["kl"] = [step.get("kl") for step in logged(place.work / "out")]
        if abs(facts["kl"][0]) >= KL_AT_START:
            raise Wrong(f"trained against another reference: KL at step 1 {facts['kl'][0]}", facts)
    return facts


def zero3(place: Place) -> Facts:
    """ZeRO-3 with a KL term: loads, reference right at step 1, weights in OUT, resumed."""
    if find_spec("deepspeed") is None:
        raise Skipped("deepspeed is not installed")
    if not place.gpu and os.environ.get("DS_ACCELERATOR") != "cpu":
        raise Skipped("without a GPU its first run compiles for minutes (DS_ACCELERATOR=cpu)")
    grpo = {"max_steps": 4, "beta": 0.04}
    code, facts = launch(place, "whole", environ=ZERO3, grpo=grpo)
    whole, out = place.work / "whole", place.work / "killed"
    facts = {"code": code, **{k: facts.get(k) for k in ("device_map", "backend", "distributed")}}
    if code:  # what stops it may be the load alone: is the rest right?
        facts["with_device_map_null"], _ = launch(
            place, "null", environ=ZERO3, grpo=grpo | {"model_init_kwargs": {"device_map": None}}
        )
        null = place.work / "null"
        if facts["with_device_map_null"] == 0:
            facts["kl"] = [step.get("kl") for step in logged(null)]
            facts["weights"] = len(weights(null))
        raise Wrong(f"ended with code {code}", facts)
    facts["kl"] = [step.get("kl") for step in logged(whole)]
    facts["weights"] = len(weights(whole))
    as_killed(whole, out, 2)
    facts["resumed"], _ = launch(place, "killed", environ=ZERO3, grpo=grpo)
    facts["resumed_apart_by"] = furthest(weights(whole), weights(out))
    return check(
        facts,
        (abs(facts["kl"][0]) < KL_AT_START, f"KL at step 1 is {facts['kl'][0]}"),
        (facts["weights"] > 0, "no weights in OUT"),
        (facts["resumed"] == 0, f"resuming ended with code {facts['resumed']}"),
        (facts["resumed_apart_by"] <= TORN, "resumed to other weights"),
    )


def resume_in_both_epochs(place: Place) -> Facts:
    """Cut in the first epoch, and in the second: the same samples, the same weights."""
    given = {"max_steps": 8}  # two epochs of four steps
    train(place, "whole", grpo=given)
    train(place, "again", grpo=given)
    whole = place.work / "whole"
    facts: Facts = {"repeated_to": furthest(weights(whole), weights(place.work / "again"))}
    allowed = min(TORN, 10 * facts["repeated_to"])
    claims = []
    for step, epoch in ((2, "first"), (6, "second")):
        out = place.work / f"cut-{step}"
        as_killed(whole, out, step)
        train(place, out.name, grpo=given)
        same = order_of(whole) == order_of(out)
        apart = furthest(weights(whole), weights(out))
        facts[f"{epoch}_epoch"] = {"same_order": same, "weights_apart_by": apart}
        claims.append((same, f"resumed in the {epoch} epoch, it drew other samples"))
        claims.append((apart <= allowed, f"resumed in the {epoch} epoch to other weights"))
    return check(facts, *claims)


def masked_confidence(place: Place) -> Facts:
    """Completions that are cut and masked say nothing of confidence."""
    facts = train(
        place, "out", groups="online", percentiles=(25.0, 75.0), bins=4,
        grpo={"mask_truncated_completions": True, "max_completion_length": 12},
    )  # fmt: skip
    groups, silent = [], 0
    for batch in facts["batches"]:
        tokens = [batch["tokens"][i : i + GENERATIONS] for i in range(0, len(batch["tokens"]), 4)]
        silent += sum(not any(own) for own in tokens)
        groups += [
            g for own, g in zip(tokens, batch["reasoning_group"], strict=True) if not any(own)
        ]
    facts = {"samples_all_masked": silent, "their_groups": groups}
    if not silent:
        raise Skipped("no sample had all of its completions masked")
    return check(facts, (all(g == -1 for g in groups), "a sample of no tokens is in a group"))


def pixels_in_memory(place: Place) -> Facts:
    """Pixels of a rollout batch: how many bytes, where, and whether the dry run counts them."""
    import torch

    from durian.config import TrainConfig
    from durian.planning.dry_run import plan_training

    side = 448 if place.gpu else 128
    rows, table = profiled_at(place, side)
    facts: Facts = {"side": side}
    for name, bound in (("free", side**2), ("bounded", (side // 2) ** 2)):
        given = {"table": str(table), "max_pixels": bound, "rollout_batch": ROWS,
                 "grpo": {"max_completion_length": 8, "save_steps": 4}}  # fmt: skip
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        seen = train(place, name, rows=rows, **given)
        (patches, width), kind, device = seen["batches"][0]["pixels"]
        plan = plan_training(
            TrainConfig(dataset=str(rows), out=str(place.work / "planned"),
                        **settings(place, **given))
        )  # fmt: skip
        facts[name] = {
            "mib": patches * width * (2 if "16" in kind else 4) / 2**20,
            "mib_a_row": patches * width * 4 / 2**20 / (ROWS * GENERATIONS),
            "device": device, "dtype": kind, "peak_gib": seen.get("peak_gib"),
            "planned_gib": plan.memory_gib,
        }  # fmt: skip
    ratio = facts["free"]["mib"] / facts["bounded"]["mib"]
    return check(
        facts,
        (3 < ratio < 5, f"half the side leaves 1/{ratio:.1f} of the pixels, not a quarter"),
        *(
            (
                abs(facts[name]["planned_gib"].get("pixels", 0) * 1024 / facts[name]["mib"] - 1)
                < 0.1,
                f"the dry run counts other pixels ({name})",
            )
            for name in ("free", "bounded")
        ),
    )


def profiled_at(place: Place, side: int) -> tuple[Path, Path]:
    """The same rows with images of `side` x `side` pixels, and a run over them."""
    from PIL import Image

    from durian.config import ProfileConfig
    from durian.profile import profile_dataset

    rows, run = place.work / "large.parquet", place.work / "run"
    table = pq.read_table(place.rows)
    images = []
    for of_row in table["images"].to_pylist():
        with Image.open(io.BytesIO(of_row[0]["bytes"])) as image:
            file = io.BytesIO()
            image.convert("RGB").resize((side, side)).save(file, "PNG")
        images.append([{"bytes": file.getvalue(), "path": None}])
    at = table.column_names.index("images")
    field = table.schema.field("images")
    pq.write_table(table.set_column(at, field, pa.array(images, field.type)), rows)
    profile_dataset(
        ProfileConfig(dataset=str(rows), out=str(run), model=str(POLICY), max_tokens=8,
                      engine="transformers", rollouts=2, bins=2, max_pixels=side**2)
    )  # fmt: skip
    return rows, run


def real_size(place: Place) -> Facts:
    """A policy of about half a billion weights: time and memory of a step, against the dry run."""
    from durian.config import TrainConfig
    from durian.planning.dry_run import plan_training

    model = place.work / "policy"
    count = random_policy(model, large=place.gpu)
    rows, table = profiled_at(place, 448 if place.gpu else 64)
    given = {"model": str(model), "table": str(table), "rollout_batch": ROWS,
             "grpo": {"max_completion_length": 64 if place.gpu else 8, "beta": 0.04,
                      "gradient_checkpointing": True, "learning_rate": 1e-6, "save_steps": 1000,
                      "save_strategy": "no", "log_completions": False}}  # fmt: skip
    seen = train(place, "out", rows=rows, **given)
    plan = plan_training(
        TrainConfig(dataset=str(rows), out=str(place.work / "planned"), **settings(place, **given))
    )
    steps = logged(place.work / "out")
    facts = {
        "parameters": count,
        "peak_gib": seen.get("peak_gib"),
        "planned_gib": plan.memory_gib,
        "step_seconds": [step.get("step_time") for step in steps],
        "kl": [step.get("kl") for step in steps],
        "grad_norm": [step.get("grad_norm") for step in steps],
        "tokens": steps[-1].get("num_tokens"),
    }
    return check(facts, (abs(facts["kl"][0]) < KL_AT_START, f"KL at step 1 is {facts['kl'][0]}"))


def random_policy(folder: Path, *, large: bool) -> int:
    """Save a Qwen2.5-VL of random weights with the shipped policy's tokenizer; gives its size."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText

    shutil.copytree(POLICY, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    config = AutoConfig.from_pretrained(POLICY)
    if large:
        text, vision = config.text_config, config.vision_config
        text.hidden_size, text.intermediate_size, text.num_hidden_layers = 1024, 4096, 24
        text.num_attention_heads, text.num_key_value_heads = 16, 4
        text.rope_parameters["mrope_section"] = [8, 12, 12]
        text.layer_types = ["full_attention"] * 24
        vision.hidden_size, vision.intermediate_size, vision.num_heads = 640, 2048, 10
        vision.depth, vision.out_hidden_size = 12, 1024
        vision.fullatt_block_indexes = list(range(12))
        config.dtype = torch.bfloat16
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config, dtype=config.dtype)
    model.save_pretrained(folder)
    return sum(weight.numel() for weight in model.parameters())


def normalizer_cost(place: Place) -> Facts:
    """512 samples x 8: the same advantages from rewards on a GPU and on the CPU, and the time."""
    import torch

    from durian.normalizer import durian_advantages

    torch.manual_seed(0)
    rewards = torch.rand(512, 8).round(decimals=1)
    seen, thought = torch.randint(0, 3, (512,)), torch.randint(0, 10, (512,))
    facts: Facts = {}
    results = {}
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        given = [x.to(device) for x in (rewards, seen, thought)]
        took = []
        for _ in range(20):
            begun = time.perf_counter()
            results[device] = durian_advantages(*given).cpu()
            took.append(time.perf_counter() - begun)
        facts[f"{device}_ms"] = statistics.median(took) * 1000
    facts["apart_by"] = max(float((r - results["cpu"]).abs().max()) for r in results.values())
    return check(facts, (facts["apart_by"] == 0, "the two devices give other advantages"))


def vllm_colocate(place: Place) -> Facts:
    """vLLM beside the trainer: it samples from the prompts that are trained on."""
    if find_spec("vllm") is None:
        raise Skipped("vLLM is not installed")
    if not place.gpu:
        raise Skipped("TRL cannot load new weights into vLLM on a CPU")
    train(
        place, "out",
        grpo={"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.2,
              "max_steps": 4},
    )  # fmt: skip
    steps = logged(place.work / "out")
    name = "sampling/sampling_logp_difference/mean"
    facts = {
        "logprob_gap": [step.get(name) for step in steps],
        "accuracy": [step.get("rewards/accuracy") for step in steps],
    }
    gaps = [gap for gap in facts["logprob_gap"] if gap is not None]
    return check(
        facts,
        (bool(gaps), "no gap was logged"),
        (all(gap < LOGPROB_GAP for gap in gaps), f"log-probabilities {max(gaps, default=0)} apart"),
    )


PARTS: dict[str, Callable[[Place], Facts]] = {
    part.__name__: part
    for part in (
        profile_on_gpu, zero3, launched_device_map, fsdp2_sharded, fsdp2_full,
        resume_in_both_epochs, masked_confidence, two_processes_one_gpu, fsdp2_two_processes,
        one_gpu, pixels_in_memory, vllm_colocate, real_size, normalizer_cost,
    )
}  # fmt: skip


def main(arguments: Iterable[str]) -> None:
    """Run one part, and leave its result."""
    name, out, *rehearse = arguments
    place = Place(Path(out), Path(out) / name, not rehearse)
    shutil.rmtree(place.work, ignore_errors=True)
    place.work.mkdir(parents=True)
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if place.gpu:
                import torch

                if not torch.cuda.is_available():
                    raise Skipped("there is no GPU")
            found: Facts = {"status": "PASS", "facts": PARTS[name](place)}
        except Skipped as why:
            found = {"status": "SKIP", "why": str(why)}
        except Wrong as why:
            found = {"status": "FAIL", "why": str(why), "facts": why.facts}
        except BaseException as why:  # anything else that stops a part fails it
            traceback.print_exc()
            found = {"status": "FAIL", "why": f"{type(why).__name__}: {str(why)[:500]}"}
    found["own_seconds"] = round(time.perf_counter() - begun, 1)
    (Path(out) / f"{name}.json").write_text(json.dumps(found))
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
