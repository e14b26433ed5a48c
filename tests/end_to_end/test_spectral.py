"""`--measures spectral` with the policy that ships: images in, the column out."""

import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from scipy.stats import entropy
from transformers import AutoModelForImageTextToText, AutoProcessor

from durian.config import ProfileConfig
from durian.engines.patches import VisionTower
from durian.errors import RunError, RunFolderError
from durian.measuring import measuring
from durian.profile import profile_dataset
from durian.run.progress import Silent

SHAPES = 20


@pytest.fixture(scope="module")
def images(photo_shapes):
    cells = pl.read_parquet(photo_shapes)["images"].head(SHAPES)
    return [cell[0]["bytes"] for cell in cells]


@pytest.fixture(scope="module")
def rows(images, tmp_path_factory):
    """One image a row; then two images in one, two with a damaged one, one with none."""
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    cells = [*([image] for image in images), images[:2], [images[0], b"damaged"], []]
    table = {"problem": [f"Question {n}?" for n in range(len(cells))], "images": cells}
    pl.DataFrame(table).with_columns(answer=pl.lit("red")).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def expected(images, tiny_policy):
    """By the whole policy, one image at a time, and the singular values of its patches."""
    model = AutoModelForImageTextToText.from_pretrained(tiny_policy, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(tiny_policy).image_processor
    found = {"encoder": [], "projector": []}
    for image in images:
        pixels = processor(images=[Image.open(io.BytesIO(image)).convert("RGB")])
        with torch.inference_mode():
            features = model.get_image_features(
                torch.as_tensor(np.asarray(pixels["pixel_values"])),
                torch.as_tensor(np.asarray(pixels["image_grid_thw"])),
            )
        for name, patches in (
            ("encoder", features.last_hidden_state), ("projector", features.pooler_output[0]),
        ):  # fmt: skip
            centred = patches.double() - patches.double().mean(0)
            found[name].append(entropy(torch.linalg.svdvals(centred).numpy() ** 2))
    return {name: np.array(values) for name, values in found.items()}


def config_of(rows, tiny_policy, out, **settings):
    return ProfileConfig(
        dataset=str(rows), out=str(out), model=str(tiny_policy),
        **{"measures": ("pixel", "spectral"), "part_size": 8, **settings},
    )  # fmt: skip


def table_of(result):
    return pl.read_parquet(f"{result.run}/difficulty.parquet")


@pytest.fixture(scope="module")
def run(rows, tiny_policy, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "spectral"
    config = config_of(rows, tiny_policy, out, perceptual="spectral_entropy")
    return profile_dataset(config)


@pytest.mark.parametrize("features", ["encoder", "projector"])
def test_the_column_is_the_entropy_of_the_whole_policys_patches(
    run, rows, tiny_policy, expected, tmp_path, features
):
    result = run
    if features == "projector":
        config = config_of(rows, tiny_policy, tmp_path / "run", features=features)
        result = profile_dataset(config)
    found = table_of(result)["spectral_entropy"].to_numpy()
    np.testing.assert_allclose(found[:SHAPES], expected[features], rtol=1e-5)
    assert result.manifest.identity["features"] == features
    assert not np.allclose(expected["encoder"], expected["projector"], rtol=0.01)


def test_images_of_one_sample_are_averaged_and_a_damaged_one_is_a_row_with_its_reason(
    run, expected
):
    last = table_of(run).tail(3)
    mean = (expected["encoder"][0] + expected["encoder"][1]) / 2
    assert last["spectral_entropy"].to_list() == [pytest.approx(mean, rel=1e-5), None, None]
    assert last["n_images"].to_list() == [2, 2, 0]
    reasons = last["error"].to_list()
    assert reasons[0] is None
    assert reasons[1] == "image 2: cannot decode image: not a known image format"
    assert reasons[2] == "no image"


def test_perceptual_groups_are_cut_by_it_where_asked(run):
    table = table_of(run)
    values = table["spectral_entropy"].to_numpy()[: SHAPES + 1]
    low, high = np.percentile(values, [25, 75])
    groups = np.where(values <= low, "easy", np.where(values >= high, "hard", "medium"))
    assert table["perceptual_group"].to_list() == [*groups.tolist(), None, None]
    assert run.manifest.groups.perceptual.measure == "spectral_entropy"


def test_no_policy_is_opened_beside_the_encoder_and_its_columns_are_null(run):
    table = table_of(run)
    assert table["mean_logprob"].null_count() == table["pass_rate"].null_count() == len(table)
    assert run.manifest.logprobs_mode is None and run.manifest.identity["reward"] is None
    seconds = run.manifest.seconds
    assert "spectra" in seconds and "rollouts" not in seconds


def test_terminal_and_page_show_it_as_they_show_pixel_entropy(run):
    said = run.summary.sentences
    names = [sentence.split(" of ")[0] for sentence in said[:2]]
    assert names == ["Pixel entropy", "Spectral entropy"]
    assert "nats, with a median of" in said[1] and "of 23 samples" in said[1]
    page = (Path(run.run) / "report" / "index.html").read_text()
    assert "Highest spectral entropy" in page and "<span>spectral entropy " in page


def test_confidence_and_spectral_stand_side_by_side(rows, tiny_policy, expected, tmp_path):
    result = profile_dataset(
        config_of(rows, tiny_policy, tmp_path / "run", limit=4, engine="transformers", rollouts=2,
                  max_tokens=16, measures=("spectral", "confidence"))
    )  # fmt: skip
    table = table_of(result)
    np.testing.assert_allclose(table["spectral_entropy"], expected["encoder"][:4], rtol=1e-5)
    assert (table["mean_logprob"] < 0).all()
    assert table["pixel_entropy"].null_count() == 4  # not asked for
    assert table["error"].null_count() == 4


class Stops(Silent):
    """Ctrl-C once so many samples have their spectra."""

    def __init__(self, after):
        self.left = after

    def advance(self, stage, steps=1):
        self.left -= steps * (stage == "spectra")
        if self.left <= 0:
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_to_the_same_table(
    run, rows, tiny_policy, tmp_path, monkeypatch
):
    monkeypatch.setattr(measuring, "ENCODED_SAMPLES", 4)  # a pass within a part, as usual
    config = config_of(rows, tiny_policy, tmp_path / "run", perceptual="spectral_entropy")
    with pytest.raises(KeyboardInterrupt):
        profile_dataset(config, progress=Stops(after=19))  # in the third part of three
    parts = sorted(path.name for path in (tmp_path / "run" / "parts").glob("part-*.parquet"))
    assert parts == ["part-00000.parquet", "part-00001.parquet"]
    assert table_of(profile_dataset(config)).equals(table_of(run))


def test_other_features_are_another_run(run, rows, tiny_policy):
    config = config_of(
        rows, tiny_policy, run.run, perceptual="spectral_entropy", features="projector"
    )
    with pytest.raises(RunFolderError, match='was made with features "encoder", not "projector"'):
        profile_dataset(config)


def test_an_image_that_several_samples_show_is_encoded_once(
    images, tiny_policy, tmp_path, monkeypatch
):
    path = tmp_path / "rows.jsonl"
    for name, image in zip("ab", images, strict=False):
        (tmp_path / f"{name}.png").write_bytes(image)
    lines = [
        {"problem": f"Q{n}?", "answer": "1", "images": [f"{'ab'[n % 2]}.png"]} for n in range(6)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    seen = []
    encode = VisionTower.encode
    monkeypatch.setattr(
        VisionTower, "encode", lambda self, given: seen.extend(given) or encode(self, given)
    )
    config = config_of(path, tiny_policy, tmp_path / "run", measures=("spectral",))
    values = table_of(profile_dataset(config))["spectral_entropy"].to_list()
    assert len(seen) == 2
    assert values == [values[0], values[1]] * 3 and values[0] != values[1]


def test_an_encoder_that_breaks_down_stops_the_run_and_keeps_its_parts(
    rows, tiny_policy, tmp_path, monkeypatch
):
    monkeypatch.setattr(measuring, "ENCODED_SAMPLES", 8)  # a pass a part
    encode, calls = VisionTower.encode, []

    def out_of_memory_at_the_second_part(self, given):
        calls.append(len(given))
        if len(calls) == 2:
            monkeypatch.setattr(self._model.visual, "forward", fail)
        return encode(self, given)

    def fail(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(VisionTower, "encode", out_of_memory_at_the_second_part)
    with pytest.raises(RunError, match="the vision encoder stopped: out of memory"):
        profile_dataset(config_of(rows, tiny_policy, tmp_path / "run"))
    assert (tmp_path / "run" / "parts" / "part-00000.parquet").exists()
