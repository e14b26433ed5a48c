"""The face's pixel entropy: one number for an image in whatever shape it is held."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage.measure import shannon_entropy

import durian

COLOR = np.random.default_rng(7).integers(0, 256, (40, 30, 4), dtype=np.uint8)
DEEP = np.random.default_rng(8).integers(0, 65536, (40, 30), dtype=np.uint16)


def test_an_image_measures_alike_as_path_bytes_pillow_and_array(tmp_path):
    image, path = Image.fromarray(COLOR), tmp_path / "a.png"
    image.save(path)
    # By hand: over white, ITU-R 601, then scikit-image's entropy of the uint8 gray image.
    over = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    right = shannon_entropy(np.asarray(over.convert("L")))
    for held in (path, str(path), path.read_bytes(), image, Image.open(path), COLOR):
        assert durian.pixel_entropy(held) == pytest.approx(right, abs=1e-12)


def test_gray_and_colour_arrays_and_16_bits_follow_the_gray_rules():
    # Four levels, a quarter of the pixels each: log2 4 = 2 bits; one level: 0.
    assert durian.pixel_entropy(np.array([[0, 1], [2, 3]], np.uint8)) == 2.0
    assert durian.pixel_entropy(np.full((4, 4, 3), 9, np.uint8)) == 0.0
    right = shannon_entropy((DEEP >> 8).astype(np.uint8))
    assert durian.pixel_entropy(Image.fromarray(DEEP)) == pytest.approx(right, abs=1e-12)


def test_a_transparent_gray_of_2_bits_is_found_in_a_file_that_is_not_loaded_yet():
    file = io.BytesIO()
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.putpixel((1, 0), 1)
    image.save(file, "PNG", transparency=0)  # black is nothing, so that all is white
    file.seek(0)
    with Image.open(file) as opened:
        assert durian.pixel_entropy(opened) == durian.pixel_entropy(file.getvalue()) == 0.0


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (b"", "no data"),
        (b"no image at all", "cannot decode image"),
        (np.zeros((4, 4), np.float64), r"the array is float64 \(4, 4\); it must be uint8"),
        (np.zeros((4, 4, 2), np.uint8), r"uint8 \(4, 4, 2\)"),
        (np.zeros(4, np.uint8), r"uint8 \(4,\)"),
        (np.zeros((0, 4), np.uint8), "no pixels"),
        (Image.new("F", (2, 2)), "float pixels have no gray levels"),
    ],
    ids=lambda held: held if isinstance(held, str) else "",
)
def test_what_has_no_gray_levels_is_a_value_error(held, said):
    with pytest.raises(ValueError, match=said):
        durian.pixel_entropy(held)


def test_a_file_that_is_not_there_and_one_of_too_many_pixels_are_told(tmp_path):
    with pytest.raises(FileNotFoundError):
        durian.pixel_entropy(tmp_path / "none.png")
    Image.new("L", (20, 20)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="more than the limit"):
        durian.pixel_entropy(tmp_path / "a.png", pixel_limit=399)
