"""What a report says in words, and what it advises, of numbers written by hand."""

from dataclasses import replace

import pytest

from durian.analysis.one_run.against_error import AurocDifference, Predictor
from durian.analysis.one_run.reliability import GroupReliability, PassRateReliability, Reliability
from durian.analysis.one_run.split_half import SplitHalves
from durian.analysis.one_run.summary import Missing, Scored, Summary
from durian.analysis.statistics.error_share import ErrorsOfGroup
from durian.analysis.statistics.estimate import DrawnTogether, Estimate
from durian.analysis.statistics.pass_rates import PassRates
from durian.groups import GroupCuts, PerceptualCuts, ReasoningCuts
from durian.rendering.advice import advice
from durian.rendering.sentences import sentences
from durian.run.manifest import Estimated, EstimatesMade, FewerDraws
from durian.run.tokens import Tokens


def sure(value, low, high):
    return Estimate(value=value, low=low, high=high)


UNKNOWN = Estimate(value=None, reason="all are right")


def group(name, rate, samples=100):
    return ErrorsOfGroup(
        group=name, samples=samples, completions=0, errors=0, error_share=UNKNOWN, error_rate=rate
    )


def predictor(kind, auroc, n=100, harder="higher"):
    return Predictor(
        n=n, kind=kind, harder=harder, auroc=auroc, spearman=UNKNOWN, kendall=UNKNOWN,
        aurc=UNKNOWN, excess_aurc=UNKNOWN, base_rate=0.4, curve=[], risk_coverage=[],
    )  # fmt: skip


def difference(first, second, estimate):
    return AurocDifference(first=first, second=second, n=100, difference=estimate)


def halves(other):
    return SplitHalves(same=UNKNOWN, other=other, splits=4)


def by(perceptual="pixel_entropy", reasoning="mean_logprob", bins=10):
    return GroupCuts(
        perceptual=PerceptualCuts(measure=perceptual, percentiles=(25, 75), edges=(), sizes={}),
        reasoning=ReasoningCuts(measure=reasoning, bins=bins, edges=(), sizes={}),
    )


@pytest.fixture
def scored():
    """800 completions over 100 samples, with all that an analysis gives that words are made of."""
    return Scored(
        completions=800,
        clusters=DrawnTogether(of="sample", n=100),
        error_rate=sure(0.4, 0.35, 0.45),
        perceptual=[group("easy", sure(0.3, 0.2, 0.4)), group("hard", sure(0.5, 0.4, 0.6))],
        reasoning=[group(0, sure(0.7, 0.6, 0.8)), group(1, UNKNOWN), group(2, sure(0.1, 0.0, 0.2))],
        contrast={"perceptual": sure(0.2, 0.1, 0.3), "reasoning": sure(0.6, 0.5, 0.7)},
        slices={},
        measures={
            "pixel_entropy": predictor("measure", sure(0.6, 0.55, 0.65)),
            "mean_logprob": predictor("measure", sure(0.7, 0.65, 0.75)),
            "sum_logprob": predictor("measure", sure(0.8, 0.75, 0.85)),
            "mean_tokens": predictor("baseline", sure(0.9, 0.85, 0.95)),
            "width": predictor("column", sure(0.55, 0.5, 0.6)),
        },
        differences=[
            difference("sum_logprob", "mean_tokens", sure(-0.1, -0.2, 0.05)),
            difference("mean_logprob", "sum_logprob", sure(-0.1, -0.15, -0.05)),
        ],
        split_half={
            "mean_logprob": halves(sure(0.6, 0.5, 0.7)),
            "sum_logprob": halves(sure(0.65, 0.6, 0.7)),
        },
        reliability=Reliability(
            rollouts=8, fewest_rollouts=8, most_rollouts=8, resamples=200,
            pass_rate=PassRateReliability(reliability=0.5, standard_error=0.1),
            reasoning=GroupReliability(same_group=0.6, certain=0.2, neighbours=0.9),
        ),
        pass_rates=PassRates(
            samples=100, never_right=0.1, always_right=0.2, no_variance=0.3, varied=70,
            by_rewards=True, extreme=0.1, extreme_of_varied=0.2, histogram=[],
        ),
    )  # fmt: skip


