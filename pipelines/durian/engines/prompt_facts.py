"""What a policy's processor alone tells of a prompt: its tokens, and how far images shrink."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from PIL import Image

from durian.engines.chat import Chat
from durian.engines.resizing import Size
from durian.samples import Failed, Prompt


class PromptFacts:
    """Counts the tokens of prompts by the sizes of their images.

    A processor writes as many tokens for an image as its size asks for, whatever it shows. So a
    blank image of each size is encoded once; of the first size only, where the processor gives
    counts of its own and they hold.
    """

    def __init__(self, chat: Chat) -> None:
        """Count by a policy's own chat format."""
        self._chat = chat
        self._of_sizes = lru_cache(4096)(self._count)
        self._tells: dict[bool, bool] = {}  # of one image, of several: whether its counts hold

    def image_tokens(self, sizes: Sequence[Size]) -> int | None:
        """Count the tokens that stand for images; None where the policy takes no such prompt.

        Args:
            sizes: width and height of each image of the prompt, before the processor.
        """
        counted = self._of_sizes(tuple(sizes))
        return None if counted is None else counted[0]

    def prompt_tokens(self, prompt: Prompt) -> int | None:
        """Count the tokens of a prompt, those of its images included; None where there is none."""
        text = self._chat.render(prompt)
        counted = self._of_sizes(tuple(image.size for image in prompt.images))
        if isinstance(text, Failed) or counted is None:
            return None
        return len(self._chat.text_ids(text)) + counted[1]

    def resize_factor(self, sizes: Sequence[Size]) -> float | None:
        """The side of an image as the policy sees it over that in the file; of several the least.

        The root of the pixels' ratio, for the two sides are rounded apart. None where the processor
        has no bounds in pixels, so that its rule is not known, and where it refuses an image.
        """
        rule = self._chat.resizing
        seen = [None if rule is None else rule.of(size) for size in sizes]
        factors = [
            math.sqrt(math.prod(after) / math.prod(before))
            for before, after in zip(sizes, seen, strict=True)
            if after is not None
        ]
        return min(factors) if factors and len(factors) == len(sizes) else None

    def _count(self, sizes: tuple[Size, ...]) -> tuple[int, int] | None:
        """Tokens that stand for images of these sizes, and tokens that they add to the text."""
        if not sizes:
            return 0, 0
        several = len(sizes) > 1
        if self._tells.get(several):
            told = self._told(sizes)
            return None if told < 0 else (told, told - len(sizes))  # each has a mark in the text
        images = tuple(Image.new("RGB", size) for size in sizes)
        content = [*({"type": "image"} for _ in sizes), {"type": "text", "text": "?"}]
        messages = [{"role": "user", "content": content}]
        text = self._chat.render(Prompt(sample_id="", messages=messages, images=images))
        if isinstance(text, Failed):
            return None
        try:
            ids = self._chat.token_ids(text, images)
        except Exception:  # processors raise whatever comes; the engine says it in the run
            return None
        own, added = self._chat.count_image_tokens(ids), len(ids) - len(self._chat.text_ids(text))
        if several not in self._tells:
            told = self._told(sizes)
            self._tells[several] = (told, told - len(sizes)) == (own, added)
        return own, added

    def _told(self, sizes: Sequence[Size]) -> int:
        """The processor's own count of the tokens of such images; -1 where it gives none."""
        tell = getattr(self._chat.processor, "_get_num_multimodal_tokens", None)
        if tell is None:
            return -1
        try:
            counts = tell(image_sizes=[(height, width) for width, height in sizes])
        except Exception:  # as above: it refuses an image of 900 x 2, say
            return -1
        return int(sum(counts.num_image_tokens))
