"""Durian inside verl 0.7.1 to 0.9: an advantage estimator that knows the samples' difficulty.

    python3 -m verl.trainer.main_ppo algorithm.adv_estimator=durian \
        data.custom_cls.path=pkg://durian.plugins.durian_verl data.custom_cls.name=DurianDataset ...

verl builds its dataset in the very process that computes advantages, before the first step: there
the class below checks the columns and registers the estimator. verl hands an estimator no dataset
column, so the one function that calls it is wrapped, not replaced, and leaves the columns for it.
Settings: `+algorithm.durian.weights=[0.4,0.3,0.3]` and the like, else the environment variables
that `rows.Settings` names.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.data
from torch import Tensor

from durian.plugins.rows import (
    COLUMNS,
    PERCEPTUAL_VALUE,
    SAMPLE_ID,
    PluginError,
    Rows,
    Settings,
    Teller,
    mean_logprob,
    row_advantages,
)
from durian.plugins.verl_sampler import CORRECT, NO_CORRECT, CurriculumSampler

ESTIMATOR = "durian"
SAMPLER = "DurianSampler"
_NEEDED = {"data", "adv_estimator", "config"}  # of compute_advantage, in all versions known


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """The columns of the batch in hand, which verl does not give to an estimator."""

    columns: Sequence[Mapping[str, Any]]
    confidence: Tensor | None  # (N,)
    keys: Sequence[str] | None = None  # V1: `{uid}_{session}_{output}`, one a row
    metrics: dict[str, Any] | None = None  # V1: what verl logs of this step


_in_hand: ContextVar[_Batch | None] = ContextVar("durian_batch", default=None)


def estimate(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    config: Any = None,
    index: Sequence[Hashable] | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """verl's estimator: advantages and returns, both (N, T), zero outside of the mask.

    Args:
        token_level_rewards, response_mask: (N, T).
        config: verl's `algorithm` section.
        index: (N,), the uid of each row's prompt.
    Raises:
        PluginError: a column is missing, or the batch came by a road that leaves no columns.
    """
    batch = _in_hand.get()
    if batch is None or index is None:
        raise PluginError(
            "durian: verl computes advantages here without the function that Durian wraps (the "
            "fully asynchronous trainer does); train by verl.trainer.main_ppo"
        )
    settings = settings_of(config)
    rewards = token_level_rewards.sum(dim=-1).double()
    # Rows that verl adds so that a batch divides evenly have no response.
    rewards = rewards.masked_fill(response_mask.sum(dim=-1) == 0, torch.nan)
    rows = Rows(
        sample=list(index),
        rewards=rewards,
        columns=batch.columns,
        confidence=batch.confidence,
        judged=None if batch.keys is None else _last_outputs(batch.keys),
    )
    flat, found = row_advantages(rows, settings, trainer="verl")
    _teller().batch(found, settings)
    if batch.metrics is not None:
        batch.metrics.update(found)
    advantages = flat.to(token_level_rewards)[:, None] * response_mask
    return advantages, advantages


def _last_outputs(keys: Sequence[str]) -> list[int]:
    """Find, for each row, that of its session's last output, whose reward serves all of them.

    In verl's V1 a session of several turns is several rows.
    """
    last: dict[str, tuple[int, int]] = {}
    for row, key in enumerate(keys):
        session, output = key.rsplit("_", 1)
        last[session] = max(last.get(session, (-1, -1)), (int(output), row))
    return [last[key.rsplit("_", 1)[0]][1] for key in keys]


def settings_of(algorithm: Any) -> Settings:
    """Settings of the `durian` section of verl's `algorithm` config, else of the environment."""
    given = algorithm.get("durian", None) if hasattr(algorithm, "get") else None
    return Settings.read(None if given is None else dict(given))


def _warn_of_another(estimator: Any) -> bool:
    """Whether verl asks another estimator than ours: then Durian is idle, which is said once."""
    name = str(getattr(estimator, "value", estimator))
    if name != ESTIMATOR:
        _teller().warn(
            f"algorithm.adv_estimator is {name}, so that Durian is idle; "
            f"set algorithm.adv_estimator={ESTIMATOR}"
        )
    return name != ESTIMATOR


