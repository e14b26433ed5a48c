"""Estimates against raw means: 64 other completions of each sample stand for the truth.

`python -m tests.benchmarks estimates` draws what it needs, 72 completions of each of 2,200 samples
(20 minutes of two cores), and measures for half an hour; or give it the run folders of earlier
profiles: `python -m tests.benchmarks.bench_estimates --photo-shapes RUN --easy-vqa RUN`, and
`--photo-shapes-train RUN` for the part drawn. Those that are not given are then left out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import betabinom, kendalltau

from durian.analysis.statistics.clusters import image_clusters
from durian.analysis.statistics.small_area import (
    Posterior,
    calibrated,
    from_log_sizes,
    log_sizes,
    mean_posterior,
    share_posterior,
)
from durian.config import ProfileConfig
from durian.estimating.features import sample_features
from durian.estimating.prediction import FOLDS, cross_fitted
from durian.profile import profile_dataset
from durian.readers.strata import Strata
from durian.run.folder import RunFolder
from durian.samples import Sample
from durian.schema import DIFFICULTY, ROLLOUTS, arrow_schema

DATA = Path(__file__).parents[2] / "data"
TRUTH, DRAWN, TIMES, SHARE = 64, (1, 2, 4, 8), 6, 0.2
Floats = NDArray[np.float64]
Found = dict[tuple[int, str], dict[str, list[float]]]  # by completions and way, then by error


@dataclass(frozen=True)
class World:
    """A dataset whose completions are all there: what few of them tell is held against the rest."""

    name: str
    table: pl.DataFrame
    own: pl.DataFrame
    wrong: Floats  # (N, TRUTH + the most that are drawn)
    logprob: Floats
    prompts: int  # tokens of all, each read once
    length: float  # tokens of a completion, on average

    @classmethod
    def of(cls, name: str, run: Path) -> "World":
        table, own, rollouts = (
            pl.read_parquet(run / f"{file}.parquet")
            for file in ("difficulty", "columns", "rollouts")
        )
        n = len(table)
        each = (rollouts["sum_logprob"] / rollouts["n_tokens"]).to_numpy().reshape(n, -1)
        wrong = 1.0 - rollouts["correct"].to_numpy().reshape(n, -1)
        read = json.loads((run / "manifest.json").read_text())["tokens"]["prompt"]
        return cls(name, table, own, wrong, each, read, float(rollouts["n_tokens"].mean()))  # type: ignore[arg-type]

    @property
    def codes(self) -> NDArray[np.intp]:
        """Samples of one number share an image."""
        return image_clusters(self.table, self.own).codes

    def features(self) -> dict[str, Floats]:
        """By way: what a dataset without planted columns has, all that is known, and nothing."""
        own = self.own.drop("sample_id", "image_id", strict=False)
        everyone = np.arange(len(self.table))
        chance = np.random.default_rng(0).standard_normal((len(self.table), 30))
        return {
            "estimated": sample_features(self.table, None)[everyone],
            "with its own columns": sample_features(self.table, own)[everyone],
            "placebo": chance,
        }


PROFILED = {
    "photo_shapes": "photo_shapes/test",
    "easy_vqa": "easy_vqa/test",
    "photo_shapes_train": "photo_shapes/train",
}
READ, WRITTEN = 1.0, 4.0  # money: a million tokens of prompts, of completions


def run() -> list[dict[str, Any]]:
    """Profile both datasets anew, measure, and estimate 100,000 samples."""
    rows = []
    for name in PROFILED:
        with tempfile.TemporaryDirectory() as folder:
            profile_dataset(
                ProfileConfig(
                    dataset=str(DATA / f"{PROFILED[name]}.parquet"),
                    model=str(DATA / "tiny_policy"), out=f"{folder}/run",
                    rollouts=TRUTH + max(DRAWN), max_tokens=64,
                )
            )  # fmt: skip
            rows += measured(name, Path(folder) / "run")
    return [*rows, *at_size(25_000, 100_000)]


def measured(name: str, run: Path) -> list[dict[str, Any]]:
    """Print the tables of one run of 72 completions a sample; give their numbers."""
    world = World.of(name, run)
    print(f"\n{name}: {len(world.table)} samples, means of {TIMES} draws, ", end="")
    print(f"{TRUTH} other completions as the truth")
    return of_a_part(world) if name.endswith("train") else of_all(world)


def of_all(world: World) -> list[dict[str, Any]]:
    """The errors of each number of completions, of samples that all have some."""
    found: Found = {}
    everywhere = np.ones(len(world.table), np.bool_)
    for drawn in DRAWN:
        for _, draw in _draws(world, drawn):
            for way, shares, means in draw(everywhere):
                for what, value in _errors(shares, means, draw, everywhere).items():
                    found.setdefault((drawn, way), {}).setdefault(what, []).append(value)
    _print_table(found)
    return [*_rows(world, found), *_costs(world, found)]


def of_a_part(world: World) -> list[dict[str, Any]]:
    """The errors of samples without any completion, where a fifth has some."""
    found: Found = {}
    near = _likeness(world.table["problem"].to_list())
    for drawn in (2, 4, 8):
        for seed, draw in _draws(world, drawn):
            strata = Strata(seed)
            for row in world.table.iter_rows(named=True):
                strata.add(
                    Sample(
                        sample_id=row["sample_id"], row=row["row"], problem=row["problem"],
                        answer=row["answer"], images=(b"",) * row["n_images"],
                    )
                )  # fmt: skip
            seen = strata.first(round(SHARE * len(world.table)))
            true = draw.true_share[~seen]
            flat = _rms(true - draw.share[seen].mean())
            mean = found.setdefault((drawn, "all by their mean"), {})
            mean.setdefault("rms of the pass rate", []).append(flat)
            peers = {
                "rms of the pass rate": _rms(_by_likeness(near, draw.share, seen) - true),
                "tau-b of confidence": _tau(
                    _by_likeness(near, draw.mean, seen), draw.true_mean[~seen],
                    np.random.default_rng(0),
                ),
            }  # fmt: skip
            for what, value in peers.items():
                found.setdefault((drawn, "DOTS"), {}).setdefault(what, []).append(value)
            for way, shares, means in draw(seen):
                if way == "raw":  # the mean of the others
                    continue
                for what, value in _errors(shares, means, draw, ~seen).items():
                    found.setdefault((drawn, way), {}).setdefault(what, []).append(value)
    print(f"{SHARE:.0%} of the samples drawn; measured on the others")
    _print_table(found)
    return _rows(world, found)


def _print_table(found: Found) -> None:
    """A line for each number of completions and way, a column for each error."""
    columns = list(dict.fromkeys(what for errors in found.values() for what in errors))
    wide = max(len(f"{drawn} {way}") for drawn, way in found)
    print(f"{'':{wide}}  " + "  ".join(columns))
    for (drawn, way), errors in found.items():
        cells = (
            f"{np.mean(errors[what]):>{len(what)}.3f}" if what in errors else " " * len(what)
            for what in columns
        )
        print(f"{f'{drawn} {way}':{wide}}  " + "  ".join(cells))


def _costs(world: World, found: Found) -> list[dict[str, Any]]:
    """Tokens and money of the fewest completions whose estimates are as good as 8 without."""
    most, rows = max(DRAWN), []
    raw = {what: float(np.mean(values)) for what, values in found[most, "raw"].items()}
    enough = {what: most for what in raw}
    for what, aim in raw.items():
        for drawn in reversed(DRAWN):
            value = float(np.mean(found[drawn, "estimated"][what]))
            if (value > aim) if what.startswith("rms") else (value < aim):
                break
            enough[what] = drawn
    samples = len(world.table)
    print(f"as good as {most} completions without estimates (tokens of {samples} samples; money a")
    print(f"million samples, at {READ:g} a million tokens read and {WRITTEN:g} a million written):")
    for what, few in [*enough.items(), ("all four", max(enough.values()))]:
        tokens = [samples * drawn * world.length for drawn in (few, most)]
        money = [(READ * world.prompts + WRITTEN * written) / samples for written in tokens]
        detail = (
            f"{few} completions, {tokens[0]:,.0f} tokens in place of {tokens[1]:,.0f} beside "
            f"{world.prompts:,} of prompts, {money[0]:,.0f} in place of {money[1]:,.0f} of money"
        )
        print(f"  {what}: {detail}")
        rows.append(
            {
                "what": f"{world.name}, cost of equal {what} with estimates",
                "value": money[0] / money[1], "aim": "-", "detail": detail,
            }
        )  # fmt: skip
    return rows


@dataclass(frozen=True)
class Draw:
    """Few completions of each sample, and many others; called, it estimates from the few."""

    world: World
    features: dict[str, Floats]
    folds: NDArray[np.intp]
    mine: NDArray[np.intp]
    others: NDArray[np.intp]

    @property
    def share(self) -> Floats:
        return self.world.wrong[:, self.mine].mean(1)

    @property
    def mean(self) -> Floats:
        return self.world.logprob[:, self.mine].mean(1)

    @property
    def true_share(self) -> Floats:
        return self.world.wrong[:, self.others].mean(1)

    @property
    def true_mean(self) -> Floats:
        return self.world.logprob[:, self.others].mean(1)

    def __call__(self, member: NDArray[np.bool_]) -> list[tuple[str, Posterior, Posterior]]:
        drawn = len(self.mine)
        each = self.world.logprob[:, self.mine]
        seen = np.where(member, float(drawn), 0.0)
        share, mean = (np.where(member, y, np.nan) for y in (self.share, each.mean(1)))
        nothing = np.full(len(seen), np.nan)
        within = np.where(member, each.var(1, ddof=1), np.nan) if drawn > 1 else nothing
        plain = [Posterior(y, nothing, 1.0, nothing, nothing) for y in (share, mean)]
        found = [("raw", plain[0], plain[1])]
        for way, features in self.features.items():
            f, g = (
                cross_fitted(features, y, self.world.codes, self.folds).values
                for y in (share, log_sizes(mean))
            )
            f, g = calibrated(f, share), calibrated(from_log_sizes(g, mean), mean)
            counts = np.where(member, np.round(self.share * drawn), 0.0)
            shares = share_posterior(counts, seen, f)
            found.append((way, shares, mean_posterior(mean, within, seen, g)))
        return found


def _draws(world: World, drawn: int) -> list[tuple[int, Draw]]:
    random = np.random.default_rng(drawn)
    n, total = world.wrong.shape
    features, codes, found = world.features(), world.codes, []
    for seed in range(TIMES):
        order = random.permutation(total)
        folds = random.integers(0, FOLDS, codes.max() + 1)[codes]
        others = order[max(DRAWN) : max(DRAWN) + TRUTH]
        found.append((seed, Draw(world, features, folds, order[:drawn], others)))
    return found


def _errors(
    shares: Posterior, means: Posterior, draw: Draw, member: NDArray[np.bool_]
) -> dict[str, float]:
    true_share, true_mean = draw.true_share[member], draw.true_mean[member]
    share, mean = shares.mean[member], means.mean[member]
    random = np.random.default_rng(0)
    found = {
        "tau-b of confidence": _tau(mean, true_mean, random),
        "rms of the pass rate": _rms(share - true_share),
        "right bin of 10 by confidence": _same(mean, true_mean, 10, random),
        "right third by difficulty": _same(share, true_share, 3, random),
    }
    if np.isfinite(shares.sd).all():
        sd = shares.sd[member]
        worth = share * (1 - share) / sd**2 - 1
        known = betabinom(TRUTH, share * worth, (1 - share) * worth)
        counts = np.round(true_share * TRUTH)
        # Of counts: by half where the interval ends within one, else coarse counts look too sure.
        low, high = known.cdf(counts - 1), known.cdf(counts)
        inside = np.clip(np.minimum(high, 0.975) - np.maximum(low, 0.025), 0, None) / (high - low)
        noise = draw.world.logprob[member][:, draw.others].var(1, ddof=1) / TRUTH
        off = np.abs(mean - true_mean) / np.sqrt(means.sd[member] ** 2 + noise)
        found["coverage of the share"] = float(np.mean(inside))
        found["coverage of the confidence"] = float(np.mean(off <= 1.96))
    return found


def _likeness(problems: list[str]) -> Floats:
    """Cosines between questions, by the means of the policy's own token embeddings. (N, N)"""
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    folder = DATA / "tiny_policy"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    weights = AutoModelForImageTextToText.from_pretrained(folder).get_input_embeddings().weight
    table = weights.detach().double().numpy()
    means = np.array([table[tokenizer(problem)["input_ids"]].mean(0) for problem in problems])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    found: Floats = means @ means.T
    return found


