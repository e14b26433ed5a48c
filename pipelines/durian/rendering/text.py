"""Numbers, pictures, foreign texts as a page can hold them. Escaping for HTML is the template's."""

from __future__ import annotations

import base64
from unicodedata import category

from durian.analysis.statistics.estimate import Estimate, plural

CLIP = 300  # characters of a text that the page shows
FEW = 10  # things that a share lacks of all, named one by one
MOST_DIGITS = 4  # behind the point
_KEPT = "\n\t\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # scripts and emoji need the joiners


def shown_text(text: str | None, clip: int = CLIP) -> str:
    """Text of a dataset or model as a page can hold it: clipped, its unseen characters escaped.

    Control characters, marks that turn the direction of writing and lone surrogates, which have
    no UTF-8, come as their Python escapes.
    """
    if text is None:
        return "–"
    clipped = text if len(text) <= clip else text[: clip - 1] + "…"
    return "".join(
        c if c.isprintable() or c in _KEPT or category(c) == "Zs" else _escape(c) for c in clipped
    )


def percent_text(share: float | None, digits: int = 1) -> str:
    """Write a share as '31.4 %'; a dash where there is none.

    One that is not exactly none or all takes as many digits as tell it from both.
    """
    return "–" if share is None else f"{100 * share:.{_told(share, 100, digits)}f} %"


def share_text(count: int, total: int, digits: int = 0) -> str:
    """Write a share of counted things: '31 %', or 'all but 2' of many."""
    if 0 < total - count <= FEW < total / 2:
        return f"all but {total - count}"
    return percent_text(count / total, digits)


def counted(count: int, thing: str) -> str:
    """Write a number of things: '1 sample', '1,200 samples'."""
    return f"{count:,} {plural(count, thing)}"


def number_text(value: float | None) -> str:
    """Three significant digits; a dash where there is none."""
    return "–" if value is None else f"{value:.3g}"


def estimate_text(
    estimate: Estimate,
    unit: str = " %",
    *,
    scale: float = 100,
    digits: int = 1,
    sign: str = "",
    named: bool = False,
) -> str:
    """'47.1 % (44.0 to 50.2)', or why there is no number, or no interval.

    Args:
        scale: what the number is multiplied by.
        digits: behind the point.
        sign: "+" for differences: the sign is written in any case.
        named: say that it is a 95 % interval.
    """
    if estimate.value is None:
        return f"– ({estimate.reason})"
    digits = _digits(estimate, scale, digits, sign)
    ends = interval_text(estimate, scale=scale, digits=digits, sign=sign)
    interval = ends and f" ({'95 % interval ' if named else ''}{ends})"
    if not ends and estimate.reason:
        interval = f" (no interval: {estimate.reason})"
    return f"{scale * estimate.value:{sign}.{digits}f}{unit}{interval}"


def interval_text(
    estimate: Estimate, *, scale: float = 100, digits: int = 1, sign: str = ""
) -> str:
    """'44.0 to 50.2'; '' where there is no interval."""
    if estimate.interval is None:
        return ""
    digits = _digits(estimate, scale, digits, sign)
    return " to ".join(f"{scale * end:{sign}.{digits}f}" for end in estimate.interval)


def _digits(estimate: Estimate, scale: float, digits: int, sign: str) -> int:
    """Digits behind the point that neither round to certainty nor hide the interval's width.

    An interval narrower than one step of the last digit takes a further one; so does a share that
    is not exactly none or all and would read as if it were.
    """
    if estimate.interval is not None:
        width = scale * (estimate.interval[1] - estimate.interval[0])
        while width < 10.0**-digits and digits < MOST_DIGITS:
            digits += 1
    if sign or estimate.value is None:
        return digits
    return _told(estimate.value, scale, digits)


def _told(share: float, scale: float, digits: int) -> int:
    """Digits that tell a share strictly between none and all from both."""
    while 0 < share < 1 and digits < MOST_DIGITS:
        if f"{scale * share:.{digits}f}" not in (f"{0:.{digits}f}", f"{scale:.{digits}f}"):
            break
        digits += 1
    return digits


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def encoded(picture: bytes | None) -> str | None:
    """A picture as a data URL holds it, or None where there is none."""
    return None if picture is None else base64.b64encode(picture).decode()