@functools.cache
def _teller() -> Teller:
    return Teller("verl")


def wrapped_function(original: Callable[..., Any]) -> Callable[..., Any]:
    """`compute_advantage` of verl's V0 trainer, with the columns of its batch at hand.

    Raises:
        PluginError: its signature is not one that is known.
    """
    # The wrapper leaves the columns in a context variable for the time of one call, and the
    # estimator takes them from there. So verl's own function runs unchanged around it: its KL, its
    # masks, its logging.
    found = inspect.signature(original)
    if not found.parameters.keys() >= _NEEDED:
        raise PluginError(
            f"durian: this verl's compute_advantage takes {', '.join(found.parameters)}; use verl "
            "0.7.1 to 0.9 (EasyR1 has a plug-in of its own: durian.plugins.durian_easyr1)"
        )

    @functools.wraps(original)
    def compute_advantage(*args: Any, **kwargs: Any) -> Any:
        data = found.bind(*args, **kwargs).arguments["data"]
        # V1 calls this function too, and has left more than this data holds.
        if _in_hand.get() is not None or "extra_info" not in data.non_tensor_batch:
            return original(*args, **kwargs)
        _check_drawn()
        for sampler in _samplers:
            sampler.update(data)
        _warn_of_another(found.bind(*args, **kwargs).arguments["adv_estimator"])
        batch = data.batch
        logprobs = batch["old_log_probs"] if "old_log_probs" in batch.keys() else None
        mask = batch["response_mask"] if "response_mask" in batch.keys() else None
        left = _in_hand.set(
            _Batch(
                columns=list(data.non_tensor_batch["extra_info"]),
                confidence=(
                    None if logprobs is None or mask is None else mean_logprob(logprobs, mask)
                ),
            )
        )
        try:
            return original(*args, **kwargs)
        finally:
            _in_hand.reset(left)

    return compute_advantage


def wrapped_method(original: Callable[..., Any], store: Any) -> Callable[..., Any]:
    """`PPOTrainer._compute_advantage` of verl's V1 trainer, likewise.

    Args:
        store: verl's module `transfer_queue`, which holds a batch's columns.
    Raises:
        PluginError: its signature is not one that is known.
    """
    found = list(inspect.signature(original).parameters)
    if found != ["self", "batch", "metrics"]:
        raise PluginError(
            f"durian: this verl's PPOTrainer._compute_advantage takes {', '.join(found)}; use verl "
            "0.9, or trainer.use_v1=False"
        )

    @functools.wraps(original)
    def _compute_advantage(self: Any, batch: Any, metrics: dict[str, Any]) -> Any:
        _check_drawn()
        for sampler in _samplers:
            _teach(sampler, batch, store)
        if _warn_of_another(self.config.algorithm.adv_estimator):
            return original(self, batch, metrics)
        fields = ["extra_info", "response_mask"]
        if settings_of(self.config.algorithm).online:
            fields.append("old_log_probs")
        # V1 keeps the columns of a batch in a store apart. Only those that are needed are fetched,
        # since a batch of tensors is large.
        held = store.kv_batch_get(
            keys=batch.keys, partition_id=batch.partition_id, select_fields=fields
        )
        confidence = None
        if "old_log_probs" in fields:
            pairs = zip(held["old_log_probs"], held["response_mask"], strict=True)
            confidence = torch.cat([mean_logprob(row[None], mask[None]) for row, mask in pairs])
        columns = held["extra_info"]
        left = _in_hand.set(
            _Batch(
                columns=columns.tolist() if hasattr(columns, "tolist") else list(columns),
                confidence=confidence,
                keys=list(batch.keys),
                metrics=metrics,
            )
        )
        try:
            return original(self, batch, metrics)
        finally:
            _in_hand.reset(left)

    return _compute_advantage


