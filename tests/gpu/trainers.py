"""A step of other people's trainers with the plug-ins in them, on a GPU: verl and ms-swift.

Their environments are not Durian's: VERL_PYTHON and SWIFT_PYTHON name a Python that has the trainer
with vLLM, and Durian by `pip install --no-deps` (docs/trainers); without, the part is skipped. The
lines of those pages are run as written, with small numbers behind them.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.gpu.ground import POLICY, ROOT, Facts, Place, Skipped, check

PAGES = ROOT / "docs" / "trainers"


def verl_step(place: Place) -> Facts:
    """Two steps of verl's V1 trainer."""
    return _steps(
        place, "verl", "verl",
        "data.train_batch_size=4 data.max_prompt_length=512 data.max_response_length=40 "
        "actor_rollout_ref.rollout.name=vllm actor_rollout_ref.rollout.n=4 "
        "actor_rollout_ref.rollout.gpu_memory_utilization=0.3 "
        "actor_rollout_ref.rollout.tensor_model_parallel_size=1 "
        "actor_rollout_ref.actor.ppo_mini_batch_size=4 "
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4 "
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4 "
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=4 "
        "trainer.n_gpus_per_node=1 trainer.nnodes=1 trainer.logger=[console] "
        "trainer.total_training_steps=2 trainer.val_before_train=False trainer.save_freq=-1 "
        f"reward.custom_reward_function.path={_planted(place)}",
    )  # fmt: skip


def swift_step(place: Place) -> Facts:
    """Two steps of `swift rlhf`."""
    return _steps(
        place, "ms-swift", "swift",
        "--model_type qwen2_5_vl --template qwen2_5_vl --num_generations 4 "
        "--per_device_train_batch_size 8 --gradient_accumulation_steps 2 --max_steps 2 "
        "--max_completion_length 40 --tuner_type full --save_strategy no --report_to none "
        f"--external_plugins {ROOT / 'pipelines/durian/plugins/durian_swift.py'} "
        f"{ROOT / 'tests/adapters/swift_watch.py'} --reward_funcs graded "
        f"--output_dir {place.work / 'out'}",
    )  # fmt: skip


def _steps(place: Place, page: str, form: str, more: str) -> Facts:
    python = os.environ.get(f"{form.upper()}_PYTHON")
    if python is None:
        raise Skipped(f"{form.upper()}_PYTHON names no Python that has {page}")
    if not place.gpu:
        raise Skipped(f"{page} takes no step without a GPU here; `make adapters` goes as far")
    data = place.work / "data"
    subprocess.run(
        [sys.executable, "-m", "durian_cli", "export", str(place.table), "--to", form, "--out",
         str(data), "--parts", "train=0.5,val=0.5", "--quiet"],
        check=True,
    )  # fmt: skip
    begin = "python3 -m verl" if form == "verl" else "swift rlhf"
    text = (PAGES / f"{page}.md").read_text()
    [line] = re.findall(rf"^    ({begin}.*)$", text, re.M)
    line = re.sub(r"\bDIR\b", shlex.quote(str(data)), line).replace("MODEL", str(POLICY))
    own = {
        "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}",
        "DURIAN_WATCH": str(place.work / "watch.jsonl"),
    }
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        ["bash", "-c", f"{line} {more}"], capture_output=True, text=True, cwd=place.work,
        env=kept | own,
    )  # fmt: skip
    said = done.stdout + done.stderr
    print(said)
    batches = re.findall(rf"durian \({form}\): (\d+) samples; .*", said)
    facts = {"code": done.returncode, "samples": [int(count) for count in batches]}
    return check(
        facts,
        (done.returncode == 0, f"ended with {done.returncode}"),
        (len(batches) == 2, f"the plug-in saw {len(batches)} batches of 2"),
    )


def _planted(place: Place) -> Path:
    """A reward by the text's checksum, so that a policy that is always wrong has a spread too."""
    file = place.work / "planted.py"
    file.write_text(
        "import zlib\n"
        "def compute_score(data_source, solution_str, ground_truth, extra_info=None, **_):\n"
        "    return (0.0, 0.1, 0.9, 1.0)[zlib.crc32(solution_str.encode()) % 4]\n"
    )
    return file
