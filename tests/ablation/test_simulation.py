"""The simulation behind docs/evidence.md: the product's own functions, repeatable, paired."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from durian.normalizer import NORMALIZERS, Groups, Scaling
from reports.ablation.simulate import ARMS, CENTRE, SWEEPS, Table, advantages_of, train
from reports.ablation.tell import fill, paired, stale_at
from reports.ablation.trainings import with_random_groups
from reports.ablation.world import SEEN, make_world

SHORT = replace(CENTRE, prompts=32, steps=8)


def test_a_seed_gives_the_same_numbers_to_the_digit_however_many_seeds_there_are():
    alone = train(SHORT, ARMS["durian"], [1])
    beside = train(SHORT, ARMS["durian"], [0, 1])
    for name, values in alone.items():
        if name.startswith("curve/"):
            assert [look[1:] for look in beside[name]] == values
        else:
            assert beside[name][1:] == values


def test_all_arms_of_a_seed_begin_alike_and_no_setting_lacks_grpo_or_its_placebo():
    started = [train(replace(SHORT, steps=8), ARMS[arm], [0]) for arm in ("grpo", "maxrl")]
    assert started[0]["start/sampled"] == started[1]["start/sampled"]
    assert started[0]["sampled"] != started[1]["sampled"]
    for name, (_, arms) in SWEEPS.items():
        assert {"durian", "random"} <= set(arms) <= set(ARMS)
        assert name.startswith("weights") or "grpo" in arms


@pytest.mark.parametrize("name", NORMALIZERS)
def test_seeds_that_go_in_together_are_normalized_apart(name):
    chance = torch.Generator().manual_seed(0)
    rewards = (torch.rand(3, 40, 8, generator=chance) < 0.4).float()
    groups = Groups(*(torch.randint(k, (3, 40), generator=chance) for k in (3, 10)))
    together = advantages_of(name, rewards, groups, (0.4, 0.3, 0.3))
    for seed in range(3):
        own = Groups(groups.perceptual[seed], groups.reasoning[seed])
        apart = NORMALIZERS[name].advantages(rewards[seed], own, Scaling())
        assert together[seed].tolist() == apart.tolist()


def test_random_groups_have_the_sizes_of_the_true_ones_and_none_of_their_difficulty():
    world = make_world([0], CENTRE.sharpness)
    assert world.policy.shape[1] == SEEN
    real, placebo = (Table(world, ARMS[arm], CENTRE, [0]) for arm in ("durian", "random"))
    for kind in ("perceptual", "reasoning"):
        ours, dealt = getattr(real, kind)[0], getattr(placebo, kind)[0]
        assert ours.bincount().tolist() == dealt.bincount().tolist()
        # Of 2,048 samples a correlation of no relation has a standard deviation of 0.022.
        measure = world.train.entropy[0] if kind == "perceptual" else real.confidence[0]
        related = [abs(np.corrcoef(part, measure)[0, 1]) for part in (ours, dealt)]
        assert related[0] > 0.8 and related[1] < 0.09


def test_a_copied_table_has_the_same_groups_dealt_out_by_chance(tmp_path):
    table = tmp_path / "run"
    table.mkdir()
    frame = pl.DataFrame(
        {
            "row": range(300),
            "perceptual_group": ["easy"] * 100 + ["hard"] * 200,
            "reasoning_group": pl.Series([0] * 100 + [1] * 200, dtype=pl.Int32),
        }
    )
    frame.write_parquet(table / "difficulty.parquet", metadata={"durian.schema": "2"})
    copy = with_random_groups(table, 0, tmp_path / "copy") / "difficulty.parquet"
    dealt = pl.read_parquet(copy)
    assert pl.read_parquet_metadata(copy)["durian.schema"] == "2"
    assert dealt.schema == frame.schema and dealt["row"].to_list() == list(range(300))
    # Both labels of a sample are dealt together: easy is bin 0 as before.
    assert dealt.filter(pl.col("perceptual_group") == "easy")["reasoning_group"].sum() == 0
    assert dealt["reasoning_group"].sum() == 200
    # Of 300, 5/9 keep their bin by chance.
    kept = (dealt["reasoning_group"] == frame["reasoning_group"]).mean()
    assert 0.4 < kept < 0.7


def test_a_paired_difference_has_students_interval():
    # 1, 2, 3: mean 2, std 1, t(2) at 97.5 % is 4.3027, over sqrt(3).
    found = paired([1.0, 2.0, 3.0])
    assert found.mean == 2 and found.half == pytest.approx(4.302653 / 3**0.5, rel=1e-6)
    assert paired([0.01]).points() == "+1.00 (one seed)"


def test_staleness_is_found_between_looks():
    # 0.1 below 0.6 is 0.5, half-way from 0.55 to 0.45, so half-way from step 10 to step 20.
    tau, steps = np.array([0.6, 0.55, 0.45]), np.array([0.0, 10.0, 20.0])
    assert stale_at(tau, steps) == pytest.approx(15)
    assert np.isnan(stale_at(np.array([0.6, 0.55, 0.51]), steps))


def test_a_table_is_put_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- table: x -->\nold\n<!-- end -->\nb\n")
    fill(page, {"x": "new"})
    assert page.read_text() == "a\n<!-- table: x -->\nnew\n<!-- end -->\nb\n"
    with pytest.raises(SystemExit, match="no mark for the table 'y'"):
        fill(page, {"y": ""})
