"""Say what images add to a policy, and what a training taught: seeing, or guessing."""

from __future__ import annotations

from durian.analysis.statistics.estimate import Estimate
from durian.analysis.statistics.seeing import Learned, Seeing
from durian.rendering.text import counted, estimate_text

# What stands in for the image, in a sentence.
WITHOUT = {
    "none": "without the image",
    "gray": "with a gray image",
    "other": "with another sample's image",
}


def seeing_sentence(name: str, found: Seeing, how: str) -> str:
    """'tiny is right in 43 % with the image and in 30 % without ...: the image adds 13 points.'"""
    return (
        f"{name} is right in {estimate_text(found.seeing, named=True)} with the image and in "
        f"{estimate_text(found.blind)} {WITHOUT[how]}, on {counted(found.samples, 'sample')} asked "
        f"both ways: the image adds {estimate_text(found.gain, ' points', sign='+')} (MMStar's "
        "multi-modal gain)."
    )


def learned_sentence(found: Learned, before: str, after: str, way: str = "sampled") -> str:
    """What moved from one policy to the other with the image and without, and so of what kind."""
    seen, blind, gain = (
        estimate_text(each, " points", sign="+", named=each is found.seeing)
        for each in (found.seeing, found.blind, found.gain)
    )
    return (
        f"From {before} to {after}, on {counted(found.samples, 'sample')} asked both ways, "
        f"accuracy when {way} moves by {seen} with the image and by {blind} without it; what the "
        f"image adds moves by {gain}: {verdict(found)}. Multi-modal leakage, {before} in the base "
        f"model's place, is {estimate_text(found.leakage, ' points')}."
    )


def verdict(found: Learned) -> str:
    """Seeing, guessing or both, as far as intervals tell."""
    seen, guessed = _rises(found.gain), _rises(found.blind)
    if seen and guessed:
        return "it learned to see, and to guess without seeing"
    if seen:
        return "it learned to see"
    if guessed:
        return "it learned to guess, and not that it sees more"
    return "these samples do not tell that it learned to see or to guess"


def _rises(found: Estimate) -> bool:
    return found.interval is not None and found.interval[0] > 0
