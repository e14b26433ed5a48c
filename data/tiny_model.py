"""The tiny policy's shape: Qwen2.5-VL's architecture with about 1.9 million parameters."""

from __future__ import annotations

import torch
from transformers import (
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from data.tiny_tokenizer import CHAT_TEMPLATE

PATCH, MERGE = 8, 2
PIXELS = 64 * 64  # every image becomes about this many pixels: 16 image tokens when square
WIDTH, HEAD = 128, 32


def build_processor(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLProcessor:
    """Tokenizer, image and video processor, as `AutoProcessor` loads them together."""
    sizes = {"shortest_edge": PIXELS, "longest_edge": PIXELS}  # Qwen2-VL's names for pixel counts
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=sizes, patch_size=PATCH, merge_size=MERGE),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=sizes, patch_size=PATCH, merge_size=MERGE),
        chat_template=CHAT_TEMPLATE,
    )


def build_model(tokenizer: Qwen2Tokenizer, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """A fresh policy, float32, its embeddings tied."""
    ids = tokenizer.get_vocab()
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": WIDTH,
            "intermediate_size": 384,
            "num_hidden_layers": 4,
            "num_attention_heads": WIDTH // HEAD,
            "num_key_value_heads": WIDTH // HEAD,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [4, 6, 6],  # of HEAD / 2: time, height, width
            },
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
            "tie_word_embeddings": True,
        },
        vision_config={
            "depth": 3,
            "hidden_size": WIDTH,
            "intermediate_size": 352,
            "num_heads": WIDTH // HEAD,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "window_size": 64,
            "fullatt_block_indexes": [0, 1, 2],
            "out_hidden_size": WIDTH,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        eos_token_id=ids["<|im_end|>"],
        pad_token_id=ids["<|endoftext|>"],
    )
    return model
