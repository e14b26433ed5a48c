"""The viewer in a real browser: the planted run, a hostile one, and one of 100,000 samples."""

import contextlib
import json
import re
import shlex
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from playwright.sync_api import expect

from durian.config import ViewConfig
from durian.records import as_json
from durian.report import render_run
from durian.table.checked import check_manifest
from durian.viewer.opened import open_to_view
from durian.viewer.static import write_folder
from tests.benchmarks.synthetic_run import write_run
from tests.browser.conftest import HOSTILE, Watched
from tests.browser.test_report_page import OVERFLOW, luminance
from tests.cli.in_process import durian
from tests.viewer.planted import IDS, write_planted
from tests.viewer.served import served

MANY = 100_000
PROBLEMS = (
    "() => [...document.querySelectorAll('[data-place]')].map(one => Number(one.dataset.place))"
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("viewed")
    found = {"planted": write_planted(folder / "planted")}
    found["later"] = write_planted(folder / "later", model="later", improved=True)
    kinds = {
        "many": {"n": MANY, "pictures": False},
        "hostile": {"n": 60, "text": HOSTILE, "column": f"a/b {HOSTILE}"},
    }
    for name, kind in kinds.items():
        made = write_run(folder / name, **kind)
        (folder / name / "manifest.json").write_text(json.dumps(as_json(made)))
        found[name] = folder / name
    with pytest.MonkeyPatch.context() as patch:
        # For the numbers of the charts; the figures of the report are not looked at.
        patch.setattr("durian.analysis.one_run.reliability.REDRAWS", 10)
        patch.setattr("durian.rendering.page.encode_figure", lambda *_: b"")
        render_run(found["hostile"], check_manifest(found["hostile"]))
    return found


@pytest.fixture(scope="module")
def addresses(runs, tmp_path_factory):
    """Name -> address, of each run and of the planted one beside a later one."""
    marks = tmp_path_factory.mktemp("marks") / "marks.jsonl"
    with contextlib.ExitStack() as stack:
        found = {
            "planted": stack.enter_context(served(runs["planted"], marks=marks)),
            "both": stack.enter_context(served(runs["planted"], run_b=runs["later"])),
            "many": stack.enter_context(served(runs["many"])),
            "hostile": stack.enter_context(served(runs["hostile"])),
        }
        yield {**found, "marks": marks}


@pytest.fixture
def look(browser, addresses):
    """Open the viewer at a part of an address; options are those of a browser context."""
    contexts = []

    def look(name, at="", width=1400, **options) -> Watched:
        options = {"viewport": {"width": width, "height": 900}, **options}
        contexts.append(browser.new_context(**options))
        watched = Watched(contexts[-1].new_page())
        watched.page.set_default_timeout(120_000)
        watched.page.goto(addresses.get(name, name) + at)
        drawn(watched.page)
        return watched

    yield look
    for context in contexts:
        context.close()


def drawn(page):
    """Wait until what was asked for last is drawn; gives the page."""
    page.locator("#app:not([aria-busy])").wait_for(state="attached")
    return page


def shown(page):
    return drawn(page).evaluate(PROBLEMS)


def view_of(page):
    return json.loads(parse_qs(urlsplit(page.url).query)["view"][0])


def test_a_header_sorts_and_the_address_brings_the_same_order_back(look):
    page = look("planted").page
    assert shown(page) == [2, 3, 1, 4, 5, 0]  # by pass rate, the hardest first
    header = page.get_by_role("columnheader", name="row", exact=False).first
    header.get_by_role("button").click()
    assert shown(page) == [0, 1, 2, 3, 4, 5]
    header.get_by_role("button").click()
    assert shown(page) == [5, 4, 3, 2, 1, 0]
    assert header.get_attribute("aria-sort") == "descending"
    again = look(page.url).page
    assert shown(again) == [5, 4, 3, 2, 1, 0] and view_of(again) == {"sort": "row", "down": True}
    page.go_back()
    assert shown(page) == [0, 1, 2, 3, 4, 5]


def test_filters_narrow_together_and_a_chip_takes_one_away(look):
    page = look("planted").page
    page.get_by_label("looks", exact=True).check()
    assert sorted(shown(page)) == [1, 2, 5]
    page.get_by_label("pass_rate, most").fill("0.25")
    page.get_by_label("pass_rate, most").press("Enter")
    assert sorted(shown(page)) == [1, 2]
    assert page.get_by_role("status").text_content() == "2 samples of 6"
    page.get_by_label("SQL condition").fill("level > 2")
    page.get_by_label("SQL condition").press("Enter")
    assert shown(page) == [2]
    page.get_by_role("button", name="Remove: topic: looks").click()
    assert sorted(shown(page)) == [2, 3]
    page.get_by_label("SQL condition").fill("levle > 2")
    page.get_by_label("SQL condition").press("Enter")
    assert "did you mean 'level'" in page.get_by_role("alert").text_content()


def test_a_brush_over_a_histogram_filters_and_the_other_bars_follow(look):
    page = look("planted").page
    box = page.locator(".facet", has_text="pass_rate").locator("svg").bounding_box()
    # Five bars: 0, 1/4, 1/2, 3/4, 1. From the middle of the second to that of the third.
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
    page.mouse.up()
    assert sorted(shown(page)) == [1, 4]
    assert view_of(page)["where"] == [{"column": "pass_rate", "low": 0.25, "high": 0.5}]
    topics = page.locator(".facet", has_text="topic").locator(".count").all_text_contents()
    assert topics == ["1 of 3", "1 of 3"]


def test_search_goes_over_problems_answers_and_completions(look):
    page = look("planted").page
    page.keyboard.press("/")
    page.keyboard.type("SAMPLE 3, draw 2")
    page.keyboard.press("Enter")
    assert shown(page) == [3]


def test_a_sample_shows_its_image_formulas_and_every_completion_whole(look):
    watched = look("planted", f"?sample={IDS[0]}")
    page = watched.page
    assert page.locator(".problem math").count() == 2
    assert page.locator(".problem msup").count() == 1
    assert page.locator(".problem").text_content().startswith("[image 1] What is")
    said = page.locator(".said")
    assert said.count() == 6  # two of them blind
    assert page.get_by_role("heading", name="Without the image").is_visible()
    assert all(
        " and so on" * 60 in text for text in said.locator(".completion").all_text_contents()
    )
    assert said.nth(0).locator(".mark").text_content() == "right"
    assert "reward 1" in said.nth(0).text_content() and "10 tokens" in said.nth(0).text_content()
    sizes = page.eval_on_selector(".shots img", "img => [img.naturalWidth, img.naturalHeight]")
    assert sizes == [400, 300]
    assert "without the image 1 of 2 are right" in page.text_content("main")
    page.locator(".shots button").click()
    page.get_by_label("Larger").click()
    page.get_by_label("Larger").click()
    assert page.eval_on_selector("dialog img", "img => img.getBoundingClientRect().width") == 800
    page.keyboard.press("Escape")
    page.get_by_role("button", name="as written").click()
    drawn(page)
    assert "$x^2 = 4$" in page.text_content(".problem")
    # Samples over the same image come first.
    page.locator(".card", has_text="same image").wait_for()
    assert "Which colour?" in page.locator(".card").first.text_content()
    assert watched.complaints == []


def test_the_keyboard_walks_opens_marks_and_comes_back(look, addresses):
    page = look("planted").page
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    assert drawn(page).text_content(".problem").endswith("Which colour?")
    page.keyboard.press("1")
    page.locator("button[aria-pressed=true]", has_text="label wrong").wait_for()
    page.keyboard.press("j")
    page.locator(".problem", has_text="Half of 1?").wait_for()
    page.keyboard.press("m")
    page.locator("button[aria-pressed=true]", has_text="marked").wait_for()
    page.keyboard.press("0")
    page.locator(".seg button[aria-pressed=true]").wait_for(state="detached")
    page.keyboard.press("Escape")
    assert shown(page) == [2, 3, 1, 4, 5, 0]
    assert page.locator("tr.current").get_attribute("data-place") == "4"
    held = [json.loads(line) for line in addresses["marks"].read_text().splitlines()]
    assert held == [{"sample_id": IDS[1], "verdict": "label wrong", "note": ""}]
    page.get_by_label("(none)", exact=True).last.check()  # those without a verdict
    assert shown(page) == [2, 3, 4, 5, 0]
    page.keyboard.press("g")
    assert drawn(page).locator(".card").count() == 5


def test_ids_are_saved_and_the_lines_export_them(look, runs, tmp_path):
    page = look("planted").page
    page.get_by_label("sums", exact=True).check()
    drawn(page).get_by_text("Save or copy these samples").click()
    page.get_by_label("How many of them").fill("2")
    with page.expect_download() as download:
        page.get_by_text("ids.parquet", exact=True).click()
    download.value.save_as(tmp_path / "ids.parquet")
    assert pl.read_parquet(tmp_path / "ids.parquet")["sample_id"].to_list() == [IDS[3], IDS[4]]
    line = page.get_by_label("Line to copy")
    page.get_by_role("button", name="As --filter").click()
    expect(line).to_have_value("--filter '\"topic\" IN ('\"'\"'sums'\"'\"')'")
    page.get_by_role("button", name="Export line of ids.parquet").click()
    # The very line, in a folder where the browser has saved the file.
    words = shlex.split(line.input_value())
    assert words[:2] == ["durian", "export"] and words[3:5] == ["--ids", "ids.parquet"]
    with contextlib.chdir(tmp_path):
        assert durian(*words[1:], "--quiet")[0] == 0
    rows = (tmp_path / "exported" / "train.jsonl").read_text().splitlines()
    assert sorted(json.loads(row)["sample_id"] for row in rows) == sorted([IDS[3], IDS[4]])


def test_a_bar_a_cell_and_a_point_of_the_charts_pick_the_samples_they_count(look):
    page = look("hostile", "?mode=charts").page
    marks = page.locator(".charts [role=button]")
    labels = marks.evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    told = {
        "bar": next(k for k, label in enumerate(labels) if label.startswith("medium: ")),
        "cell": next(k for k, label in enumerate(labels) if ", bin " in label),
        "point": next(k for k, label in enumerate(labels) if label.startswith("near ")),
    }
    for what, k in told.items():
        count = int(re.search(r"([\d,]+) samples?$", labels[k])[1])
        marks.nth(k).focus()
        page.keyboard.press("Enter")
        drawn(page)
        assert page.get_by_role("status").text_content().startswith(f"{count} sample"), what
        assert len(view_of(page)["where"]) == (2 if what == "cell" else 1)
        page.go_back()
        drawn(page)


def test_two_runs_stand_side_by_side(look):
    page = look("both").page
    page.get_by_label("learned", exact=True).check()
    assert shown(page) == [3, 1]
    page.locator("[data-place]").first.click()
    drawn(page)
    heads = page.get_by_role("heading", level=2).all_text_contents()
    assert sum(head.startswith("Completions, ") for head in heads) == 2
    assert "Both runs: learned" in heads
    rates = page.locator("tr", has=page.locator("th", has_text="pass_rate")).first
    assert rates.locator("td").all_text_contents() == ["0", "1"]


@pytest.mark.parametrize("at", ["", "?mode=grid", "?sample=" + "0" * 32])
def test_nothing_of_the_data_runs_and_all_of_it_is_shown(look, at):
    watched = look("hostile", at)
    page = watched.page
    shows = "main [data-place], main .completion"
    page.locator(shows, has_text="<script>window.pwned=2</script>").first.wait_for()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.pwned") is None
    own = urlsplit(page.url).netloc
    assert {urlsplit(url).netloc for url in watched.requests} == {own}
    # Images that are not there are the one complaint: a browser writes each 404 down.
    assert [text for text in watched.complaints if "404" not in text] == []
    assert "\\u202e" in page.text_content("main")


def test_a_policy_stands_behind_the_page(look):
    watched = look("planted")
    for script in (
        "document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}))",
        "try { document.body.innerHTML = '<p>' } catch { window.kept = true }",
        "fetch('https://example.org/').catch(() => { window.apart = true })",
    ):
        watched.page.evaluate(script)
    assert watched.page.evaluate("window.kept") is True
    assert watched.page.evaluate("window.apart") is True
    assert watched.refused == [("https://example.org/x.png", "csp")]


@pytest.mark.parametrize("name", ["planted", "hostile"])
@pytest.mark.parametrize("width", [1400, 420])
def test_no_page_scrolls_sideways(look, name, width):
    first = IDS[0] if name == "planted" else "0" * 32
    page = look(name, width=width).page
    for at in ("table", "grid", "charts"):
        page.evaluate(f"go({{mode: '{at}', sample: null}})")
        drawn(page)
        assert page.evaluate(OVERFLOW) == 0, at
    page.evaluate(f"go({{sample: '{first}'}})")
    drawn(page)
    assert page.evaluate(OVERFLOW) == 0


@pytest.mark.parametrize(("scheme", "dark"), [("dark", True), ("light", False)])
def test_the_page_follows_the_readers_colours(look, scheme, dark):
    page = look("planted", color_scheme=scheme).page
    paper, ink = page.evaluate(
        "() => ['backgroundColor', 'color'].map(what => getComputedStyle(document.body)[what])"
    )
    assert (luminance(paper) < 0.2, luminance(ink) > 0.8) == (dark, dark)


def test_a_hundred_thousand_samples_are_sorted_filtered_and_paged(look, runs):
    page = look("many").page
    assert page.get_by_role("status").text_content() == "100,000 samples of 100,000"
    table = pl.read_parquet(runs["many"] / "difficulty.parquet", columns=["row", "pass_rate"])
    hardest = table.sort("pass_rate", maintain_order=True)["row"].to_list()
    assert shown(page) == hardest[:50]
    page.get_by_role("button", name="later →").first.click()
    assert shown(page) == hardest[50:100]
    page.get_by_label("hard", exact=True).check()
    assert len(shown(page)) == 50
    page.get_by_label("Search").fill("(77777)")
    page.get_by_label("Search").press("Enter")
    assert shown(page) in ([], [77777])
    assert page.locator("[data-place]").count() <= 50


def test_a_written_folder_shows_sorts_filters_and_finds_without_a_server(look, runs, tmp_path):
    config = ViewConfig(run=runs["planted"], static=tmp_path / "shared", limit=4)
    made = write_folder(open_to_view(config), tmp_path / "shared", 4)
    assert (made["samples"], made["of"], made["images"]) == (4, 6, 4)
    watched = look((tmp_path / "shared" / "index.html").as_uri())
    page = watched.page
    assert shown(page) == [2, 3, 1, 4]
    page.get_by_role("columnheader", name="row").get_by_role("button").click()
    assert shown(page) == [1, 2, 3, 4]
    page.get_by_label("sums", exact=True).check()
    assert shown(page) == [3, 4]
    page.get_by_label("Search").fill("DRAW 3")
    page.get_by_label("Search").press("Enter")
    page.locator("[data-place]").first.click()
    drawn(page)
    assert page.locator(".said").count() == 4
    assert page.eval_on_selector(".shots img", "img => img.naturalWidth") == 400
    assert watched.complaints == [] and all(url.startswith("file:") for url in watched.requests)
