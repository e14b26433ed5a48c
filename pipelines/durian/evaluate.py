"""`durian eval`: how often a policy is right, with intervals, overall and by difficulty group.

dataset -> samples -> images -> greedy and sampled completions -> accuracy; a second policy, if one
is to be compared, is loaded after the first is closed, and meets it sample by sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import dropwhile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from durian.analysis.evaluation import (
    Evaluation,
    GroupAccuracy,
    GroupDifference,
    JudgedCounts,
    JudgedDataset,
    JudgedDifference,
    JudgedModel,
)
from durian.analysis.reasons import grouped
from durian.analysis.statistics.accuracy import (
    Judged,
    accuracy_by_group,
    compare_greedy,
    compare_sampled,
    difference_by_group,
    pass_at_by_group,
    rates,
)
from durian.analysis.statistics.clusters import Clusters, clusters_of
from durian.analysis.statistics.seeing import learned, seeing
from durian.config import EvalConfig
from durian.engines.fingerprint import model_fingerprint
from durian.engines.loading import chat_of, check_engine, settle_repeatable
from durian.errors import ConfigError, RunError, RunFolderError
from durian.groups import Kind
from durian.manifest import as_profiled, describe_evaluation, evaluation_identity
from durian.measuring.first_rows import check_first_rows
from durian.measuring.judging import BLIND, OUTCOME, judge_parts
from durian.readers.dataset import SampleReader, open_dataset
from durian.readers.scan import DatasetIndex, scan
from durian.readers.stand_ins import StandIns
from durian.records import from_json
from durian.rendering.evaluation_page import write_evaluation
from durian.rendering.seeing import learned_sentence, seeing_sentence
from durian.rendering.text import counted, estimate_text
from durian.run.files import read_json, write_json
from durian.run.folder import SUMMARY_FILE, RunFolder, check_usable
from durian.run.manifest import Manifest
from durian.run.opening import hold_run
from durian.run.progress import Progress, Silent, Stopwatch
from durian.schema import JUDGED_ROLLOUTS
from durian.table.judged import (
    check_groups_known,
    describe_groups,
    group_order,
    labels_of,
    open_groups,
)

BothWays = tuple[NDArray[np.float64], NDArray[np.float64]]  # (N,) with the image, without
Found = TypeVar("Found")
_POLICIES = ("model", "compare")  # by the option that names each


def evaluate_policy(
    config: EvalConfig, *, fresh: bool = False, progress: Progress | None = None
) -> Evaluation:
    """Judge a policy on a dataset: one greedy completion a sample, and `rollouts` sampled ones.

    A sample that fails (a bad image, no prompt) counts in no rate; in a comparison, in neither
    policy's. Samples of equal content are judged once. With a folder as `config.out`, its
    completions are kept there part by part, and the same call resumes it.

    Args:
        fresh: throw unfinished parts away rather than resume.
    Returns:
        The numbers and what they say in words; written to `config.out` too.
    Raises:
        InputError: an option, the dataset, the table, a model or the folder is wrong; nothing is
            written.
        RunError: an engine failed, or no sample could be judged.

    >>> from durian.config import EvalConfig
    >>> config = EvalConfig(dataset="shapes.parquet", model="tiny_policy", engine="transformers",
    ...                     rollouts=2, max_tokens=8, limit=2)
    >>> durian.evaluate_policy(config).counts.judged
    2
    """
    progress, watch = progress or Silent(), Stopwatch()
    _check_out(config, fresh=fresh)
    manifest, groups = open_groups(config.table)
    config = as_profiled(config, manifest)
    check_engine(config.sampling)
    fingerprints = [model_fingerprint(policy.sampling) for policy in _policies(config)]
    reader = open_dataset(config.source)
    for line in reader.said:
        progress.note(line)
    check_first_rows(
        reader,
        config,
        pixel_limit=config.pixel_limit,
        chat=chat_of(config.sampling),
        say=progress.note,
        blind=config.blind,
    )
    if groups is not None:
        check_groups_known(groups, reader, config.table)
    config = settle_repeatable(config)
    with watch.time("scan"):
        index = scan(
            reader.samples(), progress, own_ids=config.id_column is not None,
            stand_ins=StandIns(config.seed) if config.blind == "other" else None,
        )  # fmt: skip

    def judge(run: RunFolder | None) -> Evaluation:
        return _evaluate(
            config, reader, index, (manifest, groups), fingerprints, run, progress, watch
        )

    if config.folder is None:
        result = judge(None)
        if config.out is not None:
            write_json(Path(config.out), result)
        return result
    identity = evaluation_identity(config, fingerprints, index.fingerprint)
    with hold_run(config.folder, identity, fresh=fresh, config=EvalConfig) as run:
        if run.manifest is None:
            result = judge(run)
            run.join_rollouts(JUDGED_ROLLOUTS)
            described = describe_evaluation(config, result, reader, identity)
            write_evaluation(run.path, result, described)
            run.finish(described)
        return _read_evaluation(run.path)


def _policies(config: EvalConfig) -> list[EvalConfig]:
    """The settings of each policy that is judged; an adapter is over the first alone."""
    if config.compare is None:
        return [config]
    return [config, replace(config, model=config.compare, adapter=None)]


def _read_evaluation(path: Path) -> Evaluation:
    """The numbers of a finished evaluation's folder."""
    file, way_out = path / SUMMARY_FILE, "evaluate again, into another --out"
    try:
        return from_json(Evaluation, read_json(file, way_out))
    except ValueError as error:
        raise RunFolderError(f"{file}: {error}; {way_out}") from error


