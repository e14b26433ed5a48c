"""What a reader meets: nothing loads or runs from outside, tables sort, the gallery selects."""

import io
import re

import numpy as np
import pytest
from PIL import Image

UNFOLD = "document.querySelectorAll('details').forEach(details => details.open = true)"
SHELF_KEYS = "() => [...document.querySelectorAll('#shelf option')].map(option => option.value)"
# The samples on a shelf by what the cards say, in the order of the shelf.
ON_SHELF = """key => [...document.querySelectorAll('article')]
  .map(card => [new Map(card.dataset.shelves.split(' ').map(at => at.split(':'))).get(key), card])
  .filter(([place]) => place !== undefined).sort(([a], [b]) => a - b)
  .map(([, card]) => card.querySelector('.problem').textContent)"""
VISIBLE = """() => [...document.querySelectorAll('article')].filter(card => card.offsetParent)
  .map(card => card.querySelector('.problem').textContent)"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def column(page, table, number):
    """Texts of one column of a table, from the top."""
    return page.eval_on_selector_all(
        f"{table} tbody tr", f"rows => rows.map(row => row.cells[{number}].textContent)"
    )


def select_all_shelves(page):
    for key in page.evaluate(SHELF_KEYS):
        page.select_option("#shelf", key)


@pytest.mark.parametrize("name", ["plain", "hostile", "compared"])
def test_nothing_is_loaded_and_nothing_of_the_data_runs(open_page, reports, name):
    watched = open_page(name)
    watched.page.evaluate(UNFOLD)
    select_all_shelves(watched.page)
    outside = [url for url in watched.requests if not url.startswith("data:image/")]
    assert outside == [reports[name].as_uri()]
    assert watched.complaints == []
    assert watched.page.evaluate("window.pwned") is None


def test_hostile_texts_are_shown_as_they_are(open_page):
    page = open_page("hostile").page
    page.evaluate(UNFOLD)
    page.select_option("#shelf", "all")
    # As written, but for characters that cannot be seen.
    shown = (
        "<script>window.pwned=2</script><svg onload=window.pwned=3><!-- {{ 7*7 }} {% raw %} ${8*8}"
    )
    for where in ("article .problem", "article .said", "article b", "h1", ".lead", "select"):
        texts = page.eval_on_selector_all(where, "all => all.map(one => one.textContent)")
        assert any("<img src=x onerror=" in text for text in texts), where
    assert shown in page.text_content("article .said")
    slices = page.text_content("#slices ~ details table")
    assert "a/b <img src=x onerror=" in slices  # a column's name
    assert "<img src=x onerror=" in page.text_content("section:has(> h2:text('What failed'))")
    assert "\\u202e \\u001b[31m" in page.text_content("pre:has-text('fingerprint')")
    assert page.locator("body").evaluate("body => getComputedStyle(body).display") == "block"


def test_hostile_texts_of_a_comparison_are_shown_as_they_are(open_page):
    page = open_page("compared").page
    page.evaluate(UNFOLD)
    for where in ("article .problem", "article .said", "article b", "header, main > p"):
        texts = page.eval_on_selector_all(where, "all => all.map(one => one.textContent)")
        assert any("<img src=x onerror=" in text for text in texts), where


@pytest.mark.parametrize("width", [1000, 420, 320])
def test_a_comparison_never_scrolls_sideways(open_page, width):
    page = open_page("compared", width=width).page
    page.evaluate(UNFOLD)
    assert page.evaluate(OVERFLOW) == 0


def test_a_policy_stands_between_the_page_and_the_world(open_page):
    watched = open_page("plain")
    for script in (
        "document.body.append(Object.assign(new Image(), {src: 'https://example.org/x.png'}))",
        "document.body.insertAdjacentHTML('beforeend', '<p id=bad onclick=window.pwned=1>x</p>');"
        "document.getElementById('bad').click()",
    ):
        watched.page.evaluate(script)
    assert watched.page.evaluate("window.pwned") is None
    assert watched.refused == [("https://example.org/x.png", "csp")]
    assert len(watched.complaints) == 2
    assert all("Content Security Policy" in said for said in watched.complaints)


def test_a_header_sorts_by_value_and_again_the_other_way(open_page):
    page = open_page("plain").page
    page.evaluate(UNFOLD)
    table = "#perceptual ~ details table"
    assert column(page, table, 0) == ["easy", "medium", "hard"]
    header = page.locator(f"{table} thead th").nth(5)  # "wrong within": 47.1 % (44.0 to 50.2)
    for direction in ("ascending", "descending"):
        header.get_by_role("button").click()
        assert header.get_attribute("aria-sort") == direction
        rates = [float(text.split()[0]) for text in column(page, table, 5)]
        assert rates == sorted(rates, reverse=direction == "descending")
    group = page.locator(f"{table} thead th").nth(0)
    group.get_by_role("button").click()
    # By how hard they are, not by the alphabet.
    assert column(page, table, 0) == ["easy", "medium", "hard"]
    assert header.get_attribute("aria-sort") == "none"


def test_numbers_sort_as_numbers_by_the_keyboard_and_what_is_missing_stays_last(open_page):
    page = open_page("plain").page
    page.evaluate(UNFOLD)
    table = "#auroc ~ details table:first-of-type"
    header = page.locator(f"{table} thead th").nth(4)
    # One measure that has no number.
    page.evaluate(
        """() => { const cell = document.querySelector('#auroc ~ details table tbody tr').cells[4];
        delete cell.dataset.value; cell.dataset.missing = ''; cell.textContent = '–'; }"""
    )
    header.get_by_role("button").focus()
    for direction in ("ascending", "descending"):
        page.keyboard.press("Enter")
        assert header.get_attribute("aria-sort") == direction
        *known, last = column(page, table, 4)
        assert last == "–"
        values = [float(text.split()[0]) for text in known]
        assert values == sorted(values, reverse=direction == "descending")
    # 2,455 samples are more than 980.
    samples = page.locator("#slices ~ details table thead th").nth(2)
    samples.get_by_role("button").click()
    counts = [int(text.replace(",", "")) for text in column(page, "#slices ~ details table", 2)]
    assert counts == sorted(counts)


def test_the_gallery_shows_the_shelf_that_is_chosen(open_page):
    page = open_page("plain").page
    keys = page.evaluate(SHELF_KEYS)
    assert {"never", "sure-wrong", "both", "see", "reason", "neither", "group-hard", "bin-0"} <= {
        *keys
    }
    for key in keys[:-1]:
        page.select_option("#shelf", key)
        chosen = page.evaluate(VISIBLE)
        assert chosen == page.evaluate(ON_SHELF, key) and chosen
        assert page.text_content("#picked").startswith(f"{len(chosen)} sample")
    page.select_option("#shelf", "all")
    assert len(page.evaluate(VISIBLE)) == page.locator("article").count()


def test_the_gallery_is_reached_by_the_keyboard(open_page):
    page = open_page("plain").page
    page.locator("#shelf").focus()
    before = page.text_content("#picked")
    page.keyboard.press("ArrowDown")
    assert page.text_content("#picked") != before
    outline = page.eval_on_selector("#shelf", "select => getComputedStyle(select).outlineWidth")
    assert outline == "2px"


def test_without_a_script_everything_is_shown(open_page):
    page = open_page("plain", java_script_enabled=False).page
    cards = page.locator("article")
    assert cards.count() > 40
    assert all(card.is_visible() for card in cards.all()[:: cards.count() // 5])
    assert not page.locator("#shelf").is_visible()
    assert page.locator("thead button").count() == 0


@pytest.mark.parametrize("name", ["plain", "hostile"])
@pytest.mark.parametrize("width", [1000, 420, 320])
def test_the_page_never_scrolls_sideways(open_page, name, width):
    page = open_page(name, width=width).page
    page.evaluate(UNFOLD)
    page.select_option("#shelf", "all")
    assert page.evaluate(OVERFLOW) == 0


def test_a_phone_gets_figures_drawn_for_it(open_page):
    phone, desk = (open_page("plain", width=width).page for width in (420, 1000))
    for page, tall in ((phone, True), (desk, False)):
        sizes = page.eval_on_selector_all(
            "figure img", "all => all.map(img => [img.naturalWidth, img.naturalHeight])"
        )
        assert sizes and all(width > 0 for width, _ in sizes)
        # 4.2 inches of 96 pixels, or 8.
        assert {width for width, _ in sizes} == ({403} if tall else {768})


def luminance(colour):
    """Of 'rgb(23, 23, 26)', from 0 to 1."""
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / (3 * 255)


def brightness(page, selector):
    """Median gray level of a part of the page as it is shown, 0 to 255: that of its ground."""
    with Image.open(io.BytesIO(page.locator(selector).first.screenshot())) as shot:
        return float(np.median(np.asarray(shot.convert("L"))))


@pytest.mark.parametrize(("scheme", "dark"), [("dark", True), ("light", False)])
def test_the_page_and_its_figures_follow_the_readers_colours(open_page, scheme, dark):
    page = open_page("plain", color_scheme=scheme).page
    paper, ink = page.evaluate(
        """() => { const body = getComputedStyle(document.body);
        return [body.backgroundColor, body.color] }"""
    )
    assert (luminance(paper) < 0.2, luminance(ink) > 0.8) == (dark, dark)
    level = brightness(page, "#curves img")
    assert level < 40 if dark else level == 255
    # Numbers in a heat map stand on its own colours: they are black or white in both.
    with Image.open(io.BytesIO(page.locator("#joint img").first.screenshot())) as shot:
        inner = np.asarray(shot.convert("L"))[60:-100, 120:-160]
    assert inner.min() < 20


def test_paper_shows_what_is_folded_and_no_controls(open_page):
    page = open_page("plain", color_scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    assert luminance(page.eval_on_selector("body", "b => getComputedStyle(b).backgroundColor")) == 1
    assert brightness(page, "#curves img") == 255
    tables = page.locator("details table")
    assert all(table.bounding_box()["height"] > 20 for table in tables.all())
    assert not page.locator("#shelf").is_visible()
    assert not any(summary.is_visible() for summary in page.locator("summary").all())
    breaks = page.eval_on_selector_all(
        "article, figure", "all => all.map(one => getComputedStyle(one).breakInside)"
    )
    assert set(breaks) == {"avoid"}
    assert page.pdf()[:5] == b"%PDF-"


def test_everything_has_a_name_for_those_who_do_not_see_it(open_page):
    page = open_page("plain").page
    alts = page.eval_on_selector_all("img", "all => all.map(img => img.alt)")
    assert len(alts) > 40 and all(alts)
    scopes = page.eval_on_selector_all("th", "all => all.map(th => th.scope)")
    assert set(scopes) == {"col", "row"}
    assert page.get_by_label("Show", exact=True).get_attribute("id") == "shelf"
    levels = page.eval_on_selector_all("h1, h2", "all => all.map(h => h.tagName)")
    assert levels[0] == "H1" and set(levels[1:]) == {"H2"}
    assert page.get_attribute("html", "lang") == "en"


def test_ten_thousand_samples_make_a_page_of_five_megabytes_at_most(open_page, reports):
    assert reports["plain"].stat().st_size <= 5_000_000
    page = open_page("plain").page
    assert "10,000 samples" in page.text_content(".sub")
    assert 60 <= page.locator("article").count() <= 130


def test_the_contents_lead_to_each_part_and_stand_beside_the_page_where_there_is_room(open_page):
    page = open_page("plain", width=1400).page
    links = page.locator("nav a")
    assert links.all_text_contents() == page.locator("main h2").all_text_contents()
    left, main = page.locator("nav").bounding_box(), page.locator("main").bounding_box()
    assert left["x"] + left["width"] <= main["x"] and abs(left["y"]) < 5
    links.last.click()
    heading = page.locator("main h2").last
    page.wait_for_function("y => scrollY > y", arg=1000)
    assert heading.evaluate("h => location.hash === '#' + h.id")
    page.set_viewport_size({"width": 420, "height": 800})
    assert not links.first.is_visible()  # folded
    page.get_by_text("Contents").click()
    assert links.first.is_visible()
    assert page.evaluate(OVERFLOW) <= 0


def test_a_command_of_advice_is_copied_or_marked_to_be(open_page):
    page = open_page("plain").page
    command = page.locator(".advice pre").first
    command.locator("xpath=following-sibling::button").click()
    got = page.wait_for_function(
        "() => document.querySelector('.copy').textContent === 'Copied' ? 'copied'"
        " : getSelection().toString()"
    ).json_value()
    assert got in ("copied", command.text_content())
