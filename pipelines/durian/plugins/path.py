"""Print where a plug-in's file lies: `python -m durian.plugins.path swift`.

`reward` is the file of the reward as other trainers call theirs (`durian.rewards.for_trainers`).
"""

import sys
from pathlib import Path

PLUGINS = {
    file.stem.removeprefix("durian_"): file for file in Path(__file__).parent.glob("durian_*.py")
} | {"reward": Path(__file__).parents[1] / "rewards" / "for_trainers.py"}


def main(words: list[str]) -> int:
    """Print the file of the one that is named; exit code 2 where there is none."""
    if len(words) != 1 or words[0] not in PLUGINS:
        named = f"no plug-in {words[0]!r}; " if words else ""
        print(f"durian: {named}name one of {', '.join(sorted(PLUGINS))}", file=sys.stderr)
        return 2
    print(PLUGINS[words[0]])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
