"""Each form holds every row with its labels, and is read back as the samples that were profiled."""

import base64
import json
import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from durian.config import DatasetConfig, ExportConfig, TrainConfig
from durian.config.export import FORMS as NAMES
from durian.engines.prompts import ask, load_template
from durian.export import export_run
from durian.exporters import FORMS
from durian.exporters.base import LABELS
from durian.plugins.rows import COLUMNS
from durian.readers.dataset import open_dataset
from durian.table.join import open_table
from tests.export.conftest import N, ids, picture, rows, write_run

READ_BACK = ("verl", "easyr1", "swift", "slime", "trl", "parquet", "jsonl")


def read(out, name="train"):
    """The rows of a file as Python has them."""
    if (out / f"{name}.parquet").exists():
        return pq.read_table(out / f"{name}.parquet").to_pylist()
    return [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()]


def test_the_forms_of_the_option_are_those_that_are_written():
    assert tuple(FORMS) == NAMES


@pytest.mark.parametrize("images", ["embedded", "paths"])
@pytest.mark.parametrize("form", READ_BACK)
def test_our_readers_give_back_every_row_and_join_the_table(export, run, form, images):
    found, out = export(form, images=images)
    (part,) = found.parts
    assert (part.samples, part.rows) == (N, N + 1)
    reader = open_dataset(DatasetConfig(dataset=str(out)))
    samples = list(reader.samples())
    assert [sample.sample_id for sample in samples] == ids()
    assert [sample.answer for sample in samples] == [row["answer"] for row in rows()]
    assert [sample.images[0] for sample in samples] == [row["images"][0]["bytes"] for row in rows()]
    asked = [sample.problem.removeprefix("<image>") for sample in samples]
    assert asked == [row["problem"].removeprefix("<image>") for row in rows()]
    assert {sample.error or sample.question_error for sample in samples} == {None}
    table = open_table(TrainConfig(dataset=str(out), table=str(run), model="m", out="o"))
    table.check_missing([sample.sample_id for sample in samples])


@pytest.fixture(scope="module")
def in_template(tmp_path_factory):
    """A run whose problems were asked in a template, and the template."""
    folder = tmp_path_factory.mktemp("templated")
    path = folder / "asked.jinja"
    path.write_text("Look first. {{ content }} Answer in a box.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("durian.analysis.one_run.reliability.REDRAWS", 10)
        patch.setattr("durian.rendering.page.report_figures", lambda *_: [])
        return write_run(folder, "run", prompt_template=str(path)), load_template(str(path))


@pytest.mark.parametrize("form", READ_BACK)
def test_a_problem_is_put_into_its_template_once(export, in_template, form):
    # Forms of messages hold the template already, the others the bare problem: whoever trains on
    # either with the table's template asks what was profiled.
    run, template = in_template
    _, out = export(form, run)
    for number, sample in enumerate(open_dataset(DatasetConfig(dataset=str(out))).samples()):
        messages = ask(sample, 1, system_prompt="Think.", template=template)
        asked = messages[-1]["content"]
        texts = [part["text"] for part in asked if part["type"] == "text"]
        i = 3 if number == N else number
        # As in the dataset, where the mark stands first or is put there.
        assert " ".join("".join(texts).split()) == f"Look first. question {i} Answer in a box."


def test_plug_ins_read_the_columns_that_are_written():
    assert {*COLUMNS} < {*LABELS}


def test_a_training_plans_over_what_was_exported(export, run, tiny_policy, tmp_path, monkeypatch):
    # The whole road but the policy: every row is joined by its id, though the messages differ.
    from durian.planning.dry_run import plan_training

    _, out = export("verl")
    config = TrainConfig(
        dataset=str(out), table=str(run), model=str(tiny_policy), out=str(tmp_path / "trained"),
        rollout_batch=4, grpo={"num_generations": 2, "per_device_train_batch_size": 8,
                               "max_completion_length": 16},
    )  # fmt: skip
    plan = plan_training(config)
    assert (plan.rows, plan.left_out) == (N + 1, {})


def test_labels_are_the_tables_and_stand_where_each_trainer_keeps_them(export):
    # Sample 4 has 4 of 4 right; its image of 4 gray levels has log2(4) = 2 bits, the third of six.
    table = {
        "sample_id": ids()[4], "durian_perceptual": 2.0, "durian_pass_rate": 1.0,
        "durian_perceptual_group": 1,
    }  # fmt: skip
    for form in ("verl", "slime", "swift", "trl", "easyr1", "parquet", "jsonl"):
        row = read(export(form)[1])[4]
        labels = {"verl": row.get("extra_info"), "slime": row.get("metadata")}.get(form, row)
        assert {name: labels[name] for name in table} == pytest.approx(table, abs=1e-12), form
        assert labels["durian_confidence"] < 0
        assert type(labels["durian_reasoning_group"]) is int


def test_a_verl_row_holds_what_its_loader_asks_for(export):
    row = read(export("verl", system_prompt="Think.")[1])[5]
    assert row["prompt"] == [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "<image>question 5"},
    ]
    assert row["reward_model"] == {"style": "rule", "ground_truth": "5"}
    assert row["images"] == [{"bytes": picture(4), "path": None}]
    assert row["extra_info"]["index"] == 5 and row["extra_info"]["split"] == "train"
    # verl makes a column `index`; the dataset's own is kept under another name.
    assert "index" not in row and row["own_index"] == 5
    assert (row["kind"], row["tags"], row["label"]) == ("b", ["x", "5"], "own 5")


