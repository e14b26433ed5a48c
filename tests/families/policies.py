"""One tiny policy of each family: configuration, processor, chat template, random weights.

Each is complete: `AutoProcessor` and every engine load it from its folder as they load the public
ones. Tokens are single ASCII characters, so that a completion's text gives its tokens back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from tests.engines.tiny_towers import TINY
from tests.families import templates

CONTEXT = 4096  # tokens
TEXT = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": False,
}  # fmt: skip
WIDTH = TEXT["hidden_size"]
MROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 6, 6]}
QWEN_VISION = {"depth": 2, "num_heads": 4, "patch_size": 8}


@dataclass(frozen=True, kw_only=True)
class TinyPolicy:
    """What makes one family: how its configuration and processor are built, and its texts."""

    config: Callable[[Callable[[str], int]], Any]  # given a token's id
    processor: Callable[[Any], Any]  # given the tokenizer
    template: str
    image: str  # the token that stands for a piece of an image
    end: str
    begin: str | None = None
    adds_begin: bool = False  # the tokenizer puts it before every text
    pad: str | None = None
    more: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()  # whole pieces of text that are tokens, and not special
    named: dict[str, str] = field(default_factory=dict)  # by attribute of the tokenizer
    needs: str | None = None  # a package that its processor asks for
    model: str = "AutoModelForImageTextToText"  # transformers' class that loads it
    hub_names: tuple[tuple[str, str], ...] = ()  # of weights: pattern and what stands on the hub
    turned: str | None = None  # pattern of weights whose last two axes the hub has the other way


def save_policy(family: str, folder: Path) -> Path:
    """Write the tiny policy of a family into a folder; about a second."""
    made = POLICIES[family]
    tokenizer = _tokenizer(made)
    processor = made.processor(tokenizer)
    processor.chat_template = made.template
    processor.save_pretrained(folder)
    config = made.config(tokenizer.convert_tokens_to_ids)
    end = tokenizer.convert_tokens_to_ids(made.end)
    config.get_text_config().vocab_size = len(tokenizer)
    for part in (config, config.get_text_config()):
        part.eos_token_id = end
        part.bos_token_id, part.pad_token_id = tokenizer.bos_token_id, tokenizer.pad_token_id
    torch.manual_seed(0)
    model = getattr(hf, made.model).from_config(config).eval()
    _widen(model, config, tokenizer, end)
    model.generation_config = hf.GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=end, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    if made.hub_names or made.turned:
        file = folder / "model.safetensors"
        weights = {
            _rename(name, made.hub_names): value.transpose(-1, -2).contiguous()
            if made.turned and re.search(made.turned, name)
            else value
            for name, value in load_file(file).items()
        }
        save_file(weights, file, metadata={"format": "pt"})
    return folder


def _rename(name: str, changes: tuple[tuple[str, str], ...]) -> str:
    for pattern, hub in changes:
        name = re.sub(pattern, hub, name)
    return name


def _widen(model: Any, config: Any, tokenizer: Any, end: int) -> None:
    """Weights that matter: a random policy's own are so small that nothing moves its draws."""
    head = model.get_output_embeddings()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.ndim > 1 and "norm" not in name:
                weights.normal_(0.0, 1.5 / weights.shape[-1] ** 0.5)
            elif "gate" in name:  # cross attention begins closed
                weights.fill_(0.5)
        # Where it is the embedding too, a policy of wide weights would write each token again.
        tied = getattr(config, "tie_word_embeddings", False)
        head.weight.normal_(0.0, (1.0 if tied else 2.5) / head.weight.shape[-1] ** 0.5)
        # Special tokens leave no character behind: let them be drawn seldom, but for the end.
        special = [i for i in range(len(tokenizer)) if i >= 96 and i != end]
        head.weight[special] = 0.0


def _tokenizer(made: TinyPolicy) -> Any:
    # Byte-level BPE writes a space as Ġ and a line end as Ċ.
    symbols = [*map(chr, range(ord("!"), ord("~") + 1)), "Ġ", "Ċ"]
    backend = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    special = [made.end, made.begin, made.pad, made.image, *made.more, *made.named.values()]
    backend.add_special_tokens([*dict.fromkeys(token for token in special if token)])
    backend.add_tokens([*made.plain])
    if made.adds_begin:
        assert made.begin is not None
        backend.post_processor = processors.TemplateProcessing(
            single=f"{made.begin} $A",
            pair=f"{made.begin} $A {made.begin} $B",
            special_tokens=[(made.begin, backend.token_to_id(made.begin))],
        )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=made.begin,
        eos_token=made.end,
        pad_token=made.pad or made.end,
        extra_special_tokens=made.named,
    )


def _images_of(tower: str) -> Any:
    return TINY[tower]()[1]