def _by_likeness(near: Floats, values: Floats, seen: NDArray[np.bool_]) -> Floats:
    """DOTS (arXiv 2506.05316): the drawn ones' mean, weighted by the softmax of likeness.

    Its temperature is the best of a dozen by leaving one out.
    """
    known, others = values[seen], near[np.ix_(seen, seen)]
    np.fill_diagonal(others, -np.inf)

    def weighted(cosines: Floats, temperature: float) -> Floats:
        weights = np.exp((cosines - cosines.max(1, keepdims=True)) / temperature)
        found: Floats = weights @ known / weights.sum(1)
        return found

    best = min(np.logspace(-3, 1, 12), key=lambda t: _rms(weighted(others, float(t)) - known))
    return weighted(near[np.ix_(~seen, seen)], float(best))


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _rows(world: World, found: Found) -> list[dict[str, Any]]:
    return [
        {
            "what": f"{world.name}, {drawn} completions, {way}: {what}",
            "value": float(np.mean(values)),
            "aim": "0.93-0.97" if what.startswith("coverage") else "-",
            "detail": "",
        }
        for (drawn, way), errors in found.items()
        for what, values in errors.items()
    ]


_ESTIMATE = """
import resource, sys, time
from pathlib import Path
from durian.estimating.estimates import estimate_samples
from durian.run.folder import RunFolder
from sklearn import decomposition, ensemble, feature_extraction, linear_model

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

run = RunFolder(Path(sys.argv[1]))
table = run.read_part_columns(["sample_id", "problem", "answer"])
before, begun = peak(), time.process_time()
estimate_samples(run)
print(time.process_time() - begun, before, peak())
"""


