"""Validation during training: right numbers, nothing disturbed, nothing computed twice."""

import json
import random
import shutil
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from durian.analysis.evaluation import Rates
from durian.analysis.validation import Validated
from durian.config import EvalConfig, ProfileConfig, TrainConfig
from durian.errors import ConfigError
from durian.evaluate import evaluate_policy
from durian.profile import profile_dataset
from durian.train import train_policy
from durian.training import trainer as room
from durian.training.backends import gathered_when_saved
from durian.training.trainer import DurianTrainer
from durian.training.validation import Validation, greedily, random_state_kept
from tests.notes import Notes
from tests.training.hand import equal, weights_of


@pytest.fixture(scope="module")
def evaluating(settings, held_out, tiny_policy, tmp_path_factory):
    """Settings of the training of `whole`, validated before it, between the steps of a rollout
    batch, and at its end."""
    table = tmp_path_factory.mktemp("held_out_run") / "run"
    profile_dataset(
        ProfileConfig(dataset=str(held_out), out=str(table), model=str(tiny_policy), max_tokens=40,
                      engine="transformers", rollouts=2, bins=2)
    )  # fmt: skip
    return {**settings, "eval_dataset": str(held_out), "eval_table": str(table), "eval_every": 3,
            "eval_rollouts": 2}  # fmt: skip


@pytest.fixture(scope="module")
def validated(evaluating, tmp_path_factory):
    """That training, with what it said."""
    out, notes = tmp_path_factory.mktemp("validated") / "out", Notes()
    manifest = train_policy(TrainConfig(**evaluating, out=str(out)), progress=notes)
    return SimpleNamespace(out=out, said=notes.said, manifest=manifest)


_TIMES = ("second", "runtime", "step_time")


def found(out):
    """Its validations by step, without what they took."""
    known = json.loads((out / "validation.json").read_text())["validations"]
    return {one.pop("step"): one for one in known if one.pop("seconds")}


def log_of(out):
    """What was logged, by step: of training, of validations; without what takes its time."""
    train, held_out = {}, {}
    for entry in json.loads((out / "log.json").read_text())["steps"]:
        kept = {k: v for k, v in entry.items() if not any(word in k for word in _TIMES)}
        of = held_out if "eval_greedy" in kept else train
        if "train_loss" not in kept:  # a mean over the steps of one attempt
            assert kept["step"] not in of
            of[kept["step"]] = kept
    return train, held_out


def test_a_validation_changes_nothing_of_the_training(validated, whole):
    # Step 3 lies between the steps of a rollout batch.
    assert equal(weights_of(validated.out), weights_of(whole))
    (train, held_out), (alone, none) = log_of(validated.out), log_of(whole)
    assert train == alone and not none
    assert list(held_out) == [0, 3, 6]
    assert sum("durian/drift/kendall_tau" in entry for entry in train.values()) == 3


def test_what_trl_gathers_between_two_logs_is_left_to_its_next_one(monkeypatch):
    # TRL's own `log` ends the means of the steps so far, as `logging_steps` 2 would show.
    logged = []
    monkeypatch.setattr(room, "log_entry", lambda found, all_of_them: {"eval_greedy": 0.5})
    monkeypatch.setattr(room.Trainer, "log", lambda self, entry: logged.append(entry))
    trainer = SimpleNamespace(
        state=SimpleNamespace(global_step=3, log_history=[]),
        _validation=SimpleNamespace(at=lambda *_: "found", over=lambda step: False, found=None),
        log=lambda *_: pytest.fail("logged by TRL"),
    )
    DurianTrainer.validate(trainer)
    assert logged == [{"eval_greedy": 0.5}]


def test_its_numbers_are_those_of_an_evaluation_of_the_saved_policy(validated, evaluating):
    # Another road to the same numbers: the files, another engine, another loader of rows.
    given = {"dataset": evaluating["eval_dataset"], "table": evaluating["eval_table"],
             "engine": "transformers", "rollouts": 0, "max_tokens": 40}  # fmt: skip
    own = evaluate_policy(EvalConfig(**given, model=str(validated.out)))
    ours, (theirs,) = found(validated.out)[6], own.models
    for name in ("accuracy", "low", "high", "n", "completions", "mean_tokens", "format_rate",
                 "truncated"):  # fmt: skip
        assert ours["greedy"][name] == pytest.approx(getattr(theirs.greedy, name)), name
    assert ours["samples"] == own.counts.judged == 11  # one of 10 twice, one without an image
    for kind in ("perceptual", "reasoning"):
        groups = [(of["group"], of["n"], of["greedy"]["accuracy"]) for of in ours["groups"][kind]]
        # In its order, too: from easy to hard, from the first bin to the last.
        assert groups == [(of.group, of.n, of.greedy.accuracy) for of in getattr(theirs, kind)]
    counts = json.loads((validated.out / "validation.json").read_text())["counts"]
    assert counts.pop("longest_prompt") > 20  # tokens, of image and question
    assert counts == {
        "rows": 13, "samples": 11, "same_question": 0, "same_image": 0,
        "left_out": {"cannot decode image: truncated file": 1},
    }  # fmt: skip


