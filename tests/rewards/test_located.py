"""Boxes and points: what is read, overlaps and distances by hand, several objects, systems."""

import math

import pytest

from durian.config import ProfileConfig
from durian.errors import ConfigError
from durian.rewards import Attempts, open_reward
from durian.rewards.located import LocatedReward, fits, overlap, read_places

READ = [
    ("[10, 20, 30, 40]", [(10, 20, 30, 40)], "a list"),
    ('[{"bbox_2d": [10, 20, 30, 40], "label": "cat"}]', [(10, 20, 30, 40)], "Qwen-VL"),
    ('```json\n[{"bbox_2d": [1, 2, 3, 4]}]\n```', [(1, 2, 3, 4)], "fenced"),
    ("<box>(10,20),(30,40)</box>", [(10, 20, 30, 40)], "InternVL"),
    ("<|box_start|>(1,2),(3,4)<|box_end|>", [(1, 2, 3, 4)], "Qwen2-VL"),
    ("[[1, 2, 3, 4], [5, 6, 7, 8]]", [(1, 2, 3, 4), (5, 6, 7, 8)], "two"),
    ("[[1, 2], [3, 4]]", [(1, 2, 3, 4)], "two corners"),
    ('{"x": 1, "y": 2, "w": 3, "h": 4}', [(1, 2, 4, 6)], "COCO: 1 + 3, 2 + 4"),
    ("at [1, 2, 3, 4] and [2, 3, 4, 5]", [(1, 2, 3, 4), (2, 3, 4, 5)], "in a sentence"),
    ("0.1, 0.2, 0.3, 0.4", [(0.1, 0.2, 0.3, 0.4)], "bare numbers"),
    ("no box", [], "none"),
    ("[1, 2, 3]", [], "three numbers"),
    ("[1e999, 2, 3, 4]", [], "infinite"),
    ("[" * 5_000, [], "deep"),
]


@pytest.mark.parametrize(("text", "boxes", "why"), READ, ids=[why for _, _, why in READ])
def test_boxes_are_read_in_the_forms_that_models_write(text, boxes, why):
    assert [place.numbers for place in read_places(text, boxes=True)] == boxes


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("(10, 20)", [(10, 20)]),
        ('{"point_2d": [3, 4]}', [(3, 4)]),
        ('<point x="10.5" y="20" alt="cat">cat</point>', [(10.5, 20)]),
        ('<points x1="1" y1="2" x2="3" y2="4">', [(1, 2), (3, 4)]),
        ("[[1, 2], [3, 4]]", [(1, 2), (3, 4)]),
    ],
)
def test_points_are_read(text, points):
    assert [place.numbers for place in read_places(text, boxes=False)] == points


def test_overlap_is_intersection_over_union():
    [a, b] = read_places("[[0, 0, 10, 10], [5, 0, 15, 10]]", boxes=True)
    # 5 * 10 = 50 shared, 100 + 100 - 50 = 150 in all.
    assert overlap(a, b) == pytest.approx(1 / 3)
    assert overlap(a, a) == 1.0
    [turned] = read_places("[10, 10, 0, 0]", boxes=True)
    assert overlap(a, turned) == 1.0


def scores(reward, texts, answer, size=(100, 100), seen=None):
    attempts = Attempts(
        completions=[rf"<think></think>\boxed{{{text}}}" for text in texts],
        n_tokens=[1] * len(texts),
        answer=answer,
        image_sizes=[size],
        seen_sizes=[] if seen is None else [seen],
    )
    return reward.start(attempts)()


def test_the_reward_is_a_tenth_format_and_nine_tenths_overlap():
    reward = LocatedReward(of="iou")
    half = "[0, 0, 10, 5]"  # 50 of 100
    third = "[5, 0, 15, 10]"
    found = scores(reward, ["[0, 0, 10, 10]", half, third, "none"], "[0, 0, 10, 10]")
    assert [s.reward for s in found] == pytest.approx([1.0, 0.55, 0.4, 0.1])
    assert [s.correct for s in found] == [True, True, False, False]
    assert found[0].kind == "boxes"


def test_the_threshold_is_an_option():
    [score] = scores(LocatedReward(of="iou", right=0.3), ["[5, 0, 15, 10]"], "[0, 0, 10, 10]")
    assert score.correct  # a third is above 0.3


