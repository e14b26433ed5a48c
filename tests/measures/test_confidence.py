import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durian.measures.confidence import mean_logprob, sum_logprob


def test_confidence_per_token_is_the_mean_of_each_completions_mean():
    # -6/3 = -2 and -1/1 = -1: their mean is -1.5. All tokens pooled would give -7/4.
    assert mean_logprob([-6.0, -1.0], [3, 1]) == -1.5


def test_confidence_of_whole_completions_is_the_mean_of_their_sums():
    assert sum_logprob([-6.0, -1.0]) == -3.5  # -7/2


def test_one_completion_of_one_token_is_its_own_log_probability():
    assert mean_logprob([math.log(0.25)], [1]) == math.log(0.25)
    assert sum_logprob([0.0]) == 0.0


@given(
    st.lists(st.tuples(st.floats(-1e4, 0.0), st.integers(1, 4096)), min_size=1, max_size=16),
    st.randoms(),
)
def test_it_is_at_most_zero_and_does_not_depend_on_the_order(completions, random):
    sums, lengths = map(np.array, zip(*completions, strict=True))
    confidence = mean_logprob(sums, lengths)
    shuffled = random.sample(completions, len(completions))
    assert confidence <= 0.0
    assert mean_logprob(*zip(*shuffled, strict=True)) == pytest.approx(confidence, abs=1e-9)
    assert sum_logprob(sums) <= confidence + 1e-9  # a completion has one token or more


@pytest.mark.parametrize(
    ("sums", "lengths", "message"),
    [
        ([], [], r"shape \(0,\)"),
        ([[-1.0]], [[1]], r"shape \(1, 1\)"),
        ([-1.0, -2.0], [1], r"shape \(1,\), sum_logprobs \(2,\)"),
        ([-1.0], [0], "at least 1 token"),
        ([-math.inf], [1], "not finite"),
        ([math.nan, -1.0], [1, 1], "not finite"),
    ],
)
def test_what_cannot_be_completions_is_refused(sums, lengths, message):
    with pytest.raises(ValueError, match=message):
        mean_logprob(sums, lengths)


@pytest.mark.parametrize("sums", [[], [math.nan], [-math.inf, -1.0]])
def test_the_sum_refuses_the_same(sums):
    with pytest.raises(ValueError, match="sum_logprobs"):
        sum_logprob(sums)
