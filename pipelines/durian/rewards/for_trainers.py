r"""The boxed reward as other trainers call theirs; this file's path is what they are given.

    verl      custom_reward_function.path=FILE custom_reward_function.name=compute_score
    EasyR1    worker.reward.reward_function=FILE:easyr1_reward
    TRL       GRPOTrainer(reward_funcs=durian.rewards.trl_reward, ...)
    ms-swift  orms["durian"] = durian.rewards.SwiftReward, in a file of --external_plugins

`python -c "import durian.rewards.for_trainers as f; print(f.__file__)"` prints FILE.

A reward is 0.1 format + 0.9 accuracy (eq. 22-24). What a trainer filters prompts by must be the
accuracy alone: a prompt whose answers are all wrong has rewards of 0 and 0.1, which spread, and
training on that spread has taught policies the format and nothing else. So verl and EasyR1 are
given it beside the reward, and TRL logs it.

Mathematics is compared by math-verify, with the antlr that verl has too:
`pip install "math-verify[antlr4-9-3]"`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from durian.errors import MissingPackage
from durian.rewards.boxed import BoxedReward
from durian.rewards.score import Attempts
from durian.samples import Score

REWARD_NAME, REWARD_TYPE = "durian", "batch"  # EasyR1 reads them
REFERENCES = ("solution", "answer", "ground_truth", "target")  # columns; the first that is there


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    opened: bool = False,
    **_: Any,
) -> dict[str, Any]:
    """Score one completion for verl.

    Args:
        data_source: not read: all are judged by one rule.
        ground_truth: the reference; a list of texts where several are accepted.
        extra_info: its `options` are the contents of the choices, its `sample_id` is given back,
            so that `durian import` knows whose completion a dump holds.
        opened: the chat template writes the opening think tag
            (`custom_reward_function.reward_kwargs.opened=True`).
    Returns:
        `score`, the reward; `acc`, 0 or 1, for filters; `format`, 0 or 1.
    Raises:
        MissingPackage: math-verify is not installed.
    """
    info = extra_info or {}
    options = info.get("options")
    [score] = _scores(
        [solution_str], [ground_truth], [() if options is None else options], opened, apart=False
    )
    known = {"sample_id": info["sample_id"]} if "sample_id" in info else {}
    return {"score": score.reward, "acc": _share(score.correct), "format": _form(score), **known}


def easyr1_reward(
    reward_inputs: Sequence[Mapping[str, Any]], opened: bool = False
) -> list[dict[str, float]]:
    """Score a batch of completions for EasyR1.

    Args:
        reward_inputs: each with `response` and `ground_truth`.
        opened: as `compute_score` has it.
    Returns:
        Of each: `overall`, the reward; `accuracy` and `format`, 0 or 1.
    Raises:
        MissingPackage: math-verify is not installed.
    """
    texts = [str(one["response"]) for one in reward_inputs]
    references = [one["ground_truth"] for one in reward_inputs]
    return [
        {"overall": score.reward, "accuracy": _share(score.correct), "format": _form(score)}
        for score in _scores(texts, references, [()] * len(texts), opened)
    ]


def trl_reward(
    completions: Sequence[Any],
    *,
    log_metric: Callable[[str, float], None] | None = None,
    log_extra: Callable[[str, list[Any]], None] | None = None,
    **columns: Any,
) -> list[float | None]:
    """Score a batch of completions for TRL or ms-swift.

    Args:
        completions: texts, or conversations whose last message is the completion.
        log_metric, log_extra: TRL's; it logs the accuracy, and the `sample_id` column if there is
            one, so that `durian import` knows whose completion each is.
        columns: of the dataset, a value a completion: the reference is the first of `REFERENCES`
            that is there; `options` are the contents of the choices.
    Returns:
        A reward each; None where the row has no reference, which a trainer leaves out.
    Raises:
        KeyError: there is no column of references.
        MissingPackage: math-verify is not installed.
    """
    name = next((name for name in REFERENCES if columns.get(name) is not None), None)
    if name is None:
        raise KeyError(f"no column of references; name one of {', '.join(REFERENCES)}")
    references = columns[name]
    options = columns.get("options") or [()] * len(completions)
    known = [place for place, reference in enumerate(references) if reference is not None]
    scores = _scores(
        [completion_text(completions[place]) for place in known],
        [references[place] for place in known],
        [options[place] or () for place in known],
        opened=False,
    )
    if log_metric is not None and scores:
        log_metric("accuracy", sum(score.correct for score in scores) / len(scores))
    if log_extra is not None and "sample_id" in columns:
        log_extra("sample_id", list(columns["sample_id"]))
    rewards: list[float | None] = [None] * len(completions)
    for place, score in zip(known, scores, strict=True):
        rewards[place] = score.reward
    return rewards


class SwiftReward:
    """`trl_reward` as ms-swift makes its rewards: a class that is called with its arguments."""

    def __init__(self, args: Any = None, **_: Any) -> None:
        """Take ms-swift's arguments, of which none is needed."""

    def __call__(self, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """See `trl_reward`."""
        return trl_reward(completions, **columns)


def _scores(
    texts: Sequence[str],
    references: Sequence[Any],
    options: Sequence[Sequence[str]],
    opened: bool,
    *,
    apart: bool = True,
) -> list[Score]:
    if find_spec("math_verify") is None:
        raise MissingPackage(
            "durian.rewards needs math-verify, which is not installed; "
            'pip install "math-verify[antlr4-9-3]"'
        )
    reward = BoxedReward(apart=apart)
    begun = [
        reward.start(
            Attempts(
                completions=[text], n_tokens=[0], answer=_reference(reference),
                options=tuple(choices), opened=opened,
            )
        )
        for text, reference, choices in zip(texts, references, options, strict=True)
    ]  # fmt: skip
    return [pending()[0] for pending in begun]


def _reference(value: Any) -> str:
    """A reference as the grader reads it: a JSON list where several texts are accepted."""
    if isinstance(value, str):
        return value
    if hasattr(value, "tolist"):  # of NumPy, as verl's Parquet files give lists
        value = value.tolist()
    return json.dumps(value) if isinstance(value, list | tuple) else str(value)


def completion_text(completion: Any) -> str:
    """The text of one completion: messages of a conversation, or plain text, as TRL gives it."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content)


def _share(right: bool) -> float:
    return 1.0 if right else 0.0


def _form(score: Score) -> float:
    return _share(bool(score.formatted))
