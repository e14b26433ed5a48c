"""What a dry run says a profile will cost: against the run that follows, and by hand."""

import io
import json
from pathlib import Path

import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from durian.analysis.statistics.estimate import Estimate
from durian.config import CostConfig, ProfileConfig
from durian.errors import ConfigError
from durian.planning.cost import Rate, price
from durian.planning.dry_run import plan_profile
from durian.profile import profile_dataset
from durian.records import as_json
from durian_cli.app import app
from tests.manifests import manifest

BOUNDS = {"min_pixels": 1024, "max_pixels": 65536}


def picture(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


def dataset(path: Path, images: list[list[bytes]], problem: str = "what is it?") -> str:
    rows = [("<image>" * len(of_it) + f"{problem} {n:04}", "red", of_it)
            for n, of_it in enumerate(images)]  # fmt: skip
    pl.DataFrame(rows, schema=["problem", "answer", "images"], orient="row").write_parquet(path)
    return str(path)


def plan_json(config, cost=None):
    """The plan as `--json` shows it."""
    return as_json(plan_profile(config, cost))


@pytest.fixture
def settings(tiny_policy, tmp_path):
    """A profile with the policy that ships, of few tokens; keywords override."""

    def make(**changes) -> ProfileConfig:
        kept = {"model": str(tiny_policy), "engine": "transformers", "rollouts": 2, "max_tokens": 2}
        return ProfileConfig(out=str(tmp_path / "run"), **kept | changes)

    return make


def test_prompt_tokens_are_those_of_the_run_that_follows_on_the_data_that_ships(
    settings, photo_shapes
):
    config = settings(dataset=str(photo_shapes), limit=60)
    some = plan_json(config, CostConfig(cost_sample=20))
    whole = plan_json(config)
    counted = profile_dataset(config).manifest.tokens.prompt
    assert some["prompts_sampled"] == 20
    assert abs(some["prompt_tokens"]["value"] / counted - 1) < 0.02  # asked: 0.20
    assert some["prompt_tokens"]["low"] <= counted <= some["prompt_tokens"]["high"]
    # 60 prompts are fewer than the 128 that are counted: nothing is left to estimate.
    assert whole["prompt_tokens"] == {"value": counted, "low": counted, "high": counted}
    assert whole["reads_of_a_prompt"] == 2  # one a rollout: `generate` shares no prefix


def test_a_dataset_whose_second_half_is_larger_is_estimated_from_both(settings, tmp_path):
    # In steps of 16: 32 x 32 is 4 tokens, 256 x 256 is 256. The first 32 rows alone would tell of
    # 4 a prompt where the mean is 130. Blocks of 4 rows lie within a half: no error is left.
    images = [[picture(32, 32)]] * 32 + [[picture(256, 256)]] * 32
    config = settings(dataset=dataset(tmp_path / "two.parquet", images), rollouts=1, **BOUNDS)
    plan = plan_json(config, CostConfig(cost_sample=16))
    tokens = profile_dataset(config).manifest.tokens.prompt
    assert plan["prompt_tokens"]["value"] == tokens
    of_text = (tokens - 32 * 4 - 32 * 256) / 64  # of one prompt; the texts are of one length
    assert 64 * (of_text + 4) < 0.8 * tokens  # as the first rows had it
    one = plan["prompt_tokens_of_one"]
    assert (one["mean"], one["largest"]) == (of_text + 130, of_text + 256)
    assert one["image_share"] == pytest.approx(130 / (of_text + 130))


def test_prompts_that_fail_in_the_run_cost_nothing_in_the_plan(settings, tmp_path):
    images = [[picture(64, 64)], [b"no image"], [picture(900, 2)], [picture(64, 64)]]
    config = settings(dataset=dataset(tmp_path / "bad.parquet", images))
    plan, found = plan_json(config), profile_dataset(config).manifest
    assert plan["prompt_tokens"]["value"] == found.tokens.prompt
    assert found.tokens.prompts == 2
    assert plan["prompts_failed"] == found.counts.failed_by_reason
    assert sum(plan["prompts_failed"].values()) == 2


def test_images_outside_the_bounds_are_counted_and_named(settings, tmp_path):
    # Sizes as tests/engines/test_resizing.py works them out.
    images = [
        [picture(64, 64)],
        [picture(64, 48), picture(320, 160)],
        [b"no image"],
        [picture(16, 16)],
        [picture(900, 2)],
    ]
    config = settings(
        dataset=dataset(tmp_path / "sizes.parquet", images), min_pixels=1024, max_pixels=16384
    )
    assert plan_json(config)["images"] == {
        "min_pixels": 1024, "max_pixels": 16384,
        "all": 6, "shrunk": 1, "enlarged": 1, "refused": 1, "unreadable": 1,
        "named": [
            {"row": 1, "image": 2, "fate": "shrunk", "size": [320, 160], "becomes": [176, 80]},
            {"row": 3, "image": 1, "fate": "enlarged", "size": [16, 16], "becomes": [32, 32]},
            {"row": 4, "image": 1, "fate": "refused", "size": [900, 2], "becomes": None},
        ],
    }  # fmt: skip


def test_every_row_is_asked_for_its_size_not_only_those_sampled(settings, tmp_path):
    images = [[picture(64, 64)]] * 40 + [[picture(320, 160)]] * 7
    config = settings(dataset=dataset(tmp_path / "last.parquet", images), **BOUNDS | {
        "max_pixels": 16384})  # fmt: skip
    plan = plan_json(config, CostConfig(cost_sample=2))
    assert plan["images"]["shrunk"] == 7
    assert [image["row"] for image in plan["images"]["named"]] == [40, 41, 42, 43, 44]


def finished(folder: Path, **changes) -> str:
    """A run of 10 prompts of 100 tokens and 40 completions of 50, at 100 tokens a second."""
    folder.mkdir()
    known = manifest(
        tokens={"prompts": 10, "prompt": 1000, "completions": 40, "completion": 2000},
        seconds={"images": 3.0, "rollouts": 20.0},
    )
    (folder / "manifest.json").write_text(json.dumps(known | changes))
    return str(folder)


PROMPTS = Estimate(value=500, low=400, high=600)
RATE = Rate(completion_of_one=50.0, tokens_per_second=100.0)


@pytest.fixture
def planned():
    """The price of 5 samples x 8 rollouts of 64 tokens on 2 x 3 GPUs."""

    def make(rate: Rate = RATE, prompts=PROMPTS, engine="vllm", rollouts=8, **cost):
        config = ProfileConfig(
            dataset="d", out="o", model="m", engine=engine, rollouts=rollouts, max_tokens=64,
            tensor_parallel=2, data_parallel=3,
        )  # fmt: skip
        return as_json(price(config, CostConfig(**cost), rate, 5, prompts))

    return make


def test_time_is_completion_tokens_over_their_rate(planned):
    plan = planned()
    # 40 completions of 50 are 2,000 tokens, 20 s at 100 a second; of 64, 2,560 and 25.6 s.
    assert plan["completion_tokens"] == {"expected": 2000, "at_most": 2560}
    assert plan["seconds"] == {"expected": 20.0, "at_most": 25.6}
    assert plan["money"] == {} and plan["not_known"] == {}


def test_money_is_tokens_at_their_prices_and_hours_of_all_gpus(planned):
    money = planned(price_per_mtok=(2.0, 10.0), gpu_hour_price=3.0)["money"]
    # 500 x 2 / 1e6 + 2,000 x 10 / 1e6 = 0.001 + 0.02; at most 600 and 2,560: 0.0012 + 0.0256.
    assert money["tokens"] == pytest.approx({"expected": 0.021, "at_most": 0.0268})
    # 6 GPUs x 20 / 3600 h x 3 = 0.1; x 25.6 / 20 at most.
    assert money["gpus"] == pytest.approx({"expected": 0.1, "at_most": 0.128})


def test_no_completion_is_expected_to_be_longer_than_max_tokens(planned):
    plan = planned(Rate(completion_of_one=900.0, tokens_per_second=100.0))
    assert plan["completion_tokens"] == {"expected": 2560, "at_most": 2560}


def test_what_is_not_known_is_not_invented_and_the_plan_says_what_would_tell(planned):
    plan = planned(Rate(), price_per_mtok=(2.0, 10.0), gpu_hour_price=3.0)
    assert plan["seconds"] == {"expected": None, "at_most": None}
    assert plan["money"]["tokens"]["expected"] is None
    assert plan["money"]["gpus"] == {"expected": None, "at_most": None}
    assert plan["not_known"] == {
        "the length of completions": "pass --rate-from RUN",
        "time": "pass --rate-from RUN, or --tokens-per-second",
    }
    plan = planned(Rate(tokens_per_second=100.0))
    assert plan["seconds"] == {"expected": None, "at_most": 25.6}


def test_a_finished_run_gives_lengths_and_rate_and_says_how_it_differs(settings, tmp_path):
    images = [[picture(64, 64)]] * 5
    config = settings(dataset=dataset(tmp_path / "d.parquet", images), max_tokens=64, rollouts=8)
    kept = {key: getattr(config, key) for key in config.__dataclass_fields__}
    run = finished(tmp_path / "old", config=kept | {"temperature": 0.5, "limit": 3})
    plan = plan_json(config, CostConfig(rate_from=run))
    assert plan["completion_tokens"] == {"expected": 2000, "at_most": 2560}
    assert plan["seconds"] == {"expected": 20.0, "at_most": 25.6}
    assert plan["rate_differs"] == ["temperature"]
    faster = plan_json(config, CostConfig(rate_from=run, tokens_per_second=200.0))
    assert faster["seconds"] == {"expected": 10.0, "at_most": 12.8}


def test_a_servers_prompts_are_counted_by_a_finished_run_alone(settings, tmp_path):
    path = dataset(tmp_path / "d.parquet", [[picture(64, 64)]] * 5)
    config = settings(dataset=path, engine="openai", base_url="http://localhost:1/v1", model="m")
    plan = plan_json(config, CostConfig(price_per_mtok=(1.0, 1.0)))
    assert "prompt_tokens" not in plan and plan["money"] == {}
    assert "pass --rate-from RUN" in plan["not_known"]["the price of tokens"]
    told = plan_json(config, CostConfig(rate_from=finished(tmp_path / "old")))
    assert told["prompt_tokens"] == {"value": 500, "low": None, "high": None}  # 5 x 1,000 / 10


def test_cost_options_that_do_not_fit_are_refused_by_name(settings, tmp_path):
    path = dataset(tmp_path / "d.parquet", [[picture(64, 64)]])
    uncounted = finished(tmp_path / "uncounted", tokens=None)
    server = {"engine": "openai", "base_url": "http://localhost:1/v1"}
    for changes, cost, line in (
        ({"measures": ("pixel",)}, {"gpu_hour_price": 1.0},
         "gpu-hour-price is for completions, and none of the measures draws any"),
        ({"engine": "scripted"}, {"tokens_per_second": 1.0},
         "tokens-per-second: the scripted engine's completions cost nothing"),
        (server, {"gpu_hour_price": 1.0}, "gpu-hour-price needs the number of GPUs, which is the "
         "server's own matter with engine openai; pass --price-per-mtok"),
        ({}, {"rate_from": str(tmp_path)}, "rate-from: .*: is not a run folder"),
        ({}, {"rate_from": uncounted}, "rate-from: .*: counted no tokens"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=line):
            plan_json(settings(dataset=path, **changes), CostConfig(**cost))


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"cost_sample": 0}, "cost-sample is 0; it must be 1 or more"),
        ({"tokens_per_second": 0.0}, "tokens-per-second is 0; it must be above 0"),
        ({"tokens_per_second": float("nan")}, "tokens-per-second is nan; it must be above 0"),
        ({"price_per_mtok": (1.0, -2.0)}, "price-per-mtok is 1,-2; each must be 0 or more"),
        ({"gpu_hour_price": float("inf")}, "gpu-hour-price is inf; it must be 0 or more"),
    ],
)
def test_numbers_that_cannot_be_are_refused(options, line):
    with pytest.raises(ConfigError, match=line):
        CostConfig(**options)


