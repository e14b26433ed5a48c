"""verl's own code with Durian in it; run by its environment's Python.

Its loader on an exported file, its V0 function, its V1 trainer's method over a real TransferQueue,
and its launch command as far as a machine without a GPU lets it go.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
import torch
from cases import (
    IMAGE_TOKENS,
    ROOT,
    SETTINGS,
    Facts,
    Planted,
    beside,
    dataset,
    documented,
    largest,
    planted,
    refused,
    run_parts,
)
from omegaconf import OmegaConf
from pyarrow import parquet

from durian.plugins.path import PLUGINS

POLICY = ROOT / "data" / "tiny_policy"
REWARD = PLUGINS["reward"]
TOKENS = 5  # of a response, at most


def read(file: Path) -> tuple[Any, Any, Any]:
    """A file through verl's `create_rl_dataset`; with its tokenizer and configuration."""
    from verl.trainer.ppo.utils import create_rl_dataset
    from verl.utils import hf_processor, hf_tokenizer

    config = OmegaConf.create(
        {
            "custom_cls": {"path": "pkg://durian.plugins.durian_verl", "name": "DurianDataset"},
            "max_prompt_length": 512, "filter_overlong_prompts": True, "prompt_key": "prompt",
            "filter_overlong_prompts_workers": None, "image_key": "images",
            "cache_dir": str(file.parent / "cache"),
        }
    )  # fmt: skip
    tokenizer, processor = hf_tokenizer(str(POLICY)), hf_processor(str(POLICY))
    return create_rl_dataset(str(file), config, tokenizer, processor), processor, config


def loader(data: Path) -> Facts:
    """Exported files through dataset, collator, batch and agent loop, up to a rollout's prompt.

    The server that would generate is ours: it is given the prompt's tokens and the images.
    """
    import asyncio

    from torch.utils.data import DataLoader
    from verl import DataProto
    from verl.experimental.agent_loop.agent_loop import DictConfigWrap
    from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
    from verl.utils.dataset.rl_dataset import collate_fn
    from verl.workers.rollout.replica import TokenOutput

    asked, told = dataset(data), {}

    class Server:
        async def generate(self, **given: Any) -> TokenOutput:
            self.given = given
            return TokenOutput(token_ids=[40], log_probs=[-1.0])

    async def prompted(rows: Any, processor: Any, config: Any, row: Facts) -> tuple[list[int], Any]:
        whole = {"actor_rollout_ref": {"rollout": {"prompt_length": 512, "response_length": 8}}}
        server = Server()
        loop = SingleTurnAgentLoop(
            DictConfigWrap(OmegaConf.create(whole)), server, processor.tokenizer, processor,
            type(rows), DictConfigWrap(config), hf_model_type="qwen2_5_vl",
        )  # fmt: skip
        done = await loop.run({}, **row)
        assert done.prompt_ids == server.given["prompt_ids"]
        return done.prompt_ids, server.given["image_data"]

    for name, folder in (("embedded", data), ("paths", beside(data, "paths"))):
        rows, processor, config = read(folder / "train.parquet")
        batch = next(iter(DataLoader(rows, batch_size=8, collate_fn=collate_fn)))
        columns = DataProto.from_single_dict(batch).non_tensor_batch
        assert {"data_source", "reward_model", "extra_info", "kind", "clutter"} <= set(columns)
        for place, info in enumerate(columns["extra_info"]):
            sample = asked[info["sample_id"]]
            assert isinstance(info["durian_perceptual_group"], int)
            assert columns["reward_model"][place]["ground_truth"] == sample.answer
            row = {column: values[place] for column, values in columns.items()}
            tokens, [image] = asyncio.run(prompted(rows, processor, config, row))
            assert sample.shows(image), info
            assert sample.question in processor.tokenizer.decode(tokens), info
            assert tokens.count(processor.image_token_id) == IMAGE_TOKENS, info
        told[name] = len(rows)
    bare = data / "bare.parquet"
    table = parquet.read_table(data / "train.parquet").slice(0, 4).drop_columns(["extra_info"])
    only_index = pyarrow.array([{"index": row} for row in range(4)])
    parquet.write_table(table.append_column("extra_info", only_index), bare)
    line = refused("export RUN --to verl", lambda: read(bare))
    return {"rows": told, "refused": [line]}


