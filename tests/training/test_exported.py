"""TRL's own trainers read the files of sft and dpo, and take a step on the tiny policy."""

import warnings
from pathlib import Path

import pytest
import torch

from tests.export.conftest import export, run  # noqa: F401

with warnings.catch_warnings():  # what TRL warns of while it is imported is its own
    warnings.simplefilter("ignore")
    from datasets import load_dataset
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize(
    # Nine samples have a right completion, seven a wrong one beside it; one of them stands twice.
    ("form", "trainer", "config", "rows"),
    [("sft", SFTTrainer, SFTConfig, 10), ("dpo", DPOTrainer, DPOConfig, 8)],
)
def test_trls_trainers_take_a_step_on_what_was_exported(
    export,  # noqa: F811
    tiny_policy: Path,
    tmp_path: Path,
    form: str,
    trainer: type,
    config: type,
    rows: int,
) -> None:
    _, out = export(form)
    dataset = load_dataset(str(out), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(dataset) == rows
    asked = config(
        output_dir=str(tmp_path / "trained"), max_steps=1, per_device_train_batch_size=2,
        report_to=[], use_cpu=True, bf16=False, save_strategy="no", logging_steps=1,
        disable_tqdm=True, max_length=None,
    )  # fmt: skip
    policy = AutoModelForImageTextToText.from_pretrained(tiny_policy, dtype=torch.float32)
    made = trainer(
        model=policy, args=asked, train_dataset=dataset,
        processing_class=AutoProcessor.from_pretrained(tiny_policy),
    )  # fmt: skip
    made.train()
    (loss,) = (entry["loss"] for entry in made.state.log_history if "loss" in entry)
    assert loss > 0
