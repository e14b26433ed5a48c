"""Curricula: whom they draw, what they learn, and that a state is all of them."""

import json

import numpy as np
import pytest

from durian.curriculum import Frontier, Pools, prior_of, share_without_variance

RIGHT, WRONG = np.array([0.0, 4.0, 8.0]), np.array([8.0, 4.0, 0.0])


def frontier(right=RIGHT, wrong=WRONG, **given):
    return Frontier(right, wrong, **{"batch": 1, "seed": 0, "prior": 2, "decay": 0.5, **given})


def test_a_weight_is_the_variance_to_expect_under_the_posterior():
    # Half of all completions are right, so that 2 of the prior are Beta(1, 1). Beta(1, 9) and
    # Beta(9, 1): 1 * 9 / (10 * 11); Beta(5, 5): 5 * 5 / (10 * 11).
    assert frontier().weights() == pytest.approx([9 / 110, 25 / 110, 9 / 110])


def test_a_sample_of_which_nothing_is_known_has_the_weight_of_the_prior():
    # 3 of 4 right, so that a prior of 4 is Beta(3, 1): 3 * 1 / (4 * 5).
    nothing = frontier(np.array([3.0, 0.0]), np.array([1.0, 0.0]), prior=4)
    assert nothing.weights()[1] == pytest.approx(3 / 20)


def test_samples_are_drawn_in_proportion_to_their_weights():
    # Shares of 9, 25 and 9 in 43; 4,000 draws, so a std of 0.008 at most.
    curriculum = frontier()
    drawn = np.concatenate([curriculum.draw() for _ in range(4000)])
    shares = np.bincount(drawn) / len(drawn)
    assert shares == pytest.approx([9 / 43, 25 / 43, 9 / 43], abs=0.03)


def test_a_batch_holds_no_sample_twice_and_a_seed_gives_the_same_ones():
    many = np.arange(40.0), 39 - np.arange(40.0)
    one, other = (frontier(*many, batch=30, seed=seed) for seed in (1, 2))
    again = frontier(*many, batch=30, seed=1)
    batches = [one.draw().tolist() for _ in range(3)]
    assert all(len(set(batch)) == 30 for batch in batches)
    assert [again.draw().tolist() for _ in range(3)] == batches
    assert other.draw().tolist() != batches[0]


def test_what_was_seen_fades_by_the_share_of_samples_that_are_drawn_and_news_count_whole():
    # 2 of 4 samples: 0.25 to the power of 2/4 is 0.5.
    curriculum = frontier(np.full(4, 6.0), np.full(4, 2.0), batch=2, decay=0.25, prior=4)
    curriculum.update(np.array([0, 2]), np.array([4.0, 0.0]), np.array([4.0, 3.0]))
    a, b = curriculum.posterior()
    # The prior, Beta(3, 1), does not fade.
    assert a.tolist() == [3 + 3 + 4, 3 + 3, 3 + 3 + 0, 3 + 3]
    assert b.tolist() == [1 + 1 + 0, 1 + 1, 1 + 1 + 3, 1 + 1]


def test_a_sample_that_was_always_right_comes_back_with_time():
    curriculum = frontier(np.array([8.0, 4.0]), np.array([0.0, 4.0]), decay=0.5)
    solved = [curriculum.weights()[0]]
    for _ in range(40):
        curriculum.update(np.array([1]), np.array([2.0]), np.array([4.0]))
        solved.append(curriculum.weights()[0])
    assert solved[0] < solved[5] < solved[40]
    # In the end it is known no better than any other: 1.5 and 0.5 of the prior.
    assert solved[40] == pytest.approx(1.5 * 0.5 / (2 * 3), rel=0.01)


def test_a_completion_that_could_not_be_judged_teaches_nothing():
    curriculum, untouched = frontier(decay=1.0), frontier(decay=1.0)
    curriculum.update(np.array([1]), np.array([0.0]), np.array([0.0]))
    assert curriculum.weights().tolist() == untouched.weights().tolist()


