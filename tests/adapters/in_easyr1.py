"""EasyR1's own code with Durian in it; run by its environment's Python, EASYR1 naming the clone.

Its dataset on an exported file, and its `main()` and `fit()` for three steps by Durian's launcher,
over a worker group of ours on a CPU (`easyr1_cpu/`): its own needs FSDP, vLLM and GPUs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from cases import ROOT, TOLERANCE, Facts, documented, refused, run_parts

CPU = Path(__file__).with_name("easyr1_cpu")
CLONE = Path(os.environ["EASYR1"]).resolve()
STEPS = 3
# The documented line, which has one GPU's worth of Ray resources to count.
LAUNCH = (
    "import ray, runpy; ray.init(num_gpus=1, num_cpus=4, include_dashboard=False); "
    "runpy.run_module('durian.plugins.durian_easyr1', run_name='__main__')"
)
sys.path.insert(0, str(CPU))
import sitecustomize  # noqa: E402, F401


def policy(data: Path) -> Path:
    """The tiny policy's tokenizer and processor, as transformers 4 reads them."""
    made = data / "policy"
    shutil.copytree(ROOT / "data" / "tiny_policy", made, dirs_exist_ok=True)
    tokenizer = json.loads((made / "tokenizer_config.json").read_text())
    tokenizer["additional_special_tokens"] = tokenizer.pop("extra_special_tokens", [])
    (made / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    processor = json.loads((made / "processor_config.json").read_text())
    image = processor["image_processor"]
    image["min_pixels"] = image["max_pixels"] = 4096
    (made / "preprocessor_config.json").write_text(json.dumps(image))
    (made / "processor_config.json").unlink()
    return made


def signatures(_: Path) -> Facts:
    """The stand-in of CI has the parameters of the real function, and the runner is a Ray actor."""
    from verl.trainer import main, ray_trainer

    sys.path.insert(0, str(ROOT / "tests" / "plugins"))
    import stand_ins

    stand_ins.same(stand_ins.easyr1_compute_advantage, ray_trainer.compute_advantage)
    assert main.Runner.__ray_metadata__.modified_class.__name__ == "Runner"
    return {"functions": 1}


def refusals(_: Path) -> Facts:
    """verl's plug-in in EasyR1's environment names the right one; another estimator is refused."""
    from verl.trainer import ray_trainer

    from durian.plugins import durian_easyr1, durian_verl
    from durian.plugins.rows import Settings, Teller

    lines = [refused("durian.plugins.durian_easyr1", durian_verl.install)]
    durian_easyr1.install(ray_trainer, Settings(), Teller("easyr1"))
    call = ray_trainer.compute_advantage
    lines.append(refused("set it to grpo", lambda: call(None, "rloo")))
    return {"refused": lines}


def fit(data: Path, **settings: str) -> Facts:
    """`main()` and `fit()` by the documented line, each batch's advantages compared."""
    watch, saved = data / "watch.jsonl", data / "saved"
    watch.unlink(missing_ok=True)
    shutil.rmtree(saved, ignore_errors=True)
    line = documented(
        "easyr1", "python3 -m durian.plugins.durian_easyr1", DIR=data, MODEL=policy(data)
    )
    _python, _m, _module, *words = shlex.split(line)
    command = [
        sys.executable, "-c", LAUNCH, *words,
        f"worker.reward.reward_function={CPU / 'easyr1_reward.py'}:score",
        # For three small steps on a CPU; on GPUs leave these out.
        "data.rollout_batch_size=16", "data.val_batch_size=24", "data.max_prompt_length=512",
        "data.max_response_length=8", "data.min_pixels=4096", "data.max_pixels=4096",
        "worker.rollout.n=8", "worker.actor.global_batch_size=16", "algorithm.disable_kl=true",
        "worker.rollout.tensor_parallel_size=1", f"trainer.max_steps={STEPS}",
        "trainer.n_gpus_per_node=1", "trainer.logger=[console]", "trainer.val_freq=-1",
        "trainer.val_before_train=false", "trainer.find_last_checkpoint=false",
        f"trainer.save_checkpoint_path={saved}",
    ]  # fmt: skip
    path = os.pathsep.join([str(CPU), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | settings | {"PYTHONPATH": path, "DURIAN_WATCH": str(watch)}
    log = data / "fit.log"
    for _ in range(3):  # a busy machine may not have Ray's node up in its 30 seconds
        with log.open("w") as file:
            done = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, timeout=540, env=environment,
                cwd=CLONE,
            )  # fmt: skip
        said = log.read_text()
        if "node timed out during startup" not in said:
            break
    assert done.returncode == 0, f"ended with {done.returncode}; see {log}"
    assert "durian (easyr1): compute_advantage now gives Durian's advantages" in said
    assert len(re.findall(r"durian \(easyr1\): 16 samples; ", said)) == STEPS, said[-2000:]
    told = [json.loads(line) for line in watch.read_text().splitlines()]
    assert len(told) == STEPS and all(each["rows"] == 128 for each in told), told
    worst = max(each["difference"] for each in told)
    assert worst <= TOLERANCE and min(each["largest"] for each in told) > 0.5, told
    assert all(each["in_groups"] > 0 for each in told), told
    return {"largest_difference": worst, "steps": STEPS, "rows": 128 * STEPS}


if __name__ == "__main__":
    run_parts(
        {
            "signatures": signatures,
            "refusals": refusals,
            "fit": fit,
            "fit_online": lambda data: fit(data, DURIAN_GROUPS="online", DURIAN_BINS="3"),
        }
    )
