"""What a `grpo:` section may say, and which groups a plan warns of: those that take part."""

from types import SimpleNamespace

import pytest

from durian.config import TrainConfig
from durian.errors import ConfigError
from durian.manifest import as_profiled
from durian.table.join import open_table
from durian.training.arguments import (
    check_grpo,
    drawing_warnings,
    grpo_config,
    overlong_of,
    plan_of,
)
from durian.training.reward import Overlong

# The table: 24 samples, in 3 reasoning bins of 8 and perceptual groups of 6, 12 and 6.


def warned(settings, **changes):
    config = TrainConfig(**{**settings, "out": "out", "rollout_batch": 4, "grpo": {}, **changes})
    grpo = {"num_generations": 4, "per_device_train_batch_size": 8}
    return plan_of(config, grpo, open_table(config), samples=24).warnings


def test_thin_groups_of_the_table_are_warned_of(settings):
    # 4 prompts x 8 / 24 and 4 x 6 / 24: below the 2 that a std needs.
    bins, percentiles = warned(settings)
    assert bins.startswith("bins: the smallest of 3 groups is expected to hold 1.3 of 4 prompts")
    assert percentiles.startswith("percentiles: the smallest of 3 groups is expected to hold 1.0")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"normalizer": "dr_grpo"}, []),  # no group takes part
        ({"weights": (0.5, 0.5, 0.0)}, ["percentiles"]),
        ({"weights": (0.5, 0.0, 0.5)}, ["bins"]),
        ({"weights": (1.0, 0.0, 0.0)}, []),
        # Online: 2 bins of the 4 prompts hold 2 each; halves at 10 and 60 % leave 0.4 below.
        ({"groups": "online", "bins": 2, "percentiles": (10.0, 60.0)}, ["percentiles"]),
        ({"groups": "online", "bins": 4, "percentiles": (10.0, 60.0)}, ["bins", "percentiles"]),
    ],
    ids=str,
)
def test_groups_that_take_no_part_are_not(settings, changes, said):
    assert [line.partition(":")[0] for line in warned(settings, **changes)] == said


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("save_only_model", True, "cannot be resumed"),
        ("sync_ref_model", True, "in no checkpoint"),
        ("eval_on_start", True, "--eval-dataset"),
        ("use_transformers_continuous_batching", True, "text alone"),
        ("report_to", "wandb", r'package wandb, .* here; pip install "\.\[wandb\]" in a clone'),
        ("report_to", "tensorboard", r"tensorboard, .* here; pip install .*\[tensorboard\]"),
        ("report_to", ["none", "trackio"], r"package trackio, .* here; pip install .*\[trackio\]"),
        ("report_to", "wandbb", "is 'wandbb', which is no logger; did you mean 'wandb'"),
        ("optim", "adamw_bnb_8bit", "needs the package bitsandbytes"),
        ("use_liger_kernel", True, "needs the package liger-kernel"),
    ],
)
def test_what_a_training_would_fail_on_after_its_images_is_refused_before(field, value, said):
    manifest = {"config": {"max_tokens": 40, "temperature": 1.0, "top_p": 1.0}}
    with pytest.raises(ConfigError, match=said) as refused:
        check_grpo({field: value}, manifest)
    assert field in str(refused.value)


def test_completions_are_as_the_profile_drew_them_unless_the_section_says():
    manifest = SimpleNamespace(config={"max_tokens": 40, "temperature": 0.7, "top_p": 0.9})
    drawn = {"max_completion_length": 40, "temperature": 0.7, "top_p": 0.9}
    assert check_grpo({}, manifest) == drawn
    assert check_grpo({"temperature": "1e-1"}, manifest) == drawn | {"temperature": 0.1}


def test_a_buffer_beyond_the_longest_completion_is_refused(settings):
    grpo = {"max_completion_length": 40}

    def config(buffer):
        return TrainConfig(**settings, out="out", overlong_buffer=buffer, overlong_penalty=0.5)

    assert overlong_of(config(None), grpo) is None
    assert overlong_of(config(40), grpo) == Overlong(longest=40, buffer=40, penalty=0.5)
    with pytest.raises(ConfigError, match="overlong-buffer is 41, and the longest .* has 40"):
        overlong_of(config(41), grpo)


@pytest.mark.parametrize(
    ("given", "longest", "room"),
    [({}, 300, 340), ({"vllm_max_model_length": 512}, 300, 512), ({}, 0, None)],
)
def test_vllm_keeps_room_for_the_longest_prompt_and_a_completion(settings, given, longest, room):
    # Else for the model's whole context: 6.8 GiB of a 7B's, which a GPU does not have beside it.
    config = TrainConfig(**{**settings, "out": "out", "grpo": {}})
    grpo = {"max_completion_length": 40, "num_generations": 4, "per_device_train_batch_size": 8}
    plan = plan_of(config, grpo, open_table(config), samples=24)
    made = grpo_config(config, grpo | given, plan, longest_prompt=longest)
    assert made.vllm_max_model_length == room


