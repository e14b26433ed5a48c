"""What every trainer's check shares: a planted rollout batch, its advantages, and how parts run.

Imported inside the trainers' environments too: numpy, torch, pyarrow, Pillow and Durian's
normalizer. What is expected comes from the library on a rectangle of samples by completions, with
groups cut here, so not from the rows that a plug-in packs; and images and answers from the dataset,
so not from the files that were exported.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet
from torch import Tensor

from durian.groups import PERCEPTUAL, perceptual_groups, reasoning_groups
from durian.normalizer import NORMALIZERS, Groups, Scaling

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-6
NAN = float("nan")
IMAGE_TOKENS = 16  # the tiny policy's processor makes 64 by 64 pixels of each image, 256 a token
# By name, as a trainer's config or the environment gives them.
SETTINGS: dict[str, dict[str, Any]] = {
    **{name: {"normalizer": name} for name in NORMALIZERS},
    "other weights": {"weights": [0.1, 0.2, 0.7]},
    "online": {"groups": "online", "bins": 3},
}
Facts = dict[str, Any]
# A Ray of each part's own, whatever cluster runs on the machine.
os.environ["RAY_ADDRESS"] = "local"


@dataclass(frozen=True)
class Planted:
    """A rollout batch: 10 samples of 1 to 8 completions, some unscored, in a shuffled order."""

    rewards: Tensor  # (B, G) float64, of float32 values; NaN where unscored, or there is none
    there: Tensor  # (B, G), bool: a row of the batch, scored or not
    confidence: Tensor  # (B, G), nats a token
    labels: Groups  # (B,) each
    value: Tensor  # (B,), the measure
    rows: list[tuple[int, int]]  # (sample, completion) of each row, shuffled

    def columns(self, sample: int) -> Facts:
        """The columns that `durian export` writes of one sample."""
        return {
            "sample_id": f"s{sample}",
            "durian_perceptual_group": int(self.labels.perceptual[sample]),
            "durian_reasoning_group": int(self.labels.reasoning[sample]),
            "durian_perceptual": float(self.value[sample]),
        }

    def expected(self, given: Mapping[str, Any]) -> Tensor:
        """The library's advantages of the rows, in their order. (N,)"""
        labels = self.labels
        if given.get("groups") == "online":
            scored = self.confidence.masked_fill(self.rewards.isnan(), NAN)
            bins = reasoning_groups(scored.nanmean(dim=1).numpy(), given["bins"]).labels
            perceptual = perceptual_groups(self.value.numpy()).labels
            names = [-1 if name is None else PERCEPTUAL.index(name) for name in perceptual]
            labels = Groups(
                torch.tensor(names), torch.tensor([-1 if bin is None else bin for bin in bins])
            )
        function = NORMALIZERS[given.get("normalizer", "durian")].advantages
        weights = tuple(given.get("weights", (0.4, 0.3, 0.3)))
        found = function(self.rewards, labels, Scaling(weights, shrink=given.get("shrink", 0.0)))
        return torch.stack([found[sample, place] for sample, place in self.rows])


def planted() -> Planted:
    """A batch whose groups are thick and thin, with solved, hopeless and unscored samples."""
    made = torch.Generator().manual_seed(7)
    counts = [8, 8, 3, 8, 1, 6, 8, 2, 8, 8]
    worth = torch.tensor([0.0, 0.1, 0.9, 1.0])
    rewards = worth[torch.randint(4, (10, 8), generator=made)].double()
    rewards[3], rewards[8] = 1.0, 0.0  # solved; never right
    rewards[0, 2], rewards[6, 0] = NAN, NAN
    there = torch.arange(8) < torch.tensor(counts)[:, None]
    rows = [(sample, place) for sample, place in there.nonzero().tolist()]
    order = torch.randperm(len(rows), generator=made).tolist()
    return Planted(
        rewards=rewards.masked_fill(~there, NAN),
        there=there,
        confidence=-3 * torch.rand((10, 8), generator=made).double(),
        labels=Groups(
            torch.tensor([0, 0, 1, 1, 1, 2, 2, 0, -1, 1]),
            torch.tensor([0, 1, 1, 0, 0, 1, 2, -1, 0, 1]),
        ),
        value=torch.rand(10, generator=made).double(),
        rows=[rows[number] for number in order],
    )


