"""`durian train`: exit codes, one-line messages, and nothing written where the input is wrong."""

import json
import warnings
from collections import defaultdict
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import torch
import yaml

from tests.cli.in_process import durian as in_process

# What TRL, vLLM and torch warn of while they are imported is theirs; all else is an error here.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from trl import GRPOConfig, GRPOTrainer

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "data" / "recipes"


def durian(*args: object) -> SimpleNamespace:
    """The command in this process: a fresh one imports TRL for 10 seconds."""
    code, stdout, stderr = in_process(*args)
    return SimpleNamespace(returncode=code, stdout=stdout, stderr=stderr)


@pytest.fixture(scope="module")
def world(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A dataset of 1,024 rows (so that a batch of 512 fits) and its table, measured by pixels."""
    folder = tmp_path_factory.mktemp("world")
    rows = pl.read_parquet(ROOT / "data" / "photo_shapes" / "train.parquet").head(1024)
    rows.write_parquet(folder / "rows.parquet")
    done = durian("profile", folder / "rows.parquet", "--measures", "pixel", "--out",
                  folder / "run", "--quiet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {"rows": folder / "rows.parquet", "run": folder / "run", "model": tiny_policy}


def train(world, out, *args):
    return durian("train", world["rows"], "--table", world["run"], "--model", world["model"],
                  "--out", out, *args)  # fmt: skip


@pytest.mark.parametrize("recipe", sorted(path.name for path in RECIPES.glob("*.yaml")))
def test_the_recipes_that_ship_pass_the_dry_run(world, tmp_path, recipe):
    shorter = ["--max-prompt-tokens", 200, "--grpo", "max_completion_length=56"]
    if recipe.startswith("dapo"):
        shorter += ["--overlong-buffer", 8]
    done = train(world, tmp_path / "out", "--config", RECIPES / recipe, "--dry-run", "--json",
                 *shorter)  # fmt: skip
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    if recipe.startswith(("geometry3k", "dapo")):
        assert (plan["processes"], plan["rollout_batch"], plan["generations"]) == (8, 512, 8)
        assert plan["steps_per_rollout_batch"] == 4  # 512 prompts, 128 an update
        assert plan["total_steps"] == 2 * 4 * 15  # 1,024 samples: 2 rollout batches an epoch
        # 30 rollout batches of 4,096; each of 10 tries may draw as many again.
        most = 30 * 4096 * 11 if recipe.startswith("dapo") else None
        assert (plan["completions"], plan.get("completions_at_most")) == (30 * 4096, most)
    elif recipe.startswith("virl39k"):
        assert (plan["rollout_batch"], plan["total_steps"]) == (512, 2 * 4 * 1)
    else:
        assert (plan["rollout_batch"], plan["total_steps"]) == (64, 45)
    # 512 completions a process: each of 64 patches of 3 x 2 x 8 x 8 numbers of 4 bytes.
    assert plan["memory_gib"]["pixels"] == round(512 * 64 * 384 * 4 / 2**30, 3) > 0
    assert plan["warnings"] == [w for w in plan["warnings"] if w in done.stderr.replace("\n", " ")]
    assert "shape" in plan["first_prompt"] and plan["parameters_trained"] > 1_000_000
    assert not (tmp_path / "out").exists()


DAPO = "dapo_qwen2_5_vl_7b.yaml"


@pytest.mark.parametrize(
    "recipe", [DAPO, "geometry3k_qwen2_5_vl_7b.yaml", "virl39k_qwen2_5_vl_7b.yaml"]
)
def test_the_papers_recipes_have_easyr1s_settings(recipe):
    # EasyR1's examples/config.yaml and the defaults of its actor, by TRL's names; what a recipe
    # leaves open is TRL's default.
    easyr1 = {
        "learning_rate": 1e-6, "lr_scheduler_type": "constant", "weight_decay": 0.01,
        "warmup_steps": 0, "adam_beta1": 0.9, "adam_beta2": 0.999, "max_grad_norm": 1.0,
        "max_completion_length": 2048, "temperature": 1.0, "top_p": 1.0, "top_k": 0,
        "epsilon": 0.2, "epsilon_high": 0.3, "delta": 3.0, "beta": 0.01, "num_iterations": 1,
        "loss_type": "dapo", "importance_sampling_level": "token", "use_bias_correction_kl": False,
        "vllm_importance_sampling_correction": False, "vllm_tensor_parallel_size": 2,
        "mask_truncated_completions": False, "per_device_train_batch_size": 4,
        "gradient_checkpointing": True, "save_total_limit": 3, "seed": 1,
    }  # fmt: skip
    if recipe == DAPO:  # its examples/qwen3_14b_dapo17k_dapo.sh; without KL its weight has no use
        easyr1 |= {"epsilon_high": 0.28, "delta": 10.0, "beta": 0.0}
        easyr1.pop("use_bias_correction_kl")
    grpo = yaml.safe_load((RECIPES / recipe).read_text())["grpo"]
    defaults = {f.name: f.default for f in fields(GRPOConfig)}
    assert {name: (defaults | grpo)[name] for name in easyr1} == easyr1
    if recipe != DAPO:  # which has the commands of the first
        text = (RECIPES / recipe).read_text()
        assert "--min-pixels 262144" in text and "--max-pixels 4194304" in text
    # 4 x 8 GPUs x 32 completions an update are the paper's 128 prompts x 8.
    assert 4 * 8 * grpo["gradient_accumulation_steps"] == 128 * grpo["num_generations"]


def test_the_recipe_dapo_has_dapos_five_parts():
    recipe = yaml.safe_load((RECIPES / DAPO).read_text())
    durian, grpo = recipe["durian"], recipe["grpo"]
    assert (durian["dynamic_sampling"], durian["max_tries"]) == ("correct", 10)
    # DAPO's shape: a buffer of a fifth (4,096 of 20,480 tokens), and the whole of 1 at the longest.
    buffer, longest = durian["overlong_buffer"], grpo["max_completion_length"]
    assert buffer / longest == pytest.approx(4096 / 20480, abs=1e-3)
    assert durian["overlong_penalty"] == 1.0
    assert (grpo["epsilon"], grpo["epsilon_high"], grpo["loss_type"], grpo["beta"]) == (
        0.2, 0.28, "dapo", 0.0
    )  # fmt: skip


def test_the_loss_of_the_recipe_dapo_is_easyr1s_by_hand():
    grpo = yaml.safe_load((RECIPES / DAPO).read_text())["grpo"]
    ratios = torch.tensor([[1.25, 1.5, 1.0], [0.5, 1.1, 12.0]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    prompt = torch.ones((2, 1), dtype=torch.long)
    trl = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (ratios.log(), ratios * 0, None),
        accelerator=SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, **_: x),
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None,
        importance_sampling_level="token", beta=grpo["beta"], loss_type=grpo["loss_type"],
        epsilon_low=grpo["epsilon"], epsilon_high=grpo["epsilon_high"], use_vllm=False,
        args=SimpleNamespace(delta=grpo["delta"], steps_per_generation=1),
        model=SimpleNamespace(training=True), current_gradient_accumulation_steps=1,
        _entropy_bonus_enabled=False, _metrics={"train": defaultdict(list)},
    )  # fmt: skip
    inputs = {
        "prompt_ids": prompt, "prompt_mask": prompt, "completion_ids": mask,
        "completion_mask": mask, "advantages": torch.tensor([1.0, -1.0]),
        "old_per_token_logps": torch.zeros(2, 3), "num_items_in_batch": mask.sum(),
    }  # fmt: skip
    # EasyR1's compute_policy_loss: max(-A r, -A clip(r, 1 - 0.2, 1 + 0.28)), and where A < 0 at
    # most -10 A. Of A = 1: -1.25 and -1.28 (0.2 above would give -1.2 twice). Of A = -1: 0.8, 1.1
    # and 10 in place of 12. The mean over all five tokens, not over two sequences.
    loss = GRPOTrainer._compute_loss(trl, None, inputs)
    assert float(loss) == pytest.approx((-1.25 - 1.28 + 0.8 + 1.1 + 10.0) / 5)


def test_json_of_a_training_is_one_object_and_nothing_else_is_on_stdout(world, tmp_path):
    asked = ("num_generations=2", "per_device_train_batch_size=4", "max_steps=1",
             "max_completion_length=8")  # fmt: skip
    done = train(world, tmp_path / "out", "--limit", 4, "--rollout-batch", 2, "--groups", "online",
                 "--quiet", "--json", *(f"--grpo={each}" for each in asked))  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout, parse_constant=pytest.fail)
    assert told["out"] == str(tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        (
            "durian: {normaliser: grpo}",
            "no option 'normaliser' under 'durian'; did you mean 'normalizer'",
        ),
        (
            "grpo: {learning_rat: 1e-6}",
            "no field 'learning_rat' in trl.GRPOConfig; did you mean 'learning_rate'",
        ),
        ("grp: {beta: 0.1}", "no option 'grp'; did you mean 'grpo'"),
        ("grpo: {scale_rewards: batch}", "'scale_rewards' is set by Durian; use normalizer"),
        ("grpo: {use_vllm: true}", "'use_vllm' needs a GPU"),
        ("durian: {weights: [1, 2]}", "weights is '1,2'"),
        (
            "durian: {rollout_batch: 3}\ngrpo: {per_device_train_batch_size: 16}",
            "the nearest that fit: 2 or 4",
        ),
        ("durian: {filter: pass_rat > 0}", "did you mean 'pass_rate'"),
        ("grpo: {learning_rate: fast}", "'learning_rate' is 'fast', not a number"),
        ("processes: 8", "processes is 8, and this launch has 1"),
    ],
)  # fmt: skip
def test_wrong_settings_are_one_line(world, tmp_path, yaml, said):
    (tmp_path / "train.yaml").write_text(yaml)
    done = train(world, tmp_path / "out", "--config", tmp_path / "train.yaml")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and not (tmp_path / "out").exists()


def test_rows_that_the_table_lacks_are_named(world, tmp_path):
    others = ROOT / "data" / "photo_shapes" / "test.parquet"
    done = durian("train", others, "--table", world["run"], "--model", world["model"], "--out",
                  tmp_path / "out", "--grpo", "max_completion_length=40")  # fmt: skip
    assert done.returncode == 2
    assert "the table has none of the 600 rows" in done.stderr
    assert not (tmp_path / "out").exists()
