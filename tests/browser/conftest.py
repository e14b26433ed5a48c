"""Pages in a real headless Chromium: a report of 10,000 samples; a report, and a comparison of two
runs, whose every text is hostile.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from durian.compare import compare_runs
from durian.records import as_json
from durian.report import render_run
from tests.benchmarks.synthetic_run import write_run

HOSTILE = (
    '<img src=x onerror="window.pwned=1;alert(1)"></p></article></select>\'"`'
    "<script>window.pwned=2</script><svg onload=window.pwned=3><!-- {{ 7*7 }} {% raw %} ${8*8} "
    "</style><style>body{display:none}</style> $\\frac{1}{$ \u202e \x1b[31m https://example.org/x.png"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the file; closed after it, for its event loop stands in others' way."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium)")
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=root)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[str, Path]:
    """Name -> index.html."""
    folder = tmp_path_factory.mktemp("reports")
    kinds = {
        "plain": {"n": 10_000},
        "hostile": {"n": 120, "text": HOSTILE, "column": f"a/b {HOSTILE}"},
        "later": {"n": 120, "text": HOSTILE, "column": f"a/b {HOSTILE}", "seed": 1},
    }
    with pytest.MonkeyPatch.context() as patch:
        # A page looks the same with few redraws, and weighs the same.
        patch.setattr("durian.analysis.one_run.reliability.REDRAWS", 20)
        patch.setattr("durian.analysis.two_runs.floor.REDRAWS", 10)
        for name, kind in kinds.items():
            manifest = write_run(folder / name, **kind)
            (folder / name / "manifest.json").write_text(json.dumps(as_json(manifest)))
            if name != "later":
                render_run(folder / name, manifest)
        compare_runs(folder / "hostile", folder / "later", folder / "compared")
    return {
        "plain": folder / "plain" / "report" / "index.html",
        "hostile": folder / "hostile" / "report" / "index.html",
        "compared": folder / "compared" / "index.html",
    }


class Watched:
    """A page, and all that it asked for or complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.refused: list[tuple[str, str | None]] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", lambda of: self.refused.append((of.url, of.failure)))


@pytest.fixture
def open_page(browser, reports):
    """Open a report; options are those of a browser context."""
    contexts = []

    def open_page(name, width=1000, **options) -> Watched:
        options = {"viewport": {"width": width, "height": 900}, **options}
        contexts.append(browser.new_context(**options))
        watched = Watched(contexts[-1].new_page())
        watched.page.goto(reports[name].as_uri())
        return watched

    yield open_page
    for context in contexts:
        context.close()