def _teach(sampler: CurriculumSampler, batch: Any, store: Any) -> None:
    """Tell a sampler what a batch of V1 showed, by the last output of each session.

    Raises:
        PluginError: the reward gives no `acc`.
    """
    held = store.kv_batch_get(
        keys=batch.keys,
        partition_id=batch.partition_id,
        select_fields=["extra_info", "extra_fields", "response_mask"],
    )
    columns, told = (
        [getattr(value, "data", value) for value in held[name]]
        for name in ("extra_info", "extra_fields")
    )
    counts = [bool(mask.any()) for mask in held["response_mask"]]
    final = [row for row in sorted(set(_last_outputs(list(batch.keys)))) if counts[row]]
    parts = [told[row].get("reward_extra_info", {}) for row in final]
    if any(CORRECT not in part for part in parts):
        raise PluginError(NO_CORRECT)
    sampler.learn(
        [columns[row][SAMPLE_ID] for row in final],
        [float(part[CORRECT]) for part in parts],
        [True] * len(final),
    )


_samplers: list[CurriculumSampler] = []  # that this process draws by, one at most
_asked: list[bool] = []  # [True] where a dataset's config has named our sampler


def _names_ours(data_config: Any) -> bool:
    asked = data_config.get("sampler", None) or {}
    return bool(asked.get("class_name", None) == SAMPLER)


def note_sampler(data_config: Any) -> None:
    """Keep in mind whether verl's `data` section asks for Durian's sampler."""
    if _names_ours(data_config):
        _asked[:] = [True]


def wrapped_creation(original: Callable[..., Any]) -> Callable[..., Any]:
    """verl's `create_rl_sampler` since 0.8, which knows no sampler of others.

    Raises:
        PluginError: its signature is not one that is known.
    """
    found = list(inspect.signature(original).parameters)
    if found != ["data_config", "dataset"]:
        raise PluginError(
            f"durian: this verl's create_rl_sampler takes {', '.join(found)}; use verl 0.7.1 to "
            "0.9, or leave out data.sampler"
        )

    @functools.wraps(original)
    def create_rl_sampler(data_config: Any, dataset: Any) -> Any:
        if not _names_ours(data_config):
            return original(data_config, dataset)
        if workers := data_config.get("dataloader_num_workers", 8):
            raise PluginError(
                f"durian: data.dataloader_num_workers is {workers}, so that batches would be "
                "fetched before their sampler has learnt from those before; set it to 0"
            )
        sampler = sys.modules[__name__].DurianSampler(dataset, data_config)
        _samplers[:] = [sampler]
        _teller().say(f"prompts are drawn by {sampler.settings.order}")
        return sampler

    return create_rl_sampler


def _interface() -> Any:
    """verl's own base class of samplers that learn, up to 0.7.1; None where it has none."""
    try:
        from verl.experimental.dataset.sampler import AbstractCurriculumSampler
    except ImportError:
        return None
    return AbstractCurriculumSampler


def _check_drawn() -> None:
    """Refuse a sampler that was asked for and that nothing draws by.

    Raises:
        PluginError: verl built its sampler where Durian does not reach (0.8 does).
    """
    if _asked and not _samplers and _interface() is None:
        raise PluginError(
            f"durian: data.sampler names {SAMPLER}, and this verl built another; use verl 0.9, or "
            "0.7.1 and before, or leave data.sampler out"
        )


def _wrap_creation() -> None:
    """Let `data.sampler` name Durian's sampler in a verl that has no interface for it."""
    if _interface() is not None:
        return
    # verl's modules take the function by its name; each of them builds a sampler in some version.
    places = [sys.modules[name] for name in _CREATORS if name in sys.modules]
    places = [place for place in places if hasattr(place, "create_rl_sampler")]
    for place in places:
        place.create_rl_sampler = wrapped_creation(place.create_rl_sampler)  # type: ignore[attr-defined]


_CREATORS = (
    "verl.trainer.ppo.utils",
    "verl.trainer.ppo.ray_trainer",
    "verl.trainer.ppo.v1.trainer_base",
    "verl.trainer.main_ppo",
    "verl.trainer.main_ppo_v0",
    "verl.experimental.one_step_off_policy.main_ppo",
    "__main__",  # what `python3 -m verl.trainer.main_ppo` is there
)
_ELSEWHERE = "verl.experimental.fully_async_policy.fully_async_rollouter"
_DONE = "__durian__"  # marks what is wrapped already: verl builds its dataset more than once