def summary_of(scored, grouping=None, **changed):
    summary = Summary(
        samples=103, seed=0, spread={}, missing=[], measured=100, grouping=grouping or by(),
        scored=scored,
    )  # fmt: skip
    return replace(summary, **changed)


def words(scored, grouping=None):
    return sentences(summary_of(scored, grouping))


def advised(scored, grouping=None, **changed):
    return advice(summary_of(scored, grouping, **changed))


def test_four_sentences_say_what_is_hard_and_how_sure_that_is(scored):
    assert words(scored) == [
        "The policy is wrong in 40 % (95 % interval 35 to 45) of 800 completions over 100 samples.",
        "Where samples have high pixel entropy (the hard group) it is wrong in 50 % (40 to 60), "
        "where they have low pixel entropy in 30 % (20 to 40): 20 points more (10 to 30). In the "
        "bin that is least confident it is wrong in 70 % (60 to 80), in the one that is most "
        "confident in 10 % (0 to 20): 60 points more (50 to 70).",
        "Of the measures, confidence of whole completions tells wrong completions from right ones "
        "best (AUROC 0.80, 0.75 to 0.85; 0.5 is chance), but not surely better than the length of "
        "the completions alone (-0.10, -0.20 to +0.05). Taken from half of the rollouts, it tells "
        "the other half's errors with 0.65 (0.60 to 0.70).",
        "30 % of the samples have rewards without variance and teach plain GRPO nothing; 10 % are "
        "extreme, with one completion that differs from all others. Had the 8 rollouts been drawn "
        "again, a sample would be in the same reasoning bin 60 % of the time.",
    ]


@pytest.mark.parametrize(
    ("looped", "cut", "said"),
    [
        (40, 12, "40 completions of 800 (5.0 %) went round in circles until the engine ended them, "
         "which a larger --max-tokens does not cure; 12 were cut by --max-tokens."),
        (1, 1, "1 completion of 800 (0.1 %) went round in circles until the engine ended it, which "
         "a larger --max-tokens does not cure; 1 was cut by --max-tokens."),
    ],
)  # fmt: skip
def test_completions_in_circles_are_counted_apart_from_long_ones(scored, looped, cut, said):
    assert said in words(replace(scored, looped=looped, cut=cut))
    assert not any("circles" in one for one in words(scored))


def test_words_name_the_columns_that_stand_behind_the_groups(scored):
    said = words(scored, by("clutter", "n_steps"))[1]
    assert "Where samples have high clutter (the hard group) it is wrong in" in said
    assert "In the bin that is highest in n_steps it is wrong in" in said
    assert "see" not in said and "confident" not in said
    turned = by("clutter", "n_steps")
    turned = replace(
        turned,
        perceptual=replace(turned.perceptual, harder="lower"),
        reasoning=replace(turned.reasoning, harder="lower"),
    )
    said = words(scored, turned)[1]
    assert "Where samples have low clutter (the hard group)" in said
    assert "where they have high clutter in 30 %" in said
    assert "In the bin that is lowest in n_steps it is wrong in" in said


@pytest.mark.parametrize(
    ("contrast", "expected"),
    [
        (sure(0.02, -0.03, 0.07), ", which these samples cannot tell apart (-3 to +7 points)."),
        (sure(-0.1, -0.2, -0.05), ": 10 points fewer (5 to 20)."),
        (UNKNOWN, "low pixel entropy in 30 % (20 to 40)."),
    ],
)
def test_a_difference_that_is_not_sure_or_turned_is_said_to_be(scored, contrast, expected):
    scored = replace(scored, contrast={**scored.contrast, "perceptual": contrast})
    assert expected in words(scored)[1]


