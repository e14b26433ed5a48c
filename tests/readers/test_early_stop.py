"""Chunks decoded ahead: in order, and not for a caller that has gone."""

import threading
from concurrent.futures import ThreadPoolExecutor

from pipelines.progress import Silent
from pipelines.readers import chunks
from pipelines.readers.look import NOTHING
from pipelines.samples import Sample


def test_a_caller_that_stops_early_waits_for_no_more_than_the_images_in_hand(monkeypatch):
    # Part 0 has one sample; part 1 has 200, which are held up until the pool is told to shut down.
    samples = [Sample(sample_id=str(n), row=n, problem="", answer="") for n in range(201)]
    told, held, looked = threading.Event(), threading.Event(), []

    class Pool(ThreadPoolExecutor):
        def submit(self, *args, **options):
            future = super().submit(*args, **options)
            if args[1:] == (samples[-1],):
                held.set()
            return future

        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            told.set()
            super().shutdown(wait=wait)

    def look(sample, *, pixel_limit, keep):
        if sample.row > 0:
            told.wait()
        looked.append(sample.row)
        return NOTHING

    monkeypatch.setattr(chunks, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(chunks, "look", look)
    parts = [(0, range(1)), (1, range(1, 201))]
    coming = chunks.decoded_chunks(
        samples, parts, keep=False, pixel_limit=10, workers=2, progress=Silent()
    )
    assert next(coming).part == 0
    held.wait()  # all 200 are on their way, two of them in hand
    coming.close()  # type: ignore[attr-defined]
    assert len(looked) <= 1 + 2  # the first one, and one a worker