def test_the_arguments_of_sampling_and_of_the_template_reach_trl(settings):
    args = {"top_k": 20, "presence_penalty": 1.5, "repetition_detection": {"min_count": 4}}
    config = TrainConfig(
        **{**settings, "out": "out", "grpo": {}}, sampling_args=args,
        chat_template_args={"enable_thinking": False},
    )  # fmt: skip
    grpo = {"max_completion_length": 40, "num_generations": 4, "per_device_train_batch_size": 8}
    plan = plan_of(config, grpo, open_table(config), samples=24)
    for given, further in (({"use_vllm": True}, {"presence_penalty": 1.5}), ({}, None)):
        made = grpo_config(config, grpo | given, plan)
        assert (made.top_k, made.generation_kwargs) == (20, further)
        assert made.chat_template_kwargs == {"enable_thinking": False}
    # What the section says comes last, as everywhere.
    assert grpo_config(config, grpo | {"top_k": 5}, plan).top_k == 5


def test_prompts_and_completions_other_than_the_tables_are_told(settings, tmp_path):
    drawn = {"temperature": 1.0, "top_p": 1.0, "sampling_args": {"top_k": 20, "min_p": 0.1}}
    prompt = {"system_prompt": "Think.", "min_pixels": None, "max_pixels": 4096}
    manifest = SimpleNamespace(
        config=drawn | prompt | {"max_tokens": 40}, identity={"prompt_template": None}
    )
    grpo = {"temperature": 1.0, "top_p": 1.0, "max_completion_length": 40}

    def told(args, template=None, changes=None, **section):
        given = {**settings, **prompt, "out": "out", "grpo": {}, "sampling_args": args}
        config = TrainConfig(**given | (changes or {}), chat_template_args=template)
        return drawing_warnings(config, grpo | section, manifest)

    assert told(drawn["sampling_args"]) == []
    assert told(drawn["sampling_args"], top_k=5, temperature=0.7) == [
        "the table was made with temperature 1.0, and this training has 0.7",
        "the table was made with sampling-arg min_p=0.1, top_k=20, and this training has "
        "min_p=0.1, top_k=5",
    ]
    assert told(drawn["sampling_args"] | {"presence_penalty": 1.5}) == [
        "completions are drawn without presence_penalty: TRL cannot pass it on here"
    ]
    assert told(drawn["sampling_args"], template={"enable_thinking": False}) == [
        "the table was made with chat-template-arg none, and this training has "
        "enable_thinking=False"
    ]
    assert told(drawn["sampling_args"], max_completion_length=20) == [
        "the table was made with max-tokens 40, and this training has 20"
    ]
    other = tmp_path / "other.jinja"
    other.write_text("{{ problem }}!")
    changes = {"system_prompt": "Answer.", "min_pixels": 1024, "max_pixels": None,
               "prompt_template": str(other)}  # fmt: skip
    assert told(drawn["sampling_args"], changes=changes) == [
        "the table was made with min-pixels none, and this training has 1024",
        "the table was made with max-pixels 4096, and this training has none",
        "the table was made with another system-prompt than this training has",
        "the table was made with another prompt-template than this training has",
    ]


def test_what_a_training_leaves_open_of_drawing_is_the_tables(settings):
    profiled = {
        "temperature": 0.7, "top_p": 0.9, "max_tokens": 30, "sampling_args": {"top_k": 20},
        "chat_template_args": {"enable_thinking": False}, "system_prompt": "Think.",
        "min_pixels": 1024, "max_pixels": 4096,
    }  # fmt: skip
    manifest = SimpleNamespace(config=profiled, identity=None)
    config = as_profiled(TrainConfig(**{**settings, "out": "out", "grpo": {}}), manifest)
    grpo = check_grpo({"num_generations": 4, "per_device_train_batch_size": 8}, manifest)
    assert drawing_warnings(config, grpo, manifest) == []
    made = grpo_config(config, grpo, plan_of(config, grpo, open_table(config), samples=24))
    assert (made.temperature, made.top_p, made.max_completion_length, made.top_k) == (
        0.7, 0.9, 30, 20
    )  # fmt: skip
    assert made.chat_template_kwargs == {"enable_thinking": False}
    assert (config.system_prompt, config.min_pixels, config.max_pixels) == ("Think.", 1024, 4096)
    # What a training says itself stands.
    own = as_profiled(
        TrainConfig(**{**settings, "out": "out", "grpo": {}}, chat_template_args={}), manifest
    )
    assert own.chat_template_args == {}
    assert check_grpo({"temperature": 1.0}, manifest)["temperature"] == 1.0
