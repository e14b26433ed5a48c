"""A policy small enough to load anywhere: Qwen2.5-VL's architecture with random weights.

Its tokens are single ASCII characters, so that a completion's text gives its tokens back. Its
generation_config.json is hostile on purpose: top_k, a penalty and a temperature that no engine
may let in, and end tokens that every engine must heed (random weights would seldom stop).
"""

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from durian.config import SamplingConfig
from durian.engines.loading import open_engine
from durian.samples import Prompt

CONTROL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
    "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]  # fmt: skip
CONTEXT = 256  # tokens
ENDS = ["<|im_end|>", "1", "2", "3", "4"]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_tokenizer() -> Qwen2Tokenizer:
    # Byte-level BPE writes a space as Ġ and a line end as Ċ.
    symbols = [*map(chr, range(ord("!"), ord("~") + 1)), "Ġ", "Ċ"]
    vocabulary = {symbol: number for number, symbol in enumerate(symbols)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return Qwen2Tokenizer(
        tokenizer_object=backend,
        vocab=vocabulary,
        merges=[],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
        extra_special_tokens=CONTROL,
    )


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny_model")
    tokenizer = tiny_tokenizer()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in CONTROL}
    images = Qwen2VLImageProcessor(
        patch_size=8, merge_size=2, temporal_patch_size=2, min_pixels=16 * 16, max_pixels=64 * 64
    )
    Qwen2_5_VLProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(patch_size=8, merge_size=2),
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
            "max_position_embeddings": CONTEXT, "tie_word_embeddings": False,
            "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
            "bos_token_id": None, "eos_token_id": ids["<|im_end|>"],
        },
        vision_config={
            "depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2,
            "out_hidden_size": 64, "patch_size": 8, "spatial_merge_size": 2,
            "temporal_patch_size": 2, "window_size": 64, "fullatt_block_indexes": [1],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    with torch.no_grad():  # wide logits, so that filters and temperatures matter
        model.lm_head.weight.mul_(14.0)
        # Control tokens leave no character behind: let them be drawn seldom.
        model.lm_head.weight[[ids[token] for token in CONTROL if token not in ENDS]] = 0.0
    model.generation_config = GenerationConfig(
        do_sample=True, top_k=3, repetition_penalty=1.7, temperature=0.2,
        eos_token_id=tokenizer.convert_tokens_to_ids(ENDS),
        pad_token_id=ids["<|endoftext|>"],
    )  # fmt: skip
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def open_once(tiny_config):
    """Opens an engine for a config, one for all tests that ask for the same."""
    opened = {}

    def get(engine: str, **changes):
        key = (engine, *sorted(changes.items()))
        if key not in opened:
            opened[key] = open_engine(tiny_config(engine=engine, **changes))
        return opened[key]

    yield get
    for engine in opened.values():
        engine.close()


@pytest.fixture(scope="session")
def tiny_config(tiny_model):
    """A sampling config of the tiny policy; keywords override."""

    def make(**changes) -> SamplingConfig:
        kept = {"model": tiny_model, "rollouts": 4, "max_tokens": 16}
        return SamplingConfig(**kept | changes)

    return make


@pytest.fixture(scope="session")
def teacher(tiny_model):
    """What a plain forward pass of transformers says of tokens that follow a prompt."""
    return Teacher(tiny_model)


class Teacher:
    def __init__(self, folder: str) -> None:
        self.processor = Qwen2_5_VLProcessor.from_pretrained(folder)
        self.model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()
        self.ends = self.processor.tokenizer.convert_tokens_to_ids(ENDS)

    def tokens(self, text: str) -> list[int]:
        return self.processor.tokenizer.encode(text)

    def logprobs(self, prompt: Prompt, tokens: list[int]) -> torch.Tensor:
        """Shape (T + 1, V), nats: row t is the distribution after t of the tokens."""
        question = next(part["text"] for part in prompt.messages[0]["content"] if "text" in part)
        pads = "<|vision_start|><|image_pad|><|vision_end|>" * len(prompt.images)
        inputs = self.processor(
            text=[f"<|im_start|>user\n{pads}{question}<|im_end|>\n<|im_start|>assistant\n"],
            images=list(prompt.images) or None,
            return_tensors="pt",
        )
        after = torch.tensor([tokens], dtype=torch.long)
        inputs["input_ids"] = torch.cat([inputs["input_ids"], after], dim=1)
        for name, value in (("attention_mask", 1), ("mm_token_type_ids", 0)):
            inputs[name] = torch.cat([inputs[name], torch.full_like(after, value)], dim=1)
        with torch.no_grad():
            logits = self.model(**inputs).logits[0, -len(tokens) - 1 :]
        return logits.double().log_softmax(-1)


def noise_image(seed: int, size: tuple[int, int] = (48, 32)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="session")
def ask():
    """A prompt of one user turn: its images first, then the text."""

    def make(text: str, *images: int | Image.Image) -> Prompt:
        shown = tuple(noise_image(i) if isinstance(i, int) else i for i in images)
        parts = [*({"type": "image"} for _ in shown), {"type": "text", "text": text}]
        return Prompt(sample_id=text, messages=[{"role": "user", "content": parts}], images=shown)

    return make
