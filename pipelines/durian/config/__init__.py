"""The settings of each command: frozen, checked at birth, standard library only."""

from durian.config.checks import check_grouping
from durian.config.cost import CostConfig
from durian.config.dataset import DatasetConfig
from durian.config.evaluate import EvalConfig
from durian.config.profile import FEATURES, MEASURES, SYSTEM_PROMPT, ProfileConfig
from durian.config.sampling import ENGINES, SamplingConfig
from durian.config.train import TrainConfig

__all__ = [
    "ENGINES",
    "FEATURES",
    "MEASURES",
    "SYSTEM_PROMPT",
    "CostConfig",
    "DatasetConfig",
    "EvalConfig",
    "ProfileConfig",
    "SamplingConfig",
    "TrainConfig",
    "check_grouping",
]
