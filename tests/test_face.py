"""`import durian`: light, functions only, each with an example that runs."""

import doctest
import os
import subprocess
import sys
import warnings
from pathlib import Path

import polars as pl
import pytest

import durian
from durian.config import ProfileConfig
from durian.readers.dataset import open_dataset

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pipelines" / "durian"
ROWS = 12


def python(code: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "pipelines")])
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd,
        env=os.environ | {"PYTHONPATH": path} | environment,
    )  # fmt: skip


def test_import_durian_loads_nothing_but_itself(tmp_path):
    shown = python(
        "import sys; before = set(sys.modules); import durian; dir(durian)\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))",
        tmp_path,
    )
    assert (shown.stdout, shown.stderr) == ("['durian']\n", "")


def test_the_face_is_functions_that_share_no_name_with_a_module():
    assert set(durian.__all__) <= set(dir(durian))
    for name in durian.__all__:
        assert not (PACKAGE / f"{name}.py").exists() and not (PACKAGE / name).exists(), name
    with pytest.raises(AttributeError, match="module 'durian' has no attribute 'profle'"):
        durian.profle  # noqa: B018


def test_each_function_is_there_in_any_order_and_after_the_modules(tmp_path):
    # A module, once imported, is set on the package under its own name and would hide a function.
    # Without training: TRL takes long to import, and the example below does.
    stems = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "train"}
    modules = [f"durian.{stem}" for stem in sorted(stems)]
    names = [name for name in durian.__all__ if name != "train_policy"]
    shown = python(
        "import durian, importlib, inspect\n"
        f"for name in {names!r}: assert inspect.isfunction(getattr(durian, name)), name\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        f"for name in {names[::-1]!r}:\n"
        "    assert inspect.isfunction(getattr(durian, name)), name\n"
        "from durian import open_run\nassert open_run is durian.open_run\n",
        tmp_path,
    )
    assert shown.returncode == 0, shown.stderr


BLOCK = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
"""


def test_the_normalizer_and_the_groups_need_numpy_and_torch_alone(tmp_path):
    # As in another trainer's environment, with Durian beside it and none of what it depends on.
    outside = {
        name.split(".")[0].lower()
        for line in (ROOT / "requirements.txt").read_text().splitlines()
        if "==" in line
        for name in [line.split("==")[0].replace("-", "_")]
    }
    outside |= {"PIL", "yaml", "skimage", "sklearn"}
    torchs_own = {"numpy", "torch", "typing_extensions", "sympy", "mpmath", "networkx", "jinja2",
                  "markupsafe", "filelock", "fsspec", "setuptools", "triton"}  # fmt: skip
    shown = python(
        f"BLOCKED = {outside - torchs_own!r}\n{BLOCK}\n"
        "import numpy as np, torch\n"
        "from durian.groups import perceptual_groups\n"
        "from durian.normalizer import durian_advantages\n"
        "import durian\n"
        "assert durian.durian_advantages is durian_advantages\n"
        # 1 and 0: mean 1/2, std 1/sqrt(2): 0.5 * sqrt(2) = 0.7071 (less eps).
        "own = torch.tensor([-1])\n"
        "print(durian_advantages(torch.tensor([[1.0, 0.0]]), own, own))\n"
        "print(perceptual_groups(np.array([1.0, 2.0, 3.0])).labels)\n",
        tmp_path,
    )
    assert shown.stdout.splitlines() == [
        "tensor([[ 0.7071, -0.7071]])", "['easy', 'medium', 'hard']"
    ], shown.stderr  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory, photo_shapes, tiny_policy):
    """A folder as the examples have it: rows, a policy, and two profiles of the rows."""
    folder = tmp_path_factory.mktemp("world")
    table = pl.read_parquet(photo_shapes).head(ROWS)
    table.write_parquet(folder / "shapes.parquet")
    (folder / "tiny_policy").symlink_to(tiny_policy)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        pixels = ProfileConfig(dataset="shapes.parquet", measures=("pixel",), out="unused")
        samples = list(open_dataset(pixels.source).samples())
        for out, solved in (("before", 6), ("after", 9)):  # of the 12, in the order of the rows
            script = [
                (s.sample_id, n, rf"\boxed{{{s.answer if s.row < solved else '?'}}}", 4, -1.0 - n)
                for s in samples
                for n in range(2)
            ]
            names = ["sample_id", "rollout", "completion", "n_tokens", "sum_logprob"]
            pl.DataFrame(script, schema=names, orient="row").with_columns(
                pl.lit("stop").alias("finish_reason"), pl.col("rollout").cast(pl.Int32)
            ).write_parquet(f"{out}.parquet")
            durian.profile_dataset(
                ProfileConfig(
                    dataset="shapes.parquet", model=f"{out}.parquet", engine="scripted",
                    rollouts=2, bins=2, out=f"runs/{out}",
                )
            )  # fmt: skip
    return folder


@pytest.mark.parametrize("name", durian.__all__)
def test_the_example_of_each_function_runs(name, world, monkeypatch):
    monkeypatch.chdir(world)
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TRL's, vLLM's and torch's, while they are imported
        function = getattr(durian, name)
    known = {"durian": durian, "pl": pl, "torch": torch}
    (example,) = doctest.DocTestFinder(recurse=False).find(function, name, globs=known)
    said: list[str] = []
    result = doctest.DocTestRunner().run(example, out=said.append)
    assert example.examples and result.failed == 0, "".join(said)


def test_an_open_run_gives_its_tables_numbers_and_page(world, monkeypatch):
    monkeypatch.chdir(world)
    run = durian.open_run("runs/before")
    assert run.manifest.counts.samples == len(run.difficulty) == ROWS
    assert run.difficulty["pass_rate"].to_list() == [1.0] * 6 + [0.0] * 6
    assert run.rollouts.group_by("sample_id").len()["len"].to_list() == [2] * ROWS
    assert run.summary.sentences and run.summary.scored.error_rate.value == 0.5
    page = run.report()
    assert page.read_text().startswith("<!doctype html>")


def test_what_is_no_finished_run_is_refused(tmp_path):
    from durian.errors import RunFolderError

    with pytest.raises(RunFolderError, match="is not a run folder"):
        durian.open_run(tmp_path)


def test_both_packages_are_typed():
    assert (PACKAGE / "py.typed").exists() and (ROOT / "durian_cli" / "py.typed").exists()
