"""The report page: whole whatever is missing, safe whatever the data says, the same each time."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from PIL import Image

from durian.rendering.text import CLIP, shown_text

GROUPS = ["perceptual", "reasoning", "joint"]
ASSOCIATION = ["auroc", "risk_coverage"]
VOID = {"meta", "img", "source"}
FREE = {"alt", "src", "srcset", "aria-label", "data-value", "value"}  # of a page's own making


class Page(HTMLParser):
    """What a browser would make of a page: its elements, attributes and text."""

    def __init__(self, folder):
        super().__init__()
        self.bytes = (folder / "index.html").read_bytes()
        self.elements, self.open, self.text, self.script = [], [], "", ""
        self.feed(self.bytes.decode("utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            self.script += data
        elif self.open[-1:] != ["style"]:
            self.text += data

    def shape(self):
        """Elements and attribute names, with the values that a page may run or load."""
        return [
            (tag, tuple(attrs), {k: (v or "")[:30] for k, v in attrs.items() if k not in FREE})
            for tag, attrs in self.elements
        ]


def pixel_only(rows):
    kept = ("sample_id", "row", "problem", "answer", "pixel_entropy", "perceptual_group")
    return [{name: row[name] for name in kept} for row in rows]


def failed(rows):
    kept = ("sample_id", "row", "problem", "answer")
    return [{name: row[name] for name in kept} | {"error": "does not decode"} for row in rows]


def without(*names):
    return lambda rows: [{k: v for k, v in row.items() if k not in names} for row in rows]


def all_of(pass_rate):
    return lambda rows: [row | {"pass_rate": pass_rate} for row in rows]


LAST = ["pass_rates", "gradient"]
# what is rendered -> the figures it allows
CASES = {
    "normal": (lambda rows: rows, ["curves", *GROUPS, *ASSOCIATION, *LAST]),
    "pixel only": (pixel_only, ["spread-pixel-entropy"]),
    "all failed": (failed, []),
    "no sample": (lambda rows: [], []),
    "one sample": (lambda rows: rows[:1], [*GROUPS, "pass_rates"]),
    "all right": (all_of(1.0), ["curves", *GROUPS, "pass_rates"]),
    "all wrong": (all_of(0.0), ["curves", *GROUPS, "pass_rates"]),
    "no perceptual group": (
        without("pixel_entropy", "perceptual_group"),
        ["curves", "reasoning", *ASSOCIATION, *LAST],
    ),
    "no reasoning group": (
        without("reasoning_group"), ["curves", "perceptual", *ASSOCIATION, *LAST],
    ),
    "an empty group": (
        lambda rows: [row for row in rows if row["perceptual_group"] != "hard"],
        ["curves", *GROUPS, *ASSOCIATION, *LAST],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_every_run_has_a_page_and_the_figures_its_numbers_allow(rows, write, laid_out, case):
    change, figures = CASES[case]
    folder = write(change(rows))
    page = Page(folder)
    assert page.open == []  # every element is closed
    assert [attrs["id"] for tag, attrs in page.elements if tag == "figure"] == figures
    names = {f"{name}.{kind}" for name in figures for kind in ("svg", "png")}
    assert {path.name for path in folder.iterdir()} == {*names, "index.html", "summary.json"}

    def refuse(constant):
        raise AssertionError(f"{constant} in summary.json")

    summary = json.loads((folder / "summary.json").read_text(), parse_constant=refuse)
    assert all(sentence in page.text.replace("\u00a0", " ") for sentence in summary["sentences"])
    assert not {"None", "nan", "inf"} & set(re.findall(r"\w+", page.text))


def test_a_page_of_images_alone_says_what_was_measured_and_claims_no_more(rows, write, laid_out):
    page = Page(write(pixel_only(rows)))
    assert not re.search(r"hard to see|is hard in|easy to see", page.text)
    assert "What was measured in shapes" in page.text
    assert "durian profile … --model MODEL --measures pixel,confidence" in page.text


def test_samples_in_no_group_are_a_row_of_the_groups_beside_their_errors(rows, write, laid_out):
    lost = [{**row, "perceptual_group": None} if row["row"] < 3 else row for row in rows]
    page = Page(write(lost))
    # The first three are right in all of their 4 completions.
    assert re.search(r"no group\s*3\s*12\s*0\s*0\.0 %", page.text.replace("\u00a0", " "))


HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": '"><img src=x onerror=alert(1)>',
    "quote": "' onmouseover='alert(1)",
    "closing": "</pre></p></article></main></body><h1>gone</h1>",
    "comment": "<!-- ",
    "style": "</style><style>*{display:none}</style>",
    "template": "{{ 7*7 }}{% raw %}",
    "entity": "&lt;script&gt;&#60;b&#62;",
    "control": "a\x00b\x1b[31mc\x7f",
    "surrogate": "\ud800 and \udfff",
    "direction": "abc\u202edef\u2066",
    "reference": "https://example.org/x.png http://example.org",
    "long": "x" * 1_000_000,
    "mathtext": "$\\frac{1}{$ \\boxed{",
}


def assert_harmless(page, plain):
    """The page has the elements of the plain one, and loads and runs nothing."""
    assert page.shape() == plain.shape()
    assert {tag for tag, _ in page.elements}.isdisjoint({"iframe", "object", "link"})
    assert page.script == plain.script and [tag for tag, _ in page.elements].count("script") == 1
    for _, attrs in page.elements:
        assert not any(key.startswith("on") for key in attrs)
        assert attrs.get("src", "data:image/").startswith("data:image/")
    assert not re.search(rb'url\(|@import|href=(?!"#h-[a-z0-9-]+")', page.bytes)
    assert not set(page.text) & {*map(chr, range(9)), "\x1b", "\x7f", "\u202e", "\u2066"}
    assert len(page.bytes) < 2_000_000


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_of_the_dataset_becomes_markup(rows, write, name):
    text = HOSTILE[name]
    hostile = [row | {"problem": text, "answer": text} for row in pixel_only(rows)]
    page = Page(write(hostile, folder="hostile", name=text, model=text))
    assert_harmless(page, Page(write(pixel_only(rows))))
    if name in ("script", "attribute", "quote", "closing", "template", "entity", "mathtext"):
        assert page.text.count(text) >= 30  # problem and answer of 15 cards, as they are
    assert "49" not in page.text or name != "template"  # 7 * 7 was not worked out


def test_no_completion_becomes_markup(rows, write, no_figures):
    plain = Page(write(rows, "y" * 5_000))  # as long: both unfold
    page = Page(write(rows, "".join(HOSTILE.values()), "hostile"))
    assert_harmless(page, plain)
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize("name", ["script", "attribute", "control", "direction", "long"])
def test_no_reason_of_a_failure_becomes_markup(rows, write, name):
    text = HOSTILE[name]
    seen = pixel_only(rows)
    page = Page(write([row | {"error": text} for row in seen]))
    assert_harmless(page, Page(write([row | {"error": "plain"} for row in seen], folder="plain")))
    assert shown_text(text) in page.text


def test_an_id_of_the_dataset_stays_within_its_attribute(rows, write):
    seen = pixel_only(rows)
    odd = [row | {"sample_id": f'{row["row"]}"><script>x</script>'} for row in seen]
    page = Page(write(odd))
    assert_harmless(page, Page(write(seen, folder="plain")))
    alts = [
        attrs["alt"] for tag, attrs in page.elements if attrs.get("alt", "").startswith("Image")
    ]
    assert alts and all('"><script>' in alt for alt in alts)


def test_the_page_forbids_itself_to_load_anything(rows, write):
    page = Page(write(pixel_only(rows)))
    policies = [
        attrs["content"]
        for tag, attrs in page.elements
        if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    # The hash of the one script, as `openssl dgst -sha256 -binary page.js | base64` gives it.
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert policies == [
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]


def test_equal_runs_give_equal_bytes_and_figures_are_files_of_both_kinds(rows, write):
    one, other = write(rows), write(rows, folder="other")
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name
    for png in one.glob("*.png"):
        with Image.open(png) as image:
            assert image.format == "PNG" and image.width == 1280  # 8 inches of 160 pixels
        assert ElementTree.parse(png.with_suffix(".svg")).getroot().get("width") == "576pt"


def test_a_second_report_takes_the_place_of_the_first(rows, write, no_figures):
    write(rows)
    page = Page(write(pixel_only(rows)))
    assert "median" in page.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, "–"),
        ("", ""),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("bell\x07", "bell\\x07"),
        ("\ud800", "\\ud800"),
        ("\u202e", "\\u202e"),
        ("\U000e0041", "\\U000e0041"),  # an unseen tag character
        ("全角\u3000空白 naïve\u00a0é", "全角\u3000空白 naïve\u00a0é"),
        # Joiners are part of words and emoji.
        ("می\u200cخواهم 👩\u200d🔬", "می\u200cخواهم 👩\u200d🔬"),
        ("x" * (CLIP + 1), "x" * (CLIP - 1) + "…"),
        ("x" * CLIP, "x" * CLIP),
    ],
)  # fmt: skip
def test_text_is_shown_as_it_is_but_for_what_cannot_be_seen(text, shown):
    assert shown_text(text) == shown
