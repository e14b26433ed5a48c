"""Right completions along the steps of a training."""

import polars as pl
import pytest

from durian.analysis.one_run.learning import WINDOWS, learning
from durian.analysis.one_run.summary import analyse
from durian.analysis.statistics.clusters import Clusters
from durian.analysis.statistics.estimate import AGREED
from durian.rendering.report_figures import report_figures
from durian.rendering.sentences import sentences

N = 12
ORDERS = {"perceptual": ("easy", "medium", "hard"), "reasoning": ()}


def table():
    """Samples s0 to s11; the first half easy, the second hard."""
    groups = ["easy"] * (N // 2) + ["hard"] * (N // 2)
    return pl.DataFrame(
        {"sample_id": [f"s{n}" for n in range(N)], "row": range(N), "perceptual_group": groups,
         "reasoning_group": [None] * N},
        schema_overrides={"reasoning_group": pl.Int32},
    )  # fmt: skip


def drawn(right):
    """Two completions of each sample at each step, of which `right(sample, step)` are right."""
    return pl.DataFrame(
        [
            {"sample_id": f"s{n}", "step": step, "correct": place < right(n, step)}
            for step in right.steps
            for n in range(N)
            for place in range(2)
        ]
    )


def rule(steps):
    """Name the steps of a function of sample and step."""

    def named(function):
        function.steps = steps
        return function

    return named


@rule((1, 5))
def rising(sample, step):
    """At step 1 the easy half has 1 of 2 right, the hard half none; at step 5 all 2, and 1."""
    easy = sample < N // 2
    return {1: 1 if easy else 0, 5: 2 if easy else 1}[step]


def test_each_step_is_a_point_of_all_samples_and_of_each_group():
    found = learning(drawn(rising), table(), ORDERS, Clusters.apart(N))
    # 24 completions a step: 6 x 1 right of them, then 6 x 2 + 6 x 1.
    assert [(p.first_step, p.last_step, p.samples, p.completions) for p in found.points] == [
        (1, 1, 12, 24), (5, 5, 12, 24)
    ]  # fmt: skip
    assert [p.right.value for p in found.points] == [0.25, 0.75]
    assert found.points[0].right.interval is not None
    by_group = found.groups["perceptual"]
    assert {g: [p.right.value for p in points] for g, points in by_group.items()} == {
        "easy": [0.5, 1.0], "medium": [], "hard": [0.0, 0.5]
    }  # fmt: skip
    # Six samples are too few for an interval.
    assert by_group["easy"][0].right.interval is None and "reasoning" not in found.groups


def test_the_change_has_an_interval_where_samples_differ_in_it():
    # All rise by 1 of 2: nothing tells how much that varies.
    found = learning(drawn(rising), table(), ORDERS, Clusters.apart(N))
    assert found.change.value == 0.5 and found.change.reason == AGREED

    @rule((1, 5))
    def uneven(sample, step):
        return 0 if step == 1 else sample % 3

    # 0 at first; then 4 samples each of 0, 1, 2 of 2 right: half.
    found = learning(drawn(uneven), table(), ORDERS, Clusters.apart(N))
    low, high = found.change.interval
    assert found.change.value == 0.5 and 0 < low < 0.5 < high < 1


def test_questions_about_one_image_go_together():
    one = Clusters(Clusters.apart(N).codes * 0, "image")
    found = learning(drawn(rising), table(), ORDERS, one)
    assert found.points[0].right.reason == "1 image is too few for an interval"


def test_many_steps_share_windows_of_equally_many_completions():
    @rule(range(1, 2 * WINDOWS + 1))
    def steady(sample, step):
        return 1

    found = learning(drawn(steady), table(), ORDERS, Clusters.apart(N))
    ends = [(p.first_step, p.last_step) for p in found.points]
    assert len(ends) == WINDOWS and ends[0][0] == 1 and ends[-1][1] == 2 * WINDOWS
    assert all(last + 1 == first for (_, last), (first, _) in zip(ends, ends[1:], strict=False))
    assert {p.right.value for p in found.points} == {0.5}


def test_the_samples_that_rose_and_fell_the_most_have_their_own_curves():
    @rule((1, 2, 3))
    def moving(sample, step):
        # s3 rises from 0 to 2 of 2, s7 falls from 2 to 0; the others stay at 1.
        return {3: step - 1, 7: 3 - step}.get(sample, 1)

    found = learning(drawn(moving), table(), ORDERS, Clusters.apart(N))
    curves = {c.row: [(s.step, s.right) for s in c.steps] for c in found.samples}
    assert len(curves) == 6
    assert next(iter(curves.items())) == (3, [(1, 0), (2, 1), (3, 2)])
    assert list(curves.items())[-1] == (7, [(1, 2), (2, 1), (3, 0)])


@pytest.mark.parametrize("steps", [[None] * 4, [3] * 4, [3, None, 3, None]])
def test_one_step_or_none_is_no_curve(steps):
    rollouts = pl.DataFrame(
        {"sample_id": ["s0", "s1"] * 2, "step": steps, "correct": [True, False] * 2},
        schema_overrides={"step": pl.Int32},
    )
    assert learning(rollouts, table(), ORDERS, Clusters.apart(N)) is None


def test_a_report_shows_the_curves_and_says_the_change():
    rollouts = drawn(rising).with_columns(
        pl.int_range(pl.len()).over("sample_id").alias("rollout"),
        n_tokens=pl.lit(None, pl.Int32),
        sum_logprob=pl.lit(None, pl.Float64),
    )
    # Of 4 completions: easy 3, hard 1 right.
    rates = pl.DataFrame({"pass_rate": [0.75] * 6 + [0.25] * 6, "rollouts": [4] * N})
    rated = table().hstack(rates.with_columns(error=pl.lit(None, pl.String)))
    summary = analyse(rated, {}, rollouts=rollouts)
    said = " ".join(sentences(summary))
    assert "The completions are of steps 1 to 5 of a training: 25 % are right at step 1, 75 % at " \
        "step 5, a change of +50 points (" in said  # fmt: skip
    names = [figure.name for figure in report_figures(summary, {})]
    assert names[:2] == ["learning", "learning_samples"]
    for figure in report_figures(summary, {})[:2]:
        assert figure.drawn().axes and figure.narrow().axes