def test_accuracy_is_by_the_text_columns_too(validated, held_out):
    kinds = pl.read_parquet(held_out)["kind"][:10].to_list()
    kinds.append(kinds[0])  # the one without an image
    by_kind = {of["group"]: of["n"] for of in found(validated.out)[0]["groups"]["kind"]}
    assert by_kind == {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def test_a_validation_is_told_in_a_line_logged_and_in_manifest_card_and_picture(validated):
    lines = [line for line in validated.said if line.startswith("validation at step")]
    assert len(lines) == 3
    first = found(validated.out)[0]
    percent = f"{100 * first['greedy']['accuracy']:.1f} %"
    assert lines[0].startswith(f"validation at step 0: greedy {percent} (")
    assert "sampled" in lines[0] and lines[0].endswith("the best so far")
    logged = log_of(validated.out)[1][0]
    assert logged["eval_greedy"] == first["greedy"]["accuracy"]
    assert logged["eval_sampled"] == first["sampled"]["accuracy"]
    assert "eval_greedy/perceptual_hard" in logged and "eval_sampled/low" in logged
    best = validated.manifest.validation.best
    highest = max(one["greedy"]["accuracy"] for one in found(validated.out).values())
    assert (
        best.accuracy.accuracy == highest == found(validated.out)[best.step]["greedy"]["accuracy"]
    )
    card = (validated.out / "README.md").read_text()
    assert f"step {best.step}, greedy" in card and "expect less of it" in card
    assert (validated.out / "training" / "validation.png").exists()


def test_a_resumed_training_validates_only_where_it_has_not(
    validated, evaluating, tmp_path, monkeypatch
):
    out, drawn = tmp_path / "out", []
    shutil.copytree(validated.out, out)
    (out / "manifest.json").unlink()
    for step in (4, 6):
        shutil.rmtree(out / f"checkpoint-{step}")
    known = json.loads((out / "validation.json").read_text())
    known["validations"] = known["validations"][:2]  # it was killed in the fourth step or later
    (out / "validation.json").write_text(json.dumps(known))
    validate = Validation._validate

    def counted(self, trainer, step):
        drawn.append(step)
        return validate(self, trainer, step)

    monkeypatch.setattr(Validation, "_validate", counted)
    train_policy(TrainConfig(**evaluating, out=str(out)))
    assert drawn == [6]  # from checkpoint 2 on, with that of step 3 at hand
    assert found(out) == found(validated.out) and log_of(out) == log_of(validated.out)
    assert equal(weights_of(out), weights_of(validated.out))


def test_a_resumed_training_is_validated_as_often_as_it_was_begun(evaluating, validated, tmp_path):
    # Left open it goes by the checkpoints, which a second attempt may keep at other steps.
    config = TrainConfig(**evaluating | {"eval_every": None}, out=str(tmp_path))
    rows = SimpleNamespace(dataset="d", split="s", table=None, counts=None,
                           clusters=SimpleNamespace(described=None))  # fmt: skip
    plan = SimpleNamespace(total_steps=6, save_steps=4)

    def due():
        return Validation(rows, config, plan, None, together=1, seed=0, progress=Notes())._due

    assert due() == {0, 4, 6}
    shutil.copy(validated.out / "validation.json", tmp_path)  # begun with 3
    assert due() == {0, 3, 6}


ACCURACIES = {0: 0.2, 1: 0.3, 2: 0.6, 3: 0.6, 4: 0.5, 5: 0.9}


@pytest.fixture
def planted(monkeypatch):
    """Validations that find what was planted, and draw nothing."""

    def validate(self, trainer, step):
        accuracy = ACCURACIES[step]
        rates = Rates(
            accuracy=accuracy, low=None, high=None, n=10, interval="wilson", completions=10,
            format_rate=None, mean_tokens=None, truncated=None,
        )  # fmt: skip
        return Validated(step=step, samples=10, failed=0, seconds=1.0, greedy=rates, groups={})

    monkeypatch.setattr(Validation, "_validate", validate)


def test_the_best_is_kept_and_patience_ends_the_training(
    evaluating, whole, planted, tmp_path, monkeypatch
):
    # 0.6 at step 2 is the best; 0.6 again and 0.5 are no better: patience 2 ends it at step 4, and
    # the 0.9 of step 5 is never seen.
    out = tmp_path / "out"
    grpo = evaluating["grpo"] | {"save_total_limit": 1}
    changes = {"grpo": grpo, "eval_patience": 2, "eval_every": 1}
    config = TrainConfig(**evaluating | changes, out=str(out))
    result = train_policy(config).validation
    assert (result.stopped, result.validations) == (4, 5)
    assert (result.best.step, result.best.weights) == (2, "best-2")
    assert [path.name for path in out.glob("best-*")] == ["best-2"]
    assert [path.name for path in out.glob("checkpoint-*")] == ["checkpoint-4"]
    assert equal(weights_of(out / "best-2"), weights_of(whole / "checkpoint-2"))
    assert equal(weights_of(out), weights_of(whole / "checkpoint-4"))
    # Killed after that, before its results: it is over, and takes no further step.
    (out / "manifest.json").unlink()
    (out / "model.safetensors").unlink()
    monkeypatch.setattr(DurianTrainer, "training_step", lambda *_: pytest.fail("a step"))
    assert train_policy(config).validation == result
    assert equal(weights_of(out), weights_of(whole / "checkpoint-4"))


def test_the_last_policy_is_not_kept_twice_where_it_is_the_best(evaluating, planted, tmp_path):
    out = tmp_path / "out"
    grpo = evaluating["grpo"] | {"max_steps": 2}
    config = TrainConfig(**evaluating | {"grpo": grpo, "eval_every": 1}, out=str(out))
    assert train_policy(config).validation.best.weights == "."
    assert not list(out.glob("best-*")) and (out / "model.safetensors").exists()


def test_rows_that_both_sets_have_are_told(evaluating, rows, tmp_path):
    # Two training rows as they are, a third with another answer, a fourth with another question.
    both = pl.read_parquet(rows).head(4).with_row_index()
    changed = both.with_columns(
        answer=pl.when(pl.col("index") == 2).then(pl.lit("4")).otherwise("answer"),
        problem=pl.when(pl.col("index") == 3).then(pl.lit("<image>why?")).otherwise("problem"),
    )
    changed.drop("index").write_parquet(tmp_path / "both.parquet")
    given = {**evaluating, "eval_dataset": str(tmp_path / "both.parquet"), "eval_table": None}
    notes = Notes()
    grpo = evaluating["grpo"] | {"max_steps": 1}
    images = pl.read_parquet(rows)["images"].to_list()
    shown = sum(image in images for image in changed["images"].to_list())
    assert shown == 4
    from durian.planning.dry_run import plan_training

    plan = plan_training(
        TrainConfig(**given | {"grpo": grpo}, out=str(tmp_path / "out")), progress=notes
    )
    line = ("of 4 validation samples 3 ask what a training sample asks and 4 show an image of the "
            "training set: accuracy on them is not held-out")  # fmt: skip
    assert f"warning: {line}" in notes.said and line in plan.batches.warnings
    # Before the step and after it: 4 greedy completions and 2 sampled ones of each.
    assert plan.validation.validations == 2 and plan.validation.completions == 2 * 4 * 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"eval_every": 5}, "eval-every is for a validation, and there is none"),
        ({"eval_rollouts": 0}, "eval-rollouts is for a validation"),
        ({"eval_dataset": "d", "eval_metric": "best"}, "eval-metric is 'best'; it must be greedy"),
        ({"eval_dataset": "d", "eval_metric": "sampled/kind=x", "eval_rollouts": 0},
         "eval-rollouts 0 samples nothing"),
        ({"eval_dataset": "d", "eval_patience": 0}, "eval-patience is 0; it must be 1 or more"),
        ({"eval_dataset": " "}, "eval-dataset is empty"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_at_once(settings, given, said):
    with pytest.raises(ConfigError, match=said):
        TrainConfig(**{**settings, **given}, out="out")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"eval_metric": "greedy/perceptual_harder"},
            "no such accuracy; there are greedy, s",
        ),
        ({"eval_table": None, "eval_metric": "greedy/perceptual_hard"}, "no such accuracy"),
        ({"eval_table": "TABLE"}, "has none of its samples"),
        ({"eval_dataset": "nowhere.parquet"}, "nowhere"),
        ({"answer_column": "answer", "eval_dataset": "WITHOUT"}, "no column 'answer'"),
    ],
    ids=["no such group", "no table", "another table", "no dataset", "no answers"],
)
def test_a_mistake_is_told_before_an_image_is_decoded(
    evaluating, held_out, tmp_path, monkeypatch, changes, said
):
    without = tmp_path / "without.parquet"
    pl.read_parquet(held_out).drop("answer").write_parquet(without)
    named = {"TABLE": evaluating["table"], "WITHOUT": str(without)}
    changes = {k: named.get(v, v) for k, v in changes.items()}
    monkeypatch.setattr("durian.train.prepare_samples", lambda *_: pytest.fail("prepared"))
    with pytest.raises(Exception, match=said) as refused:
        train_policy(TrainConfig(**{**evaluating, **changes}, out=str(tmp_path / "out")))
    assert "\n" not in str(refused.value) and not (tmp_path / "out").exists()


