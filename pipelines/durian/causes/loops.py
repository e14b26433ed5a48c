"""A text that repeats itself to its end: a loop that only the token limit ended."""

from __future__ import annotations

TAIL = 16_000  # characters that are looked at, so that a longer text costs no more
COPIES = 3  # of the repeated piece, at least
LONGEST = 200  # characters, at least, that the copies fill together
_ANCHOR = 24  # characters at the end that stand before, too, where anything is repeated


def is_looping(text: str) -> bool:
    """Whether a text ends in a piece that is repeated: 3 copies or more, 200 characters or more.

    The last copy may be cut anywhere. The copies are equal to the letter, so rows of a table, a
    list of numbers or a derivation, which have one form and other contents, are no loop. Linear in
    the length of the text; what stands before its last 16,000 characters is not looked at.

    >>> is_looping("So x = 3. " + "Wait, let me check. " * 20 + "Wait, le")
    True
    >>> is_looping(" ".join(str(n) for n in range(500)))
    False
    """
    tail = text[-TAIL:]
    # Nearly all texts end here, at the speed of C.
    if len(tail) < LONGEST or tail.count(tail[-_ANCHOR:]) < COPIES:
        return False
    return any(
        length >= LONGEST and length >= COPIES * (length - border)
        for length, border in enumerate(_borders(tail[::-1]), start=1)
    )


def _borders(text: str) -> list[int]:
    """The longest border of each prefix: so many letters stand at its begin and at its end.

    A prefix of n letters with a border of b has the period n - b: it is copies of its first n - b
    letters. Of a text that was turned round, prefixes are tails.

    Source: Knuth, Morris and Pratt, "Fast pattern matching in strings" (1977).
    """
    borders, border = [0], 0
    for letter in text[1:]:
        while border and letter != text[border]:
            border = borders[border - 1]
        border += letter == text[border]
        borders.append(border)
    return borders
