"""What a report says in words, and what it advises, of numbers written by hand."""

import copy

import pytest

from durian.rendering.advice import advice
from durian.rendering.sentences import sentences


def sure(value, low, high):
    return {"value": value, "low": low, "high": high}


UNKNOWN = {"value": None, "low": None, "high": None, "reason": "all are right"}


def group(name, rate, samples=100):
    return {"group": name, "samples": samples, "error_rate": rate}


@pytest.fixture
def summary():
    """800 completions over 100 samples, with all that an analysis gives that words are made of."""
    return copy.deepcopy(
        {
            "samples": 103, "measured": 100, "completions": 800, "missing": [],
            "grouping": {
                "perceptual": {"measure": "pixel_entropy"},
                "reasoning": {"measure": "mean_logprob"},
            },
            "error_rate": sure(0.4, 0.35, 0.45),
            "perceptual": [group("easy", sure(0.3, 0.2, 0.4)), group("hard", sure(0.5, 0.4, 0.6))],
            "reasoning": [group(0, sure(0.7, 0.6, 0.8)), group(1, sure(0.1, 0.0, 0.2))],
            "contrast": {"perceptual": sure(0.2, 0.1, 0.3), "reasoning": sure(0.6, 0.5, 0.7)},
            "measures": {
                "pixel_entropy": {"kind": "measure", "auroc": sure(0.6, 0.55, 0.65)},
                "mean_logprob": {"kind": "measure", "auroc": sure(0.7, 0.65, 0.75)},
                "sum_logprob": {"kind": "measure", "auroc": sure(0.8, 0.75, 0.85)},
                "mean_tokens": {"kind": "baseline", "auroc": sure(0.9, 0.85, 0.95)},
                "width": {"kind": "column", "auroc": sure(0.55, 0.5, 0.6)},
            },
            "differences": [
                {"first": "sum_logprob", "second": "mean_tokens",
                 "difference": sure(-0.1, -0.2, 0.05)},
                {"first": "mean_logprob", "second": "sum_logprob",
                 "difference": sure(-0.1, -0.15, -0.05)},
            ],
            "split_half": {
                "mean_logprob": {"other": sure(0.6, 0.5, 0.7)},
                "sum_logprob": {"other": sure(0.65, 0.6, 0.7)},
            },
            "reliability": {
                "rollouts": 8, "pass_rate": {"reliability": 0.5},
                "reasoning": {"same_group": 0.6, "certain": 0.2},
            },
            "pass_rates": {"samples": 100, "no_variance": 0.3, "extreme": 0.1},
        }
    )  # fmt: skip


def test_four_sentences_say_what_is_hard_and_how_sure_that_is(summary):
    assert sentences(summary) == [
        "The policy is wrong in 40 % (95 % interval 35 to 45) of 800 completions over 100 samples.",
        "Where samples are hard to see (by pixel entropy) it is wrong in 50 % (40 to 60), where "
        "they are easy to see in 30 % (20 to 40): 20 points more (10 to 30). In the bin that is "
        "least confident it is wrong in 70 % (60 to 80), in the one that is most confident in 10 % "
        "(0 to 20): 60 points more (50 to 70).",
        "Of the measures, confidence of whole completions tells wrong completions from right ones "
        "best (AUROC 0.80, 0.75 to 0.85; 0.5 is chance), but not surely better than the length of "
        "the completions alone (-0.10, -0.20 to +0.05). Taken from half of the rollouts, it tells "
        "the other half's errors with 0.65 (0.60 to 0.70).",
        "30 % of the samples are always right or always wrong and teach plain GRPO nothing; 10 % "
        "are extreme, with one completion that differs from all others. Had the 8 rollouts been "
        "drawn again, a sample would be in the same reasoning bin 60 % of the time.",
    ]


def test_words_name_the_columns_that_stand_behind_the_groups(summary):
    summary["grouping"]["perceptual"]["measure"] = "clutter"
    summary["grouping"]["reasoning"]["measure"] = "n_steps"
    said = sentences(summary)[1]
    assert "Where samples are hard by clutter it is wrong in" in said
    assert "In the bin that is hardest by n_steps it is wrong in" in said
    assert "see" not in said and "confident" not in said


@pytest.mark.parametrize(
    ("contrast", "words"),
    [
        (sure(0.02, -0.03, 0.07), ", which these samples cannot tell apart (-3 to +7 points)."),
        (sure(-0.1, -0.2, -0.05), ": 10 points fewer (5 to 20)."),
        (UNKNOWN, "easy to see in 30 % (20 to 40)."),
    ],
)
def test_a_difference_that_is_not_sure_or_turned_is_said_to_be(summary, contrast, words):
    summary["contrast"]["perceptual"] = contrast
    assert words in sentences(summary)[1]


