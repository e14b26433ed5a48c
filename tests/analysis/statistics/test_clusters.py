"""Which samples share an image: directly, through others, or not at all."""

import numpy as np
import polars as pl
import pytest

from durian.analysis.statistics.clusters import Clusters, clusters_of, image_clusters
from durian.samples import Sample

TABLE = pl.DataFrame({"n_images": pl.Series([1, 2, 1, 0], dtype=pl.Int32)})


def ids(*given):
    return pl.Series(given, dtype=pl.String)


@pytest.mark.parametrize(
    ("image_id", "codes"),
    [
        (("x", "y", "x", None), [0, 1, 0, 2]),
        (("x", "y", "z", None), [0, 1, 2, 3]),
        ((None, None, None), [0, 1, 2]),
        ((), []),
        # 1 and 2 in one sample, 2 and 3 in another: who shows 1 goes with who shows 3.
        (("1 2", "3", "4", "2 3", "1"), [0, 0, 1, 0, 0]),
        (("1 2", "3 4"), [0, 1]),
    ],
)
def test_samples_go_together_that_share_an_image_directly_or_through_others(image_id, codes):
    several = [i and i.translate({ord(c): c * 32 for c in "1234"}) for i in image_id]
    found = clusters_of(ids(*several))
    alike = [[a == b for b in codes] for a in codes]
    assert (found.codes[:, None] == found.codes[None, :]).tolist() == alike
    assert sorted(set(found.codes.tolist())) == sorted(set(codes))
    assert found.of == ("image" if len(set(codes)) < len(codes) else "sample")
    assert len(found) == found.described.n == len(set(codes))


def test_a_sample_without_images_goes_with_nobody_whatever_its_id():
    found = image_clusters(TABLE, pl.DataFrame({"image_id": ["x", "x", "y", "y"]}))
    assert found.codes[0] == found.codes[1] and len(set(found.codes[1:].tolist())) == 3


def test_without_image_ids_every_sample_is_its_own():
    for columns in (None, pl.DataFrame({"clutter": [1.0, 2, 3, 4]})):
        found = image_clusters(TABLE, columns)
        assert (found.of, found.codes.tolist()) == ("sample", [0, 1, 2, 3])


def test_the_ids_of_a_sample_name_each_image_once_so_that_sets_that_meet_go_together():
    def sample(*images):
        return Sample(sample_id=f"s{images}", row=0, problem="", answer="", images=images)

    shown = [sample(b"1", b"2", b"1"), sample(b"2", b"3"), sample(b"4"), sample(), sample(b"")]
    found = clusters_of(ids(*(each.image_id for each in shown)))
    assert found.codes[0] == found.codes[1] and len(found) == 4
    assert len(shown[0].image_id.split()) == 2 and shown[3].image_id == shown[3].sample_id


def test_own_ids_with_spaces_link_no_samples():
    assert clusters_of(ids("question 1", "question 2", "question 3")).of == "sample"


def test_sums_and_tables_are_by_cluster():
    clusters = Clusters(np.array([0, 1, 0, 2, 1]))
    values = np.array([1.0, 2, 4, 8, 16])
    assert clusters.sums(values).tolist() == [5, 18, 8]
    table = clusters.table(np.array([0, 1, 1, -1, 1]), values, 2)
    assert table.tolist() == [[1, 4], [0, 18], [0, 0]]
    some = clusters.among(np.array([False, True, False, True, True]))
    assert some.codes.tolist() == [0, 1, 0] and clusters.counted(values > 3) == 3


def test_fewer_than_ten_clusters_are_too_few_and_it_is_said_of_what():
    images, samples = Clusters(np.array([0, 0])), Clusters.apart(3)
    assert images.few(10) is None
    assert images.few(9) == "9 images are too few for an interval"
    assert samples.few(1) == "1 sample is too few for an interval"
    assert images.few(1, "a wrong completion") == "only 1 image has a wrong completion"
    assert samples.few(2, "a right completion") == "only 2 samples have a right completion"
