"""Texts that a policy may write and no reward wants: seeded, grown from fragments of a grammar."""

import random

BS = "\\"
ATOMS = (
    "1", "x", "-", "0", "2.50", "1e999", "pi", r"\pi", r"\infty", "½", "√2", "⁹", "ﷺ", "𝟗", "٣", "",
    "\0", "\ud800", "\u202e", "\x1b[31m", "%", "$", "°", "cm", "(B)", "true", "1,000", "1;2", "{",
    "}", r"\{", "\\", "^", "_", "&", "#", "~", "'", '"', "<", ">", "__import__('os')", "lambda x:x",
)  # fmt: skip
WRAPS = (
    r"\frac{%s}{%s}", r"\sqrt{%s}", r"\sqrt[%s]{%s}", "{%s}", "(%s)", "[%s,%s)", r"\{%s,%s\}",
    "%s^{%s}",
    "%s_{%s}", "%s!", r"\sum_{n=1}^{%s}%s", r"\prod_{k=%s}^{9}%s", r"\int_{%s}^{%s}x\,dx", "%s=%s",
    r"\lim_{x\to %s}%s", r"\begin{pmatrix}%s&%s\\1&2\end{pmatrix}", r"\log_{%s}%s",
    r"\binom{%s}{%s}",
    r"\text{%s}", r"\left(%s\right)", r"%s\times %s", r"%s\le %s", r"|%s|", r"%s\cup %s", "$%s$",
    r"\boxed{%s}", r"%s\pm %s", r"\overline{%s}", r"\mathrm{%s}", "%s or %s", r"\sin %s", "%s %s",
)  # fmt: skip
LONG = ("{", "}", "\\", BS + "boxed{", "<think>", "</think>", "< ", "9", "(", "$", " ", "a)",
        "\\text{", "1,", "😀", "\n", "^", "!", "<\t/")  # fmt: skip


def expression(rng: random.Random, depth: int) -> str:
    """A piece of LaTeX, right or wrong, nested at most so deep."""
    if depth == 0 or rng.random() < 0.3:
        return rng.choice(ATOMS)
    wrap = rng.choice(WRAPS)
    inner = tuple(expression(rng, depth - 1) for _ in range(wrap.count("%s")))
    return wrap % inner


def completion(number: int) -> str:
    """The text of that number: the same on every machine."""
    rng = random.Random(number)
    match rng.randrange(10):
        case 0:  # bytes of anything
            body = "".join(chr(rng.choice((rng.randrange(128), rng.randrange(0x11000))))
                           for _ in range(rng.randrange(200)))  # fmt: skip
        case 1:  # one piece over and over, a megabyte of it now and then
            body = rng.choice(LONG) * rng.choice((10, 100, 1_000, 2_000))
            body *= 500 if rng.random() < 0.05 else 1
        case 2:  # digits, of all scripts
            body = "".join(rng.choice("0123456789.,eE+-/ ٣𝟗½⁵") for _ in range(rng.randrange(120)))
        case 3:  # an expression, deep or shallow
            body = expression(rng, rng.randrange(6))
        case _:  # a few atoms in a row
            body = "".join(rng.choice(ATOMS) for _ in range(rng.randrange(1, 5)))
    box = rng.choice(
        (r"\boxed{%s}", r"\boxed{%s", r"\boxed %s}", r"\fbox {%s}", r"\boxed{\boxed{%s}}")
    )
    text = box % body if rng.random() < 0.8 else body
    return f"<think>{rng.choice(ATOMS)}</think>{text}" if rng.random() < 0.5 else text
