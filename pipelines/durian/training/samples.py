"""The training set: samples of the dataset with their groups, checked once and kept on disk.

Trainers read rows at random and many times; datasets stream. So the rows that take part are written
to one Arrow file in the output folder, images still encoded, and mapped into memory from there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from PIL import Image

from durian.analysis.reasons import grouped
from durian.config import TrainConfig
from durian.engines.chat import Chat, cannot_load, load_chat
from durian.engines.faults import known_fault
from durian.engines.prompts import PromptTemplate, load_template
from durian.engines.resizing import Resizing, Size
from durian.errors import ConfigError, RunFolderError, one_line
from durian.images.decode import decode
from durian.images.resize import resized
from durian.measuring.decoding import decoded
from durian.measuring.look import Look
from durian.measuring.sampling import build_prompt
from durian.readers.dataset import SampleReader
from durian.readers.scan import scan
from durian.records import JsonObject, as_json, from_json
from durian.run.files import read_json, write_json, written_aside
from durian.run.progress import Progress
from durian.samples import Failed, Prompt, Sample
from durian.table.join import TrainingTable
from durian.training.manifest import RowCounts
from durian.training.prompts import check_trainable

SAMPLES_FILE = "samples.arrow"
COUNTS_FILE = "samples.json"
ROWS_TOGETHER = 256  # written at a time, with their images
_SCHEMA = pa.schema(
    {
        "sample_id": pa.string(),
        "messages": pa.string(),  # JSON: Arrow has no type for parts of different keys
        "answer": pa.string(),
        "sample": pa.string(),  # JSON: the question and the row's columns, for the reward
        "encoded": pa.list_(pa.binary()),
        "perceptual_group": pa.int32(),
        "reasoning_group": pa.int32(),
        "perceptual": pa.float64(),
        "confidence": pa.float64(),
    }
)


@dataclass(frozen=True, kw_only=True)
class Screen:
    """The conditions under which a sample takes part: its prompt can be built, read and held."""

    chat: Chat
    system_prompt: str
    template: PromptTemplate | None
    most_tokens: int
    vllm: bool = False  # whether it draws the completions, beside the trainer or from a server
    resizing: Resizing | None = None  # within the bounds that were asked for; None: none were

    def fault(self, images: int) -> str | None:
        """Tell why vLLM must not draw completions of a prompt with so many images, if it is to."""
        if not self.vllm:
            return None
        # In a training vLLM runs on GPUs alone, wherever the plan of it is made.
        known = known_fault("vllm", self.chat.processor, images, on_cpu=False)
        return None if known is None else f"{known.error}; leave out use_vllm"

    def render(self, sample: Sample, seen: Look) -> tuple[Prompt, str] | Failed:
        """The prompt of a sample and its text, or why there is none."""
        prompt = build_prompt(
            sample, seen, system_prompt=self.system_prompt, template=self.template
        )
        if isinstance(prompt, Failed):
            return prompt
        if (fault := self.fault(len(prompt.images))) is not None:
            return Failed(fault)
        text = self.chat.render(prompt)
        return text if isinstance(text, Failed) else (prompt, text)

    def check(self, sample: Sample, seen: Look) -> tuple[list[JsonObject], int] | Failed:
        """The chat messages of a sample and its prompt's tokens, or why it cannot take part."""
        rendered = self.render(sample, seen)
        if isinstance(rendered, Failed):
            return rendered
        prompt, text = rendered
        try:
            length = self.chat.prompt_length(text, prompt.images)
        except ValueError as error:  # the processor refuses the images
            return Failed(one_line(error))
        if length > self.most_tokens:
            return Failed(f"the prompt is longer than {self.most_tokens:,} tokens")
        return prompt.messages, length


@dataclass(frozen=True)
class ScannedRows:
    """A first pass over the dataset: what it is, and whose samples its rows are."""

    ids: list[str]  # of every row, in order
    fingerprint: str
    with_images: bool  # whether a row has any


@dataclass(frozen=True)
class PreparedSamples:
    """The training set as TRL reads it, in the order of training."""

    dataset: datasets.Dataset
    counts: RowCounts

    @property
    def rows(self) -> int:
        """Number of rows that take part."""
        return len(self.dataset)

    @property
    def ids(self) -> list[str]:
        """The sample of each row; no image is decoded for it."""
        return list(self.dataset.with_format(None)["sample_id"])


