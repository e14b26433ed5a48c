"""The comparison's page: whole whatever is missing, and no text of a run becomes markup."""

import re
from html.parser import HTMLParser

import pytest

from durian.compare import compare_runs
from durian.rendering.text import shown_text

SHOWN = {
    "script": "<script>alert(1)</script>",
    "attribute": '"><img src=x onerror=alert(1)>',
    "closing": "</pre></p></article></main></body><h1>gone</h1>",
    "template": "{{ 7*7 }}{% raw %}",
    "mathtext": "$\\frac{1}{$ \\boxed{",
}
# All at once, well within what the page shows of a text; and one that is not.
HOSTILE = {"all": "".join(SHOWN.values()) + "a\x1b[31mc\x7f\u202e", "long": "x" * 200_000}


class Page(HTMLParser):
    """What a browser would make of a page: its elements, attributes and text."""

    def __init__(self, path):
        super().__init__()
        self.bytes = path.read_bytes()
        self.elements, self.open, self.text = [], [], ""
        self.feed(self.bytes.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "source", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def turned(key):
    return 1 - key / 40


def compared(a, b):
    compare_runs(a, b)
    return Page(b / "compare" / "a" / "index.html")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_of_a_run_becomes_markup(run, tmp_path, name):
    text = HOSTILE[name]
    as_long = "y" * len(text)  # a long completion unfolds
    texts = {"problem": text, "text": text, "model": text, "config": {"reward": text}}
    a = run("a", error=text, **texts)
    page = compared(a, run("b", seed=1, skill=turned, **{**texts, "config": {"reward": "boxed"}}))
    plain = compared(
        a.rename(tmp_path / "old")
        and run("a", error="plain", text=as_long, config={"reward": "mine"}),
        run("c", seed=1, skill=turned, text=as_long, config={"reward": "boxed"}),
    )
    assert page.open == []  # every element is closed
    shape = [(tag, tuple(attrs)) for tag, attrs in page.elements]
    assert shape == [(tag, tuple(attrs)) for tag, attrs in plain.elements]
    for _, attrs in page.elements:
        assert not any(key.startswith("on") for key in attrs)
        assert attrs.get("src", "data:image/").startswith("data:image/")
    assert not re.search(rb'url\(|@import|href=(?!"#h-[a-z0-9-]+")', page.bytes)
    assert not set(page.text) & {"\x1b", "\x7f", "\u202e"}
    if name == "all":
        for markup in SHOWN.values():
            assert page.text.count(markup) >= 10  # of the cards, as they are
    assert shown_text(text) in page.text
    assert len(page.bytes) < 2_000_000


@pytest.mark.parametrize(
    ("a", "b", "figures"),
    [
        ({}, {}, ["flows_perceptual", "flows_reasoning", "changes", "measures"]),
        ({"scored": False}, {}, ["flows_perceptual", "measures"]),
        ({"scored": False}, {"scored": False}, ["flows_perceptual"]),
        ({"keys": [1]}, {"keys": [1]}, ["flows_perceptual", "flows_reasoning", "changes"]),
        ({"skill": lambda key: 1.0}, {"skill": lambda key: 1.0},
         ["flows_perceptual", "flows_reasoning", "changes"]),
        ({"bins": 20}, {"bins": 12}, ["flows_perceptual", "changes", "measures"]),
    ],
    ids=["whole", "A pixel only", "pixel only", "one sample", "all right", "other bins"],
)  # fmt: skip
def test_every_pair_of_runs_has_a_page_and_the_figures_its_numbers_allow(run, a, b, figures):
    page = compared(run("a", **a), run("b", seed=1, **b))
    assert page.open == []
    assert [attrs["id"] for tag, attrs in page.elements if tag == "figure"] == figures
    assert not {"None", "nan", "inf"} & set(re.findall(r"\w+", page.text))
    assert all(attrs.get("alt") for tag, attrs in page.elements if tag == "img")


def test_the_page_says_the_rule_the_verdict_and_what_to_do(run):
    page = compared(
        run("a", skill=lambda key: float(key >= 20)), run("b", skill=lambda key: float(key < 20))
    )
    text = page.text.replace("\u00a0", " ")
    assert "Profile again: A's reasoning groups" in text
    assert "the evidence is thin: only 40 samples" in text
    assert "must be more than 0.02" in text
    assert "/b" in text.split("durian train … --table ")[1].splitlines()[0]
    assert text.count("right: 0 of 4 by A, 4 of 4 by B") == 12  # of 20 learned
    assert text.count("right: 4 of 4 by A, 0 of 4 by B") == 12
