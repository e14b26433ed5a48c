"""Find the samples of a multimodal dataset that are hard for a model, and why; then GRPO by it.

    dataset
       | readers      forms of files and of rows            images   bytes -> pixels
       v
    samples
       | engines      policies that write completions       rewards  is a completion right
       | measures     arrays in, numbers out                measuring  the stream of it all
       v
    run folder        run, table: parts, lock, resume       schema, manifest
       | groups       percentiles and quantile bins         analysis, rendering: numbers, page
       v
    difficulty table                                        STAGE 1 ends here: profile.py
       | training     the GRPO loop                         normalizer  rewards -> advantages
       v
    policy                                                  STAGE 2: train.py

Beside them: import_logs.py (rollouts that exist, of logs/, as a run), regroup.py, report.py,
compare.py, evaluate.py, runs.py (a finished run as one object) and planning/ (what a run costs).
What all of them share lies below: samples.py, records.py, config/, places/ (files here or on a
server), errors.py.

The names below are the package's face. Each is loaded when it is first used, so that a mere
`import durian` takes no time and needs no other package; settings are in `durian.config`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from durian.compare import compare_runs
    from durian.evaluate import evaluate_policy
    from durian.images.entropy import pixel_entropy
    from durian.normalizer import durian_advantages
    from durian.profile import profile_dataset
    from durian.runs import open_run
    from durian.train import train_policy

__all__ = [
    "compare_runs",
    "durian_advantages",
    "evaluate_policy",
    "open_run",
    "pixel_entropy",
    "profile_dataset",
    "train_policy",
]

_HOMES = {
    "compare_runs": "durian.compare",
    "durian_advantages": "durian.normalizer",
    "evaluate_policy": "durian.evaluate",
    "open_run": "durian.runs",
    "pixel_entropy": "durian.images.entropy",
    "profile_dataset": "durian.profile",
    "train_policy": "durian.train",
}


def __getattr__(name: str) -> Any:
    """Load a function of the face from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'durian' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
