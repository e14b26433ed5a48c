"""A dataset of twelve samples in thirteen rows, and its run with four rollouts a sample."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from durian.config import ExportConfig, ProfileConfig
from durian.export import export_run
from durian.exporting.record import Exported
from durian.profile import profile_dataset
from durian.samples import sample_id

N, G = 12, 4


def picture(levels: int) -> bytes:
    """A PNG of so many gray levels."""
    file = io.BytesIO()
    gray = (np.arange(840) % levels).astype(np.uint8).reshape(20, 42)
    Image.fromarray(gray).save(file, "PNG")
    return file.getvalue()


def rows(first: int = 0) -> list[dict[str, object]]:
    """Two questions an image; the last row repeats the fourth."""
    made = [
        {
            # A mark that is not there stands in front once the problem is a message.
            "problem": f"{'<image>' if i % 3 else ''}question {i}",
            "answer": str(i),
            "images": [{"bytes": picture(2 + i // 2), "path": None}],
            "kind": "ab"[i % 2] if i < 8 else "c",
            "index": i,
            "tags": ["x", str(i)] if i % 3 else None,
            "label": f"own {i}",
        }
        for i in range(first, first + N)
    ]
    return [*made, made[3]]


def ids(first: int = 0) -> list[str]:
    return [sample_id(r["problem"], r["answer"], [r["images"][0]["bytes"]]) for r in rows(first)]


def right(i: int) -> int:
    """How many of the four completions of sample i are right: 0 1 2 3 4 0 1 2 3 4 0 1."""
    return i % 5


def completion(i: int, g: int) -> str:
    return f"<think>{'so ' * (4 - g)}</think> \\boxed{{{i if g < right(i) else 'no'}}}"


def write_run(folder: Path, name: str, first: int = 0, **settings: object) -> Path:
    kinds = pa.schema(
        [
            ("problem", pa.string()), ("answer", pa.string()),
            ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))),
            ("kind", pa.string()), ("index", pa.int64()), ("tags", pa.list_(pa.string())),
            ("label", pa.string()),
        ]
    )  # fmt: skip
    dataset = folder / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist(rows(first), kinds), dataset)
    said = [
        {
            "sample_id": key, "rollout": g,
            # One was cut, though its answer stands there.
            "finish_reason": "length" if (i, g) == (9, 3) else "stop",
            # Rollout 3 is the shortest, rollout 0 the likeliest a token.
            "completion": completion(i, g),
            "n_tokens": 14 - g, "sum_logprob": -(14 - g) * (0.1 + g / 10 + i / 100),
        }
        for i, key in zip(range(first, first + N), ids(first), strict=False)
        for g in range(G)
    ]  # fmt: skip
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in said))
    profile_dataset(
        ProfileConfig(
            dataset=str(dataset), out=str(folder / name), engine="scripted", rollouts=G, bins=3,
            model=str(folder / f"{name}.jsonl"), **settings,  # type: ignore[arg-type]
        )
    )  # fmt: skip
    return folder / name


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("durian.analysis.one_run.reliability.REDRAWS", 10)
        patch.setattr("durian.rendering.page.encode_figure", lambda *_: b"drawn")
        return write_run(tmp_path_factory.mktemp("exported"), "first")


@pytest.fixture(scope="session")
def other_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples 8 to 19, of which four are in the first run too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("durian.analysis.one_run.reliability.REDRAWS", 10)
        patch.setattr("durian.rendering.page.report_figures", lambda *_: [])
        return write_run(tmp_path_factory.mktemp("exported"), "second", first=8)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of texts and tables alone."""
    monkeypatch.setattr("durian.rendering.page.report_figures", lambda *_: [])


@pytest.fixture
def export(run: Path, tmp_path: Path):
    """Export the run with settings; what came of it, and the folder."""

    def exported(to: str = "parquet", *runs: Path, **settings: object) -> tuple[Exported, Path]:
        out = tmp_path / "out"
        named = tuple(map(str, runs or (run,)))
        return export_run(ExportConfig(runs=named, to=to, out=str(out), **settings)), out

    return exported


def questions(path: Path) -> list[int]:
    """The numbers of the questions in a file of the form parquet, in order."""
    return [int(text.split()[-1]) for text in pq.read_table(path)["problem"].to_pylist()]
