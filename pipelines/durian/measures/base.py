"""The declaration of a measure: its columns, its inputs and its function.

A declaration loads nothing heavy, for `--help` and every config read all of them: the functions
import numpy or torch when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from durian.samples import Rollout, Score

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from PIL import Image

Values = Mapping[str, float | int | str | None]  # of one sample, by column; None where missing


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table."""

    name: str
    type: Literal["float64", "int32", "int64", "string", "bool"] = "float64"
    unit: str = ""  # "" where there is none
    meaning: str
    harder: Literal["higher", "lower"] | None = None  # which way difficulty grows, where it does
    words: str | None = None  # its name in sentences and curves; None: not held against error
    since: int = 1  # the version of the tables that brought it; older tables are read without it
    card: str | None = None  # on a sample's card, before the number; None: not there


class Pixels(Protocol):
    """One decoded image as a measure sees it: `durian.images.decode.DecodedImage`."""

    @property
    def width(self) -> int:
        """Pixels, as stored."""

    @property
    def height(self) -> int:
        """Pixels, as stored."""

    @property
    def gray_histogram(self) -> NDArray[np.int64]:
        """Pixels of each gray level. (256,)"""


@dataclass(frozen=True, kw_only=True)
class Completions:
    """The completions of one sample, with their rewards."""

    rollouts: Sequence[Rollout]
    scores: Sequence[Score]  # one a rollout; none where the reward failed
    answers: Sequence[Hashable | None]  # as many: final answers, equal where they mean the same
    # As many: of a wrong one, whether the reference stands outside a box; None where nobody looks.
    unboxed: Sequence[bool | None] = ()


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One or more columns that are measured together; its class says what it is taken from.

    Its function, `take`, raises a ValueError with a short phrase where it cannot tell; a value that
    is not finite counts as that, too.
    """

    name: str  # in `--measures`
    columns: tuple[Column, ...]
    help: str | None = None  # for `--measures`; None: taken for free with the others, never asked

    @property
    def words(self) -> str:
        """Its name in the reason of a failure."""
        return self.columns[0].words or self.name


@dataclass(frozen=True, kw_only=True)
class ImageMeasure(Measure):
    """Taken from the decoded images of a sample, one or more; needs no model."""

    take: Callable[[Sequence[Pixels]], Values]


@dataclass(frozen=True, kw_only=True)
class PatchMeasure(Measure):
    """Taken from the policy's patch features (P, d) of one image; a sample has its images' mean."""

    take: Callable[[torch.Tensor], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class BlindMeasure(Measure):
    """Taken from completions that a sample with images was given without seeing them.

    Columns that `take` does not give are filled once all samples are known.
    """

    take: Callable[[Completions], Values]


@dataclass(frozen=True, kw_only=True)
class SignatureMeasure(Measure):
    """Taken from the signatures of all images, once every sample is there; needs no model.

    A signature is what `sign` makes of one image, upright and in RGB: bytes, always as many.
    """

    sign: Callable[[Image.Image], bytes]


@dataclass(frozen=True, kw_only=True)
class RolloutMeasure(Measure):
    """Taken from a sample's completions; columns that need scores are left out where none are."""

    take: Callable[[Completions], Values]
