"""A VLMEvalKit file stores an image once; other rows name it by that row's index."""

import base64
import csv
import gzip
import io
from pathlib import Path

import pytest
from PIL import Image

from durian.config import DatasetConfig
from durian.readers.dataset import open_dataset
from durian.samples import Sample


def png(gray: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (5, 4), gray).save(file, "PNG")
    return file.getvalue()


IMAGES = [png(gray) for gray in (10, 20)]
WHOLE = [base64.b64encode(image).decode() for image in IMAGES]  # longer than 64 characters


@pytest.fixture(autouse=True)
def _in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def table(*cells: tuple[str, str], question: str = "Which?") -> str:
    """A .tsv of rows with these pairs of index and image."""
    text = io.StringIO()
    lines = csv.writer(text, delimiter="\t")
    lines.writerow(["index", "image", "question", "answer"])
    lines.writerows(
        [index, image, f"{question} {n}", "A"] for n, (index, image) in enumerate(cells)
    )
    return text.getvalue()


def read(dataset: str) -> list[Sample]:
    config = DatasetConfig(dataset=dataset, problem_column="question")
    return list(open_dataset(config).samples())


def test_an_image_is_found_by_the_index_of_an_earlier_or_a_later_row():
    cells = [("7", WHOLE[0]), ("1000007", "7"), ("1000009", "9"), ("9", WHOLE[1])]
    Path("a.tsv").write_text(table(*cells, question="Ünder\ntwo lines?"), encoding="utf-8-sig")
    samples = read("a.tsv")
    images = [IMAGES[0], IMAGES[0], IMAGES[1], IMAGES[1]]
    assert [(sample.images, sample.error) for sample in samples] == [
        ((image,), None) for image in images
    ]


@pytest.mark.parametrize("named", ["8", "1000007"])  # no row; a row that only names one itself
def test_an_index_without_an_image_of_its_own_is_the_row_s_error(named):
    Path("a.tsv").write_text(table(("7", WHOLE[0]), ("1000007", "7"), ("2000007", named)))
    assert [sample.error for sample in read("a.tsv")] == [
        None, None, f"image not found: {named}",
    ]  # fmt: skip


def test_paths_stay_paths():
    Path("7").write_bytes(IMAGES[1])
    Path("a.tsv").write_text(table(("7", "7"), ("8", "7")))
    assert [sample.images for sample in read("a.tsv")] == [(IMAGES[1],), (IMAGES[1],)]


def test_a_packed_file_must_be_unpacked_for_it():
    Path("a.tsv.gz").write_bytes(gzip.compress(table(("7", WHOLE[0]), ("8", "7")).encode()))
    assert [sample.error for sample in read("a.tsv.gz")] == [None, "image not found: 7"]
