"""Parts of the GPU check: trainings in one process, cut, masked, and beside vLLM."""

from __future__ import annotations

from importlib.util import find_spec

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
    given = {"max_steps": 8, "save_steps": 8}
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
    train(place, "again", grpo=given)
    whole = place.work / "whole"
    facts: Facts = {"repeated_to": furthest(weights(whole), weights(place.work / "again"))}
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
    """vLLM beside the trainer: it samples from the prompts that are trained on."""
    if find_spec("vllm") is None:
        raise Skipped("vLLM is not installed")
    if not place.gpu:
        raise Skipped("TRL cannot load new weights into vLLM on a CPU")
    train(
        place, "out",
        grpo={"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": 0.2,
              "max_steps": 4},
    )  # fmt: skip
    steps = logged(place.work / "out")
    name = "sampling/sampling_logp_difference/mean"
    facts = {
        "logprob_gap": [step.get(name) for step in steps],
        "accuracy": [step.get("rewards/accuracy") for step in steps],
    }
    gaps = [gap for gap in facts["logprob_gap"] if gap is not None]
    return check(
        facts,
        (bool(gaps), "no gap was logged"),
        (all(gap < LOGPROB_GAP for gap in gaps), f"log-probabilities {max(gaps, default=0)} apart"),
    )
