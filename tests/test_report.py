"""From a run's tables to its report: what is read, and what older runs lack."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from durian.analysis.one_run.reliability import GroupReliability
from durian.analysis.statistics.estimate import DrawnTogether
from durian.config import ProfileConfig
from durian.profile import profile_dataset
from durian.records import as_json
from durian.report import build_report, render_run
from tests.benchmarks.synthetic_run import write_run


@pytest.fixture
def quick(monkeypatch):
    """Few redraws and no figures: neither is looked at here."""
    monkeypatch.setattr("durian.analysis.one_run.reliability.REDRAWS", 20)
    monkeypatch.setattr("durian.rendering.page.report_figures", lambda summary, units: [])


def test_the_datasets_columns_images_and_rollouts_are_in_the_numbers(tmp_path, quick):
    summary = render_run(tmp_path / "run", write_run(tmp_path / "run", 60))
    scored = summary.scored
    assert scored.clusters == DrawnTogether(of="image", n=30)  # two samples an image
    assert scored.measures["clutter"].kind == "column"
    assert [row.group for row in scored.slices["clutter kind"]] == ["a ", "b ", "c ", "d "]
    assert set(scored.split_half) >= {"mean_logprob", "sum_logprob"}
    assert scored.reliability.perceptual == GroupReliability(fixed=True)  # clutter is no luck
    assert "high clutter" in summary.sentences[1]
    written = json.loads((tmp_path / "run" / "report" / "summary.json").read_text())
    assert written == json.loads(json.dumps(as_json(summary)))
    assert written["sentences"] == summary.sentences and len(written["advice"]) > 0


def test_a_run_of_before_columns_and_entropy_maps_still_has_its_report(tmp_path, quick):
    run = tmp_path / "run"
    manifest = write_run(run, 60)
    render_run(run, manifest)
    assert "Local entropy of that image" in (run / "report" / "index.html").read_text()
    (run / "columns.parquet").unlink()
    pictures = pq.read_table(run / "thumbnails.parquet").drop_columns(["entropy"])
    pq.write_table(pictures, run / "thumbnails.parquet")
    scored = render_run(run, manifest).scored
    assert scored.clusters == DrawnTogether(of="sample", n=60)
    assert scored.slices == {}
    page = (run / "report" / "index.html").read_text()
    assert "Image of sample" in page and "Local entropy of that image" not in page


def test_pictures_are_kept_small_however_noisy_and_with_their_local_entropy(tmp_path, quick):
    noise = np.random.default_rng(0).integers(256, size=(600, 800, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    Image.new("RGB", (40, 20), (9, 9, 9)).save(tmp_path / "flat.png")
    (tmp_path / "broken.png").write_bytes(b"no image")
    with open(tmp_path / "rows.jsonl", "w") as file:
        for name in ("noise", "flat", "broken"):
            row = {"problem": "What?", "answer": "2", "images": [f"{name}.png"]}
            file.write(json.dumps(row) + "\n")
    run = tmp_path / "run"
    dataset = str(tmp_path / "rows.jsonl")
    profile_dataset(ProfileConfig(dataset=dataset, out=str(run), measures=("pixel",)))
    kept = pq.read_table(run / "thumbnails.parquet").to_pylist()
    sizes = []
    for row in kept:
        image, entropy = (Image.open(io.BytesIO(row[name])) for name in ("jpeg", "entropy"))
        # 130 samples of these, in base64, are 4 MB: with the figures, a page of 5.
        assert len(row["jpeg"]) <= 19_000 and len(row["entropy"]) <= 4_000
        sizes.append((image.size, entropy.size))
    # As it is; and noise, which no quality brings so low, at 512, 384, 288 pixels, whichever fits
    # first, in the same shape. None of what is broken.
    assert sorted(sizes)[0] == ((40, 20), (40, 20)) and len(sizes) == 2
    (width, height), (wide, high) = sorted(sizes)[1]
    assert width in (512, 384, 288) and height == width * 3 // 4
    assert wide in (160, 120, 90) and high == wide * 3 // 4
    first = (run / "report" / "index.html").read_bytes()
    build_report(run)
    assert (run / "report" / "index.html").read_bytes() == first
