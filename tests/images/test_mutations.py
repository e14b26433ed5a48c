"""Damaged images of every format: each is decoded or refused with a reason, in bounded time.

10,000 mutations take seconds; more with DURIAN_MUTATIONS=N, and figures of them with `-s`.
"""

import os
import random
import resource
import time
from collections import Counter

import pytest
from PIL import Image

from durian.images.decode import decode, size
from durian.images.image_process import processes
from durian.images.pixels import _FORMATS, DecodedImage, _open
from durian.measures.pixel_entropy import pixel_entropy
from durian.samples import Failed
from tests.images.image_corpus import HEADERS_ALONE, mutated, valid

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


@pytest.mark.filterwarnings("ignore:.* image format is deprecated:DeprecationWarning")
def test_the_corpus_has_every_format_that_is_read():
    opened = (_open(data, _FORMATS) for data in FILES.values())
    kinds = {str(image.format).upper() for image in opened if image is not None}
    headers = {"BUFR", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
    assert kinds | headers >= set(Image.ID) - {"EPS"}  # EPS is not read: see images.py


@pytest.mark.parametrize("name", FILES)
def test_a_valid_image_of_the_corpus_is_decoded(name):
    found = decode(FILES[name], pixel_limit=LIMIT, keep=True)
    if name in ("tiff float", "pfm", "spider"):
        assert found == Failed("cannot decode image: float pixels have no gray levels")
    else:
        assert isinstance(found, DecodedImage), found
        check(found)


@pytest.mark.parametrize("name", HEADERS_ALONE)
def test_a_format_without_a_decoder_is_refused(name):
    found = decode(HEADERS_ALONE[name], pixel_limit=LIMIT, keep=True)
    assert isinstance(found, Failed)
    check(found)


def test_mutations_are_decoded_or_refused():
    names = [*FILES, *HEADERS_ALONE]
    files = [*FILES.values(), *HEADERS_ALONE.values()]
    outcomes, worst = Counter[str](), (0.0, "")
    for seed in range(MUTATIONS):
        name = names[seed % len(files)]
        data = mutated(files[seed % len(files)], files, random.Random(seed))
        begun = time.perf_counter()
        found = decode(data, pixel_limit=LIMIT, keep=True)
        size(data)
        worst = max(worst, (time.perf_counter() - begun, f"{name}, seed {seed}"))
        check(found)
        died = isinstance(found, Failed) and "its decoder" in found.error
        outcomes["died" if died else type(found).__name__] += 1
    processes().close()
    peaks = [resource.getrusage(who).ru_maxrss >> 10 for who in _WHO]
    print(f"\n{MUTATIONS} mutations: {dict(outcomes)}; worst {worst[0]:.2f} s ({worst[1]}); "
          f"peak memory here {peaks[0]} MiB, apart {peaks[1]} MiB")  # fmt: skip
    assert outcomes.total() == MUTATIONS
    # Neither all refused nor all decoded: the damage reaches the decoders.
    assert 0.1 < outcomes["DecodedImage"] / MUTATIONS < 0.9


_WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
