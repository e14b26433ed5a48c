"""Parts of the GPU check: a profile, and the memory and the time that things take."""

from __future__ import annotations

import io
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.gpu.ground import (
    GENERATIONS,
    KL_AT_START,
    POLICY,
    ROOT,
    ROWS,
    Facts,
    Place,
    check,
    logged,
    settings,
    train,
)


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
