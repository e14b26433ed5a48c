"""Policies of every supported architecture, tiny and with random weights, saved to a folder.

All of them cut images into patches of 8 x 8 pixels; those of fixed size see 32 x 32 at a time,
16 patches, of which a projector makes 4 where it merges any.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForImageTextToText,
    Gemma3Config,
    Gemma3ImageProcessor,
    Glm4vConfig,
    Glm4vImageProcessor,
    Glm4vMoeConfig,
    GotOcr2ImageProcessor,
    Idefics3Config,
    Idefics3ImageProcessor,
    InternVLConfig,
    LlavaNextConfig,
    LlavaNextImageProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionImageProcessor,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLMoeConfig,
    SmolVLMConfig,
    SmolVLMImageProcessor,
)

TEXT = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "vocab_size": 64,
    "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "pad_token_id": 0,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
MROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
VISION = {
    "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "image_size": 32, "patch_size": 8,
}  # fmt: skip
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16}
GRIDS = [[32, 64], [64, 32], [64, 64]]  # height, width
TOKENS = {"image_token_id": 10, "video_token_id": 11}


def _qwen2() -> tuple[Any, Any]:
    vision = {"depth": 2, "embed_dim": 48, "hidden_size": 32, "num_heads": 4, "patch_size": 8}
    text = TEXT | {"rope_parameters": MROPE}
    return Qwen2VLConfig(vision_config=vision, text_config=text, **TOKENS), _qwen_processor()


def _qwen2_5() -> tuple[Any, Any]:
    # Windows of 32 x 32 pixels in the first block, the whole image in the second.
    vision = {
        "depth": 2, "hidden_size": 48, "out_hidden_size": 32, "intermediate_size": 64,
        "num_heads": 4, "patch_size": 8, "window_size": 32, "fullatt_block_indexes": [1],
    }  # fmt: skip
    text = TEXT | {"rope_parameters": MROPE}
    return Qwen2_5_VLConfig(vision_config=vision, text_config=text, **TOKENS), _qwen_processor()


def _qwen3() -> tuple[Any, Any]:
    vision = {
        "depth": 2, "hidden_size": 48, "out_hidden_size": 32, "intermediate_size": 64,
        "num_heads": 4, "patch_size": 8, "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    }  # fmt: skip
    text = TEXT | {"rope_parameters": MROPE}
    return Qwen3VLConfig(vision_config=vision, text_config=text, **TOKENS), _qwen_processor()


def _qwen3_moe() -> tuple[Any, Any]:
    dense, processor = _qwen3()
    vision = dense.vision_config.to_dict() | {"model_type": "qwen3_vl_moe_vision"}
    text = TEXT | EXPERTS | {"rope_parameters": MROPE}
    return Qwen3VLMoeConfig(vision_config=vision, text_config=text, **TOKENS), processor


def _glm4v(kind: Any = Glm4vConfig, more: dict[str, Any] | None = None) -> tuple[Any, Any]:
    vision = {
        "depth": 2, "hidden_size": 48, "out_hidden_size": 32, "intermediate_size": 64,
        "num_heads": 4, "patch_size": 8, "image_size": 64,
    }  # fmt: skip
    text = TEXT | (more or {}) | {"rope_parameters": MROPE}
    # An image counts as two frames.
    size = {"shortest_edge": 2 * 256, "longest_edge": 2 * 4096}
    config = kind(vision_config=vision, text_config=text, **TOKENS)
    return config, Glm4vImageProcessor(patch_size=8, merge_size=2, size=size)


def _glm4v_moe() -> tuple[Any, Any]:
    return _glm4v(Glm4vMoeConfig, EXPERTS | {"n_routed_experts": 2, "first_k_dense_replace": 0})


def _qwen_processor() -> Any:
    return Qwen2VLImageProcessor(
        patch_size=8, merge_size=2, size={"shortest_edge": 256, "longest_edge": 4096}
    )


def _gemma3() -> tuple[Any, Any]:
    vision = VISION | {"model_type": "siglip_vision_model", "vision_use_head": False}
    config = Gemma3Config(vision_config=vision, text_config=TEXT, mm_tokens_per_image=4)
    return config, Gemma3ImageProcessor(size={"height": 32, "width": 32})


def _internvl() -> tuple[Any, Any]:
    vision = VISION | {"image_size": [32, 32], "patch_size": [8, 8]}
    text = TEXT | {"model_type": "qwen2"}
    config = InternVLConfig(
        vision_config=vision, text_config=text, image_seq_length=4, image_token_id=10
    )
    return config, GotOcr2ImageProcessor(size={"height": 32, "width": 32}, max_patches=4)


def _llava_next() -> tuple[Any, Any]:
    vision = VISION | {"model_type": "clip_vision_model", "projection_dim": 32}
    config = LlavaNextConfig(
        vision_config=vision, text_config=TEXT | {"model_type": "llama"},
        image_grid_pinpoints=GRIDS, image_seq_length=16, image_token_index=10,
    )  # fmt: skip
    processor = LlavaNextImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32},
        image_grid_pinpoints=GRIDS,
    )  # fmt: skip
    return config, processor


def _llava_onevision() -> tuple[Any, Any]:
    vision = VISION | {"model_type": "siglip_vision_model", "vision_use_head": False}
    config = LlavaOnevisionConfig(
        vision_config=vision, text_config=TEXT | {"model_type": "qwen2"},
        image_grid_pinpoints=GRIDS, image_token_index=10, video_token_index=11,
    )  # fmt: skip
    processor = LlavaOnevisionImageProcessor(
        size={"height": 32, "width": 32}, image_grid_pinpoints=GRIDS
    )
    return config, processor


def _idefics3() -> tuple[Any, Any]:
    config = Idefics3Config(
        vision_config=VISION, text_config=TEXT | {"model_type": "llama"}, image_token_id=10,
        pad_token_id=0,
    )  # fmt: skip
    return config, Idefics3ImageProcessor(**_SPLIT)


def _smolvlm() -> tuple[Any, Any]:
    config = SmolVLMConfig(
        vision_config=VISION, text_config=TEXT | {"model_type": "llama"}, image_token_id=10,
        pad_token_id=0,
    )  # fmt: skip
    return config, SmolVLMImageProcessor(**_SPLIT)


_SPLIT = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}

TINY: dict[str, Callable[[], tuple[Any, Any]]] = {
    "gemma3": _gemma3,
    "glm4v": _glm4v,
    "glm4v_moe": _glm4v_moe,
    "idefics3": _idefics3,
    "internvl": _internvl,
    "llava_next": _llava_next,
    "llava_onevision": _llava_onevision,
    "qwen2_5_vl": _qwen2_5,
    "qwen2_vl": _qwen2,
    "qwen3_vl": _qwen3,
    "qwen3_vl_moe": _qwen3_moe,
    "smolvlm": _smolvlm,
}


def save_tiny(architecture: str, folder: Path, **changes: Any) -> Path:
    """Write a policy with random weights and its image processor; changes go to its config."""
    config, processor = TINY[architecture]()
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config)
    if architecture == "gemma3":  # its projector begins at zero
        torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
