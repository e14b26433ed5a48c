"""`durian group` from outside: exit codes, the exact line, and what is on the disk."""

import io
import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from durian.config import ProfileConfig
from durian.profile import profile_dataset
from durian_cli.app import main


@pytest.fixture
def durian(folder, monkeypatch, capfd):
    """Gives the exit code, stdout and stderr of a command, run in the folder of the run."""

    def command(*args):
        monkeypatch.chdir(folder)
        monkeypatch.setattr("sys.argv", ["durian", *args])
        with pytest.raises(SystemExit) as done:
            main()
        return (done.value.code, *capfd.readouterr())

    return command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a finished run of eight images of 1 to 8 gray levels each, and their level."""
    folder = tmp_path_factory.mktemp("group")
    rows = []
    for levels in range(1, 9):
        file = io.BytesIO()
        gray = (np.arange(840) % levels).astype(np.uint8).reshape(20, 42)  # evenly: log2 levels
        Image.fromarray(gray).save(file, "PNG")
        rows.append(("How many?", str(levels), [file.getvalue()], 9 - levels))
    names = ["problem", "answer", "images", "level"]
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(folder / "grays.parquet")
    profile_dataset(
        ProfileConfig(
            dataset=str(folder / "grays.parquet"), out=str(folder / "run"), measures=("pixel",)
        )
    )
    return folder


def groups_of(folder):
    return pl.read_parquet(folder / "run" / "difficulty.parquet")["perceptual_group"].to_list()


def test_groups_are_cut_anew_and_shown(folder, durian):
    code, out, err = durian("group", "run", "--perceptual", "level")
    assert code == 0, err
    # Levels 8 to 1: the quartiles are 2.75 and 6.25.
    assert groups_of(folder) == ["hard"] * 2 + ["medium"] * 4 + ["easy"] * 2
    lines = out.splitlines()
    assert lines[0] == "perceptual groups by level, percentiles 25, 75"
    assert lines[2].split() == ["easy", "2", "-"]  # nothing was scored
    assert "cut at 2.75, 6.25" in lines
    assert "no reasoning groups: no sample has a mean_logprob" in lines
    assert "table:   run/difficulty.parquet, grouping 2" in lines
    assert "report:  run/report/index.html" in lines


def test_json_is_one_object_and_a_config_gives_the_options(folder, durian):
    (folder / "group.yaml").write_text("perceptual: pixel_entropy\npercentiles: [50, 90]\n")
    code, out, err = durian("group", "run", "--config", "group.yaml", "--quiet", "--json")
    assert code == 0 and err == ""
    result = json.loads(out)
    # The median of log2 1 to log2 8 lies between 4 and 5 levels; 90 % at place 6.3, so that
    # 8 levels alone are above it.
    assert result["groups"]["perceptual"]["sizes"] == {"easy": 4, "medium": 3, "hard": 1}
    assert groups_of(folder) == ["easy"] * 4 + ["medium"] * 3 + ["hard"]
    assert result["run"] == "run" and result["changed"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--perceptual", "levl"], "perceptual: no column 'levl' of numbers in run; did you mean "
         "'level'"),
        (["--bins", "auto"], "reasoning: no sample has 'mean_logprob' in run; name another column, "
         "or profile again with what measures it"),
        (["--bins", "ten"], "bins is 'ten'; write a number, or auto"),
        (["--percentiles", "auto"], "percentiles is 'auto', which goes by the errors, and run has "
         "no scored completions; give numbers, or profile with --model"),
        (["--percentiles", "a"], "percentiles is 'a'; write two numbers, like 25,75"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_and_changes_nothing(folder, durian, asked, said):
    before = (folder / "run" / "difficulty.parquet").read_bytes()
    assert durian("group", "run", *asked) == (2, "", f"durian: {said}\n")
    assert (folder / "run" / "difficulty.parquet").read_bytes() == before
    assert not (folder / "run" / "lock").exists()
