"""Name columns and groupings in plain words, as the report shows them.

Groups may stand on any numeric column (`durian group --perceptual clutter`), so "hard to see" and
"least confident" are said only of the measures that mean it.
"""

from __future__ import annotations

from dataclasses import dataclass

from durian.analysis.one_run.columns import BASELINE
from durian.groups import GroupCuts
from durian.measures import (
    MEASURES,
    ImageMeasure,
    PatchMeasure,
    RolloutMeasure,
    held_against_error,
)
from durian.rendering.text import shown_text

NAMES = {name: str(column.words) for name, column in held_against_error().items()}
CLIP = 40  # characters of a foreign name
SEEING = {**held_against_error(ImageMeasure), **held_against_error(PatchMeasure)}
REASONING = held_against_error(RolloutMeasure).keys() - {BASELINE}
CONFIDENCE = [column.name for column in MEASURES["confidence"].columns]


@dataclass(frozen=True)
class Grouped:
    """The columns that stand behind the two groupings, and the words for their hard ends."""

    perceptual: str = "pixel_entropy"
    reasoning: str = "mean_logprob"

    @property
    def hard_to_see(self) -> str:
        """'hard to see', or 'hard by clutter'."""
        return "hard to see" if self.perceptual in SEEING else f"hard by {name_of(self.perceptual)}"

    @property
    def easy_to_see(self) -> str:
        """'easy to see', or 'easy by clutter'."""
        return self.hard_to_see.replace("hard", "easy", 1)

    @property
    def hard_to_reason(self) -> str:
        """'hard to reason about', or 'hard by kind'."""
        if self.reasoning in REASONING:
            return "hard to reason about"
        return f"hard by {name_of(self.reasoning)}"

    @property
    def hardest_bin(self) -> str:
        """Bin 0: 'least confident', or 'hardest by kind'."""
        confident = self.reasoning in CONFIDENCE
        return "least confident" if confident else f"hardest by {name_of(self.reasoning)}"

    @property
    def easiest_bin(self) -> str:
        """The last bin: 'most confident', or 'easiest by kind'."""
        confident = self.reasoning in CONFIDENCE
        return "most confident" if confident else f"easiest by {name_of(self.reasoning)}"

    @property
    def bins(self) -> str:
        """'confidence bins', or 'bins of kind'."""
        confident = self.reasoning in CONFIDENCE
        return "confidence bins" if confident else f"bins of {name_of(self.reasoning)}"


def name_of(column: str) -> str:
    """A measure's name in words; any other column is called as it is, were it not too long.

    Its unseen characters are escaped: sentences go to a terminal, too.
    """
    return NAMES.get(column) or shown_text(column, CLIP)


def grouped_by(grouping: GroupCuts | None) -> Grouped:
    """The columns behind the groups; None: the defaults."""
    if grouping is None:
        return Grouped()
    return Grouped(grouping.perceptual.measure, grouping.reasoning.measure)
