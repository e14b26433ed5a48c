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

from cases import (
    IMAGE_TOKENS,
    ROOT,
    TOLERANCE,
    Facts,
    beside,
    dataset,
    documented,
    refused,
    run_parts,
)

from durian.plugins.path import PLUGINS

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


def loader(data: Path) -> Facts:
    """Exported files through EasyR1's loader: images, tokens and columns of its batches."""
    from verl.protocol import DataProto
    from verl.trainer.config import DataConfig
    from verl.trainer.data_loader import create_dataloader
    from verl.utils.dataset import process_image
    from verl.utils.tokenizer import get_processor, get_tokenizer

    asked, model, told = dataset(data), str(policy(data)), {}
    tokenizer, processor = get_tokenizer(model), get_processor(model)
    for name, folder in (("embedded", data), ("paths", beside(data, "paths"))):
        config = DataConfig(
            train_files=str(folder / "train.parquet"), val_files=str(folder / "train.parquet"),
            prompt_key="problem", answer_key="answer", image_key="images", shuffle=False,
            image_dir=str(folder), rollout_batch_size=8, max_prompt_length=512, min_pixels=None,
            max_pixels=None, filter_overlong_prompts_workers=1,
        )  # fmt: skip
        config.post_init()
        rows, _ = create_dataloader(config, tokenizer, processor)
        batch = DataProto.from_single_dict(next(iter(rows)))
        columns = batch.non_tensor_batch
        for place, sample_id in enumerate(columns["sample_id"]):
            sample = asked[sample_id]
            tokens = batch.batch["input_ids"][place].tolist()
            [image] = columns["multi_modal_data"][place]["images"]
            assert sample.shows(process_image(image, None, None)), sample_id
            assert sample.question in tokenizer.decode(tokens), sample_id
            assert tokens.count(processor.image_token_id) == IMAGE_TOKENS, sample_id
            assert columns["ground_truth"][place] == sample.answer
            assert isinstance(columns["durian_perceptual_group"][place], int)
        told[name] = len(rows.dataset)
    return {"rows": told}


def reward(data: Path) -> Facts:
    """Durian's reward as EasyR1's own reward manager calls it on a batch."""
    import numpy as np
    from verl.protocol import DataProto
    from verl.utils.tokenizer import get_tokenizer
    from verl.workers.reward.config import RewardConfig
    from verl.workers.reward.function import AutoRewardManager

    config = RewardConfig(reward_function=f"{PLUGINS['reward']}:easyr1_reward")
    config.post_init()
    tokenizer = get_tokenizer(str(policy(data)))
    pairs = [
        (text, score, sample.answer)
        for sample in list(dataset(data).values())[:6]
        for text, score in sample.texts.items()
    ]
    texts, expected, answers = zip(*pairs, strict=True)
    made = tokenizer(
        list(texts), padding=True, padding_side="right", add_special_tokens=False,
        return_tensors="pt",
    )  # fmt: skip
    batch = DataProto.from_dict(
        {"responses": made["input_ids"], "response_mask": made["attention_mask"]},
        non_tensors={"ground_truth": np.array(answers, dtype=object)},
    )
    found, said = AutoRewardManager(config, tokenizer).compute_reward(batch)
    assert np.allclose(found.sum(dim=1), expected), found.sum(dim=1)
    assert said["accuracy"] == [float(score > 0.5) for score in expected]
    return {"rows": len(texts), "right": int(sum(said["accuracy"]))}


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
            "loader": loader,
            "reward": reward,
            "refusals": refusals,
            "fit": fit,
            "fit_online": lambda data: fit(data, DURIAN_GROUPS="online", DURIAN_BINS="3"),
        }
    )
