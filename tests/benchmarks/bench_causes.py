"""Planted causes: how many are found, and how much else; thresholds chosen on one seed, held on
another.

Scripted completions plant what a text shows; a live policy's completions of photographs, with some
references replaced by plausible wrong ones, show what can be said of a label.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from durian.causes.rules import FEWEST, find_causes
from durian.causes.thresholds import THRESHOLDS
from durian.config import ProfileConfig
from durian.measures.consensus import label_doubt
from durian.profile import profile_dataset
from durian.run.folder import DIFFICULTY_FILE
from durian.table.causes import gather_evidence, read_said
from tests.causes.planted import ROLLOUTS, plant, precision_and_recall

DATA = Path(__file__).parents[2] / "data"
EACH, CHOSEN_ON, HELD_ON = 40, 0, 1
STRICTER = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # thresholds of the shares that are tried
AIMED_AT = ("looped", "cut", "unformatted", "steady_wrong", "scattered")
WRONG_LABELS, TIMES, DOUBTS = 0.05, 10, (0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
# Labels as another, careless reader gives them: what is taken for its opposite or its neighbour.
_TAKEN_FOR = {"left": "right", "right": "left", "above": "below", "below": "above", "yes": "no",
              "no": "yes"}  # fmt: skip


def run() -> list[dict[str, Any]]:
    """Both parts; the live policy's completions are drawn here, unless a run of them is named."""
    with tempfile.TemporaryDirectory() as folder:
        rows = scripted(Path(folder))
        if (live := _named("--photo-shapes")) is None:
            live = Path(folder) / "live"
            profile_dataset(
                ProfileConfig(dataset=str(DATA / "photo_shapes/test.parquet"), max_tokens=64,
                              model=str(DATA / "tiny_policy"), rollouts=ROLLOUTS, out=str(live))
            )  # fmt: skip
        return [*rows, *labels(live)]


def scripted(folder: Path) -> list[dict[str, Any]]:
    """Precision and recall by cause on the held seed, and how the thresholds fare on both."""
    worlds = {}
    for seed in (CHOSEN_ON, HELD_ON):
        planted = plant(folder / str(seed), seed=seed, each=EACH)
        out = folder / f"run{seed}"
        profile_dataset(
            ProfileConfig(dataset=str(planted.data), engine="scripted", rollouts=ROLLOUTS,
                          model=str(planted.script), out=str(out),
                          measures=("pixel", "confidence", "consensus", "blind", "duplicates"))
        )  # fmt: skip
        table = pl.read_parquet(out / DIFFICULTY_FILE)
        worlds[seed] = planted.causes, table, gather_evidence(table, read_said(out))

    def told(seed: int, **thresholds: float) -> dict[str, tuple[int, int, int]]:
        causes, table, evidence = worlds[seed]
        found = find_causes(evidence, {**THRESHOLDS, **thresholds})
        return precision_and_recall(causes, dict(zip(table["sample_id"], found, strict=True)))

    print(f"\nF1 of a cause by its threshold, seed {CHOSEN_ON} / held on seed {HELD_ON}")
    print(f"{'':14}" + "".join(f"{threshold:>13}" for threshold in STRICTER))
    for cause in ("looped", "cut", "unformatted", "steady_wrong"):
        cells = []
        for threshold in STRICTER:
            both = [_f1(*told(seed, **{cause: threshold})[cause]) for seed in worlds]
            cells.append(f"{both[0]:.2f} / {both[1]:.2f}")
        print(f"{cause:14}" + "".join(f"{cell:>13}" for cell in cells))
    rows = []
    for cause, (planted_n, found_n, hit) in told(HELD_ON).items():
        first = told(CHOSEN_ON)[cause]
        for what, value, before in (
            ("precision", hit / max(1, found_n), first[2] / max(1, first[1])),
            ("recall", hit / planted_n, first[2] / first[0]),
        ):
            rows.append(
                {
                    "what": f"planted {cause}: {what}",
                    "value": value,
                    "aim": "at least 0.95" if cause in AIMED_AT else "as it is",
                    "detail": f"{planted_n} planted, {found_n} found, {hit} of them planted; "
                    f"on the other seed {before:.2f}",
                }
            )
    return rows


