"""An export in sentences: how many samples were chosen, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator

from durian.config.export import CONTROL
from durian.exporting.record import Exported
from durian.rendering.text import counted


def sentences_of(found: Exported) -> list[str]:
    """The lead of the page, and what the terminal says."""
    return list(_sentences(found))


def _sentences(found: Exported) -> Iterator[str]:
    runs = "1 run" if len(found.runs) == 1 else f"{len(found.runs)} runs"
    steps = [f"{found.passed:,} may be taken"] if found.passed < found.samples else []
    if found.drawn < found.passed:
        were = "was" if found.drawn == 1 else "were"
        steps.append(f"{found.drawn:,} {were} chosen")
    samples = f"{counted(found.samples, 'sample')} of {runs}"
    yield f"Of {samples}, {' and '.join(steps)}." if steps else f"All of {samples} may be taken."
    if found.repeated:
        stand, are = ("stands", "is") if found.repeated == 1 else ("stand", "are")
        yield (
            f"{counted(found.repeated, 'sample')} of a later run {stand} in an earlier one too, "
            f"and {are} taken from that."
        )
    for part in found.parts:
        what = "The control, drawn by chance, " if part.name == CONTROL else f"{part.file} "
        yield f"{what}has {counted(part.samples, 'sample')} in {counted(part.rows, 'row')}."
    if found.absent:
        have = "has" if found.absent == 1 else "have"
        yield f"{counted(found.absent, 'chosen sample')} {have} no row in the dataset."
    if found.left_out:
        rows = sum(found.left_out.values())
        yield f"{counted(rows, 'row')} of chosen samples could not be written."
    if found.rows_unknown:
        are = "is" if found.rows_unknown == 1 else "are"
        yield f"{counted(found.rows_unknown, 'row')} of the dataset {are} in no table."
