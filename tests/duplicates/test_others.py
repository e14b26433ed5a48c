import numpy as np
import pytest

from durian.duplicates.others import COMMON, RUN, Held, Shown, held_in
from durian.measures.duplicates import LENGTH
from tests.duplicates.test_near import signature

LONG = " ".join(f"word{n}" for n in range(RUN))  # just long enough to count alone


def shown(*samples: tuple[str, list[tuple[str, np.ndarray]]]) -> Shown:
    """Samples of a question and of images: an id of their bytes, and a signature."""
    signatures = [signature for _, images in samples for _, signature in images]
    return Shown(
        rows=[10 * place for place in range(len(samples))],
        image_ids=[" ".join(dict.fromkeys(name for name, _ in images)) for _, images in samples],
        problems=[problem for problem, _ in samples],
        signatures=np.array(signatures, np.uint8).reshape(-1, LENGTH),
        counts=np.array([len(images) for _, images in samples], np.intp),
    )


A, A_OTHER_FILE, A_NEAR, B = (
    ("a", signature(1)),
    ("a2", signature(1)),
    ("a3", signature(2, level=110)),
    ("b", signature(3, level=200)),
)


@pytest.mark.parametrize(
    ("image", "problem", "how"),
    [
        (A, "what colour is it?", ("bytes", "words")),
        (A, "what shape is it?", ("bytes",)),
        (A_OTHER_FILE, "What colour is it", ("pixels", "words")),
        (A_NEAR, "what colour is it?", ("near", "words")),
        (A_NEAR, "what shape is it?", ("near",)),
    ],
)
def test_a_sample_is_held_by_its_image_and_words_count_beside_it(image, problem, how):
    other = shown(("what size is it?", [B]), ("what colour is it?", [A]))
    assert held_in(other, shown((problem, [image]))) == [Held(sample=0, how=how, row=10)]


def test_a_short_question_over_another_image_is_not_held():
    assert held_in(shown(("what colour is it?", [A])), shown(("what colour is it?", [B]))) == []


def test_a_long_question_counts_alone_unless_it_is_a_template():
    own = shown((f"So: {LONG}, please", [B]))
    assert held_in(shown((f"{LONG}?", [A])), own) == [Held(sample=0, how=("words",), row=0)]
    short = LONG.rpartition(" ")[0]
    assert held_in(shown((short, [A])), shown((short, [B]))) == []
    # More than ten questions of one set that begin alike: a template, whichever set has them.
    many = shown(*((f"{LONG} {n}", [A]) for n in range(COMMON + 1)))
    assert held_in(many, own) == [] and held_in(own, many) == []
    few = shown(*((f"{LONG} {n}", [A]) for n in range(COMMON)))
    assert len(held_in(few, own)) == 1


def test_of_several_images_each_must_be_there_and_the_least_sure_counts():
    other = shown(("one?", [A]), ("two?", [B]))
    own = shown(
        ("three?", [A, B]),  # in two samples there
        ("two?", [A_NEAR, B]),
        ("three?", [A, ("c", signature(9, level=0))]),
    )
    assert held_in(other, own) == [
        Held(sample=0, how=("bytes",), row=0),
        Held(sample=1, how=("near", "words"), row=10),
    ]


def test_questions_without_images_are_held_where_all_words_are():
    other = shown(("What is 2 + 2?", []), ("", []))
    own = shown(("what is 2 + 2", []), ("what is 2 - 2", []), ("", []), ("what is 2 + 2?", [A]))
    assert held_in(other, own) == [Held(sample=0, how=("words",), row=0)]


def test_an_image_that_cannot_be_decoded_is_still_held_by_its_bytes():
    broken = Shown(
        rows=[7], image_ids=["a"], problems=["what?"], counts=np.zeros(1, np.intp),
        signatures=np.empty((0, LENGTH), np.uint8),
    )  # fmt: skip
    assert held_in(broken, broken) == [Held(sample=0, how=("bytes", "words"), row=7)]
