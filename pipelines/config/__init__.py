"""The settings of each command: frozen, checked at birth, standard library only."""

from pipelines.config.adaptive import AdaptiveRollouts
from pipelines.config.checks import check_grouping
from pipelines.config.cost import CostConfig
from pipelines.config.dataset import DatasetConfig
from pipelines.config.evaluate import EvalConfig
from pipelines.config.profile import FEATURES, MEASURES, SYSTEM_PROMPT, ProfileConfig
from pipelines.config.sampling import ENGINES, SamplingConfig
from pipelines.config.train import NORMALIZERS, TrainConfig

__all__ = [
    "ENGINES",
    "FEATURES",
    "MEASURES",
    "NORMALIZERS",
    "SYSTEM_PROMPT",
    "AdaptiveRollouts",
    "CostConfig",
    "DatasetConfig",
    "EvalConfig",
    "ProfileConfig",
    "SamplingConfig",
    "TrainConfig",
    "check_grouping",
]
