"""Settings of `durian train`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from durian.config.checks import check_percentiles, no_keys
from durian.config.dataset import DatasetConfig
from durian.config.later import LaterConfig
from durian.config.options import (
    DATA,
    NORMALIZER,
    POLICY,
    RUN,
    VALIDATION,
    again,
    default_values,
    either,
    option,
    options_of,
    typed,
)
from durian.config.policy import PolicyConfig, SamplingConfig
from durian.config.profile import ProfileConfig
from durian.errors import ConfigError
from durian.normalizer import NORMALIZERS

POOLS = ("easy", "medium", "hard")
SHARES = {"easy": 0.2, "medium": 0.6, "hard": 0.2}
CURRICULA = ("frontier", "pools")  # orders that draw each rollout batch
ORDERS = ("shuffle", "easy_first", "hard_first", *CURRICULA)
WAYS = ("greedy", "sampled")  # of drawing a completion in a validation


@dataclass(frozen=True, kw_only=True)
class TrainConfig(LaterConfig):
    """All that a training depends on. What is None is taken as the table's profile had it."""

    table: str = again(LaterConfig, "table", ..., help="Run folder of the dataset's profile.")
    out: str = again(ProfileConfig, "out", help="Folder to write.")
    model: str = again(PolicyConfig, "model", ..., help="Policy: local folder or hub id.")
    trust_remote_code: bool = again(PolicyConfig, "trust_remote_code")
    max_prompt_tokens: int | None = option(
        None,
        "Leave longer prompts out.",
        panel=DATA,
        unit="tokens",
        default_text="what the model's context holds",
        low=1,
    )
    lora_r: int | None = option(
        None,
        "Rank of a LoRA adapter.",
        panel=POLICY,
        default_text="all weights are trained",
        low=1,
    )
    lora_alpha: int = option(32, "Scale of the adapter.", panel=POLICY)
    lora_dropout: float = option(0.0, "Dropout of the adapter.", panel=POLICY)
    lora_target_modules: tuple[str, ...] = option(
        ("all-linear",), "Modules it adapts, comma-separated.", panel=POLICY
    )
    freeze_vision: bool = option(False, "Keep the vision encoder as it is.", panel=POLICY)
    normalizer: str = option(
        "durian", lambda: f"{either(NORMALIZERS)}.", panel=NORMALIZER, choices=NORMALIZERS
    )
    weights: tuple[float, float, float] = option(
        (0.4, 0.3, 0.3),
        "Of the sample's own, the perceptual and the reasoning term (eq. 20).",
        panel=NORMALIZER,
        write="three numbers, like 0.4,0.3,0.3",
    )
    eps: float = option(1e-6, "Added to every std.", panel=NORMALIZER, low=0)
    shrink: float = option(
        0.0,
        "How many completions the rollout batch's std counts for in each group's.",
        panel=NORMALIZER,
        unit="completions",
        low=0,
    )
    overlong_buffer: int | None = option(
        None,
        "Take reward away from completions that come nearer than this to the longest one.",
        panel=NORMALIZER,
        unit="tokens",
        default_text="none is taken",
        low=1,
    )
    overlong_penalty: float = option(
        1.0, "What is taken from one of full length (DAPO: 1).", panel=NORMALIZER, low=0
    )
    dynamic_sampling: str | None = option(
        None,
        "Draw flat groups anew from other samples: by spread (their rewards do not), or by "
        "correct (all right or all wrong).",
        panel=NORMALIZER,
        default_text="they stay",
        choices=("spread", "correct"),
    )
    max_tries: int = option(
        10,
        "How often the flat groups of a rollout batch are drawn anew, at most.",
        panel=NORMALIZER,
        low=1,
    )
    groups: str = option(
        "offline",
        "offline (the table's) or online (cut within each rollout batch).",
        panel=NORMALIZER,
        choices=("offline", "online"),
    )
    percentiles: tuple[float, float] | None = again(
        ProfileConfig,
        "percentiles",
        None,
        help="Cut easy, medium, hard anew.",
        panel=NORMALIZER,
        default_text="the table's",
    )
    bins: int | None = again(
        ProfileConfig,
        "bins",
        None,
        help="Cut the reasoning bins anew.",
        panel=NORMALIZER,
        default_text="the table's",
    )
    regroup: float | None = option(
        None,
        "Cut the reasoning bins anew, from the policy's own confidences, when Kendall's tau with "
        "those behind the bins lies so far below that of two profiles of one policy: 0.1.",
        panel=NORMALIZER,
        default_text="they are the table's to the end",
        low=0,
    )
    missing: str = option(
        "error",
        "Samples that the table lacks: error, or own (in no group).",
        panel=NORMALIZER,
        choices=("error", "own"),
    )
    rollout_batch: int | None = option(
        None,
        "Prompts over which the std of a group is taken.",
        panel=NORMALIZER,
        unit="prompts",
        default_text="GRPOConfig's generation batch",
        low=1,
    )
    filter: str | None = option(
        None,
        "SQL condition over the table's columns: 'pass_rate > 0 AND pass_rate < 1'.",
        panel=NORMALIZER,
    )
    order: str = option(
        "shuffle",
        lambda: f"{either(ORDERS)}.",
        panel=NORMALIZER,
        choices=ORDERS,
    )
    frontier_prior: float | None = option(
        None,
        "With order frontier: completions that a sample is taken to have beside its own; fewer, "
        "and those that are always right or wrong are drawn less.",
        panel=NORMALIZER,
        unit="completions",
        default_text="as the table's samples differ",
        above=0,
    )
    frontier_decay: float = option(
        0.5,
        "With order frontier: what a completion still counts once as many samples were drawn as "
        "there are.",
        panel=NORMALIZER,
        low=0,
        high=1,
    )
    pools: dict[str, Any] | None = option(
        None,
        "NAME=SHARE, with order pools: of easy, medium and hard samples in each rollout batch.",
        panel=NORMALIZER,
        default_text=", ".join(f"{name}={share:g}" for name, share in SHARES.items()),
    )
    eval_dataset: str | None = option(
        None,
        "Validate the policy on this dataset while it trains: before the first step, every "
        "--eval-every steps, and at the end. Its columns are named as the training set's.",
        panel=VALIDATION,
        default_text="no validation",
        filled="a file, a folder or a hub id",
        identity=False,  # it is of what is in it
    )
    eval_split: str | None = option(None, "Its split.", panel=VALIDATION, default_text="as --split")
    eval_limit: int | None = option(
        None, "Read its first N rows only.", panel=VALIDATION, unit="rows", low=1
    )
    eval_table: str | None = option(
        None,
        "Run folder of its profile: accuracy by the groups of that table.",
        panel=VALIDATION,
        default_text="in all and by its text columns",
        identity=False,  # as of the table
    )
    eval_every: int | None = option(
        None,
        "Optimizer steps from one validation to the next.",
        panel=VALIDATION,
        unit="steps",
        default_text="as often as a checkpoint is kept",
        low=1,
    )
    eval_rollouts: int = option(
        4,
        "Sampled completions of each sample, beside the greedy one; 0: greedy alone.",
        panel=VALIDATION,
        low=0,
    )
    eval_metric: str = option(
        "greedy",
        "Accuracy by which a policy is the best: greedy or sampled, of all samples or of one "
        "group, like sampled/perceptual_hard or greedy/kind=colour.",
        panel=VALIDATION,
    )
    eval_patience: int | None = option(
        None,
        "End the training after so many validations without a better one.",
        panel=VALIDATION,
        default_text="all steps are taken",
        low=1,
    )
    grpo: dict[str, Any] = option(
        {},
        "NAME=VALUE, any field of trl.GRPOConfig, as often as needed: learning_rate=1e-6.",
        panel=RUN,
        section="fields of trl.GRPOConfig",
        identity=False,  # its fields are told one by one
    )
    processes: int | None = option(
        None,
        "Processes that the launch must have.",
        panel=RUN,
        unit="processes",
        default_text="whatever it has",
        low=1,
        identity=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        usable = all(math.isfinite(w) and w >= 0 for w in self.weights)
        if len(self.weights) != 3 or not usable or not any(self.weights):
            raise ConfigError(
                f"weights is {','.join(f'{w:g}' for w in self.weights)}; it must be three numbers "
                "of 0 or more, not all 0: own, perceptual, reasoning"
            )
        if self.percentiles is not None:
            check_percentiles(self.percentiles)
        self._check_order()
        self._check_validation()
        no_keys("grpo:", self.grpo)
        no_keys("grpo: model_init_kwargs", self.grpo.get("model_init_kwargs") or {})

    def _check_validation(self) -> None:
        if self.eval_dataset is None:
            for name, default in default_values(TrainConfig).items():
                if name.startswith("eval_") and getattr(self, name) != default:
                    raise ConfigError(
                        f"{typed(name, options_of(TrainConfig)[name])} is for a validation, and "
                        "there is none; pass --eval-dataset"
                    )
        way = self.eval_metric.partition("/")[0]
        if way not in WAYS:
            raise ConfigError(
                f"eval-metric is '{self.eval_metric}'; it must be {either(WAYS)}, or one of them "
                "with a group, like sampled/perceptual_hard"
            )
        if way == "sampled" and not self.eval_rollouts:
            raise ConfigError(
                f"eval-metric is '{self.eval_metric}', and eval-rollouts 0 samples nothing; pass "
                "--eval-metric greedy, or --eval-rollouts 4"
            )

    @property
    def eval_source(self) -> DatasetConfig | None:
        """The part of the settings that names the dataset to validate on; None: there is none."""
        if self.eval_dataset is None:
            return None
        return replace(
            self.source,
            dataset=self.eval_dataset,
            split=self.eval_split or self.split,
            limit=self.eval_limit,
        )

    @property
    def shares(self) -> tuple[float, float, float]:
        """The shares of easy, medium and hard; 0 of one that is not named."""
        named = SHARES if self.pools is None else self.pools
        easy, medium, hard = (float(named.get(name, 0)) for name in POOLS)
        return easy, medium, hard

    def _check_order(self) -> None:
        for name in ("frontier_prior", "frontier_decay", "pools"):
            order = name.partition("_")[0]
            given = getattr(self, name) != default_values(TrainConfig).get(name)
            if given and self.order != order:
                raise ConfigError(
                    f"{typed(name, options_of(TrainConfig)[name])} is for order {order}, and order "
                    f"is {self.order}; leave it out"
                )
        if self.pools is None:
            return
        for name, share in self.pools.items():
            if name not in POOLS:
                raise ConfigError(f"pools has no '{name}'; name {either(POOLS)}")
            number = isinstance(share, int | float) and not isinstance(share, bool)
            if not number or not 0 <= share < math.inf:
                raise ConfigError(f"pools: {name} is {share!r}; it must be a number of 0 or more")
        if not any(self.shares):
            raise ConfigError("pools gives no pool a share; give one above 0, like medium=1")

    @property
    def policy(self) -> SamplingConfig:
        """The part of the settings that names the policy, as `transformers` loads it."""
        return SamplingConfig(
            model=self.model,
            engine="transformers",
            min_pixels=self.min_pixels,
            max_pixels=self.max_pixels,
            chat_template_args=self.chat_template_args,
            trust_remote_code=self.trust_remote_code,
        )
