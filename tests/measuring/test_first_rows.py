"""A mistake that spoils every row is told from the first ones, before a policy is loaded."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from durian.config import DatasetConfig, ProfileConfig
from durian.engines.base import RefusedPrompt
from durian.errors import ConfigError, InputError
from durian.measuring.first_rows import check_first_rows
from durian.readers.dataset import open_dataset


@pytest.fixture(autouse=True)
def _in_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def check(rows: Sequence[dict], dataset: str = "set/a.jsonl", *, chat=None, **options) -> None:
    """Look at rows as a profile by a scripted policy would."""
    Path("set").mkdir(exist_ok=True)
    Path("set/a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Path("script.json").write_text("{}")
    config = ProfileConfig(
        dataset=dataset, out="run", engine="scripted", model="script.json", **options
    )
    asked = config if config.needs_rollouts else None
    check_first_rows(open_dataset(config.source), asked, pixel_limit=10**8, chat=chat)


def told(rows: Sequence[dict], **options) -> str:
    with pytest.raises(InputError) as caught:
        check(rows, **options)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 300
    return str(caught.value)


def row(number: int, **cells: object) -> dict:
    return {"problem": f"p{number}", "answer": "1", **cells}


NAMED = [row(n, image=f"images/{n}.png") for n in range(3)]


def test_images_that_are_not_found_name_the_folder_looked_in():
    assert told(NAMED, measures=("pixel",)) == (
        "set/a.jsonl: no image of the first 3 rows can be read; looked in set; name the images' "
        "folder with --image-root (image not found, the first: images/0.png)"
    )


@pytest.mark.parametrize("images", [[None, "0.png"], [None]])
def test_a_list_with_nothing_in_a_place_is_no_matter_of_folders(png, images):
    Path("set").mkdir()
    Path("set/0.png").write_bytes(png)
    said = told([row(n, images=images) for n in range(3)])
    assert said.endswith("; leave out of each list of images what is null (image is null)")


def test_one_place_nearby_that_has_them_is_named(png):
    Path("images").mkdir()
    Path("images/0.png").write_bytes(png)
    assert f"looked in set; pass --image-root {os.getcwd()} (image not found" in told(NAMED)


def test_of_two_places_nearby_that_have_them_none_is_named(png):
    for place in ("set/one/images", "set/two/images"):
        Path(place).mkdir(parents=True)
        Path(place, "0.png").write_bytes(png)
    assert "looked in set; name the images' folder with --image-root" in told(NAMED)


def test_where_a_link_leads_is_named(png):
    Path("disk").mkdir()
    Path("set").mkdir()
    Path("disk/0.png").write_bytes(png)
    os.symlink(os.path.abspath("disk"), "set/images")
    assert f"where a link leads out; pass --image-root {os.path.realpath('disk')} (" in told(NAMED)


def test_the_folder_of_addresses_is_to_be_named():
    rows = [row(n, image=f"https://example.org/{n}.png") for n in range(3)]
    said = told(rows)
    assert "; name the folder that they lie in with --image-root, as in s3://bucket/images" in said
    assert said.endswith("(image is a URL)")


def test_an_image_under_an_unknown_key_is_named(png):
    import base64

    text = base64.b64encode(png).decode()
    rows = [row(n, image={"src": text}) for n in range(3)]
    assert "pass --images-column image.src, which holds images (image is a dict of src" in told(
        rows
    )


def test_references_that_are_no_places_are_told(png):
    Path("set").mkdir()
    Path("set/x.png").write_bytes(png)
    rows = [row(n, image="x.png") for n in range(3)]
    for reward, what in (("iou", "a box of four numbers"), ("point", "a point of two numbers")):
        assert f"no answer of the first 3 rows is {what}" in told(rows, reward=reward)
        check([*rows, row(4, image="x.png") | {"answer": "[1, 2, 3, 4]"}], reward=reward)


def test_another_column_that_holds_images_is_named(png):
    import base64

    text = base64.b64encode(png).decode()
    rows = [{**cells, "decoded": text} for cells in NAMED]
    assert "pass --images-column decoded, which holds images (image not found" in told(rows)


def test_files_that_are_no_images_are_told_by_what_they_are():
    Path("set/images").mkdir(parents=True)
    for number in range(3):
        Path(f"set/images/{number}.png").write_text("<!DOCTYPE html><html></html>")
    assert "no image of the first 3 rows can be read: cannot decode image" in told(NAMED)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"answer": None}, "none of the first 3 rows can be asked: answer is null; problem is read "
                           "from problem, answer from answer: pass another --problem-column"),
        ({"answer": {"value": 3}}, "answer is a struct of value; name one of them"),
        ({"problem": ["x"]}, "problem is of type list, not text"),
        ({"image": {"frame": 1}}, "image is a dict of frame; it needs bytes, path, image or url"),
        ({"problem": "<image> what?"}, "has a prompt: 1 <image> mark for 0 images"),
        ({"answer": "A", "options": ["red", "blue"]},
         "the answers are letters, like 'A', and the problems do not show their options; "
         "pass --options-column options, or ''"),
        ({"problem": "<video> what?"}, "the problem holds a <video> mark; only images are read"),
        ({"answer": "<answer></answer>"}, "answer is empty"),
        ({"answer": "}"}, "no answer of the first 3 rows equals itself in a box"),
    ],
)  # fmt: skip
def test_a_column_that_cannot_serve_is_told(cells, said):
    assert said in told([{**row(n), **cells} for n in range(3)])


def test_a_question_that_cannot_be_asked_does_not_stop_the_images(png):
    Path("set").mkdir()
    Path("set/x.png").write_bytes(png)
    check([row(n, answer=None, image="x.png") for n in range(3)], measures=("pixel",))


def test_one_good_row_and_rows_of_text_are_legal(png):
    Path("set/images").mkdir(parents=True)
    Path("set/images/2.png").write_bytes(png)
    check(NAMED)
    check([row(n) for n in range(3)])
    check([row(0), row(1), row(2, image="images/absent.png")])


def test_options_that_cannot_be_read_name_their_option():
    rows = [row(n, options="red or blue") for n in range(3)]
    assert told(rows, options_column="options").endswith(
        "options are a text that is no list, nor lettered from A on; problem is read from problem, "
        "answer from answer, options from options: pass another --problem-column or "
        "--answer-column or --options-column"
    )


def test_options_that_are_shown_or_declined_are_legal():
    rows = [row(n, answer="A", options=["red", "blue"]) for n in range(2)]
    check(rows, options_column="options")
    check(rows, options_column="")
    check([{**cells, "problem": "A red, B blue?"} for cells in rows])


def test_a_template_that_refuses_every_row_is_told():
    Path("t.jinja").write_text("{{ content }} {{ row.hint.upper() }}")
    assert "has a prompt: prompt template: " in told([row(0)], prompt_template="t.jinja")
    check([row(0, hint="see")], prompt_template="t.jinja")


def test_a_reward_that_raises_on_the_first_row_is_told():
    Path("r.py").write_text("def f(x):\n    return x['reference']\n")
    assert told([row(0)], reward="r.py:f") == (
        "reward r.py:f: it raises on the first row: reward failed: KeyError: 'reference'"
    )


class NoSystem:
    """A chat whose template takes no system message, as Llama 3.2 Vision's and Gemma's."""

    def render(self, prompt):
        if any(message["role"] == "system" for message in prompt.messages):
            return RefusedPrompt("System role not supported")
        return "text"

    def notes(self, system_prompt):
        return []


def test_a_chat_template_without_a_system_role_is_told_with_the_way_out():
    with pytest.raises(ConfigError) as caught:
        check([row(0)], chat=NoSystem)
    assert str(caught.value) == (
        "System role not supported; it takes no system message: pass --system-prompt '', and say "
        "what it says in a --prompt-template"
    )
    check([row(0)], chat=NoSystem, system_prompt="")


def test_a_dataset_without_rows_is_left_to_the_scan():
    check([])
    assert list(open_dataset(DatasetConfig(dataset="set/a.jsonl")).samples()) == []
