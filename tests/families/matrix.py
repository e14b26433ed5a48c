"""The support matrix: what was found on each family, as docs/families.md shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE, RECORD = ROOT / "docs" / "families.md", Path(__file__).parent / "matrix.json"

NAMES = {
    "qwen2_vl": "Qwen2-VL",
    "qwen2_5_vl": "Qwen2.5-VL",
    "qwen3_vl": "Qwen3-VL",
    "qwen3_vl_moe": "Qwen3-VL MoE",
    "llava": "LLaVA-1.5",
    "llava_next": "LLaVA-NeXT",
    "llava_onevision": "LLaVA-OneVision",
    "gemma3": "Gemma 3",
    "glm4v": "GLM-4.1V",
    "mllama": "Llama 3.2 Vision",
    "pixtral": "Pixtral",
    "mistral3": "Mistral Small 3.1",
    "idefics3": "Idefics3",
    "smolvlm": "SmolVLM",
    "phi4_multimodal": "Phi-4-multimodal",
    "internvl": "InternVL3",
}
_HEAD = (
    "# Families of policies\n\n"
    "Each family was built tiny (its own configuration, processor and chat template, random"
    " weights) and taken through every road on a CPU in float32 by `python -m tests.families`,"
    " which writes this page; `make test` holds a part of it. `durian doctor --model M` does the"
    " same for any policy.\n\n"
    "*ok*: the tokens are those of transformers' own chat template, and the log-probabilities"
    " those of a plain pass over the same prompt. *no*: refused in a line, before anything is"
    " sampled; the reasons are below. Differences are the largest between two sums over a"
    " completion, in nats. *train, read by vLLM*: vLLM's own processor, beside the trainer, makes"
    " the very tokens that are trained on (its weights need a GPU and were not run).\n"
)
_COLUMNS = (
    "family", "profile, transformers", "profile, vLLM", "spectral", "eval", "train",
    "train, read by vLLM", "several images", "pixel bounds", "system prompt",
    "largest difference: transformers", "vLLM", "training",
)  # fmt: skip
# What must hold on an engine for its profile to be right.
_PROFILE = ("model", "prompt", "tokens", "beginning", "counted tokens", "image tokens", "engine",
            "engine's tokens", "log-probabilities", "log-probabilities, text alone",
            "another image")  # fmt: skip


def read_record() -> dict[str, Any]:
    """By family: the doctor's checks on each engine, and what eval and train came to."""
    found: dict[str, Any] = json.loads(RECORD.read_text())
    return found


def page(record: dict[str, Any]) -> str:
    """docs/families.md."""
    rows = [_row(family, record[family]) for family in NAMES if family in record]
    table = ["| " + " | ".join(_COLUMNS) + " |", "| " + " | ".join("---" for _ in _COLUMNS) + " |"]
    table += ["| " + " | ".join(row) + " |" for row in rows]
    shared: dict[str, list[str]] = {}  # families by what is said of them
    for family in NAMES:
        for reason in _reasons(record.get(family, {})):
            shared.setdefault(reason, []).append(NAMES[family])
    limits = [f"- {reason}: {', '.join(names)}" for reason, names in shared.items()]
    return "\n".join([_HEAD, *table, "", "## Limits", "", *limits]) + "\n"


def verdict(checks: dict[str, Any] | None, *names: str) -> str:
    """One cell for several checks on an engine: the worst of them."""
    if checks is None:
        return "not tried"
    found = [checks[name]["verdict"] for name in names if name in checks]
    if "wrong" in found:
        return "**wrong**"
    return "no" if "unsupported" in found or not found else "ok"


def _row(family: str, tried: dict[str, Any]) -> list[str]:
    plain, vllm = tried.get("transformers"), tried.get("vllm")
    # What no road loads is refused by each of them.
    untried = "no" if verdict(plain, "model") == "no" else "not tried"
    two = "log-probabilities, two images"
    several = [verdict(engine, two) for engine in (plain, vllm) if engine]
    same = several[:1] if len({*several}) == 1 else [f"{several[0]}; vLLM {several[1]}"]
    return [
        NAMES[family],
        verdict(plain, *_PROFILE),
        untried if vllm is None else verdict(vllm, *_PROFILE),
        verdict(plain, "spectral features"),
        tried.get("eval", {}).get("verdict", untried),
        tried.get("train", {}).get("verdict", untried),
        tried.get("beside", {}).get("verdict", untried),
        *same,
        verdict(plain, "pixel bounds"),
        verdict(plain, "system prompt", "log-probabilities, system prompt"),
        _largest(plain),
        _largest(vllm),
        _nats(tried.get("train", {}).get("nats")),
    ]


def _largest(checks: dict[str, Any] | None) -> str:
    nats = [check["nats"] for check in (checks or {}).values() if check["nats"] is not None]
    return _nats(max(nats, default=None))


def _nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.0e}"


def _reasons(tried: dict[str, Any]) -> list[str]:
    said: list[str] = []
    for engine in ("transformers", "vllm"):
        for name, check in tried.get(engine, {}).items():
            if check["verdict"] != "ok" and check["said"] != "the engine drew nothing":
                where = f"{name}, vLLM" if engine == "vllm" else name
                why = check["said"].removeprefix("model 'M': ").partition("; it knows")[0]
                if not any(line.endswith(f" ({why})") for line in said):
                    said.append(f"{where} ({why})")
    for road in ("eval", "train", "beside"):
        why = tried.get(road, {}).get("said", "").removeprefix("model 'M': ")
        if why and not any(line.endswith(f" ({why})") for line in said):
            said.append(f"{road} ({why})")
    return said