def _evaluate(
    config: EvalConfig,
    reader: SampleReader,
    index: DatasetIndex,
    table: tuple[Manifest | None, pl.DataFrame | None],
    fingerprints: Sequence[str],
    run: RunFolder | None,
    progress: Progress,
    watch: Stopwatch,
) -> Evaluation:
    """Judge the policies and take the rates.

    Raises:
        RunError: an engine failed, or no sample could be judged.
    """
    policies = _policies(config)
    models = [str(policy.policy_name) for policy in policies]
    manifest, groups = table
    outcomes = [
        _judge(policy, name, reader, index, run, progress, watch)
        for name, policy in zip(_POLICIES, policies, strict=False)
    ]
    # A sample that failed for one policy is left out for both: the tests pair them sample by
    # sample, and a policy must not gain by failing on what is hard.
    error = outcomes[0]["error"]
    for other in outcomes[1:]:
        error = error.zip_with(error.is_not_null(), other["error"])
    failed, usable = grouped(error.drop_nulls()), error.is_null()
    if not usable.any():
        reason, count = next(iter(failed.items()))
        raise RunError(f"none of {len(error):,} samples could be judged: {count:,} x {reason}")
    judged = [_judged(frame.filter(usable), config.rollouts) for frame in outcomes]
    asked = [_asked_both_ways(frame.filter(usable), config) for frame in outcomes]
    ids = outcomes[0].filter(usable).select("sample_id")
    clusters = clusters_of(outcomes[0].filter(usable)["image_id"])
    labels, used = labels_of(ids, groups)
    result = Evaluation(
        durian=version("durian-rl"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset=JudgedDataset(name=reader.name, split=config.split, fingerprint=index.fingerprint),
        settings=config,
        counts=JudgedCounts(
            rows=index.n_rows,
            samples=len(index.rows),
            duplicate_rows=index.n_rows - len(index.rows),
            judged=len(ids),
            failed=sum(failed.values()),
            failed_by_reason=failed,
        ),
        clusters=clusters.described,
        table=None if manifest is None else describe_groups(str(config.table), manifest, used),
        models=[
            JudgedModel(
                name=model,
                fingerprint=fingerprint,
                greedy=rates(ways["greedy"], clusters),
                sampled=rates(ways["sampled"], clusters) if config.rollouts else None,
                pass_at=pass_at_by_group(
                    labels,
                    {kind: group_order(of_samples) for kind, of_samples in labels.items()},
                    ways["sampled"],
                    config.pass_at,
                    clusters,
                )
                if config.pass_at
                else None,
                seeing=_known({way: seeing(*pair, clusters) for way, pair in both.items()}),
                perceptual=_accuracies(labels.get("perceptual"), ways, clusters),
                reasoning=_accuracies(labels.get("reasoning"), ways, clusters),
            )
            for model, fingerprint, ways, both in zip(
                models, fingerprints, judged, asked, strict=True
            )
        ],
        comparison=_compare(models, judged, asked, labels, clusters, config.seed)
        if config.compare
        else None,
        seconds={stage: round(seconds, 3) for stage, seconds in watch.seconds.items()},
    )
    return replace(result, sentences=_sentences(result))


def _check_out(config: EvalConfig, *, fresh: bool) -> None:
    # Before the work, which may take hours, rather than after it.
    if config.folder is not None:
        check_usable(config.folder)
        return
    if fresh:
        raise ConfigError(
            "fresh throws the unfinished parts of a folder away, and out names none; leave it out"
        )
    if (out := config.out) is None:
        return
    if Path(out).is_dir():
        raise ConfigError(f"out: {out} is a folder; give a file, or a folder's name without .json")
    if not Path(out).absolute().parent.is_dir():
        raise ConfigError(f"out: no folder {Path(out).parent}; make it first")


def _judge(
    config: EvalConfig,
    policy: str,
    reader: SampleReader,
    index: DatasetIndex,
    run: RunFolder | None,
    progress: Progress,
    watch: Stopwatch,
) -> pl.DataFrame:
    """Judge the completions of `config.model`: one row a sample, in the order of the samples.

    Args:
        policy: which of `_POLICIES` it is; the parts of the second stand behind the first's.
        run: keeps the parts, and has those of an earlier attempt.
    """
    cut = index.parts(config.part_size)
    parts = list(enumerate(cut, len(cut) * _POLICIES.index(policy)))
    todo = parts
    if run is not None:
        todo = list(dropwhile(lambda part: run.has_part(part[0]), parts))
    outcomes = []
    if todo:
        with closing(judge_parts(config, policy, reader, index, todo, progress)) as judged:
            for part in judged:
                if run is None:
                    outcomes.append((part.outcomes, part.seconds))
                else:
                    run.write_part(part.number, part.outcomes, part.rollouts, part.seconds)
    if run is not None:
        outcomes = [(run.read_part(number), run.part_seconds(number)) for number, _ in parts]
    for _, seconds in outcomes:
        for stage, taken in seconds.items():
            watch.add(stage, taken)
    return pl.DataFrame(pl.from_arrow(pa.concat_tables([table for table, _ in outcomes])))


def _judged(outcomes: pl.DataFrame, rollouts: int) -> dict[str, Judged]:
    """The outcomes of one policy by the way its completions were drawn."""
    return {
        name: Judged(
            completions=completions,
            **{kept: outcomes[f"{name}_{kept}"].to_numpy().astype(np.float64) for kept in OUTCOME},
        )
        for name, completions in (("greedy", 1), ("sampled", rollouts))
        if completions
    }


def _asked_both_ways(outcomes: pl.DataFrame, config: EvalConfig) -> dict[str, BothWays]:
    """Pass rates with the image and without, by the way of drawing; none if not asked blind."""
    drawn = {"greedy": 1, "sampled": config.rollouts}
    return {
        way: (
            outcomes[f"{way}_right"].to_numpy() / completions,
            outcomes[f"{way}_{BLIND}"].fill_null(np.nan).to_numpy(),
        )
        for way, completions in drawn.items()
        if completions and config.asks_blind
    }


def _known(found: Mapping[str, Found | None]) -> dict[str, Found] | None:
    """What is known, or None where nothing is."""
    return {way: one for way, one in found.items() if one is not None} or None


def _compare(
    models: Sequence[str],
    judged: Sequence[Mapping[str, Judged]],
    asked: Sequence[Mapping[str, BothWays]],
    labels: Mapping[Kind, Sequence[Any]],
    clusters: Clusters,
    seed: int,
) -> JudgedDifference:
    first, second = judged
    pairs = {name: (first[name], second[name]) for name in first}
    sampled = pairs.get("sampled")
    return JudgedDifference(
        first=models[0],
        second=models[1],
        greedy=compare_greedy(*pairs["greedy"], clusters, seed=seed),
        sampled=None if sampled is None else compare_sampled(*sampled, clusters, seed=seed),
        learned=_known({way: learned(asked[1][way], asked[0][way], clusters) for way in asked[0]}),
        perceptual=_differences(labels.get("perceptual"), pairs, clusters),
        reasoning=_differences(labels.get("reasoning"), pairs, clusters),
    )


def _accuracies(
    labels: Sequence[Any] | None, ways: Mapping[str, Judged], clusters: Clusters
) -> list[GroupAccuracy] | None:
    if labels is None:
        return None
    return accuracy_by_group(labels, group_order(labels), ways, clusters)


def _differences(
    labels: Sequence[Any] | None, pairs: Mapping[str, tuple[Judged, Judged]], clusters: Clusters
) -> list[GroupDifference] | None:
    if labels is None:
        return None
    return difference_by_group(labels, group_order(labels), pairs, clusters)


def _counted(samples: int, result: Evaluation) -> str:
    """'1,200 samples of 60 images', or the samples alone where images do not repeat."""
    said, together = counted(samples, "sample"), result.clusters
    return f"{said} of {counted(together.n, 'image')}" if together.of == "image" else said


def _sentences(result: Evaluation) -> list[str]:
    """Put the results of an evaluation into sentences, with their intervals."""
    said = []
    for model in result.models:
        ways = {"greedy": model.greedy, "sampled": model.sampled}
        parts = [
            f"{estimate_text(rates.estimate, named=True)} when {name}"
            for name, rates in ways.items()
            if rates is not None
        ]
        said.append(
            f"{model.name} is right in {' and '.join(parts)}, over "
            f"{_counted(model.greedy.n, result)}."
        )
        if model.pass_at is not None:
            most, share = max(
                zip(result.settings.pass_at, model.pass_at[0].shares, strict=True),
                key=lambda tried: tried[0],
            )
            said.append(
                f"At least one of {most} sampled completions of {model.name} is right in "
                f"{estimate_text(share, named=True)} of the samples."
            )
    how = result.settings.blind or "none"
    for model in result.models:
        for way, both in (model.seeing or {}).items():
            said.append(seeing_sentence(f"When {way}, {model.name}", both, how))
    if (compared := result.comparison) is not None:
        tests = {"greedy": compared.greedy, "sampled": compared.sampled}
        parts = [
            f"{estimate_text(test.difference, ' points', sign='+', named=True)} when {name} "
            f"(p = {test.p:.2g}, {test.test})"
            for name, test in tests.items()
            if test is not None
        ]
        said.append(
            f"{compared.first} minus {compared.second}: {' and '.join(parts)}; above 0, "
            f"{compared.first} is right more often."
        )
        for way, moved in (compared.learned or {}).items():
            said.append(learned_sentence(moved, compared.second, compared.first, way))
    return said
