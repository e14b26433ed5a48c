"""What becomes of an image's size: by hand, and as the processor itself does it."""

import pytest
from PIL import Image

from durian.config import SamplingConfig
from durian.engines.chat import load_chat
from durian.engines.resizing import find_resizing


@pytest.fixture(scope="module")
def bounded(tiny_policy):
    """Its step is 16: patches of 8, merged 2 by 2."""
    config = SamplingConfig(model=str(tiny_policy), min_pixels=1024, max_pixels=16384)
    return load_chat(config).processor.image_processor


SIZES = [
    # size, what the policy sees, what it would see without bounds; width x height
    ((64, 64), (64, 64), (64, 64)),
    ((70, 60), (64, 64), (64, 64)),  # to the nearest multiples of 16
    # 51,200 pixels are 3.125 times 16,384: sides by 1.768, 181.0 and 90.5, down to 16s.
    ((320, 160), (176, 80), (320, 160)),
    # 256 pixels are a quarter of 1,024: sides doubled.
    ((16, 16), (32, 32), (16, 16)),
    ((900, 2), None, None),  # 450 to 1; Qwen-VL takes up to 200 to 1
]


@pytest.mark.parametrize(("size", "seen", "free"), SIZES, ids=[f"{s[0]}" for s in SIZES])
def test_sizes_are_as_worked_out_by_hand(bounded, size, seen, free):
    resizing = find_resizing(bounded)
    assert (resizing.min_pixels, resizing.max_pixels, resizing.step) == (1024, 16384, 16)
    assert resizing.of(size) == seen
    assert resizing.unbounded(size) == free


def test_sizes_are_those_that_the_processor_makes(bounded):
    resizing = find_resizing(bounded)
    for width in (8, 31, 100, 333):
        for height in (9, 47, 128, 250):
            [[_, rows, columns]] = bounded(Image.new("RGB", (width, height)))["image_grid_thw"]
            assert resizing.of((width, height)) == (8 * int(columns), 8 * int(rows))


def test_a_processor_without_bounds_in_pixels_has_no_rule():
    from transformers import CLIPImageProcessor

    assert find_resizing(CLIPImageProcessor()) is None
