"""Chunks decoded ahead: in order, and not for a caller that has gone."""

import threading
from concurrent.futures import ThreadPoolExecutor

from durian.measuring import chunks
from durian.measuring.look import NOTHING
from durian.run.progress import Silent
from durian.samples import Sample


def test_a_caller_that_stops_early_waits_for_no_more_than_the_images_in_hand(monkeypatch):
    # Part 0 has one sample; part 1 has 200, which are held up until the threads are told to end.
    samples = [Sample(sample_id=str(n), row=n, problem="", answer="") for n in range(201)]
    told, held, looked = threading.Event(), threading.Event(), []

    class Threads(ThreadPoolExecutor):
        begun = 0

        def submit(self, *work):
            future = super().submit(*work)
            self.begun += 1
            # One batch of the first sample, then six of 32 samples and one of 8.
            if self._max_workers == 2 and self.begun == 1 + 7:
                held.set()
            return future

        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            told.set()
            super().shutdown(wait=wait)

    def look(sample, **how):
        if sample.row > 0:
            told.wait()
        looked.append(sample.row)
        return NOTHING

    monkeypatch.setattr(chunks, "ThreadPoolExecutor", Threads)
    monkeypatch.setattr(chunks, "look", look)
    parts = [(0, range(1)), (1, range(1, 201))]
    coming = chunks.decoded_chunks(
        samples, parts, keep=False, pixel_limit=10, workers=2, progress=Silent()
    )
    assert next(coming).part == 0
    held.wait()  # all 200 are on their way, two batches of them in hand
    coming.close()  # type: ignore[attr-defined]
    assert len(looked) <= 1 + 2 * 32  # the first one, and a batch a worker