def test_the_hardest_slice_is_named_only_if_it_is_surely_above_the_whole(scored):
    few = group("few", sure(1.0, 0.9, 1.0), samples=9)  # of too few samples
    sure_one = group("position", sure(0.6, 0.5, 0.7))
    higher_but_unsure = group("count", sure(0.8, 0.46, 0.95))
    scored = replace(scored, slices={"kind": [few, sure_one, higher_but_unsure]})
    assert (
        "; most often where kind is position: 60 % (50 to 70), of 3 slices looked at."
        in words(scored)[0]
    )
    not_above = group("position", sure(0.6, 0.45, 0.7))  # the whole's 45 %
    unsure = group("count", sure(0.8, 0.2, 0.95))
    assert "most often" not in words(replace(scored, slices={"kind": [few, not_above, unsure]}))[0]


def test_a_foreign_name_is_clipped_and_cannot_steer_a_terminal(scored):
    said = words(scored, by("\x1b[2J" + "x" * 100))[1]
    assert "have high \\x1b[2J" + "x" * 35 + "… (the hard group) it is" in said


def test_what_is_not_known_is_left_out(scored):
    scored = replace(
        scored,
        contrast=dict.fromkeys(("perceptual", "reasoning"), UNKNOWN),
        differences=[],
        split_half=None,
        reliability=replace(scored.reliability, reasoning=None),
        perceptual=[group("easy", UNKNOWN), *scored.perceptual[1:]],
        measures={name: predictor("measure", UNKNOWN) for name in scored.measures},
    )
    said = sentences(summary_of(scored, grouping=None))
    assert len(said) == 3 and "None" not in " ".join(said)
    assert said[1].startswith("In the bin that is least confident")


def test_advice_gives_the_exact_option_and_setting(scored):
    found = {line.do.splitlines()[0]: line for line in advised(scored)}
    train = 'durian train … --filter "reward_std > 0.000001"'
    assert list(found) == [
        train,
        "durian group RUN --reasoning sum_logprob",
        "durian group RUN --bins auto",
        "durian profile … --rollouts 16",
    ]
    assert found[train].do.splitlines()[1] == "filter: reward_std > 0.000001"
    assert "70 samples remain" in found[train].say  # 100 less 30 %
    # Spearman and Brown: 16 rollouts give 2 x 0.5 / (1 + 0.5) = 0.67; 0.9 takes
    # 8 x 0.9 x 0.5 / (0.5 x 0.1) = 72.
    rollouts = found["durian profile … --rollouts 16"].say
    assert "16 would give 0.67; 0.9 takes about 72." in rollouts


def test_an_old_table_without_rewards_is_filtered_by_what_is_right(scored):
    scored = replace(scored, pass_rates=replace(scored.pass_rates, by_rewards=False))
    assert any("pass_rate > 0 AND pass_rate < 1" in line.do for line in advised(scored))


def test_of_one_sample_that_remains_the_words_are_singular_and_the_rest_all_but_one(scored):
    rates = replace(scored.pass_rates, no_variance=0.99, varied=1)
    said = next(line.say for line in advised(replace(scored, pass_rates=rates)))
    assert "Leave out the all" not in said
    assert said.startswith("Leave out all but 1 without variance") and "1 sample remains." in said


@pytest.mark.parametrize(("rate", "nearly"), [(0.995, "right"), (0.004, "wrong")])
def test_where_nearly_nothing_is_right_or_wrong_the_advice_is_about_that_alone(
    scored, rate, nearly
):
    scored = replace(scored, error_rate=sure(rate, rate - 0.003, rate + 0.003), format_rate=0.1)
    (line,) = advised(scored)
    assert line.say.startswith(f"Nearly nothing is {nearly}")
    assert ("10 % of the completions keep the format" in line.say) == (nearly == "right")
    assert "durian group" not in line.do and "bins" not in line.say
    told = words(scored)
    assert len(told) == 2 and told[0].startswith("The policy is wrong in")
    assert not any(word in " ".join(told) for word in ("group", "bin ", "best", "entropy"))


