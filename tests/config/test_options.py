"""An option is declared once: all else about it follows from the field of its config."""

import json
from dataclasses import dataclass, fields, is_dataclass
from types import SimpleNamespace
from typing import get_type_hints

import pytest
import typer
from typer.testing import CliRunner

import durian.config
from durian.config import CostConfig, EvalConfig, ProfileConfig, ShownConfig, TrainConfig
from durian.config.later import LaterConfig
from durian.config.options import (
    PANELS,
    Config,
    again,
    given,
    identifying,
    named,
    option,
    option_of,
)
from durian.errors import ConfigError, DurianError
from durian.manifest import as_profiled
from durian_cli.app import app
from durian_cli.options import command, declared, show_result
from durian_cli.reference import OptionRow, option_reference

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
CONFIGS = [
    config
    for config in map(vars(durian.config).get, durian.config.__all__)
    if is_dataclass(config) and issubclass(config, Config)  # type: ignore[arg-type]
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_every_field_of_every_config_is_an_option_with_help(config):
    for field in fields(config):
        about = option_of(field)
        assert about.sentence[0].isupper() or about.words or about.sentence.startswith("boxed")
        assert about.sentence.endswith((".", "'"))
        assert about.panel in PANELS
    assert {field.name for field in fields(config)} == get_type_hints(config).keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_a_field(name):
    (registered,) = (
        c for c in app.registered_commands if (c.name or c.callback.__name__) == name  # type: ignore[union-attr]
    )  # fmt: skip
    options = registered.callback.options  # type: ignore[union-attr]
    names = [option.name for option in options]
    assert len(set(names)) == len(names)
    assert names == [p.name for p in COMMANDS[name].params if p.name != "help"]


# What may change between two attempts at one run, by contract and by what it means: where things
# lie, and how fast it goes.
FREE = {"dataset", "image_root", "out", "model", "base_url", "workers", "distributed"}
FREE |= {"against"}  # where other sets lie; what is in them is compared
FREE |= {"judge_url", "ray_address", "adapter"}  # an adapter is part of the policy's print
FREE |= {"sample"}  # which may grow
FREE |= {"why"}  # thresholds of a column that is found anew without measuring
FREE |= {"shard"}  # the number of shards is in the identity of an unfinished run


def test_a_profile_is_another_one_by_all_but_places_and_speed():
    assert {f.name for f in fields(ProfileConfig)} - set(named(ProfileConfig, "identity")) == FREE
    config = ProfileConfig(dataset="d", out="o", measures=("pixel",), bins=4)
    known = identifying(config)
    assert known["bins"] == 4 and known["engine_args"] == {} and not known.keys() & FREE


def test_a_training_is_another_one_by_all_but_places_and_speed():
    free = {"dataset", "image_root", "out", "model", "workers", "table", "processes", "grpo"}
    free |= {"judge_url", "eval_dataset", "eval_table"}
    assert {f.name for f in fields(TrainConfig)} - set(named(TrainConfig, "identity")) == free


def test_later_stages_take_over_prompt_reward_and_pixel_bounds():
    profiled = ["system_prompt", "prompt_template", "reward", "min_pixels", "max_pixels"]
    profiled += ["reward_args", "tolerance", "coords", "iou", "judge_model", "judge_url"]
    profiled += ["sampling_args", "chat_template_args"]
    for config in (ProfileConfig, TrainConfig, EvalConfig):
        assert set(named(config, "profiled")) == set(profiled)
    for later in (TrainConfig, EvalConfig):
        assert all(getattr(later, name) is None for name in profiled)


def test_what_was_given_is_told_as_typed():
    assert list(given(CostConfig())) == []
    assert list(given(CostConfig(price_per_mtok=(1.0, 2.0), cost_sample=4))) == [
        "cost-sample", "price-per-mtok",
    ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Toy(Config):
    """Options of all kinds of bounds."""

    name: str = option("x", "A name.", filled="a name")
    word: str = option("a", "A word.", choices=("a", "b", "c"))
    either: str | None = option(None, "One of two.", choices=lambda: ["a", "b"])
    some: tuple[str, ...] = option(("a",), "Some words.", choices=("a", "b"))
    count: int = option(1, "A count.", low=1, high=10_000)
    share: float = option(1.0, "A share.", above=0, high=1)
    pair: tuple[float, float] = option((1.0, 2.0), "Two.", low=0, write="two numbers, like 1,2")
    either_way: bool = option(False, "A flag.", low=1)  # a flag is no number


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": " "}, "name is empty; name a name"),
        ({"word": "d"}, "word is 'd'; it must be one of a, b, c"),
        ({"either": "d"}, "either is 'd'; it must be a or b"),
        ({"some": ("a", "d")}, "some has 'd'; it must be some of a, b"),
        ({"some": ()}, "some is empty; name some of a, b"),
        ({"count": 0}, "count is 0; it must be 1 or more"),
        ({"count": 10_001}, "count is 10001; it must be 10,000 or fewer"),
        ({"share": 0.0}, "share is 0; it must be above 0 and at most 1"),
        ({"share": 1.5}, "share is 1.5; it must be above 0 and at most 1"),
        ({"share": float("nan")}, "share is nan; it must be above 0 and at most 1"),
        ({"pair": (1.0, -2.0)}, "pair is 1,-2; each must be 0 or more"),
        ({"pair": (1.0, float("inf"))}, "pair is 1,inf; each must be 0 or more"),
    ],
)
def test_a_value_that_an_option_cannot_have_is_refused_by_its_name(values, said):
    with pytest.raises(ConfigError) as refused:
        Toy(**values)
    assert str(refused.value) == said
    assert Toy() == Toy(either=None)


