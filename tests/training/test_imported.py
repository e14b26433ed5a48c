"""A profile's own completions, imported as a log: the same table, and a training takes it."""

from pathlib import Path

import polars as pl
import pytest

from durian.config import ImportConfig, TrainConfig
from durian.import_logs import import_logs
from durian.planning.dry_run import plan_training


@pytest.fixture(scope="module")
def imported(run: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rollouts of the profile as a run of their own."""
    out = tmp_path_factory.mktemp("imported") / "run"
    logs = str(run / "rollouts.parquet")
    import_logs(ImportConfig(logs=logs, form="jsonl", dataset=str(rows), out=str(out), bins=3))
    return out


def test_the_rollouts_of_a_profile_give_its_table_again(run: Path, imported: Path) -> None:
    tables = [pl.read_parquet(folder / "difficulty.parquet") for folder in (run, imported)]
    measured = [name for name in tables[0].columns if tables[0][name].null_count() < len(tables[0])]
    assert {"mean_logprob", "pass_rate", "mean_tokens", "truncated", "reasoning_group"} <= set(
        measured
    )
    for name in measured:
        # What no log tells: tokens of the prompt and its images, the size that the policy sees.
        if name not in ("image_tokens", "prompt_tokens", "resize_factor"):
            assert tables[0][name].to_list() == tables[1][name].to_list(), name


def test_a_training_takes_the_groups_of_an_imported_run(
    rows: Path, imported: Path, tiny_policy: Path, tmp_path: Path
) -> None:
    config = TrainConfig(
        dataset=str(rows), table=str(imported), model=str(tiny_policy), out=str(tmp_path / "out")
    )
    plan = plan_training(config)
    assert plan.left_out == {}
    # By hand: the shipped policy's ChatML without a system turn.
    assert plan.first_prompt == (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>is there a blue shape?"
        "<|im_end|>\n<|im_start|>assistant\n"
    )