@pytest.mark.parametrize("kind", ["frontier", "pools"])
def test_a_state_is_all_that_the_next_draws_depend_on(kind):
    rate = np.linspace(0, 1, 12)

    def begun():
        if kind == "pools":
            return Pools(rate, batch=5, seed=3, shares=(1, 1, 1))
        return frontier(8 * rate, 8 - 8 * rate, batch=5)

    whole, cut = begun(), begun()
    for _ in range(3):
        sample = whole.draw()
        assert sample.tolist() == cut.draw().tolist()
        for each in (whole, cut):
            each.update(sample, np.full(5, 1.0), np.full(5, 3.0))
    resumed = begun()
    resumed.load_state_dict(json.loads(json.dumps(cut.state_dict())))
    for _ in range(4):
        sample = whole.draw()
        assert sample.tolist() == resumed.draw().tolist()
        for each in (whole, resumed):
            each.update(sample, np.full(5, 1.0), np.full(5, 3.0))
    assert resumed.state_dict() == whole.state_dict()


def test_a_state_of_other_samples_is_refused():
    with pytest.raises(ValueError, match="a state of 2 samples, where there are 3"):
        frontier().load_state_dict({"right": [0.0, 0.0], "wrong": [0.0, 0.0], "drawn": 0})


def test_a_batch_larger_than_the_samples_is_refused():
    for make in (
        lambda: frontier(batch=4),
        lambda: Pools(np.zeros(3), batch=4, seed=0, shares=(1, 1, 1)),
    ):
        with pytest.raises(ValueError, match="a batch of 4"):
            make()


def test_the_prior_is_as_strong_as_the_samples_are_alike():
    # 1 of 4 and 3 of 4. Within: (1 - 1/4 + 3 - 9/4) / (8 - 2) = 1/4. Between: 1/4 + 9/4 - 16/8 =
    # 1/2. So rho = (1/2 - 1/4) / (1/2 + 3/4) = 1/5, and k = (4/5) / (1/5) = 4.
    assert prior_of(np.array([1.0, 3.0]), np.array([3.0, 1.0])) == pytest.approx((2, 2))
    # Nothing between samples but chance, or less: as strong as it gets. All between: as weak.
    assert sum(prior_of(np.array([2.0, 2.0]), np.array([2.0, 2.0]))) == pytest.approx(50)
    assert sum(prior_of(np.array([0.0, 4.0]), np.array([4.0, 0.0]))) == pytest.approx(0.5)
    # Never right at all: near 0, not 0, or nothing of it would ever be drawn again.
    a, b = prior_of(np.zeros(3), np.full(3, 4.0))
    assert 0 < a < 0.1 * b


def test_the_prior_finds_a_planted_distribution():
    # Beta(2, 3), of which 2 to 11 completions a sample are seen.
    random = np.random.default_rng(5)
    drawn = random.integers(2, 12, 6000).astype(float)
    right = random.binomial(drawn.astype(int), random.beta(2, 3, 6000)).astype(float)
    assert prior_of(right, drawn - right) == pytest.approx((2, 3), rel=0.1)


def test_the_share_without_variance_is_that_of_the_posterior():
    # Beta(1, 1) and 2 completions: E[p^2] + E[(1 - p)^2] = 1/3 + 1/3. Of the other, Beta(1, 9):
    # (1 * 2 + 9 * 10) / (10 * 11).
    right, wrong = np.array([0.0, 0.0, 8.0]), np.array([0.0, 8.0, 0.0])
    unknown, never = 2 / 3, 92 / 110
    for drawn, share in (([0], unknown), ([1], never), ([0, 0, 1], (2 * unknown + never) / 3)):
        found = share_without_variance(right, wrong, np.array(drawn), completions=2, prior=2)
        assert found == pytest.approx(share)


