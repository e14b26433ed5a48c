"""A vLLM beside the trainer as far as prompts go: vLLM's own processor of a policy, no weights."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from durian.engines.chat import Chat
from durian.training.prompts import text_ids, tokenized
from durian.training.vllm_prompts import reads_what_is_trained_on


def asked(*images: Image.Image) -> list[dict[str, Any]]:
    question = {"type": "text", "text": "Which is larger?"}
    parts = [{"type": "image", "image": image} for image in images]
    return [{"role": "user", "content": [*parts, question]}]


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


PROMPTS = [asked(picture(72, 56)), asked(picture(72, 56), picture(56, 72)), asked(picture(150, 40))]


def read_beside(policy: Path, chat: Chat, prompts: list[list[dict[str, Any]]] = PROMPTS) -> int:
    """Tokens of the prompts that vLLM's processor writes as the trainer has them.

    Raises:
        RunError: it writes other ones.
    """
    from vllm.config import ModelConfig
    from vllm.multimodal import MULTIMODAL_REGISTRY
    from vllm.multimodal.processing import ProcessorInputs, TimingContext

    config = ModelConfig(
        model=str(policy), dtype="float32", limit_mm_per_prompt={"image": 2, "video": 0}
    )
    vllm = MULTIMODAL_REGISTRY.create_processor(config)

    def generate(*, prompts: Any, images: Any) -> tuple[list[list[int]]]:
        read = []
        for ids, own in zip(prompts, images, strict=True):
            items = vllm.info.parse_mm_data({"image": own})
            found = vllm.apply(
                ProcessorInputs(prompt=ids, mm_data_items=items), TimingContext(enabled=False)
            )
            read.append(found["prompt_token_ids"])
        return (read,)

    written = 0
    for prompt in prompts:
        ids, images, _ = tokenized(chat, [prompt])
        texts = dict(zip(map(tuple, ids), text_ids(chat, [prompt]), strict=True))
        (read,) = reads_what_is_trained_on(generate, texts)(prompts=ids, images=images)
        assert read == ids
        written += len(read[0]) - len(texts[tuple(ids[0])])
    return written
