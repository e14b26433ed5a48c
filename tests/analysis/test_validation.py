"""Which validation is the best, when patience has run out, and what a training logs of each."""

import pytest

from durian.analysis.evaluation import Accuracy, GroupAccuracy, Rates
from durian.analysis.statistics.estimate import DrawnTogether
from durian.analysis.validation import (
    Validated,
    ValidatedRows,
    Validations,
    due_steps,
    known_metrics,
    log_entry,
    result_of,
)


def rates(accuracy: float, n: int = 20) -> Rates:
    return Rates(
        accuracy=accuracy, low=accuracy / 2, high=None, n=n, interval="wilson", completions=n,
        format_rate=None, mean_tokens=7.0, truncated=0.25,
    )  # fmt: skip


def validated(step: int, greedy: float, sampled: float | None = None, hard: float = 0.0):
    of_hard = Accuracy(accuracy=hard, low=None, high=None, n=5, interval="wilson")
    return Validated(
        step=step, samples=20, failed=1, seconds=2.0, greedy=rates(greedy),
        sampled=None if sampled is None else rates(sampled),
        groups={"perceptual": [GroupAccuracy(group="hard", n=5, greedy=of_hard)],
                "kind": [GroupAccuracy(group="a/b", n=5, greedy=of_hard)]},
    )  # fmt: skip


def validations(*found: Validated, metric="greedy", patience=None) -> Validations:
    counts = ValidatedRows(rows=20, samples=20, longest_prompt=9, same_question=0, same_image=0)
    return Validations(
        dataset="test", split="train", table=None, counts=counts,
        clusters=DrawnTogether(of="sample", n=20), metric=metric, every=2, rollouts=4,
        patience=patience, validations=list(found),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("total", "every", "steps"),
    [(6, 2, [0, 2, 4, 6]), (5, 2, [0, 2, 4, 5]), (5, 9, [0, 5]), (1, 1, [0, 1])],
)
def test_a_training_is_validated_before_it_at_times_and_at_its_end(total, every, steps):
    assert due_steps(total, every) == steps


def test_the_best_is_the_first_of_equals_by_the_metric_that_was_asked():
    found = [validated(0, 0.2, 0.9, hard=0.1), validated(2, 0.5, 0.3, hard=0.4),
             validated(4, 0.5, 0.1, hard=0.7)]  # fmt: skip
    best = {m: validations(*found, metric=m).best.step for m in
            ("greedy", "sampled", "greedy/perceptual_hard")}  # fmt: skip
    assert best == {"greedy": 2, "sampled": 0, "greedy/perceptual_hard": 4}
    assert validations(*found, metric="sampled/perceptual_hard").best is None


def test_patience_counts_validations_since_the_best_and_equal_is_no_better():
    accuracies = [0.3, 0.4, 0.4, 0.35, 0.5, 0.1, 0.5, 0.2]  # steps 0, 2, ..., 14
    found = [validated(2 * n, a) for n, a in enumerate(accuracies)]
    # Patience 1: 0.4 again at step 4. Patience 2: 0.4 and 0.35, at steps 4 and 6. Patience 3: the
    # best of 0.5 at step 8, then 0.1, 0.5, 0.2 until step 14.
    stops = [validations(*found, patience=p).stopped for p in (1, 2, 3, 4, None)]
    assert stops == [4, 6, 14, None, None]
    assert [validations(*found[:n], patience=2).stopped for n in (1, 2, 3, 4)] == [None] * 3 + [6]


@pytest.mark.parametrize(
    ("greedy", "weights"), [([0.9, 0.5, 0.4], "the/model"), ([0.1, 0.5, 0.4], "best-2"),
                            ([0.1, 0.5, 0.6], ".")],
)  # fmt: skip
def test_the_weights_of_the_best_lie_where_they_are_anyway_or_in_a_folder(greedy, weights):
    found = validations(*(validated(2 * n, a) for n, a in enumerate(greedy)))
    result = result_of(found, "the/model", last_step=4)
    assert (result.best.weights, result.best.accuracy.accuracy) == (weights, max(greedy))
    assert (result.first.accuracy, result.last.accuracy) == (greedy[0], greedy[2])
    assert (result.validations, result.seconds) == (3, 6.0)


def test_a_validation_is_logged_with_its_groups_and_intervals():
    two = validated(2, 0.5, 0.3, hard=0.4)
    # Of a resumed training, whose later validation was the best.
    so_far = validations(validated(0, 0.6), two, validated(4, 0.9))
    assert log_entry(two, so_far) == {
        "eval_best_step": 0.0,
        "eval_greedy": 0.5, "eval_greedy/low": 0.25, "eval_sampled": 0.3,
        "eval_sampled/low": 0.15, "eval_greedy/perceptual_hard": 0.4, "eval_greedy/kind=a/b": 0.4,
        "eval_greedy/mean_length": 7.0, "eval_greedy/truncated": 0.25,
        "eval_sampled/mean_length": 7.0, "eval_sampled/truncated": 0.25,
        "eval_failed": 1.0, "eval_seconds": 2.0,
    }  # fmt: skip
    names = known_metrics(["greedy"], {"perceptual": ["hard"], "kind": ["a/b"]})
    assert names == [name for name, _ in validated(2, 0.5).named()]
