"""What the README promises exists, and what exists is in it."""

import re
from pathlib import Path

from typer.testing import CliRunner

from durian_cli.app import app
from durian_cli.reference import as_markdown, option_reference

README = (Path(__file__).parents[2] / "README.md").read_text()


def help_of(command: str) -> str:
    return CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output


HELP = help_of("profile")


def test_every_command_is_in_the_readme():
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"durian {command.name or command.callback.__name__}" in README


def test_every_option_in_the_readme_exists():
    everywhere = {"--quiet", "--json", "--config", "--help", "--install-completion"}
    others = {"--no-deps", "--nproc", "--no-enable-chunked-prefill"}  # of pip, torchrun, vLLM
    known = "".join(
        map(help_of, ("profile", "train", "eval", "group", "compare", "export", "import", "show"))
    )
    for option in set(re.findall(r"`?(--[a-z][a-z-]+)", README)) - others:
        assert option in known or option in everywhere, option


def test_the_options_of_the_contract_exist():
    for option in (
        "--split --problem-column --answer-column --images-column --id-column --limit --measures "
        "--model --engine --rollouts --temperature --top-p --max-tokens --seed --system-prompt "
        "--prompt-template --reward --tensor-parallel --data-parallel --distributed "
        "--ray-address --shard --workers --part-size --max-pixels "
        "--min-pixels --percentiles --bins --dry-run --fresh --perceptual --reasoning --out "
        "--config --quiet --json"
    ).split():
        assert re.search(rf"{option}\b", HELP), option


def test_the_option_reference_is_what_make_docs_writes():
    written = (Path(__file__).parents[2] / "docs" / "options.md").read_text()
    assert written == as_markdown(option_reference())
    # By hand, so that both cannot be wrong alike.
    row = "| `--max-tokens` | whole number (tokens, 1 or more) | 2048 |"
    assert row in written.split("## durian report")[0]
    assert "asks for &lt;think>" in written


def test_version():
    shown = CliRunner().invoke(app, ["--version"])
    assert shown.exit_code == 0 and re.fullmatch(r"durian \d+\.\d+\.\d+\n", shown.output)
