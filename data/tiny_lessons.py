"""What the tiny policy is taught on: endless seeded batches, each a pure function of its step.

A batch holds images of fresh photo-shape scenes and of easy-VQA's training part, and several
questions about each. No shipped row is among them: scenes come from other seeds, and easy-VQA's
shipped rows from other images.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Qwen2_5_VLProcessor

from data.make_easy_vqa import FIRST_SHIPPED_IMAGE, image_bytes, questions_by_image
from data.make_photo_shapes import ITEM_SHARES
from data.questions import (
    KINDS,
    Question,
    ask,
    colour_question,
    shape_question,
    yes_no_question,
)
from data.scenes import Scene, draw_scene, encode, render

LESSON_STREAM = 977  # set in every seed of this file, so that none equals a shipped set's
SHARE_EASY_VQA = 0.25  # of the images


@dataclass(frozen=True)
class Lessons:
    """How a stretch of steps is taught. Clutter is drawn from 0 to a bound that rises in between
    `clean_until` and `full_at` (shares of `steps`): over full clutter from the first step, colour
    is learnt and shape stays at chance."""

    steps: int
    images: int = 32  # a batch
    questions: int = 4  # an image
    seed: int = 0
    clean_until: float = 0.35
    full_at: float = 0.65
    noise: dict[str, float] | None = None  # by kind: how often an answer is made wrong

    def most_clutter(self, step: int) -> float:
        """The bound at `step`."""
        if self.full_at <= 0:
            return 1.0
        risen = (step / self.steps - self.clean_until) / (self.full_at - self.clean_until)
        return 0.1 + 0.9 * min(max(risen, 0.0), 1.0)


@dataclass(frozen=True)
class Batch:
    """One sequence an image: the image, then several blocks that each ask and answer about it.

    A block must see the image and itself, and no other block: `blocks` says which token is whose.
    """

    pixel_values: Tensor  # (images * patches, patch values)
    image_grid_thw: Tensor  # (images, 3)
    input_ids: Tensor  # (images, length), padded on the right
    labels: Tensor  # (images, length), -100 outside completions
    blocks: Tensor  # (images, length): 0 the image's part, 1, 2, ... the blocks, -1 padding


def completion(question: Question, answer: str) -> str:
    """What the policy writes to give that answer."""
    return f"<think>{question.thoughts[answer]}</think> \\boxed{{{answer}}}"


def lesson_scene(rng: np.random.Generator, clutter: float) -> Scene:
    """A fresh scene."""
    return draw_scene(rng, 1 + int(rng.choice(4, p=ITEM_SHARES)), clutter)


def scene_questions(scene: Scene, rng: np.random.Generator, number: int) -> list[Question]:
    """`number` questions about a scene, of as many kinds as it allows."""
    found: list[Question] = []
    while len(found) < number:
        asked = [ask(scene, str(kind), rng) for kind in rng.permutation(KINDS)]
        found.extend(question for question in asked if question is not None)
    return found[:number]


def easy_question(problem: str, answer: str) -> Question:
    """An easy-VQA question with its thoughts, which are read off its wording."""
    words = problem.rstrip("?").split()
    if words[0] == "what":
        if answer in ("circle", "rectangle", "triangle"):
            return shape_question(problem, answer)
        return colour_question(problem, words[-1], answer)
    thing = " ".join(word for word in words if word in _THING_WORDS)
    negated = "no" in words or "not" in words
    return yes_no_question(problem, thing, answer, negated)


_THING_WORDS = frozenset(
    "circle rectangle triangle shape red green blue yellow teal black brown gray".split()
)


@cache
def easy_lessons() -> list[tuple[int, list[Question]]]:
    """Images of easy-VQA's training part that may be taught, each with all its questions."""
    return [
        (image, [easy_question(problem, answer) for problem, answer in asked])
        for image, asked in sorted(questions_by_image("train").items())
        if image < FIRST_SHIPPED_IMAGE["train"]
    ]


@dataclass(frozen=True)
class Lesson:
    """One image, encoded, and what is asked and answered about it."""

    image: bytes
    turns: tuple[tuple[str, str], ...]  # (problem, completion)