def test_several_objects_are_matched_in_the_best_order_and_a_surplus_counts():
    reward, both = LocatedReward(of="iou"), "[[0, 0, 10, 10], [50, 50, 60, 60]]"
    turned = "[[50, 50, 60, 60], [0, 0, 10, 10]]"
    one = "[[0, 0, 10, 10]]"
    three = "[[0, 0, 10, 10], [50, 50, 60, 60], [80, 80, 90, 90]]"
    found = scores(reward, [turned, one, three], both)
    # 0.1 + 0.9 times 2/2, 1/2, 2/3
    assert [s.reward for s in found] == pytest.approx([1.0, 0.55, 0.7])
    assert [s.correct for s in found] == [True, False, False]


def test_labels_must_agree_where_both_sides_have_them():
    reward, cat = LocatedReward(of="iou"), '[{"bbox_2d": [0, 0, 9, 9], "label": "cat"}]'
    dog = cat.replace("cat", "dog")
    assert [s.correct for s in scores(reward, [cat, dog, "[0, 0, 9, 9]"], cat)] == [
        True, False, True,
    ]  # fmt: skip


def test_a_point_is_right_in_the_box_or_near_the_point():
    reward = LocatedReward(of="point")
    assert [s.correct for s in scores(reward, ["(5, 5)", "(11, 5)"], "[0, 0, 10, 10]")] == [
        True, False,
    ]  # fmt: skip
    # The diagonal of 30 x 40 is 50: one at 2.5 away has 1 - 2.5 / 5 = 0.5, one at 5 has 0.
    found = scores(reward, ["(10, 10)", "(12.5, 10)", "(15, 10)"], "(10, 10)", size=(30, 40))
    assert [s.reward for s in found] == pytest.approx([1.0, 0.55, 0.1])
    assert [s.correct for s in found] == [True, True, False]


def test_answers_of_another_system_are_brought_to_the_references():
    # An image of 200 x 100: 500 of 1000 is 100 in x and 50 in y.
    reward = LocatedReward(of="iou", references="pixel", answers="1000")
    [score] = scores(reward, ["[0, 0, 500, 500]"], "[0, 0, 100, 50]", size=(200, 100))
    assert score.reward == pytest.approx(1.0)
    resized = LocatedReward(of="iou", references="pixel", answers="resized")
    seen = (400, 100)  # twice as wide
    [score] = scores(resized, ["[0, 0, 200, 50]"], "[0, 0, 100, 50]", size=(200, 100), seen=seen)
    assert score.reward == pytest.approx(1.0)


def test_what_cannot_be_scored_says_why():
    reward = LocatedReward(of="iou")
    with pytest.raises(ValueError, match="reward failed: the reference holds no boxes"):
        scores(reward, ["[0, 0, 1, 1]"], "a cat")
    resized = LocatedReward(of="iou", answers="resized")
    with pytest.raises(ValueError, match="it is not known how large the policy sees the image"):
        scores(resized, ["[0, 0, 1, 1]"], "[0, 0, 1, 1]")


def test_references_tell_which_systems_they_fit():
    def of(text):
        return fits(read_places(text, boxes=True), (640, 480), (644, 476))

    assert of("[0.1, 0.2, 0.5, 1.0]") == ["pixel", "resized", "1000", "unit"]
    assert of("[10, 20, 630, 478]") == ["pixel", "1000"]  # 478 is below the 476 that are seen
    assert of("[10, 20, 900, 400]") == ["1000"]
    assert math.isfinite(read_places("[1, 2, 3, 4]", boxes=True)[0].numbers[0])


def test_the_options_reach_the_reward():
    config = ProfileConfig(
        dataset="d", out="o", measures=("pixel",), reward="iou", coords=("pixel", "1000"), iou=0.7
    )
    assert open_reward("iou", config) == LocatedReward(of="iou", answers="1000", right=0.7)
    assert open_reward("point") == LocatedReward(of="point")
    with pytest.raises(ConfigError, match="coords is pixel,1000,unit; write one system, or two"):
        ProfileConfig(dataset="d", out="o", measures=("pixel",), coords=("pixel", "1000", "unit"))