def dry_run(path: str, policy: Path, *args: str) -> str:
    options = "--rollouts 8 --max-tokens 64 --min-pixels 1024 --max-pixels 16384 --dry-run".split()
    command = ["profile", path, "--model", str(policy), "--out", "run", *options, *args]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_terminal_and_json_show_it_all(tmp_path, tiny_policy, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = dataset(tmp_path / "d.parquet", [[picture(64, 64)]] * 4 + [[picture(320, 160)]])
    finished(tmp_path / "old")
    cost = ("--rate-from", "old", "--price-per-mtok", "2,10", "--gpu-hour-price", "180")
    shown = dry_run(path, tiny_policy, *cost).splitlines()
    plan = json.loads(dry_run(path, tiny_policy, *cost, "--json"))
    total, one = plan["prompt_tokens"]["value"], plan["prompt_tokens_of_one"]
    money = plan["money"]["tokens"]
    assert money["expected"] == pytest.approx((2 * total + 10 * 2000) / 1e6)
    for line in (
        "images: 5; 1 shrunk to 16,384 pixels",
        "  row 4: 320 x 160 to 176 x 80",
        f"prompt tokens: {total} (5 of 5 prompts counted)",
        f"  of one: mean {one['mean']:.1f}, largest {one['largest']}; "
        f"{round(100 * one['image_share'])} % stand for images",
        "completion tokens: 2,000 expected, 2,560 at most",
        "  expected: as old wrote them",
        "time of the rollouts: 20.0 s expected, 25.6 s at most (100 tokens a second)",
        "price of gpus: 1.00 expected, 1.28 at most",  # 180 an hour is 0.05 a second
    ):
        assert line in shown
    assert all(len(line) <= 80 for line in shown if not line.startswith("  warning"))
    assert not (tmp_path / "run").exists()


def test_blind_draws_are_counted_and_priced_as_the_run_that_follows_has_them(
    settings, photo_shapes
):
    config = settings(
        dataset=str(photo_shapes), limit=40, measures=("pixel", "blind"), blind_rollouts=3
    )
    plan = plan_json(config, CostConfig(price_per_mtok=(1e6, 1e6)))
    assert (plan["completions"], plan["blind_completions"]) == (80, 120)
    # An image is 16 tokens between 2; each prompt is counted once with it and once without.
    seeing, blind = (plan[name]["value"] for name in ("prompt_tokens", "blind_prompt_tokens"))
    assert seeing - blind == 40 * 18
    assert "vision" in plan["first_prompt"] and "vision" not in plan["first_blind_prompt"]
    assert plan["completion_tokens"]["at_most"] == 200 * 2
    assert plan["money"]["tokens"]["at_most"] == pytest.approx(seeing + blind + 400)
    tokens = profile_dataset(config).manifest.tokens
    assert (tokens.prompt, tokens.blind.prompt) == (seeing, blind)
    assert (tokens.completions, tokens.blind.completions) == (80, 120)
    # Where it has one to go by: mean lengths of either kind, and a rate over all of both.
    rated = plan_json(config, CostConfig(rate_from=config.out))
    assert rated["completion_tokens"]["expected"] == tokens.completion + tokens.blind.completion


def test_without_blind_nothing_is_said_of_it(settings, photo_shapes):
    plan = plan_json(settings(dataset=str(photo_shapes), limit=4))
    assert not [name for name in plan if "blind" in name]
