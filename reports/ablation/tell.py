"""Write the evidence: numbers, figures, and the tables of docs/evidence.md.

    python -m reports.ablation.tell [--simulation FOLDER] [--trainings FOLDER]

What a folder holds is taken into this one first (simulation.parquet, mechanism.json,
trainings.jsonl); without one, the tables and figures are made again of what is here. All intervals
are 95 % ones of Student's t over seeds, of differences within a seed.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib import rc_context
from numpy.typing import NDArray
from scipy.stats import t as student

from durian.rendering.figures import BLUE, GREEN, GREY, ORANGE, STYLE, encode_figure, new_figure
from reports.ablation.simulate import LOOKS, SWEEPS, read_lines

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "evidence.md"
STALE = 0.1  # below chance's tau, as `regroup: 0.1`
NAMES = {
    "grpo": "GRPO", "dr_grpo": "Dr. GRPO (no std)", "batch": "batch std", "rloo": "RLOO",
    "maxrl": "MaxRL", "durian": "Durian, offline table", "online": "Durian, online",
    "random": "Durian, random groups", "groups_only": "groups alone (0, .5, .5)",
    "random_groups_only": "random groups alone (0, .5, .5)",
    "true": "Durian, groups of the true difficulty", "accuracy": "Durian, bins of the pass rate",
    "estimated": "Durian, bins of an estimated pass rate",
    "stale": "Durian, bins of an earlier policy",
    "refresh_10": "Durian, profiled again every 10 batches",
    "refresh_50": "Durian, profiled again every 50 batches",
}  # fmt: skip
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """The mean of some differences within a seed, and half of its 95 % interval."""

    mean: float
    half: float
    seeds: int

    def points(self, digits: int = 2) -> str:
        """In percentage points."""
        if not np.isfinite(self.half):
            return f"{100 * self.mean:+.{digits}f} (one seed)"
        return f"{100 * self.mean:+.{digits}f} ± {100 * self.half:.{digits}f}"

    def plain(self, digits: int = 3) -> str:
        """As it is."""
        if not np.isfinite(self.half):
            return f"{self.mean:.{digits}f} (one)"
        return f"{self.mean:.{digits}f} ± {self.half:.{digits}f}"


def paired(values: Sequence[float] | Floats) -> Paired:
    """Mean and half width of Student's interval."""
    array = np.asarray(values, np.float64)
    n = len(array)
    half = float(student.ppf(0.975, n - 1) * array.std(ddof=1) / n**0.5) if n > 1 else np.inf
    return Paired(float(array.mean()), half, n)


class Simulated:
    """The numbers of the simulation, by sweep and arm."""

    def __init__(self, file: Path) -> None:
        frame = pl.read_parquet(file).sort("seed", maintain_order=True)
        self._of = {
            key: part["value"].to_numpy().astype(np.float64)
            for key, part in frame.partition_by(
                ["sweep", "arm", "name"], as_dict=True, maintain_order=True
            ).items()
        }
        self.arms: dict[str, list[str]] = {}
        for sweep, arm, _ in self._of:
            self.arms.setdefault(str(sweep), [])
            if arm not in self.arms[str(sweep)]:
                self.arms[str(sweep)].append(str(arm))

    def __call__(self, sweep: str, arm: str, name: str) -> Floats:
        """A number of every seed."""
        return self._of[sweep, arm, name]

    def __contains__(self, key: tuple[str, str, str]) -> bool:
        return key in self._of

    def less(self, sweep: str, arm: str, other: str, name: str = "sampled") -> Paired:
        """One arm less another, paired by seed."""
        return paired(self(sweep, arm, name) - self(sweep, other, name))


