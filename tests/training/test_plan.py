"""The arithmetic of batches, worked out by hand."""

import pytest
from trl.trainer.utils import RepeatSampler

from durian.errors import ConfigError
from durian.training.plan import memory_estimate, plan_batches

TRL = {
    "per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "num_generations": 8,
    "steps_per_generation": None, "generation_batch_size": None, "num_iterations": 1,
    "save_steps": None, "max_steps": -1, "num_train_epochs": 3.0,
}  # fmt: skip


def plan(
    rollout_batch=None, processes=1, samples=100, groups=None, shuffled=True, tries=0, **fields
):
    return plan_batches(
        {**TRL, **fields}, rollout_batch=rollout_batch, processes=processes, samples=samples,
        smallest_groups=groups or {}, shuffled=shuffled, tries=tries,
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
    assert made.steps_per_generation == 128 and made.steps_per_epoch == 16
    # 240 updates are 60 rollout batches of 4,096 completions.
    assert made.completions == 245_760


def test_flat_groups_drawn_anew_make_the_completions_a_lower_bound():
    # 2 rollout batches of 16 x 8; each of 3 tries draws as many again at most.
    made = plan(16, max_steps=32, samples=32, tries=3)
    assert (made.completions, made.completions_at_most) == (256, 1024)
    assert plan(16, max_steps=32, samples=32).completions_at_most is None


def test_a_sample_split_between_processes_cannot_be_drawn_anew():
    # 6 x 8 completions are 12 in each of 4 processes: one sample and a half. 4 prompts are 8 in
    # each, one; 8 are 16.
    assert plan(6, processes=4, per_device_train_batch_size=4).rollout_batch == 6
    with pytest.raises(ConfigError, match=r"processes 12, no multiple of 8; .* 4 or 8"):
        plan(6, processes=4, per_device_train_batch_size=4, tries=1)
    with pytest.raises(ConfigError, match=r"pass --rollout-batch 4$"):
        plan(2, processes=4, per_device_train_batch_size=4, tries=1)


def walk(sampler_length, made, accumulate, iterations, max_steps, epochs):
    """Optimizer steps and rollout batches of a training, counted as its loops turn."""
    # TRL's loader hands a whole rollout batch to each micro-step, which takes its slice.
    micro_steps = sampler_length // made.generation_batch_size
    steps = written = 0
    for _ in range(epochs):
        for micro in range(micro_steps):
            if micro % accumulate == 0:
                if steps == max_steps:
                    return steps, written
                steps += 1
            # TRL writes completions anew every `steps_per_generation * num_iterations`.
            written += micro % (made.steps_per_generation * iterations) == 0
    return steps, written


@pytest.mark.parametrize("max_steps", [-1, 1, 5, 7, 11])
@pytest.mark.parametrize(
    ("accumulate", "iterations", "samples"),
    [(1, 1, 24), (2, 1, 27), (4, 1, 24), (1, 2, 24), (8, 2, 30), (8, 1, 24), (12, 1, 40)],
)
def test_steps_are_those_of_trls_sampler_walked_through(accumulate, iterations, samples, max_steps):
    # 8 prompts x 4 in micro-steps of 4 on 2 processes: 4 micro-steps a pass.
    epochs = 3
    made = plan(8, processes=2, samples=samples, num_generations=4, max_steps=max_steps,
                per_device_train_batch_size=4, gradient_accumulation_steps=accumulate,
                num_iterations=iterations, num_train_epochs=epochs)  # fmt: skip
    sampler = RepeatSampler(
        range(samples), mini_repeat_count=4, batch_size=8, repeat_count=4 * iterations
    )
    turns = epochs if max_steps < 0 else 100
    steps, written = walk(len(sampler), made, accumulate, iterations, max_steps, turns)
    assert made.total_steps == steps
    assert made.completions == written * 32
    assert made.samples_left_out == samples % 8


def test_an_update_over_several_rollout_batches_leaves_a_short_one_at_the_end():
    # 2 prompts x 8 in two micro-steps of 8, 4 an update: 2 rollout batches. 10 samples hold 5:
    # updates of 2, 2 and 1 rollout batches, 3 an epoch and 9 in three.
    made = plan(2, samples=10, gradient_accumulation_steps=4)
    assert (made.steps_per_rollout_batch, made.rollout_batches_per_step) == (1, 2)
    assert (made.steps_per_epoch, made.total_steps, made.completions) == (3, 9, 15 * 16)


def test_part_of_an_epoch_is_rounded_up_to_whole_updates():
    # 100 samples, 8 a batch of 8 updates: 12 batches, 96 updates an epoch; 0.51 x 96 = 48.96.
    assert plan(8, num_train_epochs=0.51).total_steps == 49


def test_trls_own_generation_batch_is_kept_where_nothing_is_asked():
    # 8 x 2 processes x 4 micro-steps = 64 completions: 8 prompts, one update a batch.
    made = plan(processes=2, gradient_accumulation_steps=4)
    assert (made.generation_batch_size, made.rollout_batch) == (64, 8)
    assert made.steps_per_rollout_batch == 1
    # steps_per_generation 8: 16 prompts and two updates.
    made = plan(processes=2, gradient_accumulation_steps=4, steps_per_generation=8)
    assert (made.rollout_batch, made.steps_per_rollout_batch) == (16, 2)
    assert plan(generation_batch_size=32).rollout_batch == 4


def test_each_pass_over_a_rollout_batch_takes_its_steps():
    # 8 prompts x 8 = 8 micro-steps of 8; gone through 3 times: 24.
    assert plan(8, num_iterations=3).steps_per_rollout_batch == 24


def test_updates_out_of_step_with_rollouts_are_refused():
    # 12 micro-steps a rollout batch: 5 an update does not fit; 4 and 6 do.
    with pytest.raises(ConfigError, match="the nearest that fit: 4 or 6"):
        plan(12, gradient_accumulation_steps=5)
    # 4 micro-steps a rollout batch: an update takes 1, 2 or 4 of them, or 8, 12 (2 or 3 batches).
    with pytest.raises(ConfigError, match="the nearest that fit: 8 or 12"):
        plan(4, gradient_accumulation_steps=10)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_generations", 1),
        ("num_generations", None),
        ("per_device_train_batch_size", 0),
        ("gradient_accumulation_steps", "4"),
        ("steps_per_generation", 2.0),
        ("num_iterations", True),
        ("max_steps", 0),
        ("num_train_epochs", 0.0),
        ("num_train_epochs", float("nan")),
        ("save_steps", 0),
        ("save_steps", 2.5),
        ("save_steps", float("inf")),
    ],
)
def test_a_size_that_cannot_be_is_named(field, value):
    with pytest.raises(ConfigError, match=f"^grpo: '{field}' is "):
        plan(**{field: value})


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
    with pytest.raises(ConfigError, match="pass 8$"):
        plan(8, save_steps=5.0)
    assert plan(8, save_steps=24.0).save_steps == 24