def open_screen(config: TrainConfig, grpo: Mapping[str, Any]) -> Screen:
    """Load the policy's processor and prompt; the longest prompt leaves room for a completion.

    Raises:
        ConfigError: one of them cannot be loaded, or no prompt fits.
    """
    chat = load_chat(config.policy)
    check_trainable(chat, config.model, Image.new("RGB", (64, 64)))
    context, room = _context(config, grpo), int(grpo["max_completion_length"])
    most = context - room if config.max_prompt_tokens is None else config.max_prompt_tokens
    if most < 1 or most + room > context:
        raise ConfigError(
            f"grpo: 'max_completion_length' {room} and a prompt of {max(most, 1)} tokens "
            f"do not fit the model's context of {context}"
        )
    return Screen(
        chat=chat,
        system_prompt=config.system_prompt or "",
        template=load_template(config.prompt_template) if config.prompt_template else None,
        most_tokens=most,
        vllm=bool(grpo.get("use_vllm")),
        resizing=chat.resizing if chat.image_size else None,
    )


def _context(config: TrainConfig, grpo: Mapping[str, Any]) -> int:
    """Tokens of a prompt with its completion that the policy, or vLLM beside it, can hold.

    Raises:
        ConfigError: the policy's configuration cannot be read, or TRL would stumble over it.
    """
    from transformers import AutoConfig

    try:
        model = AutoConfig.from_pretrained(config.model, trust_remote_code=config.trust_remote_code)
    except Exception as error:  # loaders raise whatever comes
        raise cannot_load(config.model, error) from error
    if grpo.get("cast_lm_head_to_fp32") and getattr(model, "tie_word_embeddings", False):
        raise ConfigError(
            "grpo: 'cast_lm_head_to_fp32' is refused: TRL looks for the embeddings that are tied "
            f"to it where a model of text alone has them, and {config.model} does not"
        )
    most = int(model.get_text_config().max_position_embeddings)
    return min(most, int(grpo.get("vllm_max_model_length") or most))


def scan_rows(
    reader: SampleReader,
    config: TrainConfig,
    table: TrainingTable,
    screen: Screen,
    progress: Progress,
    watch: Callable[[Sample], None] | None = None,
) -> ScannedRows:
    """Read all rows once, without decoding an image, and look each up in the table.

    Args:
        watch: told of each sample.
    Raises:
        InputError: the dataset cannot be read, or the table lacks samples of it.
        ConfigError: vLLM must not draw completions of any of the rows.
    """
    ids: list[str] = []
    images: set[int] = set()  # how many a row has

    def noted() -> Iterator[Sample]:
        for sample in reader.samples():
            ids.append(sample.sample_id)
            images.add(len(sample.images))
            if watch is not None:
                watch(sample)
            yield sample

    index = scan(noted(), progress, own_ids=config.id_column is not None)
    table.check_missing(ids)
    faults = [screen.fault(number) for number in sorted(images)]
    if faults and None not in faults:
        raise ConfigError(f"grpo: 'use_vllm': {faults[0]}")
    return ScannedRows(ids, index.fingerprint, with_images=any(images))


def prepare_samples(
    out: Path,
    config: TrainConfig,
    reader: SampleReader,
    scanned: ScannedRows,
    table: TrainingTable,
    screen: Screen,
    progress: Progress,
) -> None:
    """Write the rows that take part and their order, unless an interrupted training has.

    What became of the others is kept beside them: `filtered`, `missing`, and a count by reason of
    those that are `left_out`.

    Raises:
        ConfigError: no sample is left.
    """
    # Written last: where the counts are, the rows are whole, and a resumed training maps them again
    # instead of decoding the dataset once more.
    if (out / COUNTS_FILE).exists():
        return
    n_rows, left_out = len(scanned.ids), Counter[str]()
    progress.start("images", n_rows)
    seen = decoded(
        reader.samples(), keep=True, pixel_limit=config.pixel_limit, workers=config.workers,
        progress=progress,
    )  # fmt: skip
    with closing(seen):
        rows = _rows(seen, table, screen, left_out, bare=not scanned.with_images)
        ids, longest = write_rows(out / SAMPLES_FILE, _SCHEMA, rows)
    if not ids:
        most = next(iter(grouped(left_out).items()), ("no reason", 0))
        raise ConfigError(f"no sample of {n_rows} can take part; {most[1]} of them: {most[0]}")
    counts = RowCounts(
        rows=n_rows, samples=len(ids), longest_prompt=longest, left_out=grouped(left_out)
    )
    write_json(out / COUNTS_FILE, {**as_json(counts), "order": table.order(ids)})


def open_samples(out: Path, pixel_limit: int, resizing: Resizing | None = None) -> PreparedSamples:
    """Map the prepared rows into memory.

    Raises:
        RunFolderError: this process does not see what the first one prepared.
    """
    if not (out / COUNTS_FILE).exists():
        raise RunFolderError(
            f"{out}: the samples that the first process prepared are not here; --out must be one "
            "folder that all machines of the launch share"
        )
    counts = read_json(out / COUNTS_FILE, "pass --fresh")
    rows = datasets.Dataset.from_file(str(out / SAMPLES_FILE))
    ordered = rows.with_transform(ForTrl(pixel_limit, resizing)).select(counts.pop("order"))
    return PreparedSamples(ordered, from_json(RowCounts, counts))


