"""Two finished runs, and the command line in this process: what it says, and what it changes."""

import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from durian.config import ProfileConfig
from durian.profile import profile_dataset
from durian.samples import sample_id
from durian_cli.app import _run

N, G = 12, 4


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """What is said is the same with a few redraws, and figures that are not drawn."""
    patch_draws(monkeypatch)


def patch_draws(patch):
    patch.setattr("durian.analysis.one_run.reliability.REDRAWS", 10)
    patch.setattr("durian.analysis.two_runs.floor.REDRAWS", 10)
    patch.setattr("durian.rendering.page.encode_figure", lambda *_: b"")


def image(levels):
    """A PNG of so many gray levels, each as often: log2 of them bits."""
    file = io.BytesIO()
    gray = (np.arange(840) % levels).astype(np.uint8).reshape(20, 42)
    Image.fromarray(gray).save(file, "PNG")
    return file.getvalue()


def write_world(folder, text=""):
    """A dataset of `N` samples, a script of `G` rollouts each, and runs of it named a and b.

    `text` stands in all that a dataset or a model brings along.
    """
    rows, said = [], []
    for levels in range(1, N + 1):
        problem, answer, picture = f"How many? {levels} {text}", f"{levels} {text}", image(levels)
        rows.append((problem, answer, [picture], 20 - levels, f"{'ab'[levels % 2]} {text}"))
        for number in range(G):
            told = answer if number * N < levels * G else f"no {text}"
            said.append(
                {
                    "sample_id": sample_id(problem, answer, [picture]), "rollout": number,
                    "completion": f"<think>{text}</think> \\boxed{{{told}}}", "n_tokens": 4,
                    "sum_logprob": -levels - number / 7, "finish_reason": "stop",
                }
            )  # fmt: skip
    names = ["problem", "answer", "images", f"level {text}".strip(), f"kind {text}".strip()]
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(folder / "data.parquet")
    lines = "".join(json.dumps(one) + "\n" for one in said)
    for script, out in (("a.jsonl", "a"), ("b.jsonl", "b")):
        (folder / script).write_text(lines)
        profile_dataset(
            ProfileConfig(
                dataset=str(folder / "data.parquet"), out=str(folder / out), engine="scripted",
                model=str(folder / script), rollouts=G if out == "a" else 2, bins=3,
            )
        )  # fmt: skip


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch_draws(patch)
        write_world(folder)
    return folder


@pytest.fixture
def here(world, tmp_path, monkeypatch):
    """A copy of the runs and what they were made of, to damage; the working folder."""
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def durian(monkeypatch, capfd):
    """Gives the exit code, stdout and stderr of a command."""

    def command(*args):
        monkeypatch.setattr("sys.argv", ["durian", *map(str, args)])
        return (_run(), *capfd.readouterr())

    return command


def contents(folder: Path) -> dict[str, str]:
    """Each file under a folder, and a hash of it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def refused(durian, here):
    """The one line by which a command refuses its input, having changed nothing."""

    def line(*args):
        before = contents(here)
        code, out, err = durian(*args)
        assert (code, out) == (2, ""), (args, err)
        assert err.startswith("durian: ") and err.endswith("\n") and err.count("\n") == 1, err
        assert len(err) < 2_000
        assert contents(here) == before, args
        return err

    return line
