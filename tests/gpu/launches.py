"""Parts of the GPU check: launches of several processes, DDP, FSDP2 and ZeRO-3."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq

from tests.gpu.ground import (
    FSDP2,
    GENERATIONS,
    KL_AT_START,
    POLICY,
    TORN,
    ZERO3,
    Facts,
    Place,
    Skipped,
    Wrong,
    as_killed,
    check,
    furthest,
    launch,
    logged,
    train,
    weights,
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


def fsdp2(place: Place) -> Facts:
    """FSDP2 with a KL term: reference right at step 1, whole weights in OUT, killed and resumed.

    With whole checkpoints, and with accelerate's default, sharded ones: the same weights.
    """
    # Two processes take one step a rollout batch: the fourth is within the second epoch then.
    saved, cut = (2, 2) if place.gpu else (1, 3)
    grpo = {"max_steps": 4, "beta": 0.04, "save_steps": saved}
    code, facts = launch(place, "whole", environ=FSDP2, grpo=grpo)
    whole, sharded = place.work / "whole", place.work / "sharded"
    facts = {"code": code, **{k: facts.get(k) for k in ("backend", "device", "distributed")}}
    if code:
        raise Wrong(f"ended with code {code}", facts)
    facts["kl"] = [step.get("kl") for step in logged(whole)]
    facts["weights"] = len(weights(whole))
    as_killed(whole, place.work / "cut", cut)
    facts["resumed"], _ = launch(place, "cut", environ=FSDP2, grpo=grpo)
    facts["resumed_apart_by"] = furthest(weights(whole), weights(place.work / "cut"))
    environ = FSDP2 | {"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}
    facts["killed"], _ = launch(place, "sharded", environ=environ, grpo=grpo, kill_after=cut + 1)
    facts["shards"] = not list(sharded.glob("checkpoint-*/model*.safetensors"))
    facts["sharded_resumed"], _ = launch(place, "sharded", environ=environ, grpo=grpo)
    facts["sharded_weights"] = len(weights(sharded))
    facts["sharded_apart_by"] = furthest(weights(whole), weights(sharded))
    facts["manifest"] = (sharded / "manifest.json").exists()
    torn = TORN if place.gpu else 0
    return check(
        facts,
        (abs(facts["kl"][0]) < KL_AT_START, f"KL at step 1 is {facts['kl'][0]}"),
        (facts["weights"] > 0, "no weights in OUT"),
        (facts["resumed"] == 0, f"resuming ended with code {facts['resumed']}"),
        (facts["resumed_apart_by"] <= torn, "resumed to other weights"),
        (facts["killed"] != 0, "was not killed"),
        (facts["shards"], "the checkpoints that should be sharded are whole"),
        (facts["sharded_resumed"] == 0, "could not be resumed from shards"),
        (facts["sharded_weights"] > 0, "resumed from shards, OUT holds no weights"),
        (facts["sharded_apart_by"] <= torn, "resumed from shards to other weights"),
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
