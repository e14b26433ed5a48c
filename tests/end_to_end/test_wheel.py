"""The wheel as others get it: what is in it, and that it runs where there is no repository."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import polars as pl
import pytest

from durian.config import ProfileConfig
from durian.profile import profile_dataset
from durian.readers.dataset import open_dataset

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"


def call(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=cwd, env=env)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built anew; from the cache that `make setup` filled, or else from the index."""
    out = tmp_path_factory.mktemp("dist")
    for more in (["--offline"], []):
        built = call(UV, "build", "--wheel", "--out-dir", out, *more, ROOT, cwd=out)
        if built.returncode == 0:
            break
    assert built.returncode == 0, built.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel alone.

    What the wheel depends on is lent to it from this environment by a path file, so that nothing is
    downloaded; path files there, and with them this repository, are not followed.
    """
    folder = tmp_path_factory.mktemp("venv")
    made = call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    assert made.returncode == 0, made.stderr
    python = folder / "bin" / "python"
    done = call(
        UV, "pip", "install", "--offline", "--no-deps", "--python", python, wheel, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    (site,) = (folder / "lib").glob("python*/site-packages")
    here = Path(pl.__file__).parents[1]
    (site / "lent.pth").write_text(f"{here}\n")
    found = call(python, "-c", "import durian; print(durian.__file__)", cwd=folder)
    assert Path(found.stdout.strip()).parent == site / "durian"
    return python


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    own = {name for name in packed if not name.split("/")[0].endswith(".dist-info")}
    assert own == {
        path.relative_to(root).as_posix()
        for root, package in ((ROOT, "durian_cli"), (ROOT / "pipelines", "durian"))
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {".py", ".j2", ".css", ".html", ".js", ".typed"} == {Path(name).suffix for name in own}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in packed - own)


def test_the_command_and_the_module_tell_the_wheels_version(python, wheel, tmp_path):
    told = f"durian {wheel.name.split('-')[1]}\n"
    for command in ([python.parent / "durian"], [python, "-m", "durian_cli"]):
        done = call(*command, "--version", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, told, "")


@pytest.fixture(scope="module")
def foreign(
    tmp_path_factory: pytest.TempPathFactory, photo_shapes: Path, tiny_policy: Path
) -> Path:
    """A folder with a `pipelines` package of its own, beside rows, a policy and a profile."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / "__init__.py").write_text("raise RuntimeError('another project')\n")
    (folder / "policy").symlink_to(tiny_policy)
    pl.read_parquet(photo_shapes).head(8).write_parquet(folder / "rows.parquet")
    rows = {"dataset": str(folder / "rows.parquet")}
    samples = open_dataset(ProfileConfig(**rows, measures=("pixel",), out="-").source).samples()
    script = [
        {"sample_id": s.sample_id, "rollout": 0, "completion": "?", "n_tokens": 2,
         "sum_logprob": -1.0 - s.row, "finish_reason": "stop"}
        for s in samples
    ]  # fmt: skip
    types = {"rollout": pl.Int32, "n_tokens": pl.Int32}
    pl.DataFrame(script, schema_overrides=types).write_parquet(folder / "script.parquet")
    script = {"model": str(folder / "script.parquet"), "engine": "scripted", "rollouts": 1}
    profile_dataset(ProfileConfig(**rows, **script, bins=2, out=str(folder / "run")))
    return folder


def test_a_folder_with_pipelines_of_its_own_is_not_in_the_way(python, foreign, wheel):
    # The package was called `pipelines` once, and Python looks in the working folder first.
    done = call(python, "-m", "durian_cli", "--version", cwd=foreign)
    assert (done.returncode, done.stdout) == (0, f"durian {wheel.name.split('-')[1]}\n")
    done = call(python, "-c", "import durian; print(durian.profile_dataset.__name__)", cwd=foreign)
    assert (done.returncode, done.stdout, done.stderr) == (0, "profile_dataset\n", "")


def test_a_launch_of_two_processes_plans_a_training_there(python, foreign):
    done = call(
        python, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2,
        "-m", "durian_cli", "train", "rows.parquet", "--table", "run", "--model", "policy",
        "--out", "trained", "--rollout-batch", 4, "--dry-run", cwd=foreign,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"processes: +2", done.stdout), done.stdout
    assert not (foreign / "trained").exists()


def test_a_folder_of_images_is_profiled_outside_the_repository(python, tmp_path, png):
    images = tmp_path / "images"
    images.mkdir()
    (images / "half.png").write_bytes(png)
    line = {"file_name": "half.png", "problem": "How many?", "answer": "2"}
    (images / "metadata.jsonl").write_text(json.dumps(line) + "\n")
    done = call(python.parent / "durian", "profile", "images", "--measures", "pixel", "--out",
                "run", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Half black, half white: 1 bit.
    table = pl.read_parquet(tmp_path / "run" / "difficulty.parquet")
    assert table["pixel_entropy"].to_list() == [1.0]
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert "<style>" in page and "<script>" in page
