"""The `configs:` of a dataset's README, as the Hub writes it: which files belong to a split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from durian.errors import DatasetError
from durian.places import Place


def listed_files(folder: Place, split: str) -> list[Place] | None:
    """The files of a split, as the README of a clone lists them; None where it lists none.

    Raises:
        DatasetError: it has several configurations and no default, no such split, or it lists
            files that are not there.
    """
    configs = _configs(folder / "README.md")
    if not configs:
        return None
    chosen = _chosen(folder, configs)
    below = str(chosen.get("data_dir") or "").lstrip("/")
    patterns = dict[str, list[str]]()
    for of_split, pattern in _patterns(chosen.get("data_files")):
        patterns.setdefault(of_split, []).append(pattern)
    if not patterns:
        return None
    if split not in patterns:
        raise DatasetError(
            f"{folder}: no split '{split}' (found: {', '.join(patterns)}); "
            f"pass --split {next(iter(patterns))}"
        )
    # A README is data like the rest: a folder or pattern with `..` in it, or from the root, would
    # read files from outside the folder.
    files = sorted(
        {
            file
            for pattern in patterns[split]
            for file in (folder / below).glob(pattern.lstrip("/"))
            if file.is_file()
            and ".." not in (*PurePosixPath(below).parts, *PurePosixPath(pattern).parts)
        }
    )
    if not files:
        raise DatasetError(
            f"{folder / 'README.md'}: its files of split '{split}' are not here "
            f"({', '.join(patterns[split])[:100]}); bring them, or pass a glob of other files"
        )
    return files


def _configs(readme: Place) -> list[Mapping[str, Any]]:
    try:
        text = readme.read_text(encoding="utf-8")
        head = text.split("---", 2)[1] if text.startswith("---") else ""
        configs = (yaml.safe_load(head) or {}).get("configs")
    except (OSError, ValueError, AttributeError, LookupError, RecursionError, yaml.YAMLError):
        return []  # no README, or none that a program wrote
    if not isinstance(configs, list):
        return []
    return [one for one in configs if isinstance(one, dict) and one.get("data_files")]


def _chosen(folder: Place, configs: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    if len(configs) == 1:
        return configs[0]
    for config in configs:
        if config.get("default") or config.get("config_name") == "default":
            return config
    names = ", ".join(str(config.get("config_name")) for config in configs)
    _, pattern = next(_patterns(configs[0]["data_files"]), ("", "**"))
    raise DatasetError(
        f"{folder}: several configurations ({names[:100]}); pass a glob for the files of one, "
        f"such as '{folder}/{pattern}'"
    )


def _patterns(data_files: Any) -> Iterator[tuple[str, str]]:
    """Split and pattern of each: a text, a list, or a mapping of splits; all else is passed by."""
    if isinstance(data_files, str):
        yield "train", data_files
    elif isinstance(data_files, list):
        for one in data_files:
            if isinstance(one, dict) and "path" in one:
                yield from ((str(one.get("split", "train")), p) for p in _texts(one["path"]))
            elif isinstance(one, str):
                yield "train", one
    elif isinstance(data_files, dict):
        for split, path in data_files.items():
            yield from ((str(split), pattern) for pattern in _texts(path))


def _texts(path: Any) -> list[str]:
    return [p for p in (path if isinstance(path, list) else [path]) if isinstance(p, str)]