def write_rows(
    file: Path, schema: pa.Schema, rows: Iterable[tuple[int, JsonObject]]
) -> tuple[list[str], int]:
    """Write prepared rows as they come, some at a time, whole or not at all.

    Args:
        rows: each with its prompt's tokens.
    Returns:
        The rows' sample ids, and the tokens of the longest prompt; 0 of none.
    """
    ids, longest, coming = list[str](), 0, iter(rows)
    with (
        written_aside(file) as aside,
        pa.OSFile(str(aside), "wb") as opened,
        pa.ipc.new_stream(opened, schema) as writer,
    ):
        while found := list(islice(coming, ROWS_TOGETHER)):
            longest = max(longest, *(length for length, _ in found))
            kept = [row for _, row in found]
            ids += [row["sample_id"] for row in kept]
            writer.write_table(pa.Table.from_pylist(kept, schema))
    return ids, longest


class ForTrl:
    """Rows of the file to rows of TRL: chat messages and decoded images.

    TRL asks for a sample once a completion, and for the whole rollout batch again at each of its
    steps: the images of the latest batch are kept, so that each is decoded once.

    Images come in the size that the policy sees: the trainer's processor knows the bounds that were
    asked for, but vLLM beside it or behind a server reads the model's own.
    """

    def __init__(self, pixel_limit: int, resizing: Resizing | None = None) -> None:
        self._pixel_limit = pixel_limit
        self._resizing = resizing
        self._kept: dict[str, list[tuple[Image.Image, Size]]] = {}

    def __call__(self, rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Turn a batch of rows, by column, into what TRL reads."""
        # Only the images of the latest batch are kept, and those that the batch before it had go
        # over: memory holds two rollout batches at most, whatever the dataset.
        before, self._kept = self._kept, {}
        for sample_id, encoded in zip(rows["sample_id"], rows["encoded"], strict=True):
            if sample_id not in self._kept:
                known = before.get(sample_id)
                self._kept[sample_id] = self._decode(encoded) if known is None else known
        given = {name: values for name, values in rows.items() if name not in _OWN}
        kept = [self._kept[sample_id] for sample_id in rows["sample_id"]]
        images = [[image for image, _ in own] for own in kept]
        return {
            **given,
            "image_sizes": [[size for _, size in own] for own in kept],  # the dataset's own
            "prompt": [json.loads(text) for text in rows["messages"]],
            "images": images,
        }

    def _decode(self, encoded: list[bytes]) -> list[tuple[Image.Image, Size]]:
        images = []
        for data in encoded:
            decoded = decode(data, pixel_limit=self._pixel_limit, keep=True)
            if isinstance(decoded, Failed) or decoded.rgb is None:
                raise RuntimeError("an image that was decoded before cannot be decoded now")
            image, own = decoded.rgb, decoded.rgb.size
            size = None if self._resizing is None else self._resizing.of(own)
            images.append((image if size is None else resized(image, size), own))
        return images


_OWN = ("messages", "encoded")


def _rows(
    samples: Iterable[tuple[Sample, Look]],
    table: TrainingTable,
    screen: Screen,
    left_out: Counter[str],
    *,
    bare: bool,
) -> Iterator[tuple[int, JsonObject]]:
    """The rows that take part, each with its prompt's tokens; the others are counted.

    Args:
        bare: no row of the dataset has an image. Else those without one are left out: TRL hands
            a rollout batch to the processor whole, which refuses the mixture.
    """
    for sample, seen in samples:
        # The cheapest reasons first: what the table says, then whether there are images, and only
        # then the prompt, which is rendered and counted.
        known = table.find(sample.sample_id)
        if isinstance(known, str):
            left_out[known] += 1
            continue
        if not (sample.images or bare):
            left_out["no image, where other samples have one"] += 1
            continue
        checked = screen.check(sample, seen)
        if isinstance(checked, Failed):
            left_out[checked.error] += 1
            continue
        messages, length = checked
        yield length, row_of(sample, messages) | known


def row_of(sample: Sample, messages: list[JsonObject]) -> JsonObject:
    """A row that TRL reads by `ForTrl`: its prompt, and all that the reward is given of it."""
    return {
        "sample_id": sample.sample_id,
        "messages": json.dumps(messages),
        "answer": sample.answer,
        "sample": json.dumps(
            {"question": sample.problem, "options": sample.options, "columns": sample.cells},
            default=str,
        ),
        "encoded": list(sample.images),
    }