def test_a_name_that_a_trainer_takes_is_told(export):
    found, out = export("swift")
    assert found.renamed == {"label": "own_label"}
    assert [row["own_label"] for row in read(out)][:2] == ["own 0", "own 1"]


def test_slime_has_its_images_as_data_urls_and_all_else_in_metadata(export):
    row = read(export("slime")[1])[0]
    head, _, body = row["images"][0].partition(",")
    assert head == "data:image/png;base64" and base64.b64decode(body) == picture(2)
    assert row["metadata"]["index"] == 0 and row.keys() == {
        "prompt", "label", "images", "metadata",
    }  # fmt: skip


def test_paths_are_one_file_an_image(export):
    _, out = export("swift", images="paths")
    # Twelve samples of two an image, and a copy.
    assert len(list((out / "images").iterdir())) == 6
    assert all(os.path.isfile(path) for row in read(out) for path in row["images"])


def test_datasets_decodes_the_images_of_trl(export, tmp_path):
    _, out = export("trl")
    code = (
        "import datasets\n"
        f"rows = datasets.load_dataset({str(out)!r}, cache_dir={str(tmp_path / 'cache')!r})\n"
        "row = rows['train'][0]\n"
        "print(type(row['images'][0]).__name__, row['images'][0].size, row['prompt'][-1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    # 840 pixels of 42 by 20; the image stands before the text, as a part of the message.
    assert done.stdout == (
        "PngImageFile (42, 20) {'role': 'user', 'content': [{'type': 'image', 'text': None}, "
        "{'type': 'text', 'text': 'question 0'}]}\n"
    ), done.stderr


def test_messages_can_be_written_the_other_way(export):
    row = read(export("trl", messages="marks", system_prompt="")[1])[1]
    assert row["prompt"] == [{"role": "user", "content": "<image>question 1"}]


def test_a_launch_line_can_be_run_anywhere(run, tmp_path, monkeypatch):
    monkeypatch.chdir(run.parent)
    named = ExportConfig(runs=(run.name,), to="trl", out=str(tmp_path / "out"))
    assert f"--table {run} " in export_run(named).launch[-1]


@pytest.mark.parametrize("form", NAMES)
def test_each_form_ends_with_its_launch_line(export, run, form):
    found, out = export(form)
    place = str(out.resolve())
    assert found.launch and all(place in line for line in found.launch)
    if form in ("trl", "parquet", "jsonl"):
        assert f"--table {run} --model MODEL" in found.launch[-1]  # a script is no policy
    assert (out / "README.md").read_text().count(found.launch[0]) == 1
