"""Find the files that a path, folder or glob means, and those of them that belong to a split."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from glob import has_magic
from pathlib import PurePath

from durian.config import DatasetConfig
from durian.errors import DatasetError
from durian.places import Place, globbed, relative, walk
from durian.readers.opened import COMPRESSED, kind_of
from durian.readers.readme import listed_files
from durian.readers.text_files import JsonSource

_TEXTS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")  # these may be compressed
KINDS = (".parquet", *_TEXTS, ".arrow", ".tar", *(t + c for t in _TEXTS for c in COMPRESSED))
_KINDS = ".parquet, .jsonl, .json, .csv, .tsv, .arrow or .tar"

# Written beside the data by `datasets` and others; not data.
_IGNORED = {"config.json", "dataset_dict.json", "dataset_info.json", "dataset_infos.json",
            "state.json"}  # fmt: skip

# Folders that hold files of known kinds and are no dataset.
_OTHERS = {
    ("difficulty.parquet", "rollouts.parquet"): "a run folder, which a profile wrote",
    ("config.json", "generation_config.json"): "a model folder, which is for --model",
}

_IMAGES = {".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

# The words that mark a split in a name, as `datasets` knows them.
_KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}


def find_files(place: Place, split: str) -> list[Place] | None:
    """The data files that a name means, here or on a server, in the order in which they are read.

    Splits count in folders only: a file or a glob is taken as it is named, and must be of the split
    where one is asked for.

    Returns:
        None if `place` is no file or folder.
    Raises:
        DatasetError: no data files, of several kinds, or none of this split.
    """
    if place.is_file():
        return _of_no_split(place, split, [_of_known_kind(place)])
    if place.is_dir():
        return _in_folder(place, split)
    if has_magic(str(place)):
        files = [_of_known_kind(file) for file in globbed(place)]
        if not files:
            raise DatasetError(f"{place}: no file matches; check the pattern")
        return _of_no_split(place, split, files)
    return None


def _of_known_kind(path: Place) -> Place:
    if not path.name.endswith(KINDS):
        raise DatasetError(f"{path}: not a kind of file that can be read; pass {_KINDS} files")
    return path


def _in_folder(folder: Place, split: str) -> list[Place]:
    for marks, what in _OTHERS.items():
        if all((folder / mark).is_file() for mark in marks):
            raise DatasetError(f"{folder}: {what}; pass the dataset itself")
    # What says most about the folder comes first: the lists that `save_to_disk` writes, then the
    # README of a Hub clone, and names of files and folders only where nothing lists them. Otherwise
    # the cache files that lie beside the data would be read as data.
    if (folder / "dataset_dict.json").is_file():
        splits = _listed(folder / "dataset_dict.json", "splits")
        if split not in splits:
            raise _no_split(folder, split, splits)
        return _saved(folder / split)
    if (folder / "state.json").is_file():
        return _of_no_split(folder, split, _saved(folder))
    if (listed := listed_files(folder, split)) is not None:
        return _of_one_kind(folder, [_of_known_kind(file) for file in listed])
    files = _of_split(folder, split, sorted(_data_files(folder)))
    if metadata := [file for file in files if file.stem == "metadata"]:
        files = metadata  # of an image folder: the rest is what it names
    if not files:
        raise _no_data(folder)
    return _of_one_kind(folder, files)


def _saved(folder: Place) -> list[Place]:
    return [folder / name for name in _listed(folder / "state.json", "_data_files", "filename")]


def _of_one_kind(folder: Place, files: list[Place]) -> list[Place]:
    kinds = sorted({kind_of(file) for file in files})
    if len(kinds) > 1:
        raise DatasetError(
            f"{folder}: files of several kinds ({', '.join(kinds)}); "
            f"pass a glob for those to read, such as '{folder}/**/*{kinds[-1]}'"
        )
    return files


def _no_data(folder: Place) -> DatasetError:
    images = sorted(
        relative(place / file, folder)
        for place, _, files in walk(folder)
        for file in files
        if PurePath(file).suffix.lower() in _IMAGES
    )
    if not images:
        return DatasetError(f"{folder}: no {_KINDS} files in this folder; pass one that holds some")
    line = json.dumps({"file_name": images[0], "problem": "", "answer": ""})
    return DatasetError(
        f"{folder}: images, and no metadata.jsonl that says what is asked of them; write one "
        f"there, with a line like {line} for each image"
    )


def _data_files(folder: Place) -> Iterator[Place]:
    for place, folders, files in walk(folder):
        if _is_run(place, folders, files) and place != folder:
            folders.clear()  # an earlier --out inside the dataset's folder
            continue
        folders[:] = [inner for inner in folders if not inner.startswith((".", "__"))]
        for file in files:
            known = file.endswith(KINDS) and file not in _IGNORED
            if known and not file.startswith((".", "__")) and (path := place / file).is_file():
                yield path


def _is_run(place: Place, folders: list[str], files: list[str]) -> bool:
    """Whether a folder is one that Durian writes: a profile's or a training's, begun or whole."""
    if "difficulty.parquet" in files or "training.json" in files:
        return True
    return "parts" in folders and (place / "parts" / "identity.json").is_file()


def _listed(path: Place, key: str, within: str | None = None) -> list[str]:
    """A list of names in a JSON object, each standing in an object of its own where `within` is."""
    try:
        names = json.loads(path.read_bytes())[key]
        names = names if within is None else [name[within] for name in names]
    except (OSError, ValueError, RecursionError, LookupError, TypeError) as error:
        raise DatasetError(f"{path}: damaged; the folder cannot be read: {error}") from error
    if not names or not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DatasetError(f"{path}: damaged; '{key}' is no list of names")
    return names


def _of_split(folder: Place, split: str, files: list[Place]) -> list[Place]:
    """Keep the files that are marked with the split, by the first way that any file uses."""
    # In the order of `datasets`, the most deliberate mark first. Once any file uses a way, that way
    # decides for all: `train/hard_test_items.parquet` belongs to train, and is not taken for the
    # test split because of its name.
    for mark in (_shard_mark, _folder_mark, _name_mark):
        marks = {file: mark(PurePath(relative(file, folder)), split) for file in files}
        found = {name for name in marks.values() if name is not None}
        if split in found:
            return [file for file in files if marks[file] == split]
        if found:
            raise _no_split(folder, split, sorted(found))
    return _of_no_split(folder, split, files)


def _of_no_split(place: Place, split: str, files: list[Place]) -> list[Place]:
    """Files that nothing divides into splits, unless they cannot be of the one that is asked for.

    The default stands for all there is; another split must be in the files' names, or be a key of
    a JSON object that holds rows under several.
    """
    for file in files:
        # Silence here would be worse than an error: `--split test` on one unnamed file would
        # profile the training data under the name of the test split.
        if split == DatasetConfig.split or _is_named_for(file, split):
            continue
        keys = JsonSource(file, split).splits() if kind_of(file) == ".json" else []
        if len(keys) > 1 and split not in keys:
            raise _no_split(file, split, keys)
        if split not in keys:
            names = ", ".join(other.name for other in files[:3]) + ", ..." * (len(files) > 3)
            raise DatasetError(
                f"{place}: no split '{split}' (found: {names}, of no split or another); leave "
                "--split out, or pass the files of that split"
            )
    return files


def _is_named_for(file: Place, split: str) -> bool:
    words = (split, *_KEYWORDS.get(split, ()))
    return any(_holds_word(part, word) for part in file.parts for word in words)


def _shard_mark(path: PurePath, split: str) -> str | None:
    """Read the split from `data/NAME-00000-of-00002.parquet`, as `push_to_hub` writes it."""
    match = re.match(r"(\w+(?:\.\w+)*)-\d{5}-of-\d{5}", path.name)
    return match[1] if match and path.parent.name == "data" else None


def _folder_mark(path: PurePath, split: str) -> str | None:
    """Read the split from a folder's name, as in `train/anything.parquet`."""
    marks = (_word_mark(part, split) for part in reversed(path.parent.parts))
    return next(filter(None, marks), None)


def _name_mark(path: PurePath, split: str) -> str | None:
    """Read the split from the file's own name, as in `anything_train.parquet`."""
    return _word_mark(path.name, split)


def _word_mark(name: str, split: str) -> str | None:
    known = _KEYWORDS | {split: (split, *_KEYWORDS.get(split, ()))}
    for mark, words in known.items():
        if any(_holds_word(name, word) for word in words):
            return mark
    return None


def _holds_word(name: str, word: str) -> bool:
    # A word ends where a letter does not follow: digits, as in train01, do not belong to it.
    return re.search(rf"(^|[-._ 0-9]){re.escape(word)}([-._ 0-9]|$)", name) is not None


def _no_split(folder: Place, split: str, found: list[str]) -> DatasetError:
    likely = (get_close_matches(split, found, n=1) or found or [""])[0]
    return DatasetError(
        f"{folder}: no split '{split}' (found: {', '.join(found) or 'none'})"
        + (f"; pass --split {likely}" if found else "")
    )
