"""The report of 10,000 samples: seconds to make it, megabytes, seconds until it is drawn."""

import os
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import sync_playwright

from durian.report import render_run
from tests.benchmarks.synthetic_run import write_run

SAMPLES, OPENINGS = 10_000, 5


def run() -> list[dict[str, Any]]:
    """One report, opened from disk in a fresh tab five times."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_run(Path(folder) / "run", SAMPLES)
        begun = time.perf_counter()
        render_run(Path(folder) / "run", manifest)
        made = time.perf_counter() - begun
        page = Path(folder) / "run" / "report" / "index.html"
        size = page.stat().st_size / 1e6
        opened = _open(page)
    what = f"report of {SAMPLES:,} samples"
    return [
        {"what": f"{what}: seconds to make", "value": made, "aim": "-", "detail": "all of it"},
        {"what": f"{what}: megabytes", "value": size, "aim": "<= 5", "detail": "index.html"},
        {
            "what": f"{what}: seconds to open",
            "value": median(opened) if opened else float("nan"),
            "aim": "<= 1",
            "detail": f"median of {len(opened)}: every image decoded, one frame drawn"
            if opened
            else "no chromium on this machine",
        },
    ]


def _open(page: Path) -> list[float]:
    chromium = shutil.which("chromium")
    if chromium is None:
        return []
    seconds = []
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=root)
        for _ in range(OPENINGS):
            tab = browser.new_page()
            begun = time.perf_counter()
            tab.goto(page.as_uri())
            tab.evaluate(
                """async () => {
                  await Promise.all([...document.images].map(image => image.decode()));
                  await new Promise(requestAnimationFrame);
                }"""
            )
            seconds.append(time.perf_counter() - begun)
            tab.close()
        browser.close()
    return seconds