def draw_lessons(lessons: Lessons, step: int) -> list[Lesson]:
    """All that one step teaches; it depends on the arguments alone."""
    rng = np.random.default_rng([LESSON_STREAM, 1, lessons.seed, step])
    drawn = []
    for _ in range(lessons.images):
        image, questions = _draw_image(rng, lessons, step)
        turns = ((q.problem, completion(q, _answer(q, rng, lessons.noise))) for q in questions)
        drawn.append(Lesson(image, tuple(turns)))
    return drawn


def _draw_image(
    rng: np.random.Generator, lessons: Lessons, step: int
) -> tuple[bytes, list[Question]]:
    if rng.random() < SHARE_EASY_VQA:
        taught = easy_lessons()
        image, questions = taught[int(rng.integers(len(taught)))]
        few = len(questions) < lessons.questions
        chosen = rng.choice(len(questions), size=lessons.questions, replace=few)
        return image_bytes("train", image), [questions[index] for index in chosen]
    scene = lesson_scene(rng, float(rng.random()) * lessons.most_clutter(step))
    return encode(render(scene)), scene_questions(scene, rng, lessons.questions)


def _answer(question: Question, rng: np.random.Generator, noise: dict[str, float] | None) -> str:
    rate = (noise or {}).get(question.kind, 0.0)
    if rng.random() >= rate:
        return question.answer
    others = [answer for answer in question.thoughts if answer != question.answer]
    return others[int(rng.integers(len(others)))]


def corpus(scenes: int = 3000) -> list[str]:
    """All wordings that lessons are made of, for the tokenizer to learn from."""
    rng = np.random.default_rng([LESSON_STREAM, 0])
    questions = [question for _, asked in easy_lessons() for question in asked]
    for _ in range(scenes):
        questions.extend(scene_questions(lesson_scene(rng, 0.0), rng, len(KINDS)))
    texts = {"user\n", "assistant\n"}
    for question in questions:
        texts.add(question.problem)
        texts.update(question.thoughts.values())
        texts.update(f" \\boxed{{{answer}}}" for answer in question.thoughts)
    # Several times over, so that every word is merged whole whatever its rarity.
    return sorted(texts) * 3


class LessonBatches(Dataset[Batch]):
    """Item `step` is that step's batch."""

    def __init__(self, processor: Qwen2_5_VLProcessor, lessons: Lessons) -> None:
        self.processor = processor
        self.lessons = lessons
        self.image_tokens = "<|image_pad|>" * 16

    def __len__(self) -> int:
        return self.lessons.steps

    def __getitem__(self, step: int) -> Batch:
        drawn = draw_lessons(self.lessons, step)
        images = [Image.open(io.BytesIO(lesson.image)).convert("RGB") for lesson in drawn]
        seen = self.processor.image_processor(images, return_tensors="pt")
        return Batch(seen["pixel_values"], seen["image_grid_thw"], *self._pack(drawn))

    def _pack(self, drawn: list[Lesson]) -> tuple[Tensor, Tensor, Tensor]:
        tokenizer = self.processor.tokenizer
        rows: list[list[tuple[int, int, int]]] = []  # of (token, label, block)
        for lesson in drawn:
            row: list[tuple[int, int, int]] = []
            for block, (problem, answer) in enumerate(lesson.turns, start=1):
                head, tail = self._prompt(problem)
                if not row:
                    row.extend((token, -100, 0) for token in tokenizer(head)["input_ids"])
                row.extend((token, -100, block) for token in tokenizer(tail)["input_ids"])
                taught = tokenizer(answer + "<|im_end|>")["input_ids"]
                row.extend((token, token, block) for token in taught)
            rows.append(row)
        length = max(len(row) for row in rows)
        padding = (tokenizer.pad_token_id, -100, -1)
        packed = torch.tensor([row + [padding] * (length - len(row)) for row in rows])
        input_ids, labels, blocks = packed.unbind(-1)
        return input_ids, labels, blocks

    def _prompt(self, problem: str) -> tuple[str, str]:
        """The rendered prompt, cut after the image: what blocks share, and a block's own part."""
        content = [{"type": "image"}, {"type": "text", "text": problem}]
        text = self.processor.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        head, end, tail = text.partition("<|vision_end|>")
        return head.replace("<|image_pad|>", self.image_tokens) + end, tail