def test_all_random_states_are_put_back_whatever_happens_inside():
    def drawn():
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - what libraries draw from
    torch.manual_seed(1)
    expected = [drawn(), drawn()]
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    with random_state_kept():
        torch.manual_seed(7)
        drawn()
    assert drawn() == expected[0]
    with pytest.raises(ValueError), random_state_kept():
        drawn()
        raise ValueError
    assert drawn() == expected[1]


def shares(processes, *, size=2, vllm=False):
    """What each process draws of 5 samples with images and 2 without."""
    rows = SimpleNamespace(with_images=[True, True, False, True, True, True, False])
    found = []
    for own in range(processes):
        trainer = SimpleNamespace(
            accelerator=SimpleNamespace(num_processes=processes, process_index=own), use_vllm=vllm
        )
        validation = object.__new__(Validation)
        validation._rows = rows
        found.append([(c.samples, c.wanted) for c in validation._share(trainer, size)])
    return found


def test_processes_share_the_samples_and_draw_as_often():
    # Chunks of one kind: 0 1, 3 4, 5, and 2 6.
    assert shares(1) == [[([0, 1], True), ([3, 4], True), ([5], True), ([2, 6], True)]]
    assert shares(2) == [[([0, 1], True), ([5], True)], [([3, 4], True), ([2, 6], True)]]
    # Of three the second round has one chunk left: the others draw it for nothing.
    assert shares(3) == [
        [([0, 1], True), ([2, 6], True)],
        [([3, 4], True), ([2, 6], False)],
        [([5], True), ([2, 6], False)],
    ]
    # vLLM gathers the prompts of all processes and cuts them evenly.
    assert shares(2, vllm=True)[0][1] == ([5, 5], True)


