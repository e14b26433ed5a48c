"""What the measures find on photo_shapes, where difficulty is planted: a profile, then figures."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from scipy.stats import spearmanr

from durian.rendering.text import interval_text
from durian.report import build_report


def run() -> list[dict[str, Any]]:
    """Spearman of planted clutter with both entropies, and AUROC of error of each measure."""
    data = Path("data")
    rows = data / "photo_shapes" / "test.parquet"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "durian_cli", "profile", str(rows), "--out", str(out)]
        model = ["--model", str(data / "tiny_policy"), "--max-tokens", "64", "--quiet"]
        model += ["--measures", "pixel,spectral,confidence"]
        subprocess.run([*command, *model], check=True, env=dict(os.environ))
        table = pl.read_parquet(out / "difficulty.parquet")
        scored = build_report(out).scored
    clutter = pl.read_parquet(rows)["clutter"].gather(table["row"])
    found = [
        {
            "what": f"planted clutter with {name}: Spearman",
            "value": float(spearmanr(clutter, table[name]).statistic),
            "aim": "-",
            "detail": f"{len(table)} samples",
        }
        for name in ("pixel_entropy", "spectral_entropy")
    ]
    for name in (
        "pixel_entropy",
        "spectral_entropy",
        "mean_logprob",
        "sum_logprob",
        "answer_entropy",
        "mean_tokens",
    ):
        auroc = scored.measures[name].auroc
        found.append(
            {
                "what": f"AUROC of error: {name}",
                "value": auroc.value,
                "aim": "-",
                "detail": f"95 % interval {interval_text(auroc, scale=1, digits=3)}",
            }
        )
    return found