def response(case: Planted) -> tuple[dict[str, torch.Tensor], np.ndarray[Any, Any]]:
    """verl's tensors of the planted rows; unscored rows have no response, as padding has none."""
    rewards = torch.tensor([float(case.rewards[row]) for row in case.rows])
    length = 2 + torch.arange(len(case.rows)) % (TOKENS - 1)
    mask = (torch.arange(TOKENS) < length[:, None]) & ~rewards.isnan()[:, None]
    at_tokens = torch.zeros(mask.shape)
    last = (mask.sum(dim=1) - 1).clamp(min=0)
    at_tokens[torch.arange(len(rewards)), last] = rewards.nan_to_num()
    logprobs = torch.tensor([float(case.confidence[row]) for row in case.rows])
    tensors = {
        "token_level_rewards": at_tokens,
        "response_mask": mask.long(),
        # Padded tokens hold what must not be read.
        "old_log_probs": torch.where(mask, logprobs[:, None], torch.tensor(99.0)),
    }
    return tensors, np.array([f"u{sample}" for sample, _ in case.rows], dtype=object)


def v0(_: Path) -> Facts:
    """`ray_trainer.compute_advantage` on shuffled, ragged rows, under every normalizer."""
    from verl import DataProto
    from verl.trainer.ppo import ray_trainer

    from durian.plugins import durian_verl

    durian_verl.install()
    durian_verl.install()  # a second dataset is built: nothing may change
    case, worst = planted(), 0.0
    info = np.array([case.columns(sample) for sample, _ in case.rows], dtype=object)
    for given in SETTINGS.values():
        tensors, uid = response(case)
        data = DataProto.from_dict(tensors, non_tensors={"uid": uid, "extra_info": info})
        config = OmegaConf.create({"durian": given})
        done = ray_trainer.compute_advantage(
            data, adv_estimator="durian", num_repeat=8, config=config
        )
        found, mask = done.batch["advantages"], tensors["response_mask"]
        assert bool((found == found[:, :1] * mask).all())
        worst = max(worst, largest(found[:, 0], case.expected(given)))
    return {"largest_difference": worst, "settings": len(SETTINGS)}


def started(start: Callable[[], object]) -> None:
    """Start Ray, once more where the machine is so busy that its node is not up in 30 seconds."""
    for left in (2, 1, 0):
        try:
            start()
            return
        except Exception:
            if not left:
                raise


