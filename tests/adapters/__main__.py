"""The plug-ins inside the real trainers: `make adapters`, or `python -m tests.adapters [verl ...]`.

For each trainer: an environment of its own (uv; pinned in `requirements/`), Durian in it by a plain
`--no-deps`, files as `durian export` writes them, and the parts of `in_TRAINER.py`. A line a part:
PASS, FAIL or SKIP; the last line is one JSON object; the exit code is 1 where a part failed.

verl, ms-swift and TRL come from the package index. EasyR1 and slime are not there: EASYR1=FOLDER
and SLIME=FOLDER name their clones, without which they are skipped. An environment takes up to 6 GB,
and is deleted before the next is built, unless --keep is given. No GPU is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "adapters"
# By trainer: the distribution whose version is told, and the variable that names a clone.
TRAINERS: dict[str, tuple[str, str | None]] = {
    "verl": ("verl", None),
    "swift": ("ms-swift", None),
    "trl": ("trl", None),
    "easyr1": ("verl", "EASYR1"),
    "slime": ("slime", "SLIME"),
}
PROFILE = (
    "data/photo_shapes/train.parquet --limit 96 --model data/tiny_policy --max-tokens 48 "
    "--rollouts 4"
).split()
# By the word behind a trainer's name: how its further folders are exported.
EXPORTS: dict[str, dict[str, list[str]]] = {
    name: {"": ["--parts", "train=0.75,val=0.25"], "-paths": ["--images", "paths"]}
    for name in TRAINERS
}
# ms-swift writes a system message that the tiny policy's own chat template leaves out.
EXPORTS["swift"][""] += ["--system-prompt", ""]
for form in ("sft", "dpo"):
    EXPORTS["swift"][f"-{form}"] = ["--to", form, "--messages", "marks", "--per-sample", "2"]
    EXPORTS["trl"][f"-{form}"] = ["--to", form, "--per-sample", "2"]


def main() -> int:
    """Build, run, tell."""
    parser = argparse.ArgumentParser(prog="tests.adapters", description=__doc__)
    parser.add_argument("trainers", nargs="*", choices=[*TRAINERS, []], help="default: all")
    parser.add_argument("--folder", type=Path, default=ROOT / ".venv-adapters")
    parser.add_argument("--keep", action="store_true", help="keep the environments")
    given = parser.parse_args()
    given.folder.mkdir(exist_ok=True)
    run = given.folder / "run"
    if not (run / "manifest.json").exists():
        _durian("profile", *PROFILE, "--out", str(run))
    told: dict[str, Any] = {}
    for name in given.trainers or TRAINERS:
        told[name] = _check(name, run, given.folder, given.keep)
    print(json.dumps(told))
    return int(any(part["status"] == "FAIL" for parts in told.values() for part in parts.values()))


def _check(name: str, run: Path, folder: Path, keep: bool) -> dict[str, Any]:
    distribution, variable = TRAINERS[name]
    clone = os.environ.get(variable) if variable else None
    if variable and not clone:
        return {"all": _tell(name, "all", {"status": "SKIP", "why": f"{variable} names no clone"})}
    data = folder / "data" / name
    for word, more in EXPORTS[name].items():
        out = folder / "data" / f"{name}{word}"
        shutil.rmtree(out, ignore_errors=True)
        to = [] if "--to" in more else ["--to", name]
        _durian("export", str(run), *to, "--out", str(out), *more)
    environment = folder / name
    python = Path(sys.executable) if name == "trl" else _build(name, environment, clone)
    version = _output(
        python, "-c", f"import importlib.metadata as m; print(m.version({distribution!r}))"
    )
    out = folder / f"{name}.json"
    out.unlink(missing_ok=True)
    outside = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if name == "trl":
        outside["PYTHONPATH"] = str(ROOT / "pipelines")
    with (folder / f"{name}.log").open("w") as log:
        subprocess.run(
            [python, HERE / f"in_{name}.py", "--data", data, "--out", out],
            stdout=log, stderr=subprocess.STDOUT,
            # A filter that the hub's library cached in another run would be found again.
            env=outside | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(data / "cache")},
        )  # fmt: skip
    if not keep and name != "trl":
        shutil.rmtree(environment)
    if not out.exists():
        why = f"said nothing; see {folder / f'{name}.log'}"
        return {"all": _tell(name, "all", {"status": "FAIL", "why": why})}
    parts: dict[str, Any] = json.loads(out.read_text())
    return {part: _tell(f"{name} {version}", part, found) for part, found in parts.items()}


def _build(name: str, environment: Path, clone: str | None) -> Path:
    """An environment with the trainer and Durian, or the one that was kept."""
    python = environment / "bin" / "python"
    if not python.exists():
        _uv("venv", "--python", "3.11", str(environment))
    pins = HERE / "requirements"
    install = ("pip", "install", "--python", str(python))
    _uv(*install, "-r", str(pins / f"{name}.in"), "-c", str(pins / f"{name}.txt"))
    if clone:
        _uv(*install, "--no-deps", clone)
    _uv(*install, "--no-deps", "--reinstall-package", "durian-rl", str(ROOT))
    return python


def _durian(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "durian_cli", *words, "--quiet"], cwd=ROOT, check=True)


def _uv(*words: str) -> None:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is None:
        raise SystemExit("tests.adapters: uv is not installed; run `make setup` first")
    subprocess.run([uv, *words, "--quiet"], check=True)


def _output(python: Path, *words: str) -> str:
    done = subprocess.run([python, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _tell(trainer: str, part: str, found: dict[str, Any]) -> dict[str, Any]:
    facts = ", ".join(
        f"{name} {value}" for name, value in found.items() if name not in ("status", "refused")
    )
    print(f"{found['status']} {trainer}: {part} ({facts})", flush=True)
    for line in found.get("refused", []):
        print(f"     refused: {line}", flush=True)
    return found


sys.exit(main())