def test_no_measure_is_the_best_that_does_worse_than_chance_or_rests_on_one_sample(scored):
    low = {name: predictor("measure", sure(0.35, 0.3, 0.4)) for name in ("mean_logprob", "other")}
    assert "Of 2 measures none surely tells wrong" in " ".join(words(replace(scored, measures=low)))
    rests = Estimate(value=0.91, reason="only 1 sample has a wrong completion")
    one = replace(scored, measures={"mean_logprob": predictor("measure", rests)})
    said = " ".join(words(one))
    assert "best" not in said and "cannot be said: only 1 sample has a wrong completion." in said


def test_a_good_run_needs_no_advice(scored):
    drawn = scored.reliability
    scored = replace(
        scored,
        pass_rates=replace(scored.pass_rates, no_variance=0.01),
        reliability=replace(
            drawn,
            pass_rate=replace(drawn.pass_rate, reliability=0.95),
            reasoning=replace(drawn.reasoning, certain=0.8),
        ),
    )
    assert advised(scored, by(reasoning="sum_logprob")) == []


def test_fewer_bins_are_not_advised_where_they_were_merged_or_are_two(scored):
    def bins_advised(scored, grouping=None):
        return "durian group RUN --bins auto" in [line.do for line in advised(scored, grouping)]

    assert bins_advised(scored)
    assert not bins_advised(scored, by(bins="auto"))  # the same again
    ends = [scored.reasoning[0], scored.reasoning[-1]]
    assert not bins_advised(replace(scored, reasoning=ends), by(bins=2))


def test_a_confidence_that_is_better_only_by_its_own_luck_is_not_advised(scored):
    lucky = {**scored.split_half, "sum_logprob": halves(sure(0.55, 0.5, 0.6))}
    lines = advised(replace(scored, split_half=lucky))
    assert not [line for line in lines if "--reasoning" in line.do]


def test_a_column_that_is_surely_better_is_advised_and_quoted_for_the_shell(scored):
    name = "how hard; rm -rf"
    column = {name: predictor("column", sure(0.8, 0.7, 0.9), n=70, harder="lower")}
    both = [
        *scored.differences,
        replace(difference(name, "pixel_entropy", sure(0.2, 0.1, 0.3)), n=68),
        difference("width", "pixel_entropy", sure(-0.05, -0.1, 0.0)),
    ]
    found = advised(replace(scored, measures=scored.measures | column, differences=both))
    (line,) = (line for line in found if "--perceptual" in line.do)
    assert line.do == "durian group RUN --perceptual 'how hard; rm -rf:lower'"
    assert (
        "on the 68 samples that have both it predicts error better than pixel entropy" in line.say
    )
    assert line.say.endswith("30 samples lack it, and the groups would leave them out.")
    unsure = [replace(row, difference=sure(0.2, -0.1, 0.3)) for row in both]
    scored = replace(scored, measures=scored.measures | column, differences=unsure)
    assert not any("--perceptual" in line.do for line in advised(scored))


def test_a_column_that_the_table_has_by_the_same_name_is_not_advised(scored):
    # `durian group --perceptual width` would take the table's own width.
    column = {"dataset: width": predictor("column", sure(0.8, 0.7, 0.9))}
    over = difference("dataset: width", "pixel_entropy", sure(0.2, 0.1, 0.3))
    scored = replace(scored, measures=scored.measures | column, differences=[over])
    assert not any("--perceptual" in line.do for line in advised(scored))


def test_groups_by_the_wrong_end_of_a_column_are_to_be_turned_round(scored):
    column = {"level": predictor("column", sure(0.8, 0.7, 0.9), harder="lower")}
    scored = replace(
        scored,
        measures=scored.measures | column,
        contrast={**scored.contrast, "perceptual": sure(-0.8, -0.9, -0.7)},
    )
    assert "durian group RUN --perceptual level:lower" in [
        line.do for line in advised(scored, by("level"))
    ]
    turned = by("level")
    turned = replace(turned, perceptual=replace(turned.perceptual, harder="lower"))
    assert not any("--perceptual" in line.do for line in advised(scored, turned))