def v1(_: Path) -> Facts:
    """`PPOTrainer._compute_advantage` over TransferQueue: padding, a session of two outputs."""
    import ray
    import transfer_queue as tq
    from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
    from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync
    from verl.utils.tensordict_utils import list_of_dict_to_tensordict

    from durian.plugins import durian_verl

    durian_verl.install()
    started(lambda: ray.init(num_cpus=4, include_dashboard=False))
    tq.init(OmegaConf.create({"backend": {"SimpleStorage": {"num_data_storage_units": 1}}}))
    case, worst = planted(), 0.0
    tensors, uid = response(case)
    fields, keys = [], []
    for row, (sample, place) in enumerate(case.rows):
        length = max(1, int(tensors["response_mask"][row].sum()))  # no empty rows in a store
        outputs = [(0, 0.5), (1, None)] if (sample, place) == (0, 0) else [(0, None)]
        for output, other in outputs:  # the first output of two earned something else itself
            reward = tensors["token_level_rewards"][row, :length].clone()
            if other is not None:
                reward[-1] = other
            fields.append({
                "uid": uid[row], "extra_info": case.columns(sample), "rm_scores": reward,
                "response_mask": tensors["response_mask"][row, :length],
                "old_log_probs": tensors["old_log_probs"][row, :length],
                "rollout_log_probs": tensors["old_log_probs"][row, :length],
                "extra_fields": {"reward_extra_info": {"acc": float(place % 2)}},
            })  # fmt: skip
            keys.append(f"{uid[row]}_{place}_{output}")
    tags = [{"is_padding": False} for _ in keys]
    first = tq.kv_batch_put(
        keys=keys, partition_id="train", fields=list_of_dict_to_tensordict(fields), tags=tags
    )
    padded = upsample_batch_to_divisible_size(first, 16, eos_token_id=0)
    added = len(padded.keys) - len(keys)
    assert added > 0, len(keys)
    expected_of = {
        name: dict(zip(case.rows, case.expected(given).tolist(), strict=True))
        for name, given in SETTINGS.items()
    }
    for name, given in SETTINGS.items():
        algorithm = OmegaConf.create(
            {"adv_estimator": "durian", "use_kl_in_reward": False, "gamma": 1.0, "lam": 1.0,
             "durian": given}
        )  # fmt: skip
        rollout = SimpleNamespace(rollout=SimpleNamespace(n=8))
        trainer = SimpleNamespace(
            config=SimpleNamespace(algorithm=algorithm, actor_rollout_ref=rollout)
        )
        metrics: Facts = {}
        PPOTrainerSync._compute_advantage(trainer, padded, metrics)
        held = tq.kv_batch_get(
            keys=padded.keys, partition_id="train", select_fields=["advantages", "response_mask"]
        )
        found, expected = [], []
        for key, advantage, mask in zip(
            padded.keys, held["advantages"], held["response_mask"], strict=True
        ):
            if key.startswith("pad"):
                assert not advantage.any()
                continue
            user, place, _output = key.split("_")
            scored = bool(mask.any())
            found.append(float(advantage[0]))
            expected.append(expected_of[name][int(user[1:]), int(place)] if scored else 0.0)
        assert metrics["durian/samples"] == 10, metrics
        worst = max(worst, largest(torch.tensor(found), torch.tensor(expected)))
    taught: list[tuple[list[str], list[float]]] = []
    learner = SimpleNamespace(learn=lambda ids, right, _: taught.append((ids, right)))
    durian_verl._teach(learner, padded, tq)
    sessions = {key.rsplit("_", 1)[0] for key in keys}
    [(ids, right)] = taught
    scored = [key for key in sorted(sessions) if key]
    assert 0 < len(ids) <= len(scored) and set(right) == {0.0, 1.0}, taught
    tq.close()
    ray.shutdown()
    return {"largest_difference": worst, "settings": len(SETTINGS), "padding_rows": added}


