"""The child process that grades: JSON lines in, JSON lines out. Run by `graders.py`.

A line holds questions `[answer, accepted, options, question, tolerance]` and is answered by as many
verdicts, or by a text that says why nothing can be judged.
"""

from __future__ import annotations

import json
import os
import sys

from durian.errors import RunError
from durian.rewards.grade import Reference, grade


def main() -> None:
    """Say `ready`, then answer until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    replies.write('"ready"\n')
    replies.flush()
    for line in sys.stdin:
        try:
            reply: object = [
                grade(
                    answer,
                    Reference(tuple(accepted), tuple(options)),
                    question=question,
                    tolerance=tolerance,
                ).right
                for answer, accepted, options, question, tolerance in json.loads(line)
            ]
        except RunError as error:
            reply = str(error)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
