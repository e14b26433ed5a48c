"""Who gets the gradient, in three sentences."""

from durian.analysis.one_run.gradient import BANDS, GradientShares, NormalizerShares, StdOfGroup
from durian.rendering.gradient_figure import gradient_sentences


def test_the_sentences_say_waste_ends_and_what_counts():
    # Ends are all bands but the middle one: of the samples 1 - 0.4, of the gradient 1 - 0.5.
    one = NormalizerShares(
        bands=[0.1, 0.2, 0.5, 0.2, 0.0], perceptual=[], reasoning=[], effective=99.6, largest=2.47
    )
    stds = [StdOfGroup(group=number, std=std) for number, std in ((0, 0.4), (1, 0.5))]
    shares = GradientShares(
        rollouts=8, rollout_batch=512, weights=(0.4, 0.3, 0.3), bands=list(BANDS),
        samples=[0.1, 0.2, 0.4, 0.1, 0.2], no_variance=0.25,
        stds={"perceptual": [], "reasoning": stds},
        normalizers={name: one for name in ("durian", "grpo", "dr_grpo", "batch", "rloo", "maxrl")},
    )  # fmt: skip
    wasted, ends, count = gradient_sentences(shares)
    assert wasted.startswith("At 8 rollouts 25 % of the completions")
    assert "are 60 % of all and get 50 % under GRPO, 50 % under Durian, 50 % under" in ends
    assert "512 samples" in count and "100 under GRPO" in count and "2.5, 2.5; the stds" in count
    assert "run from 0.40 to 0.50 (reasoning): the less" in count
