"""The facts of a finished training in words, for its card, its page and the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from durian.analysis.validation import ITSELF, ValidationResult
from durian.rendering.text import counted, estimate_text, percent_text
from durian.training.manifest import Regrouped, TrainingManifest


def training_facts(manifest: TrainingManifest) -> Iterator[tuple[str, str]]:
    """Name and text of each fact, in order; the names of other people in them are not escaped."""
    config, dataset, table = manifest.config, manifest.dataset, manifest.table
    yield "Policy", manifest.model
    if config["lora_r"] is not None:
        yield "Adapter", f"LoRA of rank {config['lora_r']}"
    yield "Dataset", f"{dataset.name}, split {dataset.split}"
    counts = manifest.counts
    left_out = "".join(f"; {number} x {why}" for why, number in counts.left_out.items())
    yield "Samples", f"{counts.samples} of {counts.rows} rows{left_out}"
    yield "Difficulty table", f"{table.run}, measured with {table.model or 'no policy'}"
    yield "Normalizer", _normalizer(manifest)
    if manifest.regrouped is not None:
        yield "Reasoning bins", _regrouped(manifest.regrouped)
    yield "Logged steps", str(manifest.result.logged_steps)


def training_results(manifest: TrainingManifest) -> Iterator[tuple[str, str]]:
    """Name and text of each result, as `training_facts`."""
    result = manifest.result
    if result.reward_first is not None:
        steps = f"over the first {result.averaged_steps} logged steps"
        first, last = result.reward_first, result.reward_last
        yield "Mean reward", f"{first:.3f} {steps}, {last:.3f} over the last"
    if (found := manifest.validation) is not None:
        yield "Validation", validation_text(found)
        yield "Best policy", best_text(found)


def _regrouped(cuts: Sequence[Regrouped]) -> str:
    """When the bins were cut anew, and what for."""
    told = (
        f"in step {cut.step} ({cut.moved} of {cut.samples} samples moved; tau {cut.tau:.2f}, by "
        f"chance {cut.tau_by_chance:.2f})"
        for cut in cuts
    )
    return f"cut anew {'; '.join(told)}" if cuts else "the table's to the end; never found stale"


def training_sentences(manifest: TrainingManifest, seconds: Mapping[str, float]) -> list[str]:
    """What came of the training, in full sentences.

    Args:
        seconds: of an optimizer step, by what they were spent on.
    """
    ends, found = manifest.result, manifest.validation
    told = []
    if found is not None:
        told.append(
            f"On the validation set {found.best.metric} accuracy was "
            f"{estimate_text(found.first.estimate, named=True)} before the first step and "
            f"{estimate_text(found.last.estimate)} after the last. Best: {best_text(found)}."
        )
    if ends.reward_first is not None:
        told.append(
            f"The mean reward of sampled completions was {ends.reward_first:.3f} over the first "
            f"{ends.averaged_steps} logged steps and {ends.reward_last:.3f} over the last: of what "
            "it was trained on, and no evaluation."
        )
    if (whole := sum(seconds.values())) > 0:
        name, most = max(seconds.items(), key=lambda each: each[1])
        told.append(
            f"An optimizer step took {whole:.3g} seconds on average, "
            f"{percent_text(most / whole, 0)} of it for {name}."
        )
    return told


def validation_text(found: ValidationResult) -> str:
    """The validations in a line: on what, how many, how it began and ended."""
    stopped = "" if found.stopped is None else f", where patience ran out at step {found.stopped}"
    return (
        f"{found.dataset}, split {found.split}: {found.best.metric} "
        f"{estimate_text(found.first.estimate, named=True)} before the first step, "
        f"{estimate_text(found.last.estimate)} after the last{stopped}"
    )


def best_text(found: ValidationResult) -> str:
    """The best policy in a line: its step, its accuracy, its weights, and how to read that."""
    best, where = found.best, "this folder" if found.best.weights == ITSELF else found.best.weights
    return (
        f"step {best.step}, {best.metric} {estimate_text(best.accuracy.estimate)}, in {where}; the "
        f"highest of {counted(found.validations, 'validation')}, so expect less of it on other "
        "samples"
    )


def _normalizer(manifest: TrainingManifest) -> str:
    config, own = manifest.config, ""
    if config["normalizer"] == "durian":
        weights = ", ".join(f"{weight:g}" for weight in config["weights"])
        own = f", weights {weights} (own, perceptual, reasoning)"
    return f"{config['normalizer']}{own}, groups {config['groups']}"
