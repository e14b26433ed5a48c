"""Small runs to render: tables by the schema, a manifest, a thumbnail."""

import io
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

from durian.analysis.one_run.summary import analyse
from durian.measuring.rows import arrow_table
from durian.rendering.advice import advice
from durian.rendering.gallery import Thumbnail
from durian.rendering.names import NAMES
from durian.rendering.page import write_report
from durian.rendering.sentences import sentences
from durian.rendering.shown import shelves
from durian.run.manifest import manifest_of
from durian.schema import DIFFICULTY, ROLLOUTS
from tests.manifests import manifest

N, G = 24, 4


@pytest.fixture
def rows():
    """24 samples of 4 completions, wrong more often the harder they are to see."""
    made = []
    for place in range(N):
        wrong = place * (G + 1) // N  # 0 to 4
        made.append(
            {
                "sample_id": f"{place:032x}", "row": place, "copies": 1, "problem": "<image>What?",
                "answer": "2", "n_images": 1, "width": 8, "height": 8,
                "pixel_entropy": 1 + place / 8, "mean_logprob": -0.1 - place / 100,
                "sum_logprob": -1.0 - place / 10, "answer_entropy": wrong / 8,
                "rollouts": G, "pass_rate": 1 - wrong / G, "mean_tokens": 8.0, "truncated": 0.0,
                "perceptual_group": ("easy", "medium", "hard")[place // 8],
                "reasoning_group": (N - 1 - place) // 6,
            }
        )  # fmt: skip
    return made


def completions(row, text):
    right = round(row["pass_rate"] * row["rollouts"])
    return [
        {
            "sample_id": row["sample_id"], "rollout": number, "completion": text, "answer": "2",
            "n_tokens": 8, "sum_logprob": -1.0, "reward": 1.0, "correct": number < right,
            "formatted": True, "finish_reason": "stop",
        }
        for number in range(row["rollouts"])
    ]  # fmt: skip


def shown_manifest(name="shapes", model="tiny"):
    return manifest_of(
        manifest(
            dataset={"name": name, "split": "train", "fingerprint": "0"},
            model={"name": model, "fingerprint": "0"},
            config={"images_column": name},
            counts={"samples": N, "rows": N},
        )
    )


@pytest.fixture
def thumbnail():
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def write(tmp_path, thumbnail):
    """Render rows to a folder, as the report stage does."""

    def write(rows, text="I see 2.", folder="report", **named):
        table = pl.DataFrame(pl.from_arrow(arrow_table(rows, DIFFICULTY)))
        said = [
            c for row in rows if row.get("pass_rate") is not None for c in completions(row, text)
        ]
        summary = analyse(table, {name: DIFFICULTY[name].harder or "higher" for name in NAMES})
        summary = replace(summary, sentences=sentences(summary), advice=advice(summary))
        write_report(
            tmp_path / folder,
            summary=summary,
            shelves=shelves(table),
            table=table,
            rollouts=pl.DataFrame(pl.from_arrow(arrow_table(said, ROLLOUTS))),
            thumbnails={row["sample_id"]: Thumbnail(thumbnail, thumbnail) for row in rows},
            manifest=shown_manifest(**named),
        )
        return tmp_path / folder

    return write


@pytest.fixture
def laid_out(monkeypatch):
    """Figures are drawn up to their layout and not encoded: for tests that look at the page."""

    def laid_out(figure, kind):
        if kind == "svg":  # once a figure
            figure.draw_without_rendering()
        return b""

    monkeypatch.setattr("durian.rendering.page.encode_figure", laid_out)


@pytest.fixture
def no_figures(monkeypatch):
    """A page of texts and tables alone."""
    monkeypatch.setattr("durian.rendering.page.report_figures", lambda summary, units: [])
