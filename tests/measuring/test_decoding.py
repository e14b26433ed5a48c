"""Samples decoded ahead: in their order, no further than the bounds, not for one who has gone."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from PIL import Image

from durian.errors import DatasetError
from durian.measuring import decoding
from durian.measuring.decoding import decoded
from durian.measuring.look import NOTHING
from durian.measuring.sampling import build_prompt
from durian.run.progress import Silent
from durian.samples import Sample

HOW = {"pixel_limit": 100, "workers": 2, "progress": Silent()}


def samples(count, images=()):
    return [
        Sample(sample_id=str(n), row=n, problem="", answer="", images=images) for n in range(count)
    ]


@pytest.fixture
def png():
    """An image of 10 x 10 pixels, 300 bytes decoded."""
    file = io.BytesIO()
    Image.new("RGB", (10, 10)).save(file, "PNG")
    return file.getvalue()


def test_samples_come_in_their_order_with_what_their_images_show(png):
    given = samples(300, (png,))
    given[7] = Sample(sample_id="7", row=7, problem="", answer="", images=(b"no image",))
    found = list(decoded(given, keep=True, **HOW))
    assert [sample for sample, _ in found] == given
    assert [sample.row for sample, seen in found if seen.error] == [7]
    assert {seen.images[0].size for _, seen in found if not seen.error} == {(10, 10)}


def test_images_are_brought_to_the_policys_bounds_beside_those_that_are_measured(png):
    bounds = SimpleNamespace(of=lambda size: (5, 8))
    [(sample, seen)] = decoded(samples(1, (png,)), keep=True, bounds=bounds, **HOW)
    assert [image.size for image in seen.images] == [(10, 10)]
    assert [image.size for image in seen.bounded] == [(5, 8)]
    prompt = build_prompt(sample, seen, system_prompt="", template=None, bounds=bounds)
    assert prompt.images is seen.bounded  # not once more, in the engine's thread


@pytest.mark.parametrize(
    ("bound", "value", "keep", "most"),
    [
        ("AHEAD_SAMPLES", 4, False, 4),
        # An image of b encoded bytes is 300 decoded: three of them fit in 3 (b + 300) bytes.
        ("AHEAD_BYTES", 3, True, 3),
    ],
)
def test_no_more_is_read_ahead_than_fits(monkeypatch, png, bound, value, keep, most):
    monkeypatch.setattr(decoding, "_BATCH_SAMPLES", 1)
    of_one = len(png) + 300 if bound == "AHEAD_BYTES" else 1
    monkeypatch.setattr(decoding, bound, value * of_one)
    read, ahead = 0, []
    given = 0

    def reading():
        nonlocal read
        for sample in samples(30, (png,)):
            read += 1
            ahead.append(read - given)
            yield sample

    for _ in decoded(reading(), keep=keep, **HOW):
        given += 1
    # Those that fit, the one in the caller's hands, and the one that waits for room.
    assert given == 30 and max(ahead) <= most + 2


def test_an_error_of_the_dataset_comes_in_its_place():
    def reading():
        yield from samples(3)
        raise DatasetError("row 3 is torn")

    found = decoded(reading(), keep=False, **HOW)
    with pytest.raises(DatasetError, match="row 3 is torn"):
        list(found)


def test_a_caller_that_stops_early_waits_for_no_more_than_the_images_in_hand(monkeypatch):
    # 200 samples after the first are held up until the threads are told to end.
    told, looked = threading.Event(), []

    class Threads(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            told.set()
            super().shutdown(wait=wait)

    def look(sample, **how):
        if sample.row >= 32:
            told.wait()
        looked.append(sample.row)
        return NOTHING

    monkeypatch.setattr(decoding, "ThreadPoolExecutor", Threads)
    monkeypatch.setattr(decoding, "look", look)
    coming = decoded(samples(1000), keep=False, **HOW)
    assert next(coming)[0].row == 0
    coming.close()
    assert len(looked) <= 32 + 2 * 32  # the first batch, and a batch a worker
