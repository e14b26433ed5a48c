"""What each program logs: its files, its columns, and how a line becomes completions.

verl       `trainer.rollout_data_dir`: STEP.jsonl with input, output, gts, score, step and what the
           reward returned beside the score
trl        `log_completions`: completions/completions_STEP.parquet with step, prompt, completion, a
           column a reward, advantage, and what a reward has logged (`log_extra`)
swift      `--log_completions true`: completions.jsonl, a line a batch, of columns as lists
lmms-eval  `--log_samples`: DATE_samples_TASK.jsonl with doc_id, input, target, resps or
           filtered_resps, and the task's metrics; the row itself is not in it
jsonl      any lines (or Parquet, CSV) with a prompt and a completion, or a sample_id
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from durian.errors import DatasetError

Row = Mapping[str, Any]

# Names that programs give to one thing; the first that a line has counts.
PROMPT = ("prompt", "input", "problem", "question", "query", "messages")
COMPLETION = ("completion", "output", "response", "generated_text", "text")
_ANSWER = ("gts", "ground_truth", "solution", "target", "reference", "answer")
_REWARD = ("reward", "score", "rewards", "overall")
_CORRECT = ("acc", "accuracy", "correct", "is_correct", "exact_match", "accuracy_reward",
            "math_accuracy", "MathAccuracy")  # fmt: skip
_STEP = ("step", "global_step")
_TOKENS = ("n_tokens", "completion_tokens", "response_length", "num_tokens", "output_tokens")
_SUM = ("sum_logprob", "cumulative_logprob")
_MOST = 2**31  # of a step, or of tokens
_REASON = ("stop", "length", "repetition", "error")


@dataclass(frozen=True, kw_only=True)
class Logged:
    """One completion as a log tells it; None for what it does not tell."""

    completion: str
    prompt: str | None = None
    answer: str | None = None  # the reference, as logged
    place: int | None = None  # of its row in the dataset, from 0
    step: int | None = None  # of the training
    reward: float | None = None
    correct: bool | None = None
    n_tokens: int | None = None
    sum_logprob: float | None = None  # nats
    finish_reason: str | None = None
    blind: bool = False  # drawn without the image
    cells: Row = field(default_factory=dict)  # the whole line, for keys

    @property
    def right(self) -> bool | None:
        """Whether it is right by the log's own verdict; else, at a reward of 0.5 or more."""
        if self.correct is not None:
            return self.correct
        return None if self.reward is None else self.reward >= 0.5


@dataclass(frozen=True, kw_only=True)
class Form:
    """How one program logs its completions."""

    files: tuple[str, ...]  # names, within a folder that is given
    needs: tuple[str, ...]  # columns of each line
    spread: Callable[[Row], Iterable[Row]] = lambda row: [row]  # a line a completion
    batches: bool = False  # a line (a file of Parquet) is a batch, logged again while it trains
    reward: Callable[[Row], float | None] = lambda row: number(_first(row, _REWARD))

    def read(self, row: Row) -> Iterator[Logged]:
        """The completions of one line.

        Raises:
            ValueError: it holds none; a short phrase.
        """
        found = False
        for one in self.spread(row):
            completion = _reply(_first(one, COMPLETION))
            if completion is None:
                continue
            found = True
            prompt = _first(one, PROMPT)
            n_tokens, total = _lengths(one)
            reason = one.get("finish_reason")
            correct = number(_first(one, _CORRECT))
            yield Logged(
                completion=_utf8(completion),
                prompt=_conversation(prompt),
                answer=_plain(_first(one, _ANSWER)),
                place=_whole(one.get("doc_id")),
                step=_whole(_first(one, _STEP)),
                reward=self.reward(one),
                correct=None if correct is None else correct >= 0.5,
                n_tokens=n_tokens,
                sum_logprob=total,
                finish_reason=reason if reason in _REASON else None,
                blind=number(one.get("blind")) == 1,
                cells=one,
            )
        if not found:
            raise ValueError("no completion in it")


