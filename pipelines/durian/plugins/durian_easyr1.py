r"""Durian inside EasyR1: its own launcher, with one function of its trainer replaced.

    python3 -m durian.plugins.durian_easyr1 config=examples/config.yaml \
        data.train_files=DIR/train.parquet ...

All other arguments are those of `verl.trainer.main`; `algorithm.adv_estimator` stays grpo, since
EasyR1 refuses names that it does not know. The function is replaced inside the Ray actor that runs
the trainer: classes travel there by reference, so a patch in the launching process does nothing.
Settings: the environment variables that `rows.Settings` names.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch

from durian.plugins.rows import (
    COLUMNS,
    PluginError,
    Rows,
    Settings,
    Teller,
    mean_logprob,
    row_advantages,
)

SIGNATURE = ["data", "adv_estimator", "gamma", "lam"]  # of EasyR1 0.3.0 to 0.3.3


def install(ray_trainer: Any, settings: Settings, teller: Teller) -> None:
    """Let `ray_trainer.compute_advantage` give Durian's advantages.

    Args:
        ray_trainer: EasyR1's module `verl.trainer.ray_trainer`.
    Raises:
        PluginError: that function is another one than EasyR1's known versions have.
    """
    found = list(inspect.signature(ray_trainer.compute_advantage).parameters)
    if found != SIGNATURE:
        raise PluginError(
            f"durian: this EasyR1's compute_advantage takes {', '.join(found)}, not "
            f"{', '.join(SIGNATURE)}; use EasyR1 0.3.0 to 0.3.3"
        )

    def compute_advantage(
        data: Any, adv_estimator: Any, gamma: float = 1.0, lam: float = 1.0
    ) -> Any:
        name = str(getattr(adv_estimator, "value", adv_estimator))
        if name != "grpo":
            raise PluginError(f"durian: algorithm.adv_estimator is {name}; set it to grpo")
        mask = data.batch["response_mask"]
        flat, metrics = row_advantages(_rows(data), settings, trainer="easyr1")
        teller.batch(metrics, settings)
        advantages = flat.to(data.batch["token_level_rewards"])[:, None] * mask
        data.batch["advantages"] = data.batch["returns"] = advantages
        return data

    ray_trainer.compute_advantage = compute_advantage
    teller.installed("compute_advantage")


def _rows(data: Any) -> Rows:
    batch, other = data.batch, data.non_tensor_batch
    mask = batch["response_mask"]  # (N, T)
    length = mask.sum(dim=-1)
    rewards = batch["token_level_rewards"].sum(dim=-1).double()
    logprobs = batch["old_log_probs"] if "old_log_probs" in batch else None
    kept = [name for name in COLUMNS if name in other]
    return Rows(
        sample=list(other["uid"]),
        rewards=rewards.masked_fill(length == 0, torch.nan),
        columns=[{name: other[name][row] for name in kept} for row in range(len(rewards))],
        confidence=None if logprobs is None else mean_logprob(logprobs, mask),
    )


def main() -> None:
    """Run EasyR1's own `main`, its runner replaced by one that installs the plug-in first.

    Raises:
        PluginError: EasyR1 is not what `verl` is here, or its runner is no Ray actor.
    """
    import ray
    from verl.trainer import main as easyr1

    runner = getattr(getattr(easyr1, "Runner", None), "__ray_metadata__", None)
    if runner is None:
        raise PluginError(
            "durian: the installed `verl` is not EasyR1 (its trainer has no Ray actor Runner); for "
            "verl itself use data.custom_cls, as `durian export --to verl` prints it"
        )
    settings = Settings.read()  # here, so that a wrong one stops before Ray starts

    # Ray makes the actor in another process, which imports EasyR1 anew: what was patched here would
    # not be there. So the actor's own `run` installs the plug-in, as the first thing it does.
    class Runner(runner.modified_class):  # type: ignore[name-defined, misc]
        def run(self, config: Any) -> None:
            from verl.trainer import ray_trainer

            install(ray_trainer, settings, Teller("easyr1"))
            super().run(config)

    easyr1.Runner = ray.remote(num_cpus=1)(Runner)
    easyr1.main()


if __name__ == "__main__":
    main()