def main() -> None:
    """Take what is new, and write all anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulation", type=Path)
    parser.add_argument("--trainings", type=Path)
    given = parser.parse_args()
    if given.simulation is not None:
        take_simulation(given.simulation)
    if given.trainings is not None and (given.trainings / "results.jsonl").exists():
        take_trainings(given.trainings)
    tables: dict[str, str] = {}
    if (HERE / "simulation.parquet").exists():
        simulated = Simulated(HERE / "simulation.parquet")
        tables |= {
            "centre": centre_table(simulated),
            "sweeps": sweeps_table(simulated),
            "grouping": grouping_table(simulated),
            "drift": drift_table(simulated),
            "refresh": refresh_table(simulated),
        }
        draw_centre(simulated)
        draw_sweeps(simulated)
    if (HERE / "mechanism.json").exists():
        tables["mechanism"] = mechanism_table(json.loads((HERE / "mechanism.json").read_text()))
    if (HERE / "closed_form.json").exists():
        tables["closed form"] = closed_form_table()
    if (HERE / "trainings.jsonl").exists():
        lines = read_lines(HERE / "trainings.jsonl")
        tables |= {"trainings": trainings_table(lines), "training drift": training_drift(lines)}
    fill(PAGE, tables)


def take_simulation(folder: Path) -> None:
    """Keep what units found at the end, by seed, and how the centre moved."""
    rows: list[tuple[str, str, str, int, float]] = []
    # A unit that was run twice, on two trees, has the same numbers: the first line stands.
    lines = {(line["sweep"], line["arm"]): line for line in reversed(_read(folder))}
    for sweep, (_, arms) in SWEEPS.items():
        for arm in arms:
            line = lines.get((sweep, arm))
            if line is None:
                continue
            for name, values in line["numbers"].items():
                if name.startswith("curve/"):
                    if arm not in ("grpo", "durian"):
                        continue
                    for look, of_look in enumerate(values):
                        rows += [
                            (sweep, arm, f"{name}/{look}", seed, v)
                            for seed, v in zip(line["seeds"], of_look, strict=True)
                        ]
                else:
                    rows += [
                        (sweep, arm, name, seed, v)
                        for seed, v in zip(line["seeds"], values, strict=True)
                    ]
    frame = pl.DataFrame(rows, schema=["sweep", "arm", "name", "seed", "value"], orient="row")
    frame = frame.with_columns(
        pl.col("sweep", "arm", "name").cast(pl.Categorical),
        pl.col("seed").cast(pl.UInt8),
        pl.col("value").cast(pl.Float32),
    )
    frame.write_parquet(HERE / "simulation.parquet", compression="zstd", compression_level=19)
    for name in ("mechanism.json", "closed_form.json"):
        if (folder / name).exists():
            shutil.copyfile(folder / name, HERE / name)


def _read(folder: Path) -> list[dict[str, Any]]:
    return read_lines(folder / "simulation.jsonl")


def take_trainings(folder: Path) -> None:
    """Keep the numbers of each training that are told."""
    kept = ("step", "reward", "grad_norm", "durian/no_variance", "durian/extreme",
            "durian/largest_advantage", "durian/drift/kendall_tau",
            "durian/drift/changed_bin")  # fmt: skip
    with (HERE / "trainings.jsonl").open("w") as file:
        for line in read_lines(folder / "results.jsonl"):
            judged = line["eval"]["models"][0]
            accuracy = {
                f"{how}{name}": part[how]["accuracy"]
                for how in ("greedy", "sampled")
                for name, part in [("", judged)]
                + [(f"/{group['group']}", group) for group in judged["perceptual"]]
                + [(f"/bin {group['group']}", group) for group in judged["reasoning"]]
            }
            log = [
                {key: round(step[key], 5) for key in kept if key in step}
                for step in line["log"]
                if "reward" in step or "durian/drift/kendall_tau" in step
            ]
            short = {key: line[key] for key in ("arm", "seed", "commit", "settings")}
            seconds = [round(s) for s in line["seconds"]]
            file.write(
                json.dumps(short | {"seconds": seconds, "accuracy": accuracy, "log": log}) + "\n"
            )


def centre_table(simulated: Simulated) -> str:
    """Every arm at the centre, less GRPO and less random groups."""
    start, end = (simulated("centre", "grpo", name).mean() for name in ("start/sampled", "sampled"))
    greedy = [simulated("centre", "grpo", name).mean() for name in ("start/greedy", "greedy")]
    rows = [
        "| less GRPO, same seed | sampled | greedy | sampled: cluttered | least known kinds "
        "| sampled, less random groups |",
        "|---|---|---|---|---|---|",
    ]
    for arm in simulated.arms["centre"]:
        if arm == "grpo":
            continue
        cells = [
            simulated.less("centre", arm, "grpo", name).points()
            for name in ("sampled", "greedy", "sampled/cluttered", "sampled/unskilled")
        ]
        other = "" if arm == "random" else simulated.less("centre", arm, "random").points()
        rows.append(f"| {NAMES[arm]} | {' | '.join(cells)} | {other} |")
    seeds = len(simulated("centre", "grpo", "sampled"))
    said = (
        f"Points of held-out accuracy; {seeds} seeds. GRPO goes from {100 * start:.1f} to "
        f"{100 * end:.1f} % sampled and from {100 * greedy[0]:.1f} to {100 * greedy[1]:.1f} % "
        "greedy."
    )
    return "\n".join([said, "", *rows])


def sweeps_table(simulated: Simulated) -> str:
    """The arms that decide in every setting, sampled accuracy."""
    others = ("durian", "random", "batch", "dr_grpo", "accuracy", "true", "maxrl")
    rows = [
        "| setting | GRPO, from → to | no variance | extreme |"
        + "".join(f" {NAMES[arm]} |" for arm in others)
        + " Durian less random |",
        "|---|---|---|---|" + "---|" * (len(others) + 1),
    ]
    for sweep, arms in simulated.arms.items():
        if not {"grpo", "durian", "random"} <= set(arms):
            continue
        start, end, flat, extreme = (
            100 * simulated(sweep, "grpo", name).mean()
            for name in ("start/sampled", "sampled", "mean/no_variance", "mean/extreme")
        )
        cells = [
            simulated.less(sweep, arm, "grpo").points() if arm in arms else "" for arm in others
        ]
        placebo = simulated.less(sweep, "durian", "random").points()
        rows.append(
            f"| {sweep} | {start:.1f} → {end:.1f} | {flat:.0f} % | {extreme:.0f} % | "
            f"{' | '.join(cells)} | {placebo} |"
        )
    return "\n".join(rows)


def grouping_table(simulated: Simulated) -> str:
    """Durian less random groups by the weights of its terms and the number of bins."""
    rows = ["| bins or weights | Durian less random groups | Durian less GRPO |", "|---|---|---|"]
    for sweep, arms in simulated.arms.items():
        named = sweep.startswith(("bins", "weights"))
        if (named or sweep == "centre") and {"durian", "random"} <= set(arms):
            # The weights do not touch GRPO: its arm at the centre is the same training.
            grpo = simulated(sweep if "grpo" in arms else "centre", "grpo", "sampled")
            less = paired(simulated(sweep, "durian", "sampled") - grpo).points(3)
            placebo = simulated.less(sweep, "durian", "random").points(3)
            name = "10 bins, weights 0.4 0.3 0.3 (centre)" if sweep == "centre" else sweep
            rows.append(f"| {name} | {placebo} | {less} |")
    return "\n".join(rows)


def stale_at(tau: Floats, against: Floats) -> float:
    """The place on `against` where tau falls to STALE below its start, between looks; NaN never.

    Args:
        tau, against: (looks,), of one seed; `against` rises.
    """
    below = tau <= tau[0] - STALE
    if not below.any():
        return float("nan")
    at = int(below.argmax())
    part = (tau[at - 1] - (tau[0] - STALE)) / (tau[at - 1] - tau[at])
    return float(against[at - 1] + part * (against[at] - against[at - 1]))


def drift_table(simulated: Simulated) -> str:
    """How far GRPO's policy has come when reasoning bins are stale, by setting."""
    rows = [
        "| setting | tau by chance | tau at the end | changed bin at the end | stale after so many "
        "rollout batches | training accuracy gained by then | moved by then, KL in nats |",
        "|---|---|---|---|---|---|---|",
    ]
    for sweep, arms in simulated.arms.items():
        if "grpo" not in arms or sweep.startswith(("bins", "weights")):
            continue
        if (sweep, "grpo", "curve/train/0") not in simulated:
            continue
        curves = {
            name: np.array(
                [simulated(sweep, "grpo", f"curve/{name}/{k}") for k in range(LOOKS + 1)]
            )
            for name in ("tau", "changed", "moved", "train")
        }
        tau = curves["tau"]
        steps = np.linspace(0, SWEEPS[sweep][0].steps, LOOKS + 1)
        when, gain, moved = (
            [stale_at(tau[:, seed], against[:, seed]) for seed in range(tau.shape[1])]
            for against in (
                np.broadcast_to(steps[:, None], tau.shape),
                curves["train"] - curves["train"][0],
                curves["moved"],
            )
        )
        known = [place for place in when if np.isfinite(place)]
        if len(known) < tau.shape[1]:
            told = f"not in {tau.shape[1] - len(known)} of {tau.shape[1]} seeds | | |"
        else:
            told = (
                f"{paired(when).plain(0)} | {paired(gain).points(1)} | {paired(moved).plain(3)} |"
            )
        rows.append(
            f"| {sweep} | {tau[0].mean():.2f} | {tau[-1].mean():.2f} | "
            f"{100 * curves['changed'][-1].mean():.0f} % | {told}"
        )
    return "\n".join(rows)