def _over(tower: str, kind: str | None = None, **ids: Any) -> Any:
    """The configuration of a tower of the engines' tests, with a language half of ours."""
    config = TINY[tower]()[0]
    text = TEXT | ({"model_type": kind} if kind else {})
    if hasattr(config.text_config, "rope_parameters") and tower.startswith("qwen"):
        text |= {"rope_parameters": MROPE}
    config.text_config = type(config.text_config)(**text)
    for name, value in ids.items():
        setattr(config, name, value)
    return config


def _qwen(name: str, template: str) -> TinyPolicy:
    def config(token: Callable[[str], int]) -> Any:
        vision: dict[str, Any] = QWEN_VISION | {"hidden_size": 48, "intermediate_size": 64}
        text = TEXT | {"rope_parameters": MROPE}
        if name == "qwen2_vl":
            vision = QWEN_VISION | {"embed_dim": 48, "hidden_size": WIDTH}
            kind: Any = hf.Qwen2VLConfig
        elif name == "qwen2_5_vl":
            vision |= {"out_hidden_size": WIDTH, "window_size": 32, "fullatt_block_indexes": [1]}
            kind = hf.Qwen2_5_VLConfig
        else:
            vision |= {
                "out_hidden_size": WIDTH, "num_position_embeddings": 16,
                "deepstack_visual_indexes": [0],
            }  # fmt: skip
            kind = hf.Qwen3VLConfig
            text["rope_parameters"] = MROPE | {"mrope_interleaved": True}
        if name == "qwen3_vl_moe":
            kind = hf.Qwen3VLMoeConfig
            text |= {
                "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48,
                "decoder_sparse_step": 1, "norm_topk_prob": True,
            }  # fmt: skip
        return kind(
            vision_config=vision, text_config=text, tie_word_embeddings=False,
            image_token_id=token("<|image_pad|>"), video_token_id=token("<|video_pad|>"),
            vision_start_token_id=token("<|vision_start|>"),
            vision_end_token_id=token("<|vision_end|>"),
        )  # fmt: skip

    def processor(tokenizer: Any) -> Any:
        kinds: dict[str, Any] = {
            "qwen2_vl": hf.Qwen2VLProcessor, "qwen2_5_vl": hf.Qwen2_5_VLProcessor,
        }  # fmt: skip
        newer = name.startswith("qwen3")
        video: Any = hf.Qwen3VLVideoProcessor if newer else hf.Qwen2VLVideoProcessor
        sizes = {"patch_size": 8, "merge_size": 2, "temporal_patch_size": 2}
        bounds = {"size": {"shortest_edge": 16 * 16, "longest_edge": 64 * 64}}
        return kinds.get(name, hf.Qwen3VLProcessor)(
            image_processor=hf.Qwen2VLImageProcessor(**sizes, **bounds),
            tokenizer=tokenizer,
            video_processor=video(**sizes, **bounds),
        )

    return TinyPolicy(
        config=config, processor=processor, template=template,
        image="<|image_pad|>", end="<|im_end|>", pad="<|endoftext|>",
        more=("<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>"),
    )  # fmt: skip


def _llava_config(token: Callable[[str], int]) -> Any:
    vision = {
        "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "image_size": 32, "patch_size": 8, "projection_dim": 32,
        "model_type": "clip_vision_model",
    }  # fmt: skip
    return hf.LlavaConfig(
        vision_config=vision, text_config=TEXT | {"model_type": "llama"},
        image_token_index=token("<image>"), image_seq_length=16,
    )  # fmt: skip


def _phi4_processor(tokenizer: Any) -> Any:
    tokenizer.chat_template = templates.PHI4  # its processor takes none
    return hf.Phi4MultimodalProcessor(
        image_processor=hf.Phi4MultimodalImageProcessor(
            size={"height": 32, "width": 32}, patch_size=8, dynamic_hd=4
        ),
        audio_processor=hf.Phi4MultimodalFeatureExtractor(),
        tokenizer=tokenizer,
    )


_CLIP = ((r"vision_tower\.(?!vision_model\.)", "vision_tower.vision_model."),)
_SPLIT = ("<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
_ROWS = tuple(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7))