@dataclass(frozen=True, kw_only=True)
class Wider(ProfileConfig):
    """A profile with one option more: declared here, and nowhere else."""

    blur_radius: float | None = option(
        None, "Blur of the images.", panel="Images", unit="pixels", default_text="none",
        above=0, profiled=True, telling=True,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Later(LaterConfig):
    """A stage after it."""

    blur_radius: float | None = again(Wider, "blur_radius")


@pytest.fixture
def wider():
    """The command of `Wider`, run with words; the config that it got, or what was wrong."""
    new = typer.Typer()

    @new.command("wider")
    @command(Wider)
    def run(config: Wider, shown: ShownConfig) -> None:
        """Show a config."""
        show_result(identifying(config), print, shown)

    new.command("other")(command()(lambda shown: None))  # one alone would have no name

    def told(*words):
        done = CliRunner().invoke(new, ["wider", *map(str, words)], env={"COLUMNS": "200"})
        if isinstance(done.exception, DurianError):
            return str(done.exception)
        return done.output

    return told


NEEDED = ("d", "--out", "o", "--measures", "pixel", "--json")


def test_one_declaration_makes_the_option_of_the_command_line_and_its_help(wider):
    assert json.loads(wider(*NEEDED, "--blur-radius", "2.5"))["blur_radius"] == 2.5
    assert json.loads(wider(*NEEDED))["blur_radius"] is None
    helped = wider("--help")
    images = helped[helped.index("─ Images ") :]
    assert "--blur-radius" in images[: images.index("─ Groups ")]
    assert "Blur of the images. (default: none)" in helped


def test_one_declaration_makes_the_key_of_a_config_file(wider, tmp_path):
    (tmp_path / "c.yaml").write_text("blur-radius: 2.5\n")
    assert json.loads(wider(*NEEDED, "--config", tmp_path / "c.yaml"))["blur_radius"] == 2.5
    (tmp_path / "c.yaml").write_text("blur_radios: 2.5\n")
    assert wider(*NEEDED, "--config", tmp_path / "c.yaml").endswith("did you mean 'blur-radius'?")


def test_one_declaration_makes_the_check(wider):
    assert wider(*NEEDED, "--blur-radius", "0") == "blur-radius is 0; it must be above 0"


def test_one_declaration_makes_it_part_of_identity_inheritance_and_estimates():
    assert "blur_radius" in named(Wider, "identity")
    assert "blur_radius" in named(Wider, "telling")
    assert "blur_radius" not in named(Wider, "compared")
    assert "blur_radius" in named(Later, "profiled")
    (told,) = (o for o in declared(Later) if o.field == "blur_radius")
    assert told.about.default_text == "the table's, else none"


def test_what_a_later_stage_leaves_open_is_as_the_table_had_it():
    later = EvalConfig(dataset="d", model="m", max_pixels=9)
    known = {"system_prompt": "S", "prompt_template": "T", "reward": "r", "min_pixels": 1}
    known |= {"sampling_args": {"top_k": 20}, "chat_template_args": {"enable_thinking": False}}
    manifest = SimpleNamespace(config=known | {"max_pixels": 2, "seed": 5})
    filled = as_profiled(later, manifest)
    assert {name: getattr(filled, name) for name in known} == known
    assert (filled.max_pixels, filled.seed) == (9, 0)


def test_the_reference_has_every_option_of_every_command_once():
    rows = option_reference()
    keys = [(row.command, row.option) for row in rows]
    assert len(set(keys)) == len(keys)
    assert len(rows) == sum(len(c.params) for c in COMMANDS.values())
    by = dict(zip(keys, rows, strict=True))
    assert by["profile", "--max-tokens"] == OptionRow(
        command="profile", option="--max-tokens", type="whole number (tokens, 1 or more)",
        default="2048", panel="Sampling", help="Longest completion, in tokens.",
    )  # fmt: skip
    assert by["profile", "dataset"].default == "required"
    assert by["group", "--bins"].type.startswith("whole number or auto")
    assert by["train", "--weights"].default == "0.4,0.3,0.3"
    assert by["eval", "--reward"].default == "the table's, else boxed"
    assert by["profile", "--engine-arg"].type == "NAME=VALUE, repeatable"