def sampler(data: Path) -> Facts:
    """Durian's sampler in verl's own loader: drawn, taught by verl's function, saved and loaded."""
    import pickle

    from torchdata.stateful_dataloader import StatefulDataLoader
    from verl import DataProto
    from verl.trainer.ppo import ray_trainer, utils
    from verl.utils.dataset.rl_dataset import collate_fn

    from durian.plugins import durian_verl

    rows, _, config = read(data / "train.parquet")
    told: Facts = {"rows": len(rows)}

    def loader_of(order: str) -> Any:
        asked = {"class_path": "pkg://durian.plugins.durian_verl", "class_name": "DurianSampler"}
        more = {"sampler": asked, "durian": {"order": order, "rollouts": 4}, "seed": 3,
                "train_batch_size": 16, "dataloader_num_workers": 0, "shuffle": True}  # fmt: skip
        built = utils.create_rl_sampler(OmegaConf.merge(config, more), rows)
        assert ray_trainer.create_rl_sampler.__wrapped__ is utils.create_rl_sampler.__wrapped__
        return StatefulDataLoader(
            rows, batch_size=16, num_workers=0, drop_last=True, collate_fn=collate_fn, sampler=built
        )

    def step(batch: Any) -> list[str]:
        """Sample ids of a batch, after verl's function has seen 4 completions of each."""
        info = batch["extra_info"]
        ids = [each["sample_id"] for each in info]
        right = np.array([[(int(name[:4], 16) + k) % 3 == 0 for k in range(4)] for name in ids])
        size = right.size
        tensors = {
            "token_level_rewards": torch.full((size, 1), 0.5),  # shaped: it says nothing
            "response_mask": torch.ones(size, 1),
        }
        columns = {"uid": np.repeat(np.array(ids, object), 4), "acc": right.flatten(),
                   "extra_info": np.repeat(info, 4)}  # fmt: skip
        proto = DataProto.from_dict(tensors, non_tensors=columns)
        ray_trainer.compute_advantage(
            proto, adv_estimator="durian", num_repeat=4, config=OmegaConf.create({})
        )
        return ids

    for order in ("frontier", "pools"):
        whole = loader_of(order)
        assert len(whole) == len(rows) // 16
        # Past the end of the first epoch; the state is taken within the second.
        through, kept = [], b""
        for epoch in range(2):
            for number, batch in enumerate(whole):
                through.append(step(batch))
                assert len(set(through[-1])) == 16, through[-1]
                if (epoch, number) == (1, 0):
                    kept = pickle.dumps(whole.state_dict())
        at_end = durian_verl._samplers[0].state_dict()
        resumed = loader_of(order)
        resumed.load_state_dict(pickle.loads(kept))
        again = [step(batch) for batch in resumed]
        assert again == through[len(whole) + 1 :], (len(again), len(through))
        assert durian_verl._samplers[0].state_dict() == at_end
        told[order] = f"{len(through)} batches, {len(again)} of them again after a load"
    durian_verl._samplers.clear()
    return told


def other_estimator(_: Path) -> Facts:
    """Under another estimator Durian says once that it is idle, and verl's own function runs."""
    from contextlib import redirect_stderr
    from io import StringIO

    from verl import DataProto
    from verl.trainer.ppo import ray_trainer

    from durian.plugins import durian_verl

    durian_verl.install()
    case, said = planted(), StringIO()
    tensors, uid = response(case)
    info = np.array([case.columns(sample) for sample, _ in case.rows], dtype=object)
    with redirect_stderr(said):
        for _ in range(2):
            data = DataProto.from_dict(dict(tensors), non_tensors={"uid": uid, "extra_info": info})
            ray_trainer.compute_advantage(data, adv_estimator="grpo")
    assert said.getvalue().count("adv_estimator is grpo, so that Durian is idle") == 1
    return {"warned": said.getvalue().strip()}


def reward(data: Path) -> Facts:
    """Durian's reward as verl's reward worker calls it on a batch; and as its V0 manager does."""
    import asyncio

    from verl import DataProto
    from verl.experimental.reward_loop.reward_loop import RewardLoopWorker
    from verl.trainer.ppo.reward import get_custom_reward_fn
    from verl.workers.reward_manager import get_reward_manager_cls

    rows, processor, _ = read(data / "train.parquet")
    config = OmegaConf.create(
        {
            "actor_rollout_ref": {"model": {"path": str(POLICY), "tokenizer_path": None}},
            "reward": {
                "custom_reward_function": {"path": str(REWARD), "name": "compute_score"},
                "reward_manager": {"source": "register", "name": "naive"},
                "reward_model": {"enable": False},
            },
        }
    )
    asked, texts, expected, columns = dataset(data), [], [], []
    for row in (rows[number] for number in range(6)):
        for text, score in asked[row["extra_info"]["sample_id"]].texts.items():
            texts.append(text)
            expected.append(score)
            names = ("data_source", "reward_model", "extra_info")
            columns.append({name: row[name] for name in names})
    made = processor.tokenizer(
        texts, padding=True, padding_side="right", add_special_tokens=False, return_tensors="pt"
    )
    prompts = torch.full((len(texts), 2), 40)
    mask = torch.cat([torch.ones_like(prompts), made["attention_mask"]], dim=1)
    tensors = {"prompts": prompts, "responses": made["input_ids"], "attention_mask": mask}
    non_tensors = {
        name: np.array([dict(each[name]) if isinstance(each[name], dict) else each[name]
                        for each in columns], dtype=object)
        for name in columns[0]
    }  # fmt: skip
    batch = DataProto.from_dict(tensors, non_tensors=non_tensors)

    async def scored() -> list[Facts]:
        return await RewardLoopWorker(config).compute_score_batch(batch)

    found = asyncio.run(scored())
    said = [each["reward_extra_info"] for each in found]
    ids = [each["extra_info"]["sample_id"] for each in columns]
    assert np.allclose([each["reward_score"] for each in found], expected), found
    assert [each["acc"] for each in said] == [float(score > 0.5) for score in expected]
    assert [each["sample_id"] for each in said] == ids
    manager = get_reward_manager_cls("naive")(
        processor.tokenizer, num_examine=0, compute_score=get_custom_reward_fn(config)
    )
    older = manager(batch, return_dict=True)
    assert np.allclose(older["reward_tensor"].sum(dim=1), expected)
    assert list(older["reward_extra_info"]["sample_id"]) == ids
    return {"rows": len(found), "right": sum(int(each["acc"]) for each in said)}


