"""Chunks decoded ahead: in order, and not for a caller that has gone."""

import threading

from durian.measuring import chunks, threads
from durian.measuring.look import NOTHING
from durian.progress import Silent
from durian.samples import Sample


def test_a_caller_that_stops_early_waits_for_no_more_than_the_images_in_hand(monkeypatch):
    # Part 0 has one sample; part 1 has 200, which are held up until the threads are told to end.
    samples = [Sample(sample_id=str(n), row=n, problem="", answer="") for n in range(201)]
    told, held, looked = threading.Event(), threading.Event(), []

    class Threads(threads.DecodingThreads):
        def submit(self, sample):
            future = super().submit(sample)
            if sample is samples[-1]:
                held.set()
            return future

        def cancel(self):
            super().cancel()
            told.set()

    def look(sample, **how):
        if sample.row > 0:
            told.wait()
        looked.append(sample.row)
        return NOTHING

    monkeypatch.setattr(chunks, "DecodingThreads", Threads)
    monkeypatch.setattr(threads, "look", look)
    parts = [(0, range(1)), (1, range(1, 201))]
    coming = chunks.decoded_chunks(
        samples, parts, keep=False, pixel_limit=10, workers=2, progress=Silent()
    )
    assert next(coming).part == 0
    held.wait()  # all 200 are on their way, two of them in hand
    coming.close()  # type: ignore[attr-defined]
    assert len(looked) <= 1 + 2  # the first one, and one a worker
