"""Damaged images of every format that is decoded: each is decoded or refused, in bounded time.

10,000 mutations take seconds; more with DURIAN_MUTATIONS=N, and figures of them with `-s`.
"""

import os
import random
import resource
import time
from collections import Counter

import pytest

from durian.images.decode import DecodedImage, decode, size
from durian.measures.pixel_entropy import pixel_entropy
from durian.samples import Failed
from tests.images.image_corpus import mutated, valid

MUTATIONS = int(os.environ.get("DURIAN_MUTATIONS", "10000"))
LIMIT = 2 * 10**6
FILES = valid()


def check(found: DecodedImage | Failed) -> None:
    if isinstance(found, Failed):
        assert 0 < len(found.error) < 200 and found.error.isprintable()
        return
    assert found.width * found.height <= LIMIT and found.rgb is not None
    assert found.gray_histogram.sum() == found.width * found.height
    assert sorted(found.rgb.size) == sorted((found.width, found.height))
    assert 0 <= pixel_entropy(found.gray_histogram) <= 8


@pytest.mark.parametrize("name", FILES)
def test_a_valid_image_of_the_corpus_is_decoded(name):
    found = decode(FILES[name], pixel_limit=LIMIT, keep=True)
    if name == "tiff float":
        assert isinstance(found, Failed) and "float pixels have no gray levels" in found.error
    else:
        assert isinstance(found, DecodedImage), found
        check(found)


def test_mutations_are_decoded_or_refused():
    names, files = list(FILES), list(FILES.values())
    outcomes, worst = Counter[str](), (0.0, "")
    for seed in range(MUTATIONS):
        name = names[seed % len(files)]
        data = mutated(files[seed % len(files)], files, random.Random(seed))
        begun = time.process_time()
        found = decode(data, pixel_limit=LIMIT, keep=True)
        size(data)
        worst = max(worst, (time.process_time() - begun, f"{name}, seed {seed}"))
        check(found)
        outcomes[type(found).__name__] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"\n{MUTATIONS} mutations: {dict(outcomes)}; worst {worst[0]:.2f} s of a core "
          f"({worst[1]}); peak memory {peak} MiB")  # fmt: skip
    assert outcomes.total() == MUTATIONS
    # Neither all refused nor all decoded: the damage reaches the decoders.
    assert 0.1 < outcomes["DecodedImage"] / MUTATIONS < 0.9
