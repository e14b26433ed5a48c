"""The child process that compares mathematics: JSON lines in, JSON lines out.

Run as a script by `math_judge.py`, so it imports nothing of this project. A line
`[answer, reference]` is answered by `true` or `false`. What the policy wrote is hostile
(`9^{9^{9^9}}`), so each comparison has a bound on processor time that no Python code can hold
up: the kernel ends the process. The memory bound turns a huge allocation into a MemoryError.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from typing import Any

CPU_SECONDS = 3.0  # for one comparison; a usual one takes 0.01 to 0.3
MEMORY_BYTES = 2 << 30  # beyond what the process has once math-verify is imported


def main() -> None:
    """Say `"ready"` (or why not), then answer until standard input ends."""
    # What a library prints must not be taken for an answer.
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    try:
        equal = _load()
    except Exception as error:
        _reply(replies, f"{type(error).__name__}: {error}")
        return
    _limit_memory()
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _reply(replies, "ready")
    for line in sys.stdin:
        answer, reference = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
        verdict = equal(answer, reference)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _reply(replies, verdict)


def _load() -> Any:
    from latex2sympy2_extended import NormalizationConfig
    from latex2sympy2_extended.antlr_parser import PSParser
    from math_verify import LatexExtractionConfig, parse, verify

    # Its parser for antlr 4.9.3 lacks this accessor, asked for before the one of per cents: without
    # it no text with a per cent sign could be read.
    if not hasattr(PSParser.AtomContext, "FUNC_GAMMA"):
        PSParser.AtomContext.FUNC_GAMMA = lambda self: None
    logging.disable(logging.CRITICAL)  # it warns that its own timeouts are off
    # Only the LaTeX road: the other one (`ExprExtractionConfig`) hands the text to `eval`.
    # Units are this project's own affair (units.py): here "10 am" would equal "10 pm".
    normalization = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none"
    )
    latex = [LatexExtractionConfig(boxed_match_priority=-1, normalization_config=normalization)]

    def read(text: str) -> Any:
        return parse(f"${text}$", latex, fallback_mode="no_fallback", parsing_timeout=None)

    def equal(answer: str, reference: str) -> bool:
        try:
            gold, found = read(reference), read(answer)
            return bool(verify(gold, found, timeout_seconds=None, allow_set_relation_comp=True))
        except Exception:  # RecursionError, MemoryError, and whatever sympy raises on nonsense
            return False

    equal("\\sqrt{8}", "2\\sqrt{2}")  # sympy imports the rest of itself on first use
    return equal


def _limit_memory() -> None:
    if sys.platform == "linux":  # elsewhere RLIMIT_AS is refused, or means nothing
        with open("/proc/self/statm") as statm:
            now = int(statm.read().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = now + MEMORY_BYTES
        soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _reply(replies: Any, message: object) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
