"""Matched completions on disk, a file a part, until their part is measured.

A log is in the order of its training, a run in that of its dataset. So each completion is written
to the file of its sample's part, and memory holds one part at a time, however long the log.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from durian.errors import DatasetError, one_line
from durian.logs.files import LogFiles, Unread
from durian.logs.forms import Logged
from durian.logs.matching import Matcher, NoMatch
from durian.run.manifest import ImportedLogs
from durian.run.progress import Progress

PART_BYTES = 16 * 2**20  # of log a part, about
_BUFFERED = 32 * 2**20  # bytes that wait to be written
_NAME = "logged-{}.jsonl"
_OPENING, _CLOSING = re.compile(r"<\s?think\s?>"), re.compile(r"</\s?think\s?>")


class Written(msgspec.Struct, array_like=True, frozen=True):
    """One completion of a sample, as it is kept."""

    number: int  # of its sample
    completion: str
    step: int | None = None
    reward: float | None = None
    right: bool | None = None
    n_tokens: int | None = None
    sum_logprob: float | None = None
    finish_reason: str | None = None
    blind: bool = False


_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder(Written)


@dataclass(frozen=True)
class KeptLogs:
    """The folder of the kept completions."""

    folder: Path

    def fill(
        self, logs: LogFiles, matcher: Matcher, parts: Sequence[range], progress: Progress
    ) -> ImportedLogs:
        """Match all completions of a log, and keep those that are of one sample.

        Args:
            parts: the samples of each part, by number.
        Raises:
            DatasetError: a file is damaged, or nothing matched.
        """
        for old in self.folder.glob(_NAME.format("*")):
            old.unlink()
        progress.start("logs", None)
        waiting: dict[int, list[bytes]] = defaultdict(list)  # by part
        size, part_size = 0, len(parts[0])
        unread = Unread()
        matched, unmatched = Counter[str](), Counter[str]()
        steps, with_reward, with_logprob = set[int](), 0, 0
        opening = closing = 0  # completions with the think tags
        first: Logged | None = None  # that was not matched
        for logged in logs.completions(unread):
            progress.advance("logs")
            try:
                number, by = matcher.find(logged)
            except NoMatch as reason:
                unmatched[str(reason)] += 1
                first = first or logged
                continue
            matched[by] += 1
            with_reward += logged.reward is not None
            with_logprob += logged.sum_logprob is not None and logged.n_tokens is not None
            opening += _OPENING.search(logged.completion) is not None
            closing += _CLOSING.search(logged.completion) is not None
            if logged.step is not None:
                steps.add(logged.step)
            line = _ENCODER.encode(_written(number, logged)) + b"\n"
            waiting[number // part_size].append(line)
            size += len(line)
            if size >= _BUFFERED:
                self._write(waiting)
                size = 0
        self._write(waiting)
        if not matched:
            raise _nothing(logs, matcher, first, unmatched, unread)
        return ImportedLogs(
            form=logs.form,
            files=len(logs.paths),
            completions=matched.total() + unmatched.total(),
            matched=dict(matched),
            unmatched=dict(unmatched),
            unread=unread.reasons,
            repeated=unread.repeated,
            with_reward=with_reward,
            with_logprob=with_logprob,
            steps=(min(steps), max(steps)) if steps else None,
            opened=not opening and 2 * closing > matched.total(),
        )

    def part(self, number: int) -> dict[int, list[Written]]:
        """The completions of one part by the number of their sample, in the order of the log."""
        found: dict[int, list[Written]] = defaultdict(list)
        path = self.folder / _NAME.format(number)
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    written = _DECODER.decode(line)
                    found[written.number].append(written)
        return found

    def _write(self, waiting: dict[int, list[bytes]]) -> None:
        for number, lines in waiting.items():
            with (self.folder / _NAME.format(number)).open("ab") as file:
                file.writelines(lines)
        waiting.clear()


def part_size(samples: int, log_bytes: int) -> int:
    """Samples a part, so that the completions of one fit in memory many times over."""
    most = 1000 if not log_bytes else samples * PART_BYTES // log_bytes
    return max(1, min(1000, most))


def _written(number: int, logged: Logged) -> Written:
    return Written(
        number=number,
        completion=logged.completion,
        step=logged.step,
        reward=logged.reward,
        right=logged.right,
        n_tokens=logged.n_tokens,
        sum_logprob=logged.sum_logprob,
        finish_reason=logged.finish_reason,
        blind=logged.blind,
    )


def _nothing(
    logs: LogFiles, matcher: Matcher, first: Logged | None, reasons: Counter[str], unread: Unread
) -> DatasetError:
    """Say why nothing matched, with one prompt of each side."""
    if first is None:
        why = unread.first or "there is no line"
        return DatasetError(one_line(f"{logs.name}: no completion in it: {why}"))
    if first.prompt is None and not matcher.keyed:
        return DatasetError(
            f"{logs.name}: its lines have neither a prompt nor a sample_id of the dataset; pass "
            "--key LOG_COLUMN=DATASET_COLUMN"
        )
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    log, data = (_brief(text or "nothing") for text in (first.prompt, matcher.example))
    return DatasetError(
        one_line(
            f"{logs.name}: none of {reasons.total():,} completions is of one sample of the dataset "
            f"({why}): the first prompt is '{log}', the first problem '{data}'; pass the dataset "
            "that it was drawn from, or --key LOG_COLUMN=DATASET_COLUMN",
            longest=None,
        )
    )


def _brief(text: str) -> str:
    """The text of a prompt as a person knows it: its end, where the question stands."""
    shown = " ".join(text.split())
    return shown if len(shown) <= 120 else f"...{shown[-117:]}"
