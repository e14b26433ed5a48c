"""The pages for other trainers: their lines parse, and what they quote of the log is said."""

import importlib
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from durian.exporters import FORMS
from durian.exporters.base import Written
from durian.normalizer import NORMALIZERS
from durian.plugins.rows import Rows, Settings, Teller, row_advantages
from durian.plugins.verl_sampler import SamplerSettings
from durian_cli.app import app

FOLDER = Path(__file__).parents[2] / "docs" / "trainers"
PAGES = {file.stem: file.read_text() for file in FOLDER.glob("*.md")}
FORM = {"verl": "verl", "ms-swift": "swift", "easyr1": "easyr1", "slime": "slime", "trl": "trl"}
HEADINGS = ["Install", "Export", "Launch", "What the log shows"]
HEADINGS += ["What differs from `durian train`", "Limits"]
pages = pytest.mark.parametrize("page", PAGES)


def commands(page):
    """The lines of a page that call `durian`, as words."""
    return [shlex.split(line) for line in re.findall(r"^    (durian [a-z].*)$", PAGES[page], re.M)]


def test_each_trainer_with_a_plug_in_has_a_page():
    assert set(PAGES) == set(FORM)


@pages
def test_a_page_goes_from_install_to_limits(page):
    assert re.findall(r"^## (.*)$", PAGES[page], re.M) == HEADINGS


@pages
def test_the_durian_commands_of_a_page_have_the_options_that_they_use(page):
    ours = commands(page)
    assert [FORM[page]] == [words[words.index("--to") + 1] for words in ours if "--to" in words]
    for words in ours:
        shown = CliRunner().invoke(app, [words[1], "--help"], env={"COLUMNS": "200"}).output
        options = [word for word in words if word.startswith("--")]
        assert options and all(re.search(rf"{option}\b", shown) for option in options), words


@pages
def test_the_launch_line_of_a_page_is_the_one_that_export_prints(page):
    form = FORMS[FORM[page]]
    written = Written(
        folder=Path("DIR"),
        run="RUN",
        model="MODEL",
        parts=["train", "val"],
        ending=form.ending,
        paths=False,
        chat=form.chat,
    )
    section = PAGES[page].split("## Launch")[1].split("\n## ")[0]
    for line in form.launch(written):
        assert f"    {line.split('  #')[0]}\n" in section, line


@pages
def test_the_modules_and_settings_that_a_page_names_exist(page):
    text = PAGES[page]
    for name in set(re.findall(r"durian\.plugins\.[a-z0-9_]+", text)):
        importlib.import_module(name)
    known = {
        f"DURIAN_{field.name.upper()}" for field in [*fields(Settings), *fields(SamplerSettings)]
    }
    assert set(re.findall(r"DURIAN_[A-Z]+", text)) - {"DURIAN_CLONE"} <= known


def test_the_table_of_settings_gives_the_defaults():
    rows = dict(re.findall(r"^\| `(\w+)` \| `\w+` \| (.*) \|$", PAGES["verl"], re.M))
    assert set(rows) == {field.name for field in fields(Settings)}
    plain = Settings()
    assert rows["normalizer"].startswith(plain.normalizer)
    assert all(name in rows["normalizer"] for name in NORMALIZERS)
    assert rows["weights"].startswith(",".join(map(str, plain.weights)))
    assert rows["groups"].startswith(plain.groups)
    assert rows["percentiles"].startswith(",".join(f"{each:g}" for each in plain.percentiles))
    assert rows["bins"].startswith(str(plain.bins)) and float(rows["eps"]) == plain.eps
    assert rows["shrink"].startswith(f"{plain.shrink:g}: ")


@pytest.mark.parametrize("page", sorted(set(FORM) - {"trl"}))
def test_the_log_lines_of_a_page_are_what_a_plug_in_says(page, capsys):
    columns = {
        "sample_id": "x", "durian_perceptual_group": 0, "durian_reasoning_group": 0,
        "durian_perceptual": 1.0,
    }  # fmt: skip
    rows = Rows(sample=[0, 0], rewards=torch.tensor([1.0, 0.0]), columns=[columns, columns])
    _, metrics = row_advantages(rows, Settings(), trainer="verl")
    teller = Teller(FORM[page])
    teller.batch(metrics, Settings())
    said = [pattern(line) for line in capsys.readouterr().err.splitlines()]
    quoted = re.findall(rf"^    (durian \({FORM[page]}\): .*)$", PAGES[page], re.M)
    assert len(quoted) >= 3
    for line in quoted[1:]:  # the first names what was replaced, which `make adapters` sees
        assert pattern(line) in said, line


def pattern(line):
    """A log line, its numbers and groups left open."""
    line = re.sub(r"(perceptual|reasoning)_\w+( [\d.]+ of \d+)?(, )?", "", line)
    return re.sub(r"\d+(\.\d+)?", "N", line)