def labels(run: Path) -> list[dict[str, Any]]:
    """Wrong labels among a live policy's completions: what a threshold of label_doubt finds."""
    table = pl.read_parquet(run / "difficulty.parquet").join(
        pl.read_parquet(run / "columns.parquet").select("sample_id", "kind"), on="sample_id"
    )
    drawn = pl.read_parquet(run / "rollouts.parquet").filter(~pl.col("blind").fill_null(False))
    said = {
        name: rows["answer"].to_list()
        for (name,), rows in drawn.group_by("sample_id", maintain_order=True)
    }
    answers = {kind: sorted(set(rows["answer"])) for (kind,), rows in table.group_by("kind")}
    print(
        f"\nwrong labels, {WRONG_LABELS:.0%} of {len(table)} samples, {ROLLOUTS} completions each"
    )
    found = {
        seeds.start: [_planted(table, said, answers, seed) for seed in seeds]
        for seeds in (range(TIMES), range(TIMES, 2 * TIMES))
    }
    rows = []
    for doubt in DOUBTS:
        for start, each in found.items():
            flagged, hits, planted = np.sum([_flagged(*one, doubt) for one in each], axis=0)
            rows.append(
                {
                    "what": f"label_doubt at least {doubt:g}: precision",
                    "value": hits / max(1, flagged),
                    "aim": f"chosen: {THRESHOLDS['doubtful_label']:g}",
                    "detail": f"{flagged / TIMES:.1f} flagged a planting, recall "
                    f"{hits / planted:.2f}; {'held' if start else 'chosen on'}",
                }
            )
            print(f"{rows[-1]['what']:36} {rows[-1]['value']:.2f}  {rows[-1]['detail']}")
    first = []
    for doubts, wrong in (one for each in found.values() for one in each):
        first.append(wrong[np.argsort(-doubts, kind="stable")[: wrong.sum()]].mean())
    rows.append(
        {
            "what": "wrong labels among the first k by doubt",
            "value": float(np.mean(first)),
            "aim": f"chance: {WRONG_LABELS:g}",
            "detail": f"{2 * TIMES} plantings",
        }
    )
    return rows


def _planted(
    table: pl.DataFrame, said: dict[str, list[str]], answers: dict[str, list[str]], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The doubt of each label, and which were planted, on one draw of both."""
    rng = np.random.default_rng(seed)
    wrong = np.zeros(len(table), bool)
    wrong[rng.choice(len(table), int(WRONG_LABELS * len(table)), replace=False)] = True
    doubts = []
    columns = table.select("sample_id", "answer", "kind").iter_rows()
    for (name, answer, kind), planted in zip(columns, wrong.tolist(), strict=True):
        reference = _misread(answer, answers[kind], rng) if planted else answer
        own = said[name]
        drawn = [own[n] for n in rng.choice(len(own), ROLLOUTS, replace=False)]
        doubts.append(label_doubt(drawn, [one == reference for one in drawn]))
    return np.array(doubts), wrong


def _misread(answer: str, answers: list[str], rng: np.random.Generator) -> str:
    if answer in _TAKEN_FOR:
        return _TAKEN_FOR[answer]
    near = [
        a for a in answers if a.isdigit() and answer.isdigit() and abs(int(a) - int(answer)) == 1
    ]
    return str(rng.choice(near or [a for a in answers if a != answer]))


def _flagged(doubts: np.ndarray, wrong: np.ndarray, doubt: float) -> tuple[int, int, int]:
    assert ROLLOUTS >= FEWEST
    flagged = doubts >= doubt - 1e-9
    return int(flagged.sum()), int((flagged & wrong).sum()), int(wrong.sum())


def _f1(planted: int, found: int, hit: int) -> float:
    return 2 * hit / (planted + found)


def _named(option: str) -> Path | None:
    return Path(sys.argv[sys.argv.index(option) + 1]) if option in sys.argv else None


if __name__ == "__main__":
    for row in run():
        print(f"{row['what']:44} {row['value']:.2f}  {row['aim']:16} {row['detail']}")
