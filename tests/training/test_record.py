"""What is kept of a training: its log, and what it depends on."""

import json
import shutil

import pytest

from durian.config import TrainConfig
from durian.records import from_json
from durian.training import record
from durian.training.manifest import TrainingManifest
from durian.training.record import _ends as ends
from durian.training.record import finite_log, training_identity, write_results
from tests.training.test_card import MANIFEST


def test_a_nan_in_the_log_ends_no_training(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(record, "write_training", lambda folder, log, summary: told.append(summary))
    nan, inf = float("nan"), float("inf")
    logged = [{"step": 1, "reward": 0.5, "grad_norm": nan}, {"step": 2, "reward": None, "kl": inf}]
    log = finite_log(logged)
    assert log == [{"step": 1, "reward": 0.5}, {"step": 2}]
    write_results(tmp_path, log, from_json(TrainingManifest, MANIFEST))
    assert json.loads((tmp_path / "log.json").read_text())["steps"] == log
    assert (tmp_path / "manifest.json").exists()
    (summary,) = told
    assert summary.facts["Policy"] == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert summary.facts["Difficulty table"].startswith("runs/a, measured with Qwen/")
    assert summary.facts["Normalizer"].startswith("durian, weights 0.4, 0.3, 0.3 (own")
    assert summary.sentences[0].startswith(
        "The mean reward of sampled completions was 0.250 over the first 5 logged steps and 0.500"
    )


def test_the_page_says_where_the_seconds_of_a_step_go(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(record, "write_training", lambda folder, log, summary: told.append(summary))
    # One rollout batch and one pass a step: 3 + 6 of 10 seconds, and 1 for all else.
    log = [{"step": 1, "seconds/rollout": 3.0, "seconds/update": 6.0, "step_time": 10.0}]
    write_results(tmp_path, log, from_json(TrainingManifest, MANIFEST))
    assert told[0].seconds_a_step == {"rollouts": 3.0, "updates": 6.0, "all else": 1.0}
    line = "An optimizer step took 10 seconds on average, 60 % of it for updates."
    assert told[0].sentences[-1] == line


@pytest.mark.parametrize(
    ("field", "value", "same"),
    [
        ("vllm_gpu_memory_utilization", 0.2, True),  # what one changes after an out-of-memory
        ("vllm_enable_sleep_mode", True, True),
        ("ddp_timeout", 7200, True),
        ("log_multimodal", False, True),
        ("save_steps", 4, True),
        ("push_to_hub", True, True),
        ("learning_rate", 1e-5, False),
        ("beta", 0.04, False),
        ("num_generations", 8, False),
    ],
)
def test_only_what_the_weights_depend_on_is_part_of_a_training(settings, field, value, same):
    config = TrainConfig(**settings | {"grpo": {}}, out="out", reward="boxed")
    one, other = (training_identity(config, grpo, "dataset") for grpo in ({}, {field: value}))
    assert (one == other) is same


def test_what_is_behind_a_name_is_part_of_a_training(settings, tiny_policy, tmp_path, monkeypatch):
    # Each is as another training's but for one thing, of the same name: a resumed training would
    # go on with it in silence.
    template, reward, model = (tmp_path / name for name in ("prompt.jinja", "reward.py", "policy"))
    template.write_text("{{ content }}")
    reward.write_text("def score(response):\n    return 0.0\n")
    shutil.copytree(tiny_policy, model)

    def identity():
        given = settings | {"grpo": {}, "model": str(model), "prompt_template": str(template)}
        config = TrainConfig(**given, out="out", reward=f"{reward}:score")
        return training_identity(config, {}, "dataset")

    def changed():
        return {key for key, value in identity().items() if value != before[key]}

    before = identity()
    template.write_text("{{ content }}!")
    assert changed() == {"prompt_template"}
    reward.write_text("def score(response):\n    return 1.0\n")
    assert changed() == {"prompt_template", "reward"}
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    assert changed() == {"prompt_template", "reward", "model"}
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert changed() == {"prompt_template", "reward", "model", "processes"}


def test_another_table_is_another_training(settings, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    with (tmp_path / "run" / "difficulty.parquet").open("ab") as file:
        file.write(b"changed")
    one, other = (
        training_identity(
            TrainConfig(**settings | {"grpo": {}, "table": str(table)}, out="out", reward="boxed"),
            {}, "dataset",
        )
        for table in (run, tmp_path / "run")
    )  # fmt: skip
    assert one != other


def test_another_validation_is_another_training(settings, run, tmp_path):
    # What is validated on decides which policy is kept, and with patience where the training ends.
    given = settings | {"grpo": {}, "eval_dataset": "d", "eval_table": str(run)}
    shutil.copytree(run, tmp_path / "run")
    with (tmp_path / "run" / "difficulty.parquet").open("ab") as file:
        file.write(b"changed")

    def identity(held_out="rows", **changes):
        config = TrainConfig(**given | changes, out="out", reward="boxed")
        return training_identity(config, {}, "dataset", held_out)

    base = identity()
    changed = [
        {key for key, value in other.items() if value != base[key]}
        for other in (
            identity(eval_dataset="moved"), identity("other rows"), identity(eval_patience=3),
            identity(eval_table=str(tmp_path / "run")),
        )
    ]  # fmt: skip
    assert changed == [set(), {"eval_dataset"}, {"eval_patience"}, {"eval_table"}]


def test_the_rewards_before_and_after_are_means_of_the_ends():
    # Of 4 rewards two at each end: (0.1 + 0.2) / 2 and (0.6 + 0.9) / 2. Of 12 at most 5.
    log = [{"step": n, "reward": reward} for n, reward in enumerate((0.1, 0.2, 0.6, 0.9), start=1)]
    few = ends([*log, {"step": 4, "train_runtime": 3.0}])
    assert (few.logged_steps, few.averaged_steps) == (4, 2)
    assert (few.reward_first, few.reward_last) == pytest.approx((0.15, 0.75))
    many = ends([{"step": n, "reward": float(n)} for n in range(12)])
    assert (many.averaged_steps, many.reward_first, many.reward_last) == (5, 2.0, 9.0)
    assert ends([{"step": 1, "reward": 0.5}]).reward_first is None
