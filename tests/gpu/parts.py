"""The parts of the GPU check: each trains, or measures, and raises where the result is wrong.

Usage: python -m tests.gpu.parts NAME OUT [--rehearse]; leaves OUT/NAME.json.

A part gives facts, whether it passes or not. In a rehearsal the launches are of two processes on
the CPU, with accelerate's real engines over gloo (see `launched`); on a GPU they are of one process
over NCCL, or of two over gloo on the one GPU where the part says so.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.gpu.ground import Facts, Place, Skipped, Wrong
from tests.gpu.launches import (
    fsdp2,
    fsdp2_two_processes,
    launched_device_map,
    two_processes_one_gpu,
    zero3,
)  # fmt: skip
from tests.gpu.profiles import profile_by_vllm
from tests.gpu.sizes import normalizer_cost, pixels_in_memory, profile_on_gpu, real_size
from tests.gpu.trainers import swift_step, verl_step
from tests.gpu.trainings import masked_confidence, one_gpu, resume_in_both_epochs, vllm_colocate

PARTS: dict[str, Callable[[Place], Facts]] = {
    part.__name__: part
    for part in (
        profile_on_gpu, zero3, launched_device_map, fsdp2, resume_in_both_epochs, masked_confidence,
        two_processes_one_gpu, fsdp2_two_processes, one_gpu, pixels_in_memory, vllm_colocate,
        profile_by_vllm, real_size, normalizer_cost, verl_step, swift_step,
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
