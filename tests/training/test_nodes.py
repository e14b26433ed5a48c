"""Two machines of two processes: one preparation, groups over all, and one of them lost."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml

from durian.config import EvalConfig
from durian.evaluate import evaluate_policy
from tests.training.hand import by_hand, equal, weights_of

PROCESSES = 4


@pytest.fixture(scope="module")
def launched(settings, rows, held_out, training_server, tmp_path_factory) -> Path:
    """`whole`: two epochs of two steps. `cut`: a machine is lost in the fourth step, and the same
    launch is given again. 4 prompts of 4 completions a rollout batch: one prompt a process."""
    place = tmp_path_factory.mktemp("nodes")
    pl.read_parquet(rows).head(8).write_parquet(place / "rows.parquet")
    given = {k: v for k, v in settings.items() if k not in ("dataset", "rollout_batch")}
    grpo = settings["grpo"] | {
        "per_device_train_batch_size": 4, "max_steps": 4, "save_steps": 1,
        # Else DDP lays its buckets anew after its first step, and more than two processes then add
        # their gradients in another order than those that have just resumed.
        "ddp_find_unused_parameters": True,
    }  # fmt: skip
    durian = {
        "rollout_batch": 4, "dynamic_sampling": "spread", "max_tries": 1,
        "eval_dataset": str(held_out), "eval_every": 3, "eval_rollouts": 2,
    }  # fmt: skip
    config = given | {"durian": durian, "grpo": grpo, "processes": PROCESSES}
    (place / "train.yaml").write_text(yaml.safe_dump(config))
    for name, out, kill_after, codes in (
        ("whole", "whole", None, [0, 0]), ("killed", "cut", 4, [-9, 1]),
        ("resumed", "cut", None, [0, 0]),
    ):  # fmt: skip
        (place / f"{name}.kept").mkdir()
        argv = ["train", str(place / "rows.parquet"), "--config", str(place / "train.yaml"),
                "--quiet", "--out", str(place / out)]  # fmt: skip
        order = {"argv": argv, "keep": str(place / f"{name}.kept"), "kill_after": kill_after}
        ended = training_server.run("tests.training.nodes", json.dumps(order))
        # Which of the two agents had the second machine's number is torchrun's choice.
        assert sorted(json.loads(ended.told)) == codes, ended.said[-4000:]
    return place


def kept(place: Path, what: str) -> dict[int, list]:
    """By process, what it kept."""
    return {
        rank: [json.loads(line) for line in file.read_text().splitlines()]
        for rank in range(PROCESSES)
        if (file := place / f"{what}-{rank}.jsonl").exists()
    }


def test_the_first_process_of_all_prepares_for_every_machine(launched):
    assert kept(launched / "whole.kept", "prepared") == {0: [True]}
    assert kept(launched / "resumed.kept", "prepared") == {0: [True]}


def test_processes_of_two_machines_share_their_groups(launched):
    batches = list(zip(*kept(launched / "whole.kept", "advantages").values(), strict=True))
    logged = [pl.read_parquet(file) for file in sorted((launched / "whole").glob("completions/*"))]
    assert len(batches) == len(logged) == 4
    for own, of_all in zip(batches, logged, strict=True):
        assert of_all["sample_id"].n_unique() == 4 and len(of_all) == 16
        groups = of_all.select("perceptual_group", "reasoning_group").rows()
        expected = by_hand(of_all["reward"].to_list(), groups)
        assert of_all["advantage"].to_list() == pytest.approx(expected, abs=1e-5)
        # Each process learns from its own rows: a quarter of the log, in the order of processes.
        together = [row for process in own for row in process]
        assert [name for name, _ in together] == of_all["sample_id"].to_list()
        assert [a for _, a in together] == pytest.approx(expected, abs=1e-5)


def test_a_machine_lost_in_the_second_epoch_leaves_what_the_same_launch_goes_on_from(
    launched, tiny_policy
):
    assert {rank: len(drawn) for rank, drawn in kept(launched / "resumed.kept", "advantages")
            .items()} == dict.fromkeys(range(PROCESSES), 1)  # the fourth step alone  # fmt: skip
    whole, cut = (weights_of(launched / name) for name in ("whole", "cut"))
    assert equal(whole, cut) and not equal(whole, weights_of(tiny_policy))
    steps = json.loads((launched / "cut" / "log.json").read_text())["steps"]
    assert sum(step.get("durian/reserve_drawn", 0) for step in steps[:3]) > 0  # its place is kept
    assert (launched / "cut" / "manifest.json").exists()


def test_processes_validate_as_one_does_and_as_before_the_loss(launched, held_out):
    def found(out: Path) -> dict[int, dict]:
        known = json.loads((out / "validation.json").read_text())["validations"]
        return {one.pop("step"): one for one in known if one.pop("seconds")}

    whole, cut = (found(launched / name) for name in ("whole", "cut"))
    assert whole == cut and list(whole) == [0, 3, 4]
    # One process, by another road, of the policy that came out.
    one = evaluate_policy(
        EvalConfig(dataset=str(held_out), model=str(launched / "whole"), engine="transformers",
                   rollouts=0, max_tokens=40)
    )  # fmt: skip
    greedy = whole[4]["greedy"]
    assert (greedy["accuracy"], greedy["n"]) == (one.models[0].greedy.accuracy, 11)
    assert greedy["mean_tokens"] == pytest.approx(one.models[0].greedy.mean_tokens)