def test_the_hardest_slice_is_named_only_if_it_is_surely_above_the_whole(summary):
    few = group("few", sure(1.0, 0.9, 1.0), samples=9)  # of too few samples
    sure_one = group("position", sure(0.6, 0.5, 0.7))
    higher_but_unsure = group("count", sure(0.8, 0.46, 0.95))
    summary["slices"] = {"kind": [few, sure_one, higher_but_unsure]}
    assert "; most often where kind is position: 60 % (50 to 70)." in sentences(summary)[0]
    sure_one["error_rate"]["low"] = 0.45  # not above the whole's 45 %
    higher_but_unsure["error_rate"]["low"] = 0.2
    assert "most often" not in sentences(summary)[0]


def test_a_foreign_name_is_clipped_and_cannot_steer_a_terminal(summary):
    summary["grouping"]["perceptual"]["measure"] = "\x1b[2J" + "x" * 100
    assert "hard by \\x1b[2J" + "x" * 35 + "… it is" in sentences(summary)[1]


def test_what_is_not_known_is_left_out(summary):
    for key in ("contrast", "differences", "split_half", "reliability", "grouping"):
        del summary[key]
    summary["perceptual"][0]["error_rate"] = UNKNOWN
    for of in summary["measures"].values():
        of["auroc"] = UNKNOWN
    said = sentences(summary)
    assert len(said) == 3 and "None" not in " ".join(said)
    assert said[1].startswith("In the bin that is least confident")


def test_advice_gives_the_exact_option_and_setting(summary):
    found = {line["do"].splitlines()[0]: line for line in advice(summary)}
    train = 'durian train … --filter "pass_rate > 0 AND pass_rate < 1"'
    assert list(found) == [
        train,
        "durian group RUN --reasoning sum_logprob",
        "durian group RUN --bins auto",
        "durian profile … --rollouts 16",
    ]
    assert found[train]["do"].splitlines()[1] == "filter: pass_rate > 0 AND pass_rate < 1"
    assert "70 samples remain" in found[train]["say"]  # 100 less 30 %
    # Spearman and Brown: 16 rollouts give 2 x 0.5 / (1 + 0.5) = 0.67; 0.9 takes
    # 8 x 0.9 x 0.5 / (0.5 x 0.1) = 72.
    rollouts = found["durian profile … --rollouts 16"]["say"]
    assert "16 would give 0.67; 0.9 takes about 72." in rollouts


def test_a_good_run_needs_no_advice(summary):
    summary["pass_rates"]["no_variance"] = 0.01
    summary["reliability"]["pass_rate"]["reliability"] = 0.95
    summary["reliability"]["reasoning"]["certain"] = 0.8
    summary["grouping"]["reasoning"]["measure"] = "sum_logprob"
    assert advice(summary) == []


def test_a_confidence_that_is_better_only_by_its_own_luck_is_not_advised(summary):
    summary["split_half"]["sum_logprob"]["other"] = sure(0.55, 0.5, 0.6)
    assert not [line for line in advice(summary) if "--reasoning" in line["do"]]


def test_a_column_that_is_surely_better_is_advised_and_quoted_for_the_shell(summary):
    summary["measures"]["how hard; rm -rf"] = {"kind": "column", "auroc": sure(0.8, 0.7, 0.9)}
    lines = [line["do"] for line in advice(summary)]
    assert "durian group RUN --perceptual 'how hard; rm -rf'" in lines


def test_a_perceptual_measure_that_marks_nothing_gets_no_weight(summary):
    summary["contrast"]["perceptual"] = sure(-0.1, -0.2, 0.0)
    lines = [line["do"] for line in advice(summary)]
    assert "durian train … --weights 0.7,0,0.3\nweights: [0.7, 0, 0.3]" in lines


def test_samples_that_lack_a_measure_can_be_left_out(summary):
    summary["missing"] = [{"reason": "no image", "samples": 2}, {"reason": "x", "samples": 1}]
    line = advice(summary)[-1]
    assert line["say"].startswith("3 samples lack a measure")
    assert line["do"].splitlines()[1] == "filter: error IS NULL"


def test_unequal_rollouts_are_told_as_from_the_fewest_to_the_most(summary):
    summary["reliability"] |= {"fewest_rollouts": 2, "most_rollouts": 16}
    said = sentences(summary)
    assert "Had the 2 to 16 rollouts been drawn again" in said[-1]
    # Spearman and Brown's formula is for one number of rollouts.
    assert not any("draw more rollouts" in line["say"] for line in advice(summary))