def test_greedy_is_asked_of_either_engine_and_taken_back():
    sampling = SimpleNamespace(do_sample=True, temperature=0.7, top_p=0.9, top_k=5, min_p=0.1,
                               repetition_penalty=1.1)  # fmt: skip
    trainer = SimpleNamespace(use_vllm=False, generation_config=sampling)
    with greedily(trainer):
        inside = vars(trainer.generation_config)
        assert inside == dict.fromkeys(("temperature", "top_p", "top_k", "min_p")) | {
            "do_sample": False, "repetition_penalty": 1.1}  # fmt: skip
    assert trainer.generation_config is sampling and sampling.temperature == 0.7
    trainer = SimpleNamespace(use_vllm=True, vllm_generation=SimpleNamespace(temperature=0.7))
    with pytest.raises(ValueError), greedily(trainer):
        assert trainer.vllm_generation.temperature == 0.0
        raise ValueError
    assert trainer.vllm_generation.temperature == 0.7


def test_what_the_best_is_saved_as_is_whole_and_checkpoints_stay_as_they_were():
    kinds = []
    plugin = SimpleNamespace(state_dict_type="SHARDED_STATE_DICT", set_state_dict_type=kinds.append)
    with gathered_when_saved(SimpleNamespace(fsdp_plugin=plugin)):
        assert kinds == ["FULL_STATE_DICT"]
    assert kinds == ["FULL_STATE_DICT", "SHARDED_STATE_DICT"]
