"""Where chunks are cut: the same whether they are decoded here or elsewhere."""

import io

import pytest
from PIL import Image

from durian.measuring import chunks
from durian.measuring.chunks import cut_chunks, decode_chunk, decoded_chunks
from durian.run.progress import Silent
from durian.samples import Sample


@pytest.fixture
def samples() -> list[Sample]:
    """Seven samples with one image of 10 x 10 pixels each, all of equal bytes but the fifth's."""
    file = io.BytesIO()
    Image.new("RGB", (10, 10)).save(file, "PNG")
    images = [file.getvalue()] * 7
    images[4] = b"no image".ljust(len(images[0]))
    return [
        Sample(sample_id=str(row), row=row, problem="", answer="", images=(image,))
        for row, image in enumerate(images)
    ]


PARTS = [(3, range(5)), (4, range(5, 7))]


@pytest.mark.parametrize(
    ("bound", "images", "keep", "expected"),
    [
        # A chunk is whole once it reaches a bound, and at the end of its part. Two images reach
        # 1.5 times one image's bytes: 2, 2, 1 of the part of five, 2 of that of two.
        ("ENCODED_BYTES", 1.5, False, [(3, 0, 2), (3, 2, 2), (3, 4, 1), (4, 5, 2)]),
        # Three images reach 250 pixels of 100 each, but those that nobody keeps do not count.
        ("DECODED_PIXELS", 250, True, [(3, 0, 3), (3, 3, 2), (4, 5, 2)]),
        ("DECODED_PIXELS", 250, False, [(3, 0, 5), (4, 5, 2)]),
    ],
)
def test_chunks_end_at_the_bounds_and_at_the_ends_of_parts(
    samples, monkeypatch, bound, images, keep, expected
):
    of_one = len(samples[0].images[0]) if bound == "ENCODED_BYTES" else 1
    monkeypatch.setattr(chunks, bound, images * of_one)
    cut = list(cut_chunks(samples, PARTS, keep=keep))
    assert [(c.part, c.first, len(c.samples)) for c in cut] == expected
    here = list(
        decoded_chunks(samples, PARTS, keep=keep, pixel_limit=100, workers=2, progress=Silent())
    )
    assert [(c.part, c.first, c.samples) for c in here] == [
        (c.part, c.first, c.samples) for c in cut
    ]


def test_a_chunk_decoded_elsewhere_shows_what_it_would_have_shown_here(samples):
    here = decoded_chunks(samples, PARTS, keep=False, pixel_limit=100, workers=2, progress=Silent())
    for cut, decoded in zip(cut_chunks(samples, PARTS, keep=False), here, strict=True):
        assert cut.looks == []
        decode_chunk(cut, keep=False, pixel_limit=100, workers=2)
        for seen, other in zip(cut.looks, decoded.looks, strict=True):
            assert (seen.width, seen.height, seen.error) == (other.width, other.height, other.error)
            assert shades(seen) == shades(other)
        # One gray level, black; and the fifth is no image.
        assert [shades(seen) for seen in cut.looks] == [
            [] if sample.row == 4 else [[0]] for sample in cut.samples
        ]


def shades(seen):
    """The gray levels of each image."""
    return [image.gray_histogram.nonzero()[0].tolist() for image in seen.decoded]