def install() -> None:
    """Register the estimator `durian`, and wrap the functions that call it; once a process.

    Raises:
        PluginError: verl is not installed, is EasyR1, or of a version whose functions differ; or
            the fully asynchronous trainer builds the dataset, in a process of its own.
    """
    if _ELSEWHERE in sys.modules:
        raise PluginError(
            "durian: verl's fully asynchronous trainer computes advantages in another process than "
            "the one that builds the dataset; train by verl.trainer.main_ppo"
        )
    try:
        from verl.trainer.ppo import core_algos, ray_trainer
    except ImportError as error:
        raise PluginError(
            f"durian: verl's trainer cannot be imported ({error}); EasyR1, which is called verl "
            "too, has a plug-in of its own: python3 -m durian.plugins.durian_easyr1"
        ) from error
    if getattr(ray_trainer.compute_advantage, _DONE, False):
        return
    # Both wrappers look at what they wrap before anything is changed: a version that differs is
    # refused, and verl stays as it was.
    function = wrapped_function(ray_trainer.compute_advantage)
    setattr(function, _DONE, True)
    replaced = ["compute_advantage"]
    try:
        from verl.trainer.ppo.v1 import trainer_base, utils
    except ImportError:
        trainer_base = utils = None
    if trainer_base is not None:
        trainer = trainer_base.PPOTrainer
        trainer._compute_advantage = wrapped_method(trainer._compute_advantage, trainer_base.tq)
        replaced.append("PPOTrainer._compute_advantage")
        if hasattr(utils, "compute_advantage"):
            utils.compute_advantage = function
    ray_trainer.compute_advantage = function
    # The one-step-off trainer took the function by its name, so that its own name still means
    # verl's. Where it is loaded later, it takes the wrapped one.
    if (separation := sys.modules.get("verl.experimental.separation.ray_trainer")) is not None:
        separation.compute_advantage = function  # type: ignore[attr-defined]
    core_algos.register_adv_est(ESTIMATOR)(estimate)
    _wrap_creation()
    _teller().installed(f"estimator {ESTIMATOR} (under {' and '.join(replaced)})")


def check_dataset(rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a dataset that Durian did not export, or that is empty, before a GPU is touched.

    Args:
        rows: verl's rows, as it filtered them; the first one is looked at.
    Raises:
        PluginError: there is none, or its `extra_info` lacks a column.
    """
    if not len(rows):
        # verl takes a prompt that it cannot prepare, for whatever reason, for one that is too long.
        raise PluginError(
            "durian: verl kept no row of the dataset; its log above says why (a package such as "
            "qwen-vl-utils that is not installed, or data.max_prompt_length)"
        )
    info = rows[0].get("extra_info") or {}
    # Files of one list are joined to one table, in which a file without the columns has null. The
    # measure itself may be null too.
    missing = [
        name
        for name in COLUMNS
        if name not in info or (info[name] is None and name != PERCEPTUAL_VALUE)
    ]
    if missing:
        raise PluginError(
            f"durian: extra_info has no {', '.join(missing)}; "
            "write the data by `durian export RUN --to verl`"
        )


def __getattr__(name: str) -> Any:
    """`DurianDataset` and `DurianSampler`, made when verl asks: only there are their bases."""
    if name not in ("DurianDataset", SAMPLER):
        raise AttributeError(name)
    made = _dataset() if name == "DurianDataset" else _sampler()
    made.__module__, made.__qualname__ = __name__, name
    globals()[name] = made
    return made


def _dataset() -> type:
    from verl.utils.dataset.rl_dataset import RLHFDataset

    class DurianDataset(RLHFDataset):  # type: ignore[misc]
        """verl's own dataset, which installs Durian where it is built."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            check_dataset(self.dataframe)
            install()
            note_sampler(self.config)

    return DurianDataset


def _sampler() -> type:
    base: Any = _interface() or torch.utils.data.Sampler

    class DurianSampler(CurriculumSampler, base):  # type: ignore[misc]
        """Durian's sampler, as the one that verl knows where it knows any."""

    return DurianSampler
