"""Blind: how often the policy is right without the image, and what the image adds."""

from __future__ import annotations

from statistics import fmean

from durian.measures.base import BlindMeasure, Column, Completions, Values

WAYS = ("none", "gray", "other")  # to ask without the image: what stands in for it


def _of_sample(written: Completions) -> Values:
    if not written.scores:  # the reward failed
        return {}
    return {"blind_pass_rate": fmean(score.correct for score in written.scores)}


# Source: Chen et al., "Are we on the right way for evaluating large vision-language models?"
# (MMStar, arXiv 2403.20330), who ask without the image; RAP (2506.04755) selects by the difference.
BLIND = BlindMeasure(
    name="blind",
    help="whether completions are right without the image, and what the image adds",
    take=_of_sample,
    columns=(
        Column(
            name="blind_pass_rate",
            unit="share",
            meaning="completions that are right without the image",
            harder="lower",
            words="share right without the image",
            since=2,
        ),
        Column(
            name="image_gain",
            unit="share",
            meaning="pass_rate less blind_pass_rate, by the estimates of both where there are any",
            since=2,
        ),
        Column(
            name="image_gain_sd",
            unit="share",
            meaning="standard deviation of image_gain",
            since=2,
        ),
    ),
)