def test_a_checkpoint_every_share_of_the_training_is_moved_to_a_rollout_batch():
    # 12 batches of 8 updates in 3 epochs are 288; a tenth is 28.8, and 32 the next multiple of 8.
    assert plan(8, save_steps=0.1).save_steps == 32


def test_checkpoints_are_about_every_50_steps_where_nothing_is_said():
    # 8 a rollout batch: 48. 96 a rollout batch (12 prompts, 8 passes of 12): each of them.
    assert plan(8).save_steps == 48
    assert plan(12, num_iterations=8).save_steps == 96


def test_more_prompts_than_samples_are_refused():
    with pytest.raises(ConfigError, match="only 100 samples take part; pass --rollout-batch 100 "):
        plan(128)
    # 24 a micro-step and 8 a prompt: a multiple of 3.
    with pytest.raises(ConfigError, match="pass --rollout-batch 99 or less"):
        plan(102, per_device_train_batch_size=24)
    with pytest.raises(ConfigError, match="lower 'per_device_train_batch_size'"):
        plan(3, samples=2, per_device_train_batch_size=24)
    assert plan(128, samples=None).rollout_batch == 128


def test_samples_that_an_order_never_reaches_are_warned_of():
    # 100 samples in 12 batches of 8: the last 4.
    (line,) = plan(8, shuffled=False).warnings
    assert line.startswith("the last 4 of 100 samples")
    assert plan(8).warnings == plan(10, shuffled=False).warnings == ()


def test_two_words_for_one_size_are_refused():
    with pytest.raises(ConfigError, match="'steps_per_generation' and rollout-batch"):
        plan(8, steps_per_generation=4)
    with pytest.raises(ConfigError, match="'generation_batch_size' and rollout-batch"):
        plan(8, generation_batch_size=64)
    with pytest.raises(ConfigError, match="not both"):
        plan(generation_batch_size=64, steps_per_generation=8)


def test_thin_bins_are_warned_of_with_a_number_that_is_fine():
    # A tenth of 16 prompts is 1.6, under 2; 8 bins of 16 hold 2 each.
    (line,) = plan(16, groups={"bins": (10, 0.1)}).warnings
    assert "1.6 of 16 prompts" in line and "--bins 8 or less" in line
    assert "--rollout-batch 20 or more" in line  # a tenth of 20 is 2
    assert plan(20, groups={"bins": (10, 0.1)}).warnings == ()
    # Uneven: 4 bins, of which one has 1/20; 0.8 of 16. Fewer than there are, not 8.
    (line,) = plan(16, groups={"bins": (4, 0.05)}).warnings
    assert "--bins 3 or less, or --rollout-batch 40 or more" in line
    (line,) = plan(4, groups={"percentiles": (3, 0.25)}).warnings
    assert "more even percentiles, or --rollout-batch 8 or more" in line
    # One prompt makes no two groups, however it is cut: 2 / (1 / 10) = 20.
    for option in ("bins", "percentiles"):
        (line,) = plan(1, groups={option: (10, 0.1)}, per_device_train_batch_size=4).warnings
        assert line.endswith("a std over one sample is its own; pass --rollout-batch 20 or more")
    assert plan(2, groups={"bins": (1, 1.0)}).warnings == ()


def test_memory_is_weights_gradients_and_two_moments():
    # 2**30 parameters of 4 bytes are 4 GiB; trained: 4 + 4 + 8 = 16; with a reference 20.
    made = memory_estimate(trainable=2**30, frozen=0, bytes_each=4, reference=True, processes=4)
    assert made["in all"] == 20 and made["a process if sharded"] == 5
    frozen = memory_estimate(trainable=0, frozen=2**30, bytes_each=2, reference=False, processes=1)
    assert frozen["in all"] == 2
