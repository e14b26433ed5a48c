"""Parts of the GPU check: trainings in one process, cut, masked, and beside vLLM."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

from durian.errors import RunError
from tests.gpu.ground import (
    GENERATIONS,
    LOGPROB_GAP,
    POLICY,
    TORN,
    Facts,
    Place,
    Skipped,
    as_killed,
    check,
    furthest,
    logged,
    order_of,
    train,
    weights,
)


def one_gpu(place: Place) -> Facts:
    """A training without a launcher, twice: on the GPU, and how far it repeats itself."""
    steps = 8 if place.gpu else 2
    given = {"max_steps": steps, "save_steps": steps}
    first, second = (train(place, name, grpo=given) for name in ("first", "second"))
    one, two = (weights(place.work / name) for name in ("first", "second"))
    facts = {
        **{key: first[key] for key in ("device", "distributed", "peak_gib") if key in first},
        "moved": furthest(one, weights(POLICY)),
        "repeated_to": furthest(one, two),
        "rewards": [s["reward"] for s in logged(place.work / "first") if "reward" in s],
        "step_seconds": [step.get("step_time") for step in logged(place.work / "first")],
        "same_order": order_of(place.work / "first") == order_of(place.work / "second"),
    }
    return check(
        facts,
        (facts["device"].startswith("cuda") or not place.gpu, "not on the GPU"),
        (0 < facts["moved"] < 1, "the weights have not moved as they should"),
        (facts["same_order"], "the order of samples is another the second time"),
    )


def resume_in_both_epochs(place: Place) -> Facts:
    """Cut in the first epoch, and in the second: the same samples, the same weights."""
    given = {"max_steps": 8}  # two epochs of four steps
    train(place, "whole", grpo=given)
    whole = place.work / "whole"
    facts: Facts = {"repeated_to": 0.0}  # on a CPU, where sums are in one order
    if place.gpu:
        train(place, "again", grpo=given)
        facts["repeated_to"] = furthest(weights(whole), weights(place.work / "again"))
    allowed = min(TORN, 10 * facts["repeated_to"])
    claims = []
    for step, epoch in ((2, "first"), (6, "second")):
        out = place.work / f"cut-{step}"
        as_killed(whole, out, step)
        train(place, out.name, grpo=given)
        same = order_of(whole) == order_of(out)
        apart = furthest(weights(whole), weights(out))
        facts[f"{epoch}_epoch"] = {"same_order": same, "weights_apart_by": apart}
        claims.append((same, f"resumed in the {epoch} epoch, it drew other samples"))
        claims.append((apart <= allowed, f"resumed in the {epoch} epoch to other weights"))
    return check(facts, *claims)


def masked_confidence(place: Place) -> Facts:
    """Completions that are cut and masked say nothing of confidence."""
    facts = train(
        place, "out", groups="online", percentiles=(25.0, 75.0), bins=4,
        grpo={"mask_truncated_completions": True, "max_completion_length": 12},
    )  # fmt: skip
    groups, silent = [], 0
    for batch in facts["batches"]:
        tokens = [batch["tokens"][i : i + GENERATIONS] for i in range(0, len(batch["tokens"]), 4)]
        silent += sum(not any(own) for own in tokens)
        groups += [
            g for own, g in zip(tokens, batch["reasoning_group"], strict=True) if not any(own)
        ]
    facts = {"samples_all_masked": silent, "their_groups": groups}
    if not silent:
        raise Skipped("no sample had all of its completions masked")
    return check(facts, (all(g == -1 for g in groups), "a sample of no tokens is in a group"))


def vllm_colocate(place: Place) -> Facts:
    """vLLM beside the trainer samples from the prompts that are trained on; others are noticed.

    TRL cannot load new weights into vLLM on a CPU: there only the first rollout batch is drawn,
    before any are to be loaded.
    """
    if find_spec("vllm") is None:
        raise Skipped("vLLM is not installed")
    given = {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.2}
    facts: Facts = {"stopped": None}
    with ExitStack() as patched:
        _one_engine(patched, place)
        with patch(
            "durian.training.trainer.reads_what_is_trained_on", lambda generate, _: generate
        ):
            try:  # TRL's own way: the image tokens of each prompt come to vLLM twice
                train(place, "twice", grpo=given | {"max_steps": 1})
            except RunError as why:
                facts["stopped"] = str(why)
        train(place, "out", grpo=given | {"max_steps": 4 if place.gpu else 1})
    steps = logged(place.work / "out")
    facts |= {
        "logprob_gap": [step.get("sampling/sampling_logp_difference/mean") for step in steps],
        "accuracy": [step.get("rewards/accuracy") for step in steps],
    }
    gaps = [gap for gap in facts["logprob_gap"] if gap is not None]
    return check(
        facts,
        ("nats a token" in str(facts["stopped"]), "images that came twice were not noticed"),
        (bool(gaps), "no gap was logged"),
        (all(gap < LOGPROB_GAP for gap in gaps), f"log-probabilities {max(gaps, default=0)} apart"),
    )


def _one_engine(patched: ExitStack, place: Place) -> None:
    """Load vLLM once for several trainings; on a CPU as it needs to be, and no new weights."""
    from trl.generation import vllm_generation

    import durian.train

    inner, how, kept = vllm_generation.LLM, {}, []
    if not place.gpu:
        how = {"dtype": "float32", "enforce_eager": True}
        for target, name, value in (
            (vllm_generation.VLLMGeneration, "sync_weights", lambda self: None),
            (durian.train, "check_grpo", partial(durian.train.check_grpo, run=False)),
        ):
            patched.enter_context(patch.object(target, name, value))

    def once(**asked: Any) -> Any:
        if not kept:
            kept.append(inner(**asked | how))
        return kept[0]

    patched.enter_context(patch.object(vllm_generation, "LLM", once))
