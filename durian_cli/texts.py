"""Numbers as the terminal shows them."""

from __future__ import annotations

from typing import Any


def value_text(value: Any) -> str:
    """Write a number, list or mapping of a plan as text."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {value_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return (
        f"{value:,.6g}"
        if isinstance(value, float)
        else (
            f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        )
    )


def duration(seconds: float) -> str:
    """Write a length of time as a person reads it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def pace(steps: int, seconds: float) -> str:
    """Write a rate in the shortest unit of time in which it is at least one: 3.2/min."""
    each = steps / max(seconds, 1e-3)
    for unit, length in (("s", 1), ("min", 60)):
        if each * length >= 1:
            return f"{each * length:,.1f}/{unit}"
    return f"{each * 3600:,.1f}/h"


def printable(text: str) -> str:
    """Text of a dataset or model without what could steer a terminal (escape codes)."""
    # An escape code in a dataset could repaint the terminal, change its title or hide the line
    # above.
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return shown.encode("utf-8", "backslashreplace").decode()
