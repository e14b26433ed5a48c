"""Settings of `durian eval`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from durian.config.later import LaterConfig
from durian.config.options import RUN, SAMPLING, again, option
from durian.config.policy import PolicyConfig
from durian.config.profile import ProfileConfig
from durian.errors import ConfigError
from durian.measures.blind import WAYS as BLIND_WAYS


@dataclass(frozen=True, kw_only=True)
class EvalConfig(LaterConfig, PolicyConfig):
    """All that an evaluation depends on. What is None is taken as the table's profile had it."""

    model: str = again(PolicyConfig, "model", ...)
    compare: str | None = option(
        None,
        "Another policy, judged on the same samples; differences are --model minus it.",
        panel=RUN,
        identity=False,  # as of the model
    )
    out: str | None = option(
        None,
        "Folder to write: numbers, completions, a page; begun by an earlier attempt, it is "
        "resumed. A path that ends in .json: that file, and the numbers alone.",
        panel=RUN,
        identity=False,
        here=True,
    )
    part_size: int = again(ProfileConfig, "part_size")
    rollouts: int = again(
        PolicyConfig,
        "rollouts",
        help="Sampled completions per sample, beside the greedy one; 0: greedy alone.",
        low=0,
    )
    blind: str | None = option(
        None,
        "Also judge without the image: with none, a gray one of its size, or another sample's. "
        "Gives what the image adds, and what training leaked.",
        panel=SAMPLING,
        default_text="not asked",
        choices=BLIND_WAYS,
    )
    blind_rollouts: int | None = again(
        ProfileConfig,
        "blind_rollouts",
        help="Sampled completions without the image per sample, with --blind.",
    )
    pass_at: tuple[int, ...] = option(
        (),
        "Also the share of samples that have a right one among K sampled completions, like "
        "1,4,16, estimated from all --rollouts.",
        panel=SAMPLING,
        default_text="none",
        write="whole numbers, like 1,4,16",
    )
    seed: int = again(
        ProfileConfig, "seed", help="Seed of the sampling, the intervals and the tests."
    )

    @property
    def asks_blind(self) -> bool:
        """Whether samples are also asked without their images."""
        return self.blind is not None

    @property
    def folder(self) -> Path | None:
        """The run folder to write, where `out` names one."""
        single = self.out is None or self.out.lower().endswith(".json")
        return None if single else Path(self.out or "")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rollouts and self.temperature == 0:
            raise ConfigError("temperature is 0, which is greedy; pass --rollouts 0 for it alone")
        for k in self.pass_at:
            if not 1 <= k <= self.rollouts:
                raise ConfigError(
                    f"pass-at {k} needs 1 to --rollouts completions of each sample, and rollouts "
                    f"is {self.rollouts}; pass --rollouts {max(self.pass_at)} or more"
                )
        if self.blind_rollouts is not None and not (self.asks_blind and self.rollouts):
            raise ConfigError(
                "blind-rollouts is for --blind with sampled completions; pass --blind none too, or "
                "leave it out"
            )
        _ = self.sampling  # which is checked at birth
