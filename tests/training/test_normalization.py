"""How a training normalizes: what its config leaves open is as the table's manifest says."""

from types import SimpleNamespace

import pytest

from durian.config import TrainConfig
from durian.groups import GroupCuts, PerceptualCuts, ReasoningCuts
from durian.training.normalization import normalization_of


def made(perceptual=None, reasoning=None, **changes):
    seen = {"measure": "pixel_entropy", "percentiles": (30.0, 60.0), "edges": (1.0, 2.0),
            "sizes": {"easy": 3, "medium": 3, "hard": 4}}  # fmt: skip
    thought = {"measure": "mean_logprob", "bins": 5, "edges": (-1.0,), "sizes": {"0": 4, "1": 6}}
    groups = GroupCuts(
        perceptual=PerceptualCuts(**seen | (perceptual or {})),
        reasoning=ReasoningCuts(**thought | (reasoning or {})),
    )
    config = TrainConfig(dataset="d", table="t", model="m", out="o", **changes)
    return normalization_of(config, SimpleNamespace(groups=groups))


def test_the_tables_cuts_hold_unless_the_config_gives_others():
    assert (made().percentiles, made().bins) == ((30.0, 60.0), 5)
    own = made(percentiles=(10.0, 90.0), bins=3)
    assert (own.percentiles, own.bins) == ((10.0, 90.0), 3)


def test_cuts_that_were_found_in_the_data_give_their_shares():
    # 3 of 10 are easy, 3 medium: cut at 30 and 60 percent. Two bins came out.
    found = made({"percentiles": "auto", "sizes": {"easy": 3, "medium": 3, "hard": 4}},
                 {"bins": "auto"})  # fmt: skip
    assert found.percentiles == pytest.approx((30.0, 60.0)) and found.bins == 2


@pytest.mark.parametrize(
    ("measure", "whole", "harder"),
    [("mean_logprob", False, "lower"), ("sum_logprob", True, "lower"),
     ("answer_entropy", False, "higher")],
)  # fmt: skip
def test_confidence_is_taken_as_the_tables_measure_is(measure, whole, harder):
    normalization = made(None, {"measure": measure})
    assert (normalization.whole_logprob, normalization.reasoning_harder) == (whole, harder)
    assert normalization.perceptual_harder == "higher"
