"""Show the steps of transformers' trainer as Durian's progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from durian.run.progress import Progress

# What a line of the log shows of a step; all else is in the log file and in `report_to`.
_SHOWN = {
    "reward": "reward",
    "rewards/accuracy": "right",
    "completions/mean_length": "tokens",
    "durian/no_variance": "no variance",
    "durian/extreme": "extreme",
    "durian/refilled": "refilled",
    "durian/drift/kendall_tau": "drift tau",
}


class Watch(TrainerCallback):
    """Advances the stage `train` a step at a time, with a line for each step that is logged."""

    def __init__(self, progress: Progress, checkpoint: Path | None) -> None:
        self._progress = progress
        self._checkpoint = checkpoint

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The number of steps is known, and how many a checkpoint has behind it."""
        if state.is_world_process_zero:
            if self._checkpoint is not None:
                self._progress.note(f"resuming from {self._checkpoint}")
            self._progress.start("train", state.max_steps, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count one more optimizer step as done."""
        if state.is_world_process_zero:
            self._progress.advance("train")

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        """Show the gist of a logged step."""
        shown = [
            f"{name} {logs[key]:.3g}"
            for key, name in _SHOWN.items()
            if logs and isinstance(logs.get(key), int | float)
        ]
        if logs and "durian/regroup/moved" in logs and state.is_world_process_zero:
            self._progress.note(
                f"step {state.global_step}: the reasoning bins were stale and are cut anew "
                f"({logs['durian/regroup/moved']:.0f} samples moved; tau "
                f"{logs['durian/regroup/tau']:.2f}, by chance "
                f"{logs['durian/regroup/tau_by_chance']:.2f})"
            )
        if shown and state.is_world_process_zero:
            self._progress.note(f"step {state.global_step}: {', '.join(shown)}")
