"""Name columns and groupings in plain words, as the report shows them.

Groups may stand on any numeric column (`durian group --perceptual clutter`). Their words say what
was measured ("high pixel entropy"), not what it may mean ("hard to see"): whether that end is wrong
more often is for the numbers to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from durian.analysis.one_run.columns import BASELINE
from durian.groups import GroupCuts, Harder, Kind
from durian.measures import (
    MEASURES,
    ImageMeasure,
    PatchMeasure,
    RolloutMeasure,
    held_against_error,
)
from durian.rendering.text import shown_text
from durian.table.grouping import end_of, told_end

NAMES = {name: str(column.words) for name, column in held_against_error().items()}
NAMES["image_gain"] = "what the image adds"  # held against the errors of other completions alone
CLIP = 40  # characters of a foreign name
SEEING = {**held_against_error(ImageMeasure), **held_against_error(PatchMeasure)}
REASONING = held_against_error(RolloutMeasure).keys() - {BASELINE}
CONFIDENCE = [column.name for column in MEASURES["confidence"].columns]


@dataclass(frozen=True)
class Grouped:
    """The columns that stand behind the two groupings, and the words for their hard ends."""

    perceptual: str = "pixel_entropy"
    reasoning: str = "mean_logprob"
    perceptual_end: Harder = "higher"  # the hard one
    reasoning_end: Harder = "lower"

    @property
    def hard_seen(self) -> str:
        """'high pixel entropy', or 'low level': the hard perceptual group."""
        return f"{_WORDS[self.perceptual_end][0]} {name_of(self.perceptual)}"

    @property
    def easy_seen(self) -> str:
        """'low pixel entropy', or 'high level': the easy perceptual group."""
        return f"{_WORDS[self.perceptual_end][1]} {name_of(self.perceptual)}"

    @property
    def hard_reasoned(self) -> str:
        """'low confidence', or 'high n_steps': the lower half of the reasoning bins."""
        return f"{_WORDS[self.reasoning_end][0]} {name_of(self.reasoning)}"

    @property
    def hardest_bin(self) -> str:
        """Bin 0: 'least confident', or 'highest in n_steps'."""
        return self._bin(0, "least confident")

    @property
    def easiest_bin(self) -> str:
        """The last bin: 'most confident', or 'lowest in n_steps'."""
        return self._bin(1, "most confident")

    def _bin(self, end: int, confident: str) -> str:
        if self.reasoning in CONFIDENCE:
            return confident
        return f"{_WORDS[self.reasoning_end][end]}est in {name_of(self.reasoning)}"


_WORDS = {"higher": ("high", "low"), "lower": ("low", "high")}  # the hard end, the easy one


def name_of(column: str) -> str:
    """A measure's name in words; any other column is called as it is, were it not too long.

    Its unseen characters are escaped: sentences go to a terminal, too.
    """
    return NAMES.get(column) or shown_text(column, CLIP)


def grouped_by(grouping: GroupCuts | None) -> Grouped:
    """The columns behind the groups and their hard ends; None: the defaults."""
    if grouping is None:
        return Grouped()
    seen, reasoned = grouping.perceptual, grouping.reasoning
    return Grouped(seen.measure, reasoned.measure, end_of(seen), end_of(reasoned))


def said_end(kind: Kind, column: str, harder: Harder) -> str:
    """A column as `durian group` is given it: 'level:lower', or 'level' where no end need be."""
    return column if told_end(kind, column, harder) is None else f"{column}:{harder}"