def test_samples_in_no_group_are_counted_with_what_training_does_with_them(scored):
    grouping = by("level")
    sizes = {"easy": 30, "medium": 30, "hard": 30}
    grouping = replace(grouping, perceptual=replace(grouping.perceptual, sizes=sizes))
    lost = {"perceptual": group("no group", sure(0.25, 0.1, 0.4), samples=12)}
    # 103 samples, of which 30 + 30 + 30 are in a group. No one has a reasoning group at all.
    assert words(replace(scored, ungrouped=lost), grouping)[-1] == (
        "13 of 103 samples have no level and are in no perceptual group (wrong in 25 % (10 to "
        "40)): training gives each of them plain GRPO's own term in place of the perceptual one."
    )


def test_a_perceptual_measure_that_marks_nothing_gets_no_weight(scored):
    contrast = {**scored.contrast, "perceptual": sure(-0.1, -0.2, 0.0)}
    lines = [line.do for line in advised(replace(scored, contrast=contrast))]
    assert "durian train … --weights 0.7,0,0.3\nweights: [0.7, 0, 0.3]" in lines


def test_samples_that_lack_a_measure_can_be_left_out(scored):
    missing = [Missing(reason="no image", samples=2), Missing(reason="x", samples=1)]
    line = advised(scored, missing=missing)[-1]
    assert line.say.startswith("3 samples lack a measure")
    assert line.do.splitlines()[1] == "filter: error IS NULL"


def test_unequal_rollouts_are_told_as_from_the_fewest_to_the_most(scored):
    drawn = replace(scored.reliability, fewest_rollouts=2, most_rollouts=16)
    scored = replace(scored, reliability=drawn)
    said = words(scored)
    assert "Had the 2 to 16 rollouts been drawn again" in said[-1]
    # Spearman and Brown's formula is for one number of rollouts.
    assert not any("draw more rollouts" in line.say for line in advised(scored))


def test_fewer_rollouts_are_advised_in_completions_and_in_money(scored):
    # 600 prompts of 33 tokens are 19,800; 4,800 completions of 15 are 72,000, of which two in
    # eight are 18,000. Where a token read is paid as one written: 37,800 of 91,800, 41 %; where
    # reading is free: 18,000 of 72,000, 25 %. At 1 for a million read and 4 for a million written
    # 0.0918 in place of 0.3078: 30 %, between the two.
    estimated = Estimated(
        model="ridge", explained=0.5, own_weight=0.3, error=0.13, error_predicted=0.16, leans={}
    )
    made = EstimatesMade(
        samples=600, rollouts=8, features=["words of the question"], difficulty=estimated,
        confidence=None, enough=FewerDraws(rollouts=2, of=8, error=0.134, error_alone=0.176),
    )  # fmt: skip
    counted = Tokens(prompts=600, prompt=19_800, completions=4800, completion=72_000)

    def said(tokens):
        lines = advice(summary_of(scored), made, tokens)
        (line,) = (one for one in lines if "--rollouts 2" in one.do)
        return line.say

    assert said(counted) == (
        "Draw 2 rollouts instead of 8, and take the column difficulty: tried on this run, "
        "estimates from 2 are off by 13 percentage points (root mean square), pass rates from 8 by "
        "18. That is 25 % of the completions, and 25 to 41 % of what is paid by tokens, since "
        "prompts are read either way."
    )
    ending = "That is 25 % of the completions, and of what their tokens cost."
    assert said(replace(counted, prompt=None)).endswith(ending) and said(None).endswith(ending)


def test_a_run_of_near_duplicates_alone_does_not_say_that_measuring_failed():
    (line,) = sentences(summary_of(None))
    assert line == "No measure was asked for that says how hard a sample is."
    failed = summary_of(None, missing=[Missing(reason="does not decode", samples=103)])
    assert sentences(failed) == ["No measure could be taken of any of the 103 samples."]
