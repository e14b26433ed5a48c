"""The arithmetic of batches, worked out by hand."""

import pytest

from pipelines.errors import ConfigError
from pipelines.training.plan import memory_estimate, plan_batches

TRL = {
    "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "num_generations": 8,
    "steps_per_generation": None, "generation_batch_size": None, "num_iterations": 1,
    "save_steps": None, "max_steps": -1, "num_train_epochs": 3.0,
}  # fmt: skip


def plan(rollout_batch=None, processes=1, samples=100, groups=None, **fields):
    return plan_batches(
        {**TRL, **fields}, rollout_batch=rollout_batch, processes=processes, samples=samples,
        smallest_groups=groups or {},
    )  # fmt: skip


def test_the_papers_setting_is_four_updates_a_rollout_batch():
    # 512 x 8 = 4,096 completions; 4 x 8 GPUs = 32 a micro-step, so 128 of them; 32 an update of
    # 1,024 completions (128 prompts), so 4 updates. 2,101 samples hold 4 whole batches of 512
    # (2,048, 53 left over): 16 updates an epoch, 240 in 15.
    made = plan(512, processes=8, samples=2101, per_device_train_batch_size=4,
                gradient_accumulation_steps=32, num_train_epochs=15)  # fmt: skip
    assert made.generation_batch_size == 4096
    assert made.steps_per_rollout_batch == 4
    assert made.samples_left_out == 53
    assert made.total_steps == 240
    assert made.save_steps == 48  # the multiple of 4 at or below 50


def test_sizes_that_do_not_divide_name_the_nearest_that_do():
    # 12 a micro-step and 8 a prompt: whole prompts and whole micro-steps meet every 3 prompts.
    with pytest.raises(ConfigError, match="the nearest that fit: 9 or 12"):
        plan(10, per_device_train_batch_size=12)
    with pytest.raises(ConfigError, match="the nearest that fit: 3$"):
        plan(1, per_device_train_batch_size=12)
    with pytest.raises(ConfigError, match="pass --rollout-batch 3"):
        plan(per_device_train_batch_size=12)  # TRL's own: 12 completions are 1.5 prompts


def test_a_checkpoint_within_a_rollout_batch_is_refused():
    # 8 prompts x 8 in micro-steps of 8: 8 steps a rollout batch.
    with pytest.raises(ConfigError, match="pass 16 or 24"):
        plan(8, save_steps=20)
    assert plan(8, save_steps=24).save_steps == 24


def test_more_prompts_than_samples_are_refused():
    with pytest.raises(ConfigError, match="only 100 samples take part"):
        plan(128)


def test_two_words_for_one_size_are_refused():
    with pytest.raises(ConfigError, match="'steps_per_generation' and rollout-batch"):
        plan(8, steps_per_generation=4)


def test_thin_bins_are_warned_of_with_a_number_that_is_fine():
    # A tenth of 16 prompts is 1.6, under 2; 8 bins of 16 hold 2 each.
    (line,) = plan(16, groups={"bins": (10, 0.1)}).warnings
    assert "1.6 of 16 prompts" in line and "--bins 8 or less" in line
    assert plan(20, groups={"bins": (10, 0.1)}).warnings == ()


def test_memory_is_weights_gradients_and_two_moments():
    # 2**30 parameters of 4 bytes are 4 GiB; trained: 4 + 4 + 8 = 16; with a reference 20.
    made = memory_estimate(trainable=2**30, frozen=0, bytes_each=4, reference=True, processes=4)
    assert made["in all"] == 20 and made["a process if sharded"] == 5
    frozen = memory_estimate(trainable=0, frozen=2**30, bytes_each=2, reference=False, processes=1)
    assert frozen["in all"] == 2