def refresh_table(simulated: Simulated) -> str:
    """What profiling again during the training gives, over the table of before it."""
    rows = ["| reasoning bins | sampled, less the table of before | greedy |", "|---|---|---|"]
    for arm in ("refresh_10", "refresh_50", "online", "stale", "random"):
        if arm in simulated.arms["centre"]:
            cells = [
                simulated.less("centre", arm, "durian", n).points(3) for n in ("sampled", "greedy")
            ]
            rows.append(f"| {NAMES[arm]} | {cells[0]} | {cells[1]} |")
    return "\n".join(rows)


def mechanism_table(found: dict[str, Any]) -> str:
    """The gradient of each normalizer, less GRPO's, by policy and rollout batch."""
    rows = [
        "| policy, rollout batch | normalizer | signal to noise, relative to GRPO's | cosine with "
        "the exact gradient | samples that count | largest advantage | weight of extreme samples |",
        "|---|---|---|---|---|---|---|",
    ]
    for where, arms in found["numbers"].items():
        base = np.array(arms["grpo"]["snr"])
        for arm in (name for name in NAMES if name in arms and name != "rloo"):
            of = {name: np.array(values) for name, values in arms[arm].items()}
            ratio = paired((of["snr"] - base) / base.mean())
            told = f"({base.mean():.4f})" if arm == "grpo" else f"{ratio.points(1)} %"
            rows.append(
                f"| {where} | {NAMES[arm]} | {told} | "
                f"{of['along'].mean():.3f} | {of['effective'].mean():.0f} | "
                f"{of['largest'].mean():.1f} | {100 * of['extreme_weight'].mean():.0f} % |"
            )
    return "\n".join(rows)