POLICIES: dict[str, TinyPolicy] = {
    "qwen2_vl": _qwen("qwen2_vl", templates.QWEN2),
    "qwen2_5_vl": _qwen("qwen2_5_vl", templates.QWEN2),
    "qwen3_vl": _qwen("qwen3_vl", templates.QWEN3),
    "qwen3_vl_moe": replace(
        _qwen("qwen3_vl_moe", templates.QWEN3), turned=r"mlp\.experts\.\w+_proj$"
    ),
    "llava": TinyPolicy(
        config=_llava_config,
        processor=lambda tokenizer: hf.LlavaProcessor(
            image_processor=hf.CLIPImageProcessor(
                size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
            ),
            tokenizer=tokenizer,
            patch_size=8,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        ),
        template=templates.LLAVA,
        image="<image>", end="</s>", begin="<s>", adds_begin=True, pad="<pad>",
        hub_names=_CLIP,
    ),
    "llava_next": TinyPolicy(
        config=lambda token: _over("llava_next", image_token_index=token("<image>")),
        processor=lambda tokenizer: hf.LlavaNextProcessor(
            image_processor=_images_of("llava_next"),
            tokenizer=tokenizer,
            patch_size=8,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        ),
        template=templates.LLAVA_NEXT,
        image="<image>", end="</s>", begin="<s>", adds_begin=True, pad="<pad>",
        hub_names=_CLIP,
    ),
    "llava_onevision": TinyPolicy(
        config=lambda token: _over(
            "llava_onevision", image_token_index=token("<image>"),
            video_token_index=token("<video>"),
        ),
        processor=lambda tokenizer: hf.LlavaOnevisionProcessor(
            image_processor=_images_of("llava_onevision"),
            tokenizer=tokenizer,
            video_processor=hf.LlavaOnevisionVideoProcessor(size={"height": 32, "width": 32}),
            num_image_tokens=16,
            vision_feature_select_strategy="full",
        ),
        template=templates.LLAVA_ONEVISION,
        image="<image>", end="<|im_end|>", pad="<|endoftext|>", more=("<video>", "<|im_start|>"),
        hub_names=_CLIP,
    ),
    "gemma3": TinyPolicy(
        config=lambda token: _over(
            "gemma3", image_token_index=token("<image_soft_token>"),
            boi_token_index=token("<start_of_image>"), eoi_token_index=token("<end_of_image>"),
        ),
        processor=lambda tokenizer: hf.Gemma3Processor(
            image_processor=_images_of("gemma3"), tokenizer=tokenizer, image_seq_length=4
        ),
        template=templates.GEMMA3,
        image="<image_soft_token>", end="<end_of_turn>", begin="<bos>", adds_begin=True,
        pad="<pad>", more=("<start_of_turn>",), plain=("\n", "\n\n", "\n\n\n", "\n\n\n\n"),
        named={
            "image_token": "<image_soft_token>", "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
        },
        hub_names=_CLIP,
    ),
    "glm4v": TinyPolicy(
        config=lambda token: hf.Glm4vConfig(
            vision_config={
                "depth": 2, "hidden_size": 48, "num_heads": 4, "image_size": 64, "patch_size": 8,
                "out_hidden_size": WIDTH, "intermediate_size": 64,
            },
            text_config=TEXT | {"rope_parameters": MROPE | {"partial_rotary_factor": 1.0}},
            image_token_id=token("<|image|>"), video_token_id=token("<|video|>"),
            image_start_token_id=token("<|begin_of_image|>"),
            image_end_token_id=token("<|end_of_image|>"),
            video_start_token_id=token("<|begin_of_video|>"),
            video_end_token_id=token("<|end_of_video|>"),
        ),
        processor=lambda tokenizer: hf.Glm4vProcessor(
            image_processor=hf.Glm4vImageProcessor(
                patch_size=8, size={"shortest_edge": 2 * 16 * 16, "longest_edge": 2 * 64 * 64}
            ),
            tokenizer=tokenizer,
            video_processor=hf.Glm4vVideoProcessor(
                patch_size=8, size={"shortest_edge": 2 * 16 * 16, "longest_edge": 2 * 64 * 64}
            ),
        ),
        template=templates.GLM4V,
        image="<|image|>", end="<|user|>", pad="<|endoftext|>",
        more=(
            "[gMASK]", "<sop>", "<|system|>", "<|assistant|>", "<|video|>", "<|begin_of_image|>",
            "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>",
        ),
    ),
    "mllama": TinyPolicy(
        config=lambda token: hf.MllamaConfig(
            vision_config={
                "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2,
                "num_global_layers": 1, "attention_heads": 4, "image_size": 32, "patch_size": 8,
                "intermediate_layers_indices": [0], "vision_output_dim": 96,
            },
            text_config=TEXT | {"cross_attention_layers": [1]},
            image_token_index=token("<|image|>"),
        ),
        processor=lambda tokenizer: hf.MllamaProcessor(
            image_processor=hf.MllamaImageProcessor(size={"height": 32, "width": 32}),
            tokenizer=tokenizer,
        ),
        template=templates.MLLAMA,
        image="<|image|>", end="<|eot_id|>", begin="<|begin_of_text|>", adds_begin=True,
        pad="<|finetune_right_pad_id|>",
        more=("<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>"),
    ),
    "pixtral": TinyPolicy(
        config=lambda token: hf.LlavaConfig(
            vision_config={
                "model_type": "pixtral", "hidden_size": 48, "intermediate_size": 64,
                "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 64,
                "patch_size": 8, "head_dim": 12,
            },
            text_config=TEXT | {"model_type": "mistral", "sliding_window": None},
            image_token_index=token("[IMG]"), vision_feature_layer=-1,
            vision_feature_select_strategy="full",
        ),
        processor=lambda tokenizer: hf.PixtralProcessor(
            image_processor=hf.PixtralImageProcessor(size={"longest_edge": 64}, patch_size=8),
            tokenizer=tokenizer,
            patch_size=8,
        ),
        template=templates.PIXTRAL,
        image="[IMG]", end="</s>", begin="<s>", adds_begin=True, pad="<pad>",
        more=("[INST]", "[/INST]", "[IMG_BREAK]", "[IMG_END]"),
    ),
    "mistral3": TinyPolicy(
        config=lambda token: hf.Mistral3Config(
            vision_config={
                "model_type": "pixtral", "hidden_size": 48, "intermediate_size": 64,
                "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 64,
                "patch_size": 8, "head_dim": 12,
            },
            text_config=TEXT | {"model_type": "mistral", "sliding_window": None},
            image_token_index=token("[IMG]"), tie_word_embeddings=False,
        ),
        processor=lambda tokenizer: hf.PixtralProcessor(
            image_processor=hf.PixtralImageProcessor(size={"longest_edge": 64}, patch_size=8),
            tokenizer=tokenizer,
            patch_size=8,
            spatial_merge_size=2,
        ),
        template=templates.MISTRAL3,
        image="[IMG]", end="</s>", begin="<s>", adds_begin=True, pad="<pad>",
        more=(
            "[INST]", "[/INST]", "[IMG_BREAK]", "[IMG_END]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
        ),
    ),
    "idefics3": TinyPolicy(
        config=lambda token: _over("idefics3", image_token_id=token("<image>")),
        processor=lambda tokenizer: hf.Idefics3Processor(
            image_processor=_images_of("idefics3"), tokenizer=tokenizer, image_seq_len=4
        ),
        template=templates.IDEFICS3,
        image="<image>", end="<end_of_utterance>", begin="<|begin_of_text|>", adds_begin=True,
        pad="<pad>", more=(*_SPLIT, *_ROWS),
    ),
    "smolvlm": TinyPolicy(
        config=lambda token: _over("smolvlm", image_token_id=token("<image>")),
        processor=lambda tokenizer: hf.SmolVLMProcessor(
            image_processor=_images_of("smolvlm"),
            tokenizer=tokenizer,
            video_processor=hf.SmolVLMVideoProcessor(
                size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
            ),
            image_seq_len=4,
        ),
        template=templates.SMOLVLM,
        image="<image>", end="<end_of_utterance>", begin="<|im_start|>", pad="<|im_end|>",
        more=(*_SPLIT, *_ROWS), needs="num2words",
    ),
    # transformers knows it as no image-text-to-text model, so no road of Durian loads it.
    "phi4_multimodal": TinyPolicy(
        config=lambda token: hf.Phi4MultimodalConfig(
            vision_config={
                "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2,
                "num_attention_heads": 4, "image_size": 32, "patch_size": 8, "crop_size": 32,
                "image_token_id": token("<|image|>"),
            },
            audio_config={
                "hidden_size": 16, "intermediate_size": 16, "num_blocks": 1,
                "num_attention_heads": 2, "ext_pw_out_channel": 16, "nemo_conv_channels": 16,
                "depthwise_separable_out_channel": 16, "audio_token_id": token("<|audio|>"),
            },
            **{k: v for k, v in TEXT.items() if k != "head_dim"},
        ),
        processor=_phi4_processor,
        template=templates.PHI4,
        image="<|image|>", end="<|end|>", pad="<|endoftext|>",
        more=("<|user|>", "<|system|>", "<|assistant|>"),
        named={"image_token": "<|image|>", "audio_token": "<|audio|>"},
        model="AutoModelForMultimodalLM",
    ),
    "internvl": TinyPolicy(
        config=lambda token: _over("internvl", "qwen2", image_token_id=token("<IMG_CONTEXT>")),
        processor=lambda tokenizer: hf.InternVLProcessor(
            image_processor=_images_of("internvl"),
            tokenizer=tokenizer,
            video_processor=hf.InternVLVideoProcessor(size={"height": 32, "width": 32}),
            image_seq_length=4,
        ),
        template=templates.INTERNVL,
        image="<IMG_CONTEXT>", end="<|im_end|>", pad="<|endoftext|>", more=("<|im_start|>",),
        named={
            "start_image_token": "<img>", "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>", "video_token": "<video>",
        },
    ),
}  # fmt: skip
