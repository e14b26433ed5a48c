"""What every form is made of: one row of a dataset with its labels, and the types of columns."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from durian.places import Place
from durian.records import JsonObject

IMAGE_MARK = "<image>"
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
IMAGES = pa.list_(IMAGE)
PATHS = pa.list_(pa.string())
PARTS = pa.list_(
    pa.struct(
        [
            ("role", pa.string()),
            ("content", pa.list_(pa.struct([("type", pa.string()), ("text", pa.string())]))),
        ]
    )
)
MARKS = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

# The columns that training inside another trainer needs, and what they mean: for the card.
LABELS = {
    "sample_id": (pa.string(), "", "key of the sample in the difficulty table"),
    "durian_perceptual_group": (pa.int64(), "", "0 easy, 1 medium, 2 hard, -1 in no group"),
    "durian_reasoning_group": (pa.int64(), "", "0 is the least confident bin; -1 in no bin"),
    "durian_perceptual": (pa.float64(), "", "the measure behind the perceptual groups"),
    "durian_confidence": (pa.float64(), "", "the measure behind the reasoning groups"),
    "durian_pass_rate": (pa.float64(), "share, 0 to 1", "completions that were right"),
}
LABEL_TYPES = {name: kind for name, (kind, _, _) in LABELS.items()}

Types = Mapping[str, pa.DataType]
Chat = Literal["parts", "marks"]


@dataclass(frozen=True, kw_only=True)
class Given:
    """One row of a dataset, all that a form may lay out."""

    row: int  # position in the dataset
    part: str  # the name of the file without its ending
    source: str  # what the dataset is called
    problem: str  # as in the dataset
    marked: str  # with a mark for each image
    messages: list[JsonObject]  # the prompt: as parts, or with marks
    answer: str
    images: list[Any]  # as the form has them: structs of bytes and path, paths, or data URLs
    labels: JsonObject
    own: JsonObject  # the dataset's own columns
    right: Sequence[str] = ()  # completions that were picked
    wrong: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Written:
    """Where an export lies: what its launch line names."""

    folder: Place
    run: str  # the run folder, as a shell reads it
    model: str  # the policy that was profiled, likewise
    parts: Sequence[str]
    ending: str
    paths: bool  # images are files
    chat: Chat | None

    def file(self, part: str) -> str:
        """The quoted path of a part's file."""
        return shlex.quote(str(self.folder / f"{part}.{self.ending}"))

    @property
    def train(self) -> str:
        """The quoted path of the first part."""
        return self.file(self.parts[0])

    @property
    def other(self) -> str:
        """The quoted path of the second part; of the first where there is but one."""
        return self.file(self.parts[min(1, len(self.parts) - 1)])


@dataclass(frozen=True, kw_only=True)
class Form:
    """Another trainer's form of rows."""

    rows: Callable[[Given], Iterable[JsonObject]]
    fields: Callable[[Types, pa.DataType, Chat | None], Types]  # own columns', images', messages'
    launch: Callable[[Written], Sequence[str]]
    ending: Literal["parquet", "jsonl"] = "parquet"
    chat: Chat | None = None  # how messages hold images; None: it has no messages
    reserved: frozenset[str] = field(default_factory=frozenset)  # names that the trainer makes
    merges: frozenset[str] = field(
        default_factory=frozenset
    )  # own columns that its rows go on with
    decoded: bool = False  # `datasets` is to show images as such
    relative: bool = False  # image paths begin at the folder
    texts: bool = False  # image paths are texts, not structs
    completions: Literal["right", "right and wrong"] | None = None


def chat_type(chat: Chat | None) -> pa.DataType:
    """The type of a list of messages."""
    return PARTS if chat == "parts" else MARKS


def with_marks(messages: Sequence[JsonObject]) -> list[JsonObject]:
    """Messages whose contents are texts, a mark where an image stands."""
    return [
        {
            "role": message["role"],
            "content": "".join(
                part["text"] if part["type"] == "text" else IMAGE_MARK
                for part in message["content"]
            ),
        }
        for message in messages
    ]


def with_texts(messages: Sequence[JsonObject]) -> list[JsonObject]:
    """Messages of parts that all have the same keys, as a column of one type needs them."""
    return [
        {
            "role": message["role"],
            "content": [
                {"type": part["type"], "text": part.get("text")} for part in message["content"]
            ],
        }
        for message in messages
    ]


def said(text: str, chat: Any) -> JsonObject:
    """A message of the assistant, in the form of the messages before it."""
    parts = isinstance(chat, list) and chat and isinstance(chat[0]["content"], list)
    content: Any = [{"type": "text", "text": text}] if parts else text
    return {"role": "assistant", "content": content}
