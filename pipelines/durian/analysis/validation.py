"""The validations of a training: what each found, which policy is the best, and when to stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from durian.analysis.evaluation import Accuracy, GroupAccuracy, JudgedTable, Rates
from durian.analysis.statistics.estimate import DrawnTogether
from durian.groups import KINDS
from durian.records import left_out

ITSELF = "."  # where the weights of a validation lie that are the training's last: in its folder


@dataclass(frozen=True, kw_only=True)
class Validated:
    """One validation: how often the policy was right after so many optimizer steps."""

    step: int
    samples: int
    failed: int  # samples that count in no rate, since the reward failed on them
    seconds: float
    greedy: Rates
    sampled: Rates | None = left_out()
    groups: dict[str, list[GroupAccuracy]]  # perceptual and reasoning, then the dataset's columns

    def ways(self) -> dict[str, Rates]:
        """Accuracy of all samples by the way in which completions were drawn."""
        return {"greedy": self.greedy} | ({"sampled": self.sampled} if self.sampled else {})

    def named(self) -> Iterator[tuple[str, Accuracy]]:
        """Each accuracy with the name that a metric is asked by: of all samples, then by group."""
        yield from self.ways().items()
        for kind, groups in self.groups.items():
            for of in groups:
                for way, known in (("greedy", of.greedy), ("sampled", of.sampled)):
                    if known is not None:
                        yield f"{way}/{group_name(kind, of.group)}", known


@dataclass(frozen=True, kw_only=True)
class ValidatedRows:
    """Counts of the rows to validate on, and of what they share with the training set."""

    rows: int
    samples: int  # distinct ones that are judged
    left_out: dict[str, int] = field(default_factory=dict)  # by reason, the most frequent first
    longest_prompt: int  # tokens
    same_question: int  # samples that ask what a training sample asks, of the same images
    same_image: int  # samples that show an image of the training set, those included


@dataclass(frozen=True, kw_only=True)
class Validations:
    """All validations of a training so far: what validation.json holds."""

    dataset: str
    split: str
    table: JudgedTable | None
    counts: ValidatedRows
    clusters: DrawnTogether  # what intervals take as a whole
    metric: str
    every: int  # optimizer steps
    rollouts: int
    patience: int | None
    validations: list[Validated] = field(default_factory=list)

    @property
    def best(self) -> Validated | None:
        """The validation of the highest metric, the first of equals; None where none has it.

        Of many it is high by luck too: what it is over another set is expected to be lower.
        """
        known = [v for v in self.validations if metric_of(v, self.metric) is not None]
        return max(known, key=lambda v: _value(v, self.metric), default=None)

    @property
    def stopped(self) -> int | None:
        """The step at which patience has run out; None where it has not."""
        best, tried = float("-inf"), 0
        for one in self.validations:
            value = _value(one, self.metric)
            best, tried = (value, 0) if value > best else (best, tried + 1)
            if self.patience is not None and tried >= self.patience:
                return one.step
        return None

    @property
    def seconds(self) -> float:
        """What all of them took."""
        return round(sum(one.seconds for one in self.validations), 3)

    def at(self, step: int) -> Validated | None:
        """The validation after so many steps; None where there was none."""
        return next((one for one in self.validations if one.step == step), None)


@dataclass(frozen=True, kw_only=True)
class BestPolicy:
    """The policy that a training's validations found the best, and where its weights lie."""

    metric: str
    step: int
    accuracy: Accuracy  # of the metric; of the best of several, biased upward
    weights: str  # a folder within the training's, '.' for that itself; at step 0 the model's name


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """A training's validations in its manifest; validation.json has each of them whole."""

    dataset: str
    split: str
    validations: int
    first: Accuracy  # of the metric, before the first step
    last: Accuracy
    best: BestPolicy
    stopped: int | None = left_out()  # the step at which patience ran out
    seconds: float  # of all validations


def metric_of(validated: Validated, metric: str) -> Accuracy | None:
    """The accuracy of a metric's name; None where the validation has none of it."""
    return next((known for name, known in validated.named() if name == metric), None)


def result_of(found: Validations, model: str, last_step: int) -> ValidationResult | None:
    """The gist of a training's validations; None where the metric could never be taken."""
    best = found.best
    if best is None:
        return None
    values = [v for one in found.validations if (v := metric_of(one, found.metric)) is not None]
    accuracy = metric_of(best, found.metric)
    assert accuracy is not None
    return ValidationResult(
        dataset=found.dataset,
        split=found.split,
        validations=len(found.validations),
        first=values[0],
        last=values[-1],
        best=BestPolicy(
            metric=found.metric,
            step=best.step,
            accuracy=accuracy,
            weights=weights_at(best.step, model, last_step),
        ),
        stopped=found.stopped,
        seconds=found.seconds,
    )


def weights_at(step: int, model: str, last_step: int | None = None) -> str:
    """Where the weights of a validation lie: the model's, the training's own, or a folder's."""
    if step == 0:
        return model
    return ITSELF if step == last_step else f"best-{step}"


def group_name(kind: str, group: str | int) -> str:
    """The name of a group in a metric and in the log: perceptual_hard, kind=colour."""
    return f"{kind}_{group}" if kind in KINDS else f"{kind}={group}"


def due_steps(total: int, every: int) -> list[int]:
    """The steps after which a training is validated: 0, every so many, and the last."""
    return sorted({*range(0, total, every), total})


def log_entry(validated: Validated, so_far: Validations) -> dict[str, float]:
    """A validation as the trainer logs it: accuracies with their intervals, under `eval_`.

    Args:
        so_far: all that there are; a training that is resumed may have some of later steps.
    """
    before = [one for one in so_far.validations if one.step <= validated.step]
    best = replace(so_far, validations=before).best
    found: dict[str, float] = {} if best is None else {"eval_best_step": float(best.step)}
    for name, known in validated.named():
        found[f"eval_{name}"] = known.accuracy
        if "/" not in name:
            for end, value in (("low", known.low), ("high", known.high)):
                if value is not None:
                    found[f"eval_{name}/{end}"] = value
    for way, known in validated.ways().items():
        for part, value in (
            ("format", known.format_rate),
            ("mean_length", known.mean_tokens),
            ("truncated", known.truncated),
        ):
            if value is not None:
                found[f"eval_{way}/{part}"] = value
    return found | {"eval_failed": float(validated.failed), "eval_seconds": validated.seconds}


def known_metrics(ways: Sequence[str], labels: Mapping[str, Sequence[str | int]]) -> list[str]:
    """The names that a metric may have, of the groups that the samples are in."""
    groups = [group_name(kind, group) for kind, found in labels.items() for group in found]
    return [*ways, *(f"{way}/{group}" for way in ways for group in groups)]


def _value(validated: Validated, metric: str) -> float:
    known = metric_of(validated, metric)
    return float("-inf") if known is None else known.accuracy
