"""The shape of the house: imports run down only, and `--help` is light."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {
    "torch",
    "vllm",
    "transformers",
    "datasets",
    "polars",
    "pyarrow",
    "matplotlib",
    "sympy",
    "openai",
    "ray",
}
PURE = ["measures", "analysis", "groups.py", "normalizer.py"]
ALLOWED_IN_PURE = {"numpy", "torch", "polars", "scipy", "durian"}


def test_imports_run_down_only():
    lint = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert lint.returncode == 0, lint.stdout + lint.stderr
    assert "1 kept, 0 broken" in lint.stdout


def test_every_module_has_its_place_in_the_contract():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    placed = {
        name.strip()
        for layer in contract["contracts"][0]["layers"]
        for name in layer.replace("|", ":").split(":")
    }
    rooms = {
        f"durian.{path.stem}"
        for path in (ROOT / "pipelines" / "durian").iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
    }
    assert rooms <= placed, rooms - placed


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


# A perceptual hash is of an image, and its package takes Pillow's.
HASHING = {"base.py": {"PIL"}, "duplicates.py": {"PIL", "imagehash"}}


def test_pure_maths_imports_only_numbers():
    for room in PURE:
        place = ROOT / "pipelines" / "durian" / room
        for path in [place] if place.suffix else place.glob("*.py"):
            allowed = ALLOWED_IN_PURE | HASHING.get(path.name, set())
            outside = _imported(path) - allowed - set(sys.stdlib_module_names)
            assert not outside, f"{path.name} imports {outside}"


COMMANDS = ("profile", "report", "group", "compare", "train", "eval", "export", "import", "schema",
            "view", "show", "merge", "rescore")  # fmt: skip


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_loads_nothing_heavy(command):
    code = (
        "import sys\nfrom durian_cli.app import main\n"
        f"sys.argv = {['durian', *command, '--help']!r}\n"
        "try: main()\n"
        f"finally: print('LOADED', sorted({HEAVY!r} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == "LOADED []"


def test_a_profile_of_pixels_alone_loads_no_torch(tmp_path):
    # It would take 400 MiB and some seconds, on every machine that measures images alone.
    dataset = ROOT / "data" / "easy_vqa" / "test.parquet"
    code = (
        "import sys\nfrom durian_cli.app import main\n"
        f"sys.argv = ['durian', 'profile', {str(dataset)!r}, '--limit', '3', '--measures', 'pixel',"
        f" '--out', {str(tmp_path / 'run')!r}, '--quiet']\n"
        "try: main()\n"
        "finally: print('LOADED', sorted({'torch', 'vllm', 'transformers'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (tmp_path / "run" / "manifest.json").exists(), shown.stderr
    assert shown.stdout.splitlines()[-1] == "LOADED []"


def test_every_command_has_help_with_an_example():
    from durian_cli.app import app

    for command in app.registered_commands:
        assert command.callback is not None and command.callback.__doc__ is not None
        name = command.name or command.callback.__name__
        assert f"Example: durian {name}" in command.callback.__doc__