def at_size(few: int, many: int) -> list[dict[str, Any]]:
    """CPU seconds and memory of both columns of so many samples, with what they lean on."""
    seconds, peaks = [], []
    for n in (few, many):
        with tempfile.TemporaryDirectory() as folder:
            write_parts(Path(folder), n)
            told = subprocess.run(
                [sys.executable, "-c", _ESTIMATE, folder], check=True, capture_output=True,
                text=True,
            )  # fmt: skip
        cpu, before, peak = map(float, told.stdout.split())
        seconds.append(cpu)
        peaks.append((before, peak))
    (few_before, few_peak), (before, peak) = peaks
    texts = f"{few_before:.0f} and {before:.0f} MiB with the texts alone"
    return [
        {
            "what": f"estimates of {many:,} samples x 8: CPU seconds",
            "value": seconds[1], "aim": "<= 60", "detail": f"{seconds[0]:.0f} s of {few:,}",
        },
        {
            "what": f"peak memory of estimates: {many:,} samples against {few:,}",
            "value": peak / few_peak, "aim": "-",
            "detail": f"{few_peak:.0f} and {peak:.0f} MiB; {texts}",
        },
    ]  # fmt: skip


def write_parts(folder: Path, n: int) -> None:
    """Write the parts of an unfinished run: questions of twelve words, and 8 completions each."""
    random = np.random.default_rng(1)
    words = np.array([f"w{i}" for i in range(2000)])
    run = RunFolder(folder)
    run.parts.mkdir()
    for number in range(n // 1000):
        at = np.arange(number * 1000, (number + 1) * 1000)
        ids = [f"{i:032x}" for i in at]
        hard = random.random(1000)
        right = random.random((1000, 8)) > hard[:, None]
        asked = {
            "sample_id": ids, "row": at, "problem": map(" ".join, random.choice(words, (1000, 12))),
            "answer": random.integers(0, 99, 1000).astype(str), "n_images": np.ones(1000, int),
            "width": random.integers(64, 900, 1000), "height": random.integers(64, 900, 1000),
            "pixel_entropy": hard + random.random(1000), "rollouts": np.full(1000, 8),
            "pass_rate": right.mean(1),
        }  # fmt: skip
        said = {
            "sample_id": np.repeat(ids, 8), "rollout": np.tile(np.arange(8), 1000),
            "n_tokens": np.full(8000, 10), "correct": right.ravel(),
            "sum_logprob": -random.gamma(2, np.repeat(hard, 8) + 0.1),
        }  # fmt: skip
        tables = (
            pa.table([pa.array(list(told[f.name]), f.type) if f.name in told
                      else pa.nulls(rows, f.type) for f in arrow_schema(columns)],
                     schema=arrow_schema(columns))
            for told, columns, rows in ((asked, DIFFICULTY, 1000), (said, ROLLOUTS, 8000))
        )  # fmt: skip
        run.write_part(number, *tables, {})


def _tau(a: Any, b: Any, random: np.random.Generator) -> float:
    # Ties broken by chance: they would flatter few draws.
    return float(kendalltau(a + 1e-9 * random.standard_normal(len(a)), b).statistic)


def _same(a: Any, b: Any, parts: int, random: np.random.Generator) -> float:
    places = []
    for values in (a, b):
        shaken = values + 1e-9 * random.standard_normal(len(values))
        places.append(np.argsort(np.argsort(shaken)) * parts // len(values))
    return float(np.mean(places[0] == places[1]))


def main() -> None:
    """Measure the runs that are given."""
    parser = argparse.ArgumentParser(description="72 completions a sample, of the policy shipped.")
    for name in PROFILED:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, metavar="RUN")
    given = vars(parser.parse_args())
    if not any(given.values()):
        parser.error("give a run, or let `python -m tests.benchmarks estimates` draw them")
    for name, run in given.items():
        if run is not None:
            measured(name, run)


if __name__ == "__main__":
    main()