def launch(data: Path) -> Facts:
    """The documented command: configuration, dataset, plan; it ends where verl counts GPUs."""
    line = documented("verl", "python3 -m verl.trainer.main_ppo", DIR=data, MODEL=POLICY)
    more = [
        # What verl needs of model and machine besides; a later word of one name wins.
        "data.train_batch_size=16", "data.max_prompt_length=512",
        "data.max_response_length=64", "data.return_raw_chat=True",
        "data.filter_overlong_prompts_workers=1",
        "actor_rollout_ref.rollout.name=vllm", "actor_rollout_ref.actor.ppo_mini_batch_size=16",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4",
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=4",
        "+algorithm.durian.weights=[0.4,0.3,0.3]", "trainer.n_gpus_per_node=1",
        *documented("verl", "++data.sampler").split(),
        "trainer.nnodes=1", "trainer.logger=[console]", "trainer.total_epochs=1",
        # For a machine of few cores; on a node of GPUs leave these out.
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
        "ray_kwargs.ray_init.num_cpus=4",
    ]  # fmt: skip
    # `python3` of the line is this environment's.
    own = {
        "WANDB_MODE": "offline",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-c", f"{line} {shlex.join(more)}"],
        capture_output=True,
        text=True,
        timeout=500,
        cwd=data,
        env=os.environ | own,
    )
    said = done.stdout + done.stderr
    (data / "launch.log").write_text(said)
    for text in (
        "Using dataset class: DurianDataset",
        "estimator durian (under compute_advantage and PPOTrainer._compute_advantage) now gives",
        "prompts are drawn by frontier",
        "Total available GPUs 0",
    ):
        assert text in said, f"the log lacks {text!r}; see {data / 'launch.log'}"
    return {"ended": "Total available GPUs 0 is less than total desired GPUs 1"}


def signatures(_: Path) -> Facts:
    """The stand-ins of CI have the parameters of the real functions."""
    import inspect

    from verl.trainer.ppo import ray_trainer
    from verl.trainer.ppo.v1 import trainer_base

    sys.path.insert(0, str(ROOT / "tests" / "plugins"))
    import stand_ins

    stand_ins.same(stand_ins.verl_compute_advantage, inspect.unwrap(ray_trainer.compute_advantage))
    from verl.trainer.ppo.utils import create_rl_sampler

    stand_ins.same(stand_ins.create_rl_sampler, inspect.unwrap(create_rl_sampler))
    stand_ins.same(
        stand_ins.VerlTrainer._compute_advantage,
        inspect.unwrap(trainer_base.PPOTrainer._compute_advantage),
    )
    return {"functions": 3}


if __name__ == "__main__":
    run_parts(
        {
            "signatures": signatures,
            "loader": loader,
            "v0": v0,
            "sampler": sampler,
            "v1": v1,
            "other_estimator": other_estimator,
            "reward": reward,
            "launch": launch,
        }
    )
