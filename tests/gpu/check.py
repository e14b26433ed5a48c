"""Run the parts of the GPU check, each a process with a time limit, and say what they showed.

    python -m tests.gpu.check --out gpu-check            (make gpu-check)
    python -m tests.gpu.check --rehearse --out DIR       without a GPU, the same parts over gloo

A line a part: PASS, FAIL or SKIP; all of it in OUT/result.json, a log a part beside it. The exit
code is 1 where a part failed. Needs Durian's packages and torch; deepspeed and vLLM where they are
installed. What is thought most doubtful runs first: a run that is cut short has shown the most.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

ROOT = Path(__file__).resolve().parents[2]
# By part: seconds that it may take. The first prepares what the others train on; those after the
# bar measure time or memory, and run alone.
FIRST = {"profile_on_gpu": 150}
TOGETHER = {
    "zero3": 200,
    "launched_device_map": 120,
    "fsdp2": 300,
    "resume_in_both_epochs": 150,
    "masked_confidence": 120,
    "two_processes_one_gpu": 150,
    "fsdp2_two_processes": 150,
    "one_gpu": 120,
    "pixels_in_memory": 150,
}
ALONE = {
    "vllm_colocate": 200,
    "profile_by_vllm": 240,
    "real_size": 150,
    "normalizer_cost": 90,
    "verl_step": 300,
    "swift_step": 200,
}
LIMITS = FIRST | TOGETHER | ALONE
PACKAGES = ("torch", "transformers", "trl", "accelerate", "peft", "datasets", "deepspeed", "vllm")


def main(argv: list[str] | None = None) -> int:
    """Parse, run, tell."""
    parser = argparse.ArgumentParser(prog="tests.gpu.check", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for result and logs")
    parser.add_argument("--rehearse", action="store_true", help="without a GPU")
    parser.add_argument("--parts", help=f"some of {','.join(LIMITS)}")
    parser.add_argument("--seconds", type=float, default=530, help="in all")
    parser.add_argument("--lanes", type=int, help="parts at a time; default: a lane for 3 cores")
    given = parser.parse_args(argv)
    asked = given.parts.split(",") if given.parts else list(LIMITS)
    if unknown := set(asked) - set(LIMITS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(LIMITS)}")
    given.out.mkdir(parents=True, exist_ok=True)
    path = [str(ROOT), str(ROOT / "pipelines"), os.environ.get("PYTHONPATH", "")]
    os.environ |= {
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1" if given.rehearse else "2"),
    }
    check = Check(given.out.resolve(), given.rehearse, given.seconds)
    lanes = given.lanes or max(1, min(5, (os.cpu_count() or 1) // 3))
    for names, at_once in ((FIRST, 1), (TOGETHER, lanes), (ALONE, 1)):
        chosen = [name for name in names if name in asked or names is FIRST]
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(check.run, chosen))
    return check.tell()


class Check:
    """The results so far, and the time that is left."""

    def __init__(self, out: Path, rehearse: bool, seconds: float) -> None:
        self._out, self._rehearse = out, rehearse
        self._begun, self._end = time.monotonic(), time.monotonic() + seconds
        self.parts: dict[str, dict[str, Any]] = {}

    def run(self, name: str) -> None:
        """Run a part in its own process; a part that outlasts its time is ended with its own."""
        limit = LIMITS[name] * (4 if self._rehearse else 1)  # two cores are not sixteen
        left = min(limit, self._end - time.monotonic())
        if left < 10:
            self._note(name, {"status": "SKIP", "why": "no time left"}, 0.0)
            return
        result = self._out / f"{name}.json"
        result.unlink(missing_ok=True)
        begun = time.monotonic()
        with (self._out / f"{name}.log").open("wb") as log:
            code = (forked if self._rehearse else spawned)(name, self._out, log, left)
        if code is None:
            found = {"status": "FAIL", "why": f"took longer than {left:.0f} s"}
        elif result.exists():
            found = json.loads(result.read_text())
        else:
            found = {"status": "FAIL", "why": f"ended with code {code}"}
        self._note(name, found, time.monotonic() - begun)

    def _note(self, name: str, found: dict[str, Any], seconds: float) -> None:
        self.parts[name] = {**found, "seconds": round(seconds, 1)}
        why = f": {found['why']}" if found.get("why") else ""
        print(f"{found['status']} {name} ({seconds:.0f} s){why}", flush=True)
        self._write()

    def _write(self) -> None:
        text = json.dumps(
            {
                "rehearsal": self._rehearse,
                "seconds": round(time.monotonic() - self._begun, 1),
                "machine": machine(),
                "parts": self.parts,
            },
            indent=1,
        )
        (self._out / "result.json").write_text(text)

    def tell(self) -> int:
        """The result as one line of JSON, and the exit code."""
        counts = {
            status: sum(part["status"] == status for part in self.parts.values())
            for status in ("PASS", "FAIL", "SKIP")
        }
        print(json.dumps({"parts": self.parts, **counts}))
        return 1 if counts["FAIL"] else 0


def spawned(name: str, out: Path, log: BinaryIO, seconds: float) -> int | None:
    """Run a part as a process; gives its exit code, None where it outlasts its time."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.gpu.parts", name, str(out)],
        cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def forked(name: str, out: Path, log: BinaryIO, seconds: float) -> int | None:
    """The same for a rehearsal, forked once the imports, most of its time, are done."""
    import tests.gpu.launched  # noqa: F401

    process = multiprocessing.get_context("fork").Process(
        target=_rehearsed, args=(name, str(out), log.fileno())
    )
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
        return None
    return process.exitcode


def _rehearsed(name: str, out: str, log: int) -> None:
    from tests.gpu.parts import main

    os.setsid()
    for stream in (1, 2):
        os.dup2(log, stream)
    main([name, out, "--rehearse"])


def machine() -> dict[str, Any]:
    """Versions of what the check rests on."""
    found: dict[str, Any] = {"python": sys.version.split()[0], "cores": os.cpu_count()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


if __name__ == "__main__":
    sys.exit(main())
