"""Settings of `durian doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from durian.config.options import POLICY, Config, again, option
from durian.config.policy import PolicyConfig, SamplingConfig, check_secrets
from durian.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(Config):
    """What is looked at: this installation, or one policy on it."""

    model: str | None = option(
        None,
        "Policy to try: folder or hub id; without it, the installation alone is looked at.",
        panel=POLICY,
    )
    engine: str | None = option(
        None,
        "vllm or transformers: which engine reads the policy.",
        panel=POLICY,
        default_text="vllm where it is installed",
        choices=("vllm", "transformers"),
    )
    engine_args: dict[str, Any] = again(PolicyConfig, "engine_args")
    trust_remote_code: bool = again(PolicyConfig, "trust_remote_code")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_secrets(self.engine_args, None)
        given = [("engine", self.engine), ("engine-arg", self.engine_args)]
        for name, value in given:
            if self.model is None and value:
                raise ConfigError(f"{name} is for a policy: pass --model, or leave --{name} out")

    def sampling(self, engine: str, **changes: Any) -> SamplingConfig:
        """The settings by which an engine loads the policy; keywords override.

        Raises:
            ConfigError: there is no policy.
        """
        if self.model is None:
            raise ConfigError("this needs a policy: pass --model PATH_OR_HUB_ID")
        return SamplingConfig(
            model=self.model,
            engine=engine,
            engine_args=self.engine_args,
            trust_remote_code=self.trust_remote_code,
            **changes,
        )