@dataclass(frozen=True)
class Asked:
    """A sample as the dataset has it, before any export."""

    image: NDArray[np.uint8]  # (H, W, 3)
    question: str
    answer: str

    def shows(self, image: Image.Image) -> bool:
        """Whether an image that a trainer read is this sample's, to the pixel."""
        return np.array_equal(np.asarray(image.convert("RGB")), self.image)

    @property
    def texts(self) -> dict[str, float]:
        """Completions, and what Durian's reward gives each: 0.1 for the form, 0.9 if right."""
        thought = "<think> x </think> "
        return {
            f"{thought}\\boxed{{{self.answer}}}": 1.0,
            f"\\boxed{{{self.answer}}}": 0.9,
            f"{thought}\\boxed{{purple}}": 0.1,
            self.answer: 0.0,
        }


def dataset(data: Path) -> dict[str, Asked]:
    """The samples of the run that was exported to `data`, by id."""
    table = parquet.read_table(data.parents[1] / "run" / "difficulty.parquet").to_pylist()
    rows = parquet.read_table(ROOT / "data" / "photo_shapes" / "train.parquet").to_pylist()
    found = {}
    for sample in table:
        row = rows[sample["row"]]
        image = Image.open(io.BytesIO(row["images"][0]["bytes"])).convert("RGB")
        question = row["problem"].replace("<image>", "").strip()
        found[sample["sample_id"]] = Asked(np.asarray(image), question, row["answer"])
    return found


def beside(data: Path, word: str) -> Path:
    """Another export of the same run: `paths`, or `sft` and `dpo` for ms-swift."""
    return data.with_name(f"{data.name}-{word}")


def documented(page: str, begin: str, **places: object) -> str:
    """A command line of `docs/trainers`, with DIR, MODEL and the like put in."""
    text = (ROOT / "docs" / "trainers" / f"{page}.md").read_text()
    [line] = re.findall(rf"^    ({re.escape(begin)}.*)$", text, re.M)
    for name, value in places.items():
        line = re.sub(rf"\b{name}\b", str(value), line)
    return line


def largest(found: Tensor, expected: Tensor) -> float:
    """The largest difference; it must be within the tolerance, and something must be compared."""
    difference = float((found.double() - expected.double()).abs().max())
    if not difference <= TOLERANCE:
        raise AssertionError(f"advantages differ by {difference:.3g}")
    if int((expected != 0).sum()) < 5:
        raise AssertionError("next to all advantages are 0: nothing was compared")
    return difference


def refused(said: str, call: Callable[[], object]) -> str:
    """The one line by which a call is refused; it must hold `said`."""
    try:
        call()
    except ValueError as error:
        line = str(error)
        if said not in line or "\n" in line:
            raise AssertionError(f"refused, but by {line!r}") from error
        return line
    raise AssertionError(f"not refused, though {said!r} was expected")


def run_parts(parts: Mapping[str, Callable[[Path], Facts]]) -> None:
    """Run a trainer's parts in order: `in_TRAINER.py --data FOLDER --out FILE [PART ...]`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="what `durian export` wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("parts", nargs="*", default=list(parts))
    given = parser.parse_args()
    told: dict[str, Facts] = {}
    for name in given.parts or list(parts):
        begun = time.monotonic()
        try:
            found = {"status": "PASS", **parts[name](given.data.resolve())}
        except Exception as error:
            traceback.print_exc()
            found = {"status": "FAIL", "why": f"{type(error).__name__}: {error}"[:600]}
        told[name] = {**found, "seconds": round(time.monotonic() - begun, 1)}
        given.out.write_text(json.dumps(told, indent=1))
        print(f"{name}: {json.dumps(told[name])}", file=sys.stderr, flush=True)