@pytest.mark.parametrize(("known", "begins"), [(True, 0.4), (False, 0.7)], ids=["table", "none"])
def test_the_frontier_draws_half_as_many_samples_without_variance_as_there_are(known, begins):
    # Planted: 100 samples are never right, 100 always, 200 every other time; 8 completions of each.
    # A shuffle draws 0.5 + 0.5 * 2 / 2^8 = 50 % without variance.
    random = np.random.default_rng(0)
    rate = np.repeat([0.0, 1.0, 0.5], [100, 100, 200])
    right = random.binomial(8, rate) * float(known)
    curriculum = frontier(right, (8 - right) * known, batch=20, prior=None)
    flat, drawn = [], set()
    for _ in range(80):  # four times as many as there are
        sample = curriculum.draw()
        seen = random.binomial(8, rate[sample]).astype(float)
        curriculum.update(sample, seen, np.full(20, 8.0))
        flat.append(np.mean((seen == 0) | (seen == 8)))
        drawn |= set(sample.tolist())
    assert np.mean(flat[:5]) < begins and np.mean(flat[40:]) < 0.3
    # None is lost: of the solved and the hopeless, too, nearly all were drawn.
    assert len(drawn & set(range(200))) > 180


# 5 easy (0.75 and above), 7 medium, 8 hard (0.25 and below); what nobody measured is medium.
RATES = np.array([1, 1, 0.75, 0.9, 1] + [0.5, 0.74, 0.26, 0.3, 0.6, 0.5, np.nan] + [0, 0.25] * 4)
EASY, MEDIUM, HARD = set(range(5)), set(range(5, 12)), set(range(12, 20))


def drawn_of(pools, batches):
    return [pools.draw().tolist() for _ in range(batches)]


def test_pools_are_cut_by_the_pass_rate():
    pools = Pools(RATES, batch=4, seed=0, shares=(0.2, 0.6, 0.2))
    assert [set(members.tolist()) for members in pools.members] == [EASY, MEDIUM, HARD]


def test_pools_have_their_shares_though_a_batch_cannot_be_cut_so():
    # 4 prompts by 0.2, 0.6, 0.2 are 0.8, 2.4 and 0.8: of 5 batches 4, 12 and 4.
    batches = drawn_of(Pools(RATES, batch=4, seed=0, shares=(0.2, 0.6, 0.2)), 5)
    assert all(len(set(batch)) == 4 for batch in batches)
    together = [sample for batch in batches for sample in batch]
    assert [sum(s in pool for s in together) for pool in (EASY, MEDIUM, HARD)] == [4, 12, 4]
    # One prompt a batch: the small pools are not starved by rounding.
    single = [batch[0] for batch in drawn_of(Pools(RATES, batch=1, seed=0, shares=(1, 3, 1)), 10)]
    assert [sum(s in pool for s in single) for pool in (EASY, MEDIUM, HARD)] == [2, 6, 2]


@pytest.mark.parametrize("seed", range(8))
def test_a_pool_is_gone_through_before_it_begins_anew(seed):
    # 2 of the 5 easy ones a batch: 10 draws are each of them twice, and none twice in a batch,
    # not even in the third, of which one ends the first time around and one begins the second.
    batches = drawn_of(Pools(RATES, batch=4, seed=seed, shares=(1, 1, 0)), 5)
    easy = [[s for s in batch if s in EASY] for batch in batches]
    assert all(len(set(own)) == 2 for own in easy)
    assert set(easy[0]) | set(easy[1]) | set(easy[2]) == EASY
    assert sorted(sum(easy, [])) == sorted([*EASY, *EASY])


def test_no_shares_make_a_pool_give_more_than_it_has():
    random = np.random.default_rng(0)
    for shares in random.dirichlet([1, 1, 1], 100):
        pools = Pools(RATES, batch=11, seed=0, shares=tuple(shares))
        assert all(len(set(batch)) == 11 for batch in drawn_of(pools, 12)), shares


def test_others_make_up_for_a_pool_that_is_too_small():
    # 3 of 12 prompts are hard, and there is none; the rest as 2 to 1.
    rates = np.array([1.0] * 10 + [0.5] * 10)
    batch = Pools(rates, batch=12, seed=0, shares=(0.5, 0.25, 0.25)).draw()
    assert (len(set(batch.tolist())), int((batch < 10).sum())) == (12, 8)
    # A pool of no share makes up for nothing.
    with pytest.raises(ValueError, match=r"pools of \[10, 10, 0\] samples, for a batch of 12"):
        Pools(rates, batch=12, seed=0, shares=(0.5, 0, 0.5))
