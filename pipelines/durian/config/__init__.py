"""The settings of each command: frozen, checked at birth, standard library only."""

from durian.config.cost import CostConfig
from durian.config.dataset import DatasetConfig
from durian.config.doctor import DoctorConfig
from durian.config.evaluate import EvalConfig
from durian.config.export import ExportConfig
from durian.config.grade import GradeConfig
from durian.config.group import GroupConfig
from durian.config.logs import ImportConfig
from durian.config.policy import ENGINES, SamplingConfig
from durian.config.profile import FEATURES, SYSTEM_PROMPT, ProfileConfig
from durian.config.rescore import RescoreConfig
from durian.config.runs import (
    AttemptConfig,
    CompareConfig,
    MergeConfig,
    ReportConfig,
    ResumeConfig,
    ShownConfig,
)
from durian.config.shard import Shard
from durian.config.train import TrainConfig
from durian.config.view import PicturesConfig, ShowConfig, ViewConfig

__all__ = [
    "ENGINES",
    "FEATURES",
    "SYSTEM_PROMPT",
    "AttemptConfig",
    "CompareConfig",
    "CostConfig",
    "DatasetConfig",
    "DoctorConfig",
    "EvalConfig",
    "ExportConfig",
    "GradeConfig",
    "GroupConfig",
    "ImportConfig",
    "MergeConfig",
    "RescoreConfig",
    "PicturesConfig",
    "ProfileConfig",
    "ReportConfig",
    "ResumeConfig",
    "SamplingConfig",
    "Shard",
    "ShowConfig",
    "ShownConfig",
    "TrainConfig",
    "ViewConfig",
]