def closed_form_table() -> str:
    """What the report's closed form says, beside what a simulation by the normalizers finds."""
    found = json.loads((HERE / "closed_form.json").read_text())
    rows = ["| prompts | normalizer | largest difference of a share, points | samples that count: "
            "formula, simulation |", "|---|---|---|---|"]  # fmt: skip
    for row in found["rows"]:
        rows.append(
            f"| {row['prompts']} | {NAMES[row['normalizer']]} | {100 * row['difference']:.2f} | "
            f"{row['effective']:.1f}, {row['simulated']:.1f} |"
        )
    return "\n".join(rows)


def trainings_table(lines: list[dict[str, Any]]) -> str:
    """Held-out accuracy of each arm less GRPO and less random groups, paired by seed."""
    by = {(line["arm"], line["seed"]): line["accuracy"] for line in lines}
    names = ("sampled", "greedy", "sampled/easy", "sampled/medium", "sampled/hard")
    arms = [arm for arm in NAMES if any(of == arm for of, _ in by)]
    rows = [
        "| arm | seeds | sampled | greedy | less (pairs) | sampled | greedy | easy | mid | hard |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]

    def less(arm: str, other: str) -> str:
        both = sorted(seed for of, seed in by if of == arm and (other, seed) in by)
        cells = [
            paired([by[arm, s][name] - by[other, s][name] for s in both]).points(1) if both else ""
            for name in names
        ]
        return f"{NAMES[other]} ({len(both)}) | {' | '.join(cells)} |"

    for arm in arms:
        seeds = [seed for of, seed in by if of == arm]
        sampled, greedy = (100 * np.mean([by[arm, s][n] for s in seeds]) for n in names[:2])
        told = f"| {NAMES[arm]} | {len(seeds)} | {sampled:.1f} | {greedy:.1f} |"
        rows.append(f"{told} {less(arm, 'grpo') if arm != 'grpo' else '| | | | | |'}")
        if arm == "durian" and "random" in arms:
            rows.append(f"| | | | | {less(arm, 'random')}")
    draw_trainings(by, arms)
    return "\n".join(rows)


def training_drift(lines: list[dict[str, Any]]) -> str:
    """Kendall's tau with the table's confidence, and reward, along the trainings; all arms."""
    of: dict[int, list[tuple[float, float]]] = {}
    reward: dict[int, list[float]] = {}
    for line in lines:
        if not any("durian/drift/kendall_tau" in step for step in line["log"]):
            continue  # of a harness that kept only the lines with a reward
        for step in line["log"]:
            if "durian/drift/kendall_tau" in step:
                both = step["durian/drift/kendall_tau"], step["durian/drift/changed_bin"]
                of.setdefault(int(step["step"]), []).append(both)
            if "reward" in step:
                reward.setdefault(int(step["step"]) + 3, []).append(step["reward"])
    rows = [
        "| optimizer step | trainings | reward | tau with the table | would change bin |",
        "|---|---|---|---|---|",
    ]
    for step in sorted(of)[::2]:
        taus, changed = zip(*of[step], strict=True)
        rows.append(
            f"| {step} | {len(taus)} | {np.mean(reward.get(step, [np.nan])):.2f} | "
            f"{paired(taus).plain(2)} | {100 * np.mean(changed):.0f} % |"
        )
    return "\n".join(rows)


def _forest(rows: Sequence[tuple[str, Sequence[Paired]]], colours: Sequence[str],
            names: Sequence[str], axis: str, file: str) -> None:  # fmt: skip
    """Draw rows of paired differences with their intervals."""
    with rc_context(STYLE):
        figure = new_figure(8.0, 0.9 + 0.32 * len(rows))
        axes = figure.subplots()
        axes.axvline(0, color=GREY, linewidth=0.8)
        step = 0.5 / max(1, len(names) - 1) if len(names) > 1 else 0.0
        for place, (_, some) in enumerate(rows):
            for number, (one, colour) in enumerate(zip(some, colours, strict=False)):
                axes.errorbar(
                    100 * one.mean, place + step * number - 0.2 * (len(names) > 1),
                    xerr=100 * one.half if np.isfinite(one.half) else None, color=colour,
                    marker="o", markersize=4, capsize=2, linewidth=1.5,
                    label=names[number] if place == 0 else None,
                )  # fmt: skip
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.invert_yaxis()
        axes.set_xlabel(axis)
        if len(names) > 1:
            figure.legend(loc="outside upper left", ncols=len(names), frameon=False, fontsize=9)
        (HERE / file).write_bytes(encode_figure(figure, "png"))


def draw_centre(simulated: Simulated) -> None:
    """Every arm but MaxRL, which would hide the others, less GRPO."""
    arms = [arm for arm in simulated.arms["centre"] if arm not in ("grpo", "maxrl")]
    rows = [
        (NAMES[arm], [simulated.less("centre", arm, "grpo", n) for n in ("sampled", "greedy")])
        for arm in arms
    ]
    _forest(rows, (BLUE, ORANGE), ("sampled", "greedy"),
            "held-out accuracy less GRPO's, percentage points (95 %)", "centre.png")  # fmt: skip


def draw_sweeps(simulated: Simulated) -> None:
    """Durian and its placebo, less GRPO, in every setting."""
    arms = ("durian", "random", "batch")
    rows = [
        (sweep, [simulated.less(sweep, arm, "grpo") for arm in arms])
        for sweep, some in simulated.arms.items()
        if {"grpo", *arms} <= set(some)
    ]
    _forest(rows, (BLUE, ORANGE, GREEN), [NAMES[arm] for arm in arms],
            "sampled held-out accuracy less GRPO's, percentage points (95 %)",
            "sweeps.png")  # fmt: skip


def draw_trainings(by: dict[tuple[str, int], dict[str, float]], arms: list[str]) -> None:
    """The trainings of real sequences, less GRPO of the same seed."""
    rows = []
    for arm in arms:
        both = [seed for of, seed in by if of == arm and ("grpo", seed) in by]
        if arm != "grpo" and both:
            less = [
                paired([by[arm, s][n] - by["grpo", s][n] for s in both])
                for n in ("sampled", "greedy")
            ]
            rows.append((f"{NAMES[arm]}, {len(both)} seeds", less))
    if rows:
        _forest(rows, (BLUE, ORANGE), ("sampled", "greedy"),
                "held-out accuracy less GRPO's, percentage points (95 %)",
                "trainings.png")  # fmt: skip


def fill(page: Path, tables: dict[str, str]) -> None:
    """Put each table between its marks in a Markdown page; what has no table stays as it is."""
    text = page.read_text()
    for name, table in tables.items():
        before, mark, rest = text.partition(f"<!-- table: {name} -->\n")
        if not mark:
            raise SystemExit(f"{page}: has no mark for the table '{name}'")
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{mark}{table}\n{end}{after}"
    page.write_text(text)


if __name__ == "__main__":
    main()