def _first(row: Row, names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def number(value: Any) -> float | None:
    """A finite number, of a number, a flag or a text; None where it is none."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _whole(value: Any) -> int | None:
    found = number(value)
    return int(found) if found is not None and found.is_integer() and abs(found) < _MOST else None


def _lengths(row: Row) -> tuple[int | None, float | None]:
    """Tokens and summed log-probability, told as such or token by token."""
    tokens, total = _whole(_first(row, _TOKENS)), number(_first(row, _SUM))
    each = row.get("logprobs")
    if isinstance(each, list) and each and all(isinstance(p, int | float) for p in each):
        tokens = len(each) if tokens is None else tokens
        total = number(sum(each)) if total is None else total
    # What is no number of tokens, or no logarithm of a probability, tells nothing.
    return (
        tokens if tokens is None or tokens >= 1 else None,
        total if total is None or total <= 0 else None,
    )


def _plain(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int | float) else None


def _content(message: Any) -> str:
    """The text of one message: its content, or the texts among its parts."""
    content = message.get("content") if isinstance(message, Mapping) else message
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "".join(text for text in texts if isinstance(text, str))


def _conversation(value: Any) -> str | None:
    """A prompt as text: as it is, or what all its messages say."""
    if isinstance(value, list):
        return "\n".join(map(_content, value))
    return value if isinstance(value, str) else None


def _reply(value: Any) -> str | None:
    """A completion as text: as it is, or the last message of a conversation."""
    if isinstance(value, list):
        return _content(value[-1]) if value else None
    return value if isinstance(value, str) else None


def _utf8(text: str) -> str:
    # Half a surrogate pair, as a broken escape leaves it, has no UTF-8: its escape has.
    return text.encode("utf-8", "backslashreplace").decode()


def _columns(row: Row) -> Iterator[Row]:
    """The rows of a table that stands in one line, a list a column."""
    columns = {name: values for name, values in row.items() if isinstance(values, list)}
    lengths = {len(columns[name]) for name in ("prompt", "completion") if name in columns}
    if len(lengths) != 1:
        raise ValueError("its columns are no lists of one length")
    (length,) = lengths
    whole = {name: values for name, values in columns.items() if len(values) == length}
    return ({name: values[place] for name, values in whole.items()} for place in range(length))


def _responses(row: Row) -> Iterator[Row]:
    """A row for each response of a document; those that were not filtered, where they are told."""
    texts = list(_texts(row.get("resps") or row.get("filtered_resps")))
    counts = row.get("token_counts")
    tokens = counts if isinstance(counts, list) and len(counts) == len(texts) else [{}] * len(texts)
    for text, count in zip(texts, tokens, strict=True):
        yield {**row, **(count or {}), "completion": text}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _added(*, after: str, others: frozenset[str]) -> Callable[[Row], float | None]:
    """Add up the columns of numbers that stand between a column and those named in `others`.

    A trainer names a column after each reward function; the sum is what it trains on unless the
    rewards have weights, which no log tells.
    """

    def reward(row: Row) -> float | None:
        if "reward" in row:
            return number(row["reward"])
        names = list(row)
        told = names[names.index(after) + 1 :] if after in names else []
        found = [
            number(row[name])
            for name in told
            if name not in others and isinstance(row[name], int | float)
        ]
        known = [each for each in found if each is not None]
        return number(sum(known)) if known else None

    return reward


_NO_REWARDS = frozenset(("advantage", "advantages", "entropy", "num_turns", "step"))
FORMS = {
    "verl": Form(files=("*.jsonl",), needs=("input", "output")),
    "trl": Form(
        files=("completions_*.parquet",),
        needs=("step", "prompt", "completion", "advantage"),
        batches=True,
        reward=_added(after="completion", others=_NO_REWARDS),
    ),
    "swift": Form(
        files=("completions.jsonl",),
        needs=("prompt", "completion"),
        spread=_columns,
        batches=True,
        reward=_added(after="completion", others=_NO_REWARDS),
    ),
    "lmms-eval": Form(
        files=("*samples_*.jsonl",),
        needs=("doc_id", "input"),
        spread=_responses,
        reward=lambda row: number(_first(row, (*_REWARD, *_CORRECT))),
    ),
    "jsonl": Form(files=("*.jsonl", "*.ndjson", "*.jsonl.gz", "*.jsonl.zst"), needs=()),
}


def check_columns(form: str, columns: Iterable[str], file: str) -> None:
    """Refuse a file that lacks the columns of its form.

    Raises:
        DatasetError: names the column, and those there are.
    """
    found = list(columns)
    missing = [name for name in FORMS[form].needs if name not in found]
    if not missing and form == "jsonl" and not any(name in found for name in COMPLETION):
        missing = [COMPLETION[0]]
    if missing:
        raise DatasetError(
            f"{file}: no column '{missing[0]}' (found: {', '.join(found[:12]) or 'none'}); is this "
            f"a log of {form}? pass another --from, or --from jsonl with prompt and completion"
        )
