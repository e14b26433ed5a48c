"""Patch features of the policy's own vision encoder; of its weights nothing else is loaded.

Every patch of an image that the policy sees counts, those of its tiles or crops and of its
thumbnail alike, as they are when the image stands alone in a prompt. What does not show the image
is no patch: padding, the tiles that only fill a batch, class tokens, line-break embeddings.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers  # each name is loaded when used: an architecture is refused in half the time
from PIL import Image
from transformers.utils import logging

from durian.config import SamplingConfig
from durian.engines.chat import bound_pixels, cannot_load, check_model_exists
from durian.engines.trusted import check_weights
from durian.errors import ConfigError, RunError, one_line
from durian.samples import Failed

BATCH_PIXELS = 4 * 1024**2  # of the images in one batch, as they come

Read = Callable[[Any, Any, bool], Sequence[torch.Tensor]]


class VisionTower:
    """A `PatchEncoder` by transformers: the vision encoder and projector of a policy, in float32.

    On the GPU if there is one. The language model is never read nor given memory.
    """

    def __init__(self, config: SamplingConfig, features: str) -> None:
        """Load the encoder of `config.model`.

        Args:
            features: "encoder": as they enter the projector; "projector": as they leave it.
        Raises:
            ConfigError: the model cannot be loaded, or its architecture is not supported.
        """
        self._family, model_config = find_family(config)
        self._projected = features == "projector"
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        settings = {
            "revision": config.engine_args.get("revision"),
            "trust_remote_code": config.trust_remote_code,
        }
        loader: Any = transformers.AutoImageProcessor  # its methods are untyped
        try:
            self._processor: Any = loader.from_pretrained(config.model, **settings)
        except Exception as error:  # loaders raise whatever comes
            raise cannot_load(config.model, error) from error
        bound_pixels(self._processor, config)
        try:
            with _quiet():
                model, info = _without_language(
                    model_config, self._family.language
                ).from_pretrained(
                    config.model,
                    config=model_config,
                    dtype=torch.float32,
                    output_loading_info=True,
                    use_safetensors=True,
                    revision=settings["revision"],
                )
            self._model: Any = model.model.eval().to(self._device)
        except Exception as error:
            raise cannot_load(config.model, error) from error
        if info["missing_keys"]:  # would be left random, and measured all the same
            raise ConfigError(
                f"model '{config.model}': its checkpoint lacks weights of the vision encoder "
                f"({len(info['missing_keys'])} of them, {min(info['missing_keys'])} first)"
            )

    def encode(self, images: Sequence[Image.Image]) -> Iterator[torch.Tensor | Failed]:
        """See `PatchEncoder.encode`."""
        for batch in _batches(images, self._family.batch):
            yield from self._encode(batch)

    def close(self) -> None:
        """Give back the memory of the encoder."""
        del self._model
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _encode(self, images: Sequence[Image.Image]) -> Iterator[torch.Tensor | Failed]:
        try:
            inputs = self._processor(
                images=[[image] for image in images] if self._family.nested else list(images),
                return_tensors="pt",
                **self._family.settings,
            )
        except Exception as error:  # processors raise whatever comes
            # A processor refuses a whole batch for one image's sake (too thin, an odd mode), and
            # does not say which: each is tried alone, so that one row has an error and the others
            # have none.
            if len(images) > 1:
                for image in images:
                    yield from self._encode([image])
            else:
                yield Failed(f"image refused: {one_line(error)}")
            return
        try:
            with torch.inference_mode():
                inputs = inputs.to(self._device)
                features = self._family.read(self._model, inputs, self._projected)
        except (RuntimeError, MemoryError) as error:
            raise RunError(f"the vision encoder stopped: {one_line(error)}") from error
        yield from features


def _qwen(model: Any, inputs: Any, projected: bool) -> Sequence[torch.Tensor]:
    # Images lie end to end in one sequence; attention stays within each.
    grids = inputs["image_grid_thw"]  # (images, 3): frames, rows, columns
    found = model.get_image_features(inputs["pixel_values"], grids)
    if projected:
        return list(found.pooler_output)
    return list(found.last_hidden_state.split(grids.prod(-1).tolist()))


def _glm(model: Any, inputs: Any, projected: bool) -> Sequence[torch.Tensor]:
    grids = inputs["image_grid_thw"]  # (images, 3): frames, rows, columns
    # GLM-4V merges four patches into one by a convolution ahead of its projector, and gives back
    # what comes after it. As with Qwen-VL the patches are the encoder's own, before they merge.
    kept: list[torch.Tensor] = []
    hook = model.visual.post_layernorm.register_forward_hook(
        lambda module, given, found: kept.append(found)
    )
    try:
        found = model.get_image_features(inputs["pixel_values"], grids)
    finally:
        hook.remove()
    if projected:
        return list(found.pooler_output)
    return list(torch.split(kept[0], grids.prod(-1).tolist()))


def _gemma(model: Any, inputs: Any, projected: bool) -> Sequence[torch.Tensor]:
    found = model.get_image_features(inputs["pixel_values"])
    # The image itself comes with its crops, so there is one tile more than crops.
    tokens = found.pooler_output if projected else found.last_hidden_state
    return _of_tiles(tokens, [crops + 1 for crops in inputs["num_crops"].tolist()])


def _internvl(model: Any, inputs: Any, projected: bool) -> Sequence[torch.Tensor]:
    found = model.get_image_features(inputs["pixel_values"], output_hidden_states=True)
    if projected:
        tokens = found.pooler_output
    elif model.config.vision_feature_layer == -1:  # its word for "after the final norm"
        tokens = _patches_alone(model.config, found.last_hidden_state)
    else:
        tokens = _hidden_layer(model.config, found)
    return _of_tiles(tokens, inputs["num_patches"].tolist())


def _idefics(model: Any, inputs: Any, projected: bool) -> Sequence[torch.Tensor]:
    pixels = inputs["pixel_values"]  # (images, tiles, C, H, W), the tiles filled up with empty ones
    mask = inputs["pixel_attention_mask"].bool()  # (images, tiles, H, W)
    real = mask.flatten(2).any(-1)
    # A patch counts if any of its pixels shows the image. Patches of padding alone show nothing,
    # yet have features: with them the measure would tell how much an image was padded, by its
    # shape, instead of what is in it.
    size = model.config.vision_config.patch_size
    seen = mask[real].unfold(1, size, size).unfold(2, size, size).any(-1).any(-1)  # (tiles, h, w)
    tokens = model.vision_model(
        pixel_values=pixels[real], patch_attention_mask=seen
    ).last_hidden_state
    if projected:
        tokens = model.connector(tokens)
    return _of_tiles(tokens, real.sum(1).tolist())


def _llava_next(model: Any, inputs: Any, projected: bool) -> Sequence[torch.Tensor]:
    return _unpadded(
        model,
        _llava_tiles(model, inputs, projected),
        inputs["image_sizes"],
        vision_feature_select_strategy=model.config.vision_feature_select_strategy,
    )


def _llava_onevision(model: Any, inputs: Any, projected: bool) -> Sequence[torch.Tensor]:
    # The language model is given large grids shrunk; the encoder's own are left as they are.
    most = model.config.vision_aspect_ratio if projected else f"anyres_max_{10**9}"
    return _unpadded(
        model,
        _llava_tiles(model, inputs, projected),
        inputs["image_sizes"],
        vision_aspect_ratio=most,
    )


def _unpadded(
    model: Any, tiles: Any, image_sizes: torch.Tensor, **settings: Any
) -> Sequence[torch.Tensor]:
    """Patches of the thumbnail and of the tiles, by the model's own unpadding, without newlines."""
    packed, _ = model.pack_image_features(tiles, image_sizes, image_newline=None, **settings)
    return list(packed)


def _llava_tiles(model: Any, inputs: Any, projected: bool) -> tuple[torch.Tensor, ...]:
    """(tiles, N, d) of each image: its thumbnail first, then its tiles row by row."""
    from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

    config = model.config
    counts = [
        image_size_to_num_patches(
            image_size=size,
            grid_pinpoints=config.image_grid_pinpoints,
            patch_size=config.vision_config.image_size,
        )
        for size in inputs["image_sizes"].tolist()
    ]
    # The processor fills every image up to the most tiles of the batch.
    pixels = [tiles[:count] for tiles, count in zip(inputs["pixel_values"], counts, strict=True)]
    found = model.vision_tower(torch.cat(pixels), output_hidden_states=True)
    tokens = _hidden_layer(config, found)
    return torch.split(model.multi_modal_projector(tokens) if projected else tokens, counts)


def _hidden_layer(config: Any, found: Any) -> torch.Tensor:
    """The encoder's layer, or layers side by side, that the projector is given."""
    layer = config.vision_feature_layer
    layers = [layer] if isinstance(layer, int) else layer
    tokens = torch.cat([found.hidden_states[number] for number in layers], dim=-1)
    return _patches_alone(config, tokens)


def _patches_alone(config: Any, tokens: torch.Tensor) -> torch.Tensor:
    # "default" is the Llavas' word for: without the class token, which comes first.
    return tokens[:, 1:] if config.vision_feature_select_strategy == "default" else tokens


def _of_tiles(tokens: torch.Tensor, counts: list[int]) -> list[torch.Tensor]:
    """(tiles of all images, N, d) to (P, d) of each image, which has so many tiles of them."""
    return [tiles.flatten(0, 1) for tiles in torch.split(tokens, counts)]


@dataclass(frozen=True, kw_only=True)
class Family:
    """One kind of policy: how its vision encoder is read, and the settings of its processor."""

    read: Read  # (model, processed images, after the projector?) -> (P, d) of each image
    language: str = "language_model"  # what to leave out
    # What the family's processor tells its image processor; loaded alone, that does not know.
    settings: Mapping[str, Any] = field(default_factory=dict)
    batch: int = 16  # images at a time; fewer where a small image becomes many tiles
    nested: bool = False  # its image processor is given a list of images for each sample


_QWEN = Family(read=_qwen)
_IDEFICS = Family(
    read=_idefics, language="text_model", nested=True, settings={"do_pad": True}, batch=4
)
FAMILIES = {
    "gemma3": Family(read=_gemma, settings={"do_pan_and_scan": False}),
    "glm4v": Family(read=_glm),
    "glm4v_moe": Family(read=_glm),
    "idefics3": _IDEFICS,
    "internvl": Family(read=_internvl, settings={"crop_to_patches": True}, batch=4),
    "llava_next": Family(read=_llava_next, settings={"do_pad": True}, batch=4),
    "llava_onevision": Family(read=_llava_onevision, settings={"do_pad": True}, batch=4),
    "qwen2_5_vl": _QWEN,
    "qwen2_vl": _QWEN,
    "qwen3_vl": _QWEN,
    "qwen3_vl_moe": _QWEN,
    "smolvlm": _IDEFICS,
}


def find_family(config: SamplingConfig) -> tuple[Family, Any]:
    """The family of a policy and its transformers config; loads no weights.

    Raises:
        ConfigError: no such model, or an architecture that is not supported.
    """
    check_model_exists(config.model)
    check_weights(config)
    loader: Any = transformers.AutoConfig
    try:
        found = loader.from_pretrained(
            config.model,
            revision=config.engine_args.get("revision"),
            trust_remote_code=config.trust_remote_code,
        )
    except Exception as error:  # loaders raise whatever comes
        raise cannot_load(config.model, error) from error
    if found.model_type not in FAMILIES:
        raise ConfigError(
            f"model '{config.model}': the spectral measure does not know architecture "
            f"'{found.model_type}'; it knows {', '.join(FAMILIES)}"
        )
    return FAMILIES[found.model_type], found


def _without_language(config: Any, language: str) -> Any:
    """The policy's class, so changed that it is built without its language half.

    `from_pretrained` builds on the meta device, where nothing takes memory, and reads from the
    checkpoint what the built model has: so nothing of the language half is read. The name and
    module of the class stay: by them transformers finds how older checkpoints name their weights.
    Not the class without the head (`AutoModel`'s): it misses the vision weights of some of them.
    """
    whole: Any = transformers.AutoModelForImageTextToText._model_mapping[type(config)]
    build_whole = whole.__init__

    def build(self: Any, config: Any) -> None:
        build_whole(self, config)
        setattr(self.model, language, None)
        self.lm_head = None

    body = {
        "__init__": build,
        "__module__": whole.__module__,
        "_tied_weights_keys": {},  # the head's, to the embedding
        "_keys_to_ignore_on_load_unexpected": [r".*"],  # all of them are the language half's
    }
    return type(whole.__name__, (whole,), body)


def _batches(images: Sequence[Image.Image], most: int) -> Iterator[list[Image.Image]]:
    batch: list[Image.Image] = []
    for image in images:
        # Bounded by pixels, since memory goes with patches: sixteen photographs need many times
        # what sixteen icons do.
        pixels = sum(i.width * i.height for i in [*batch, image])
        if batch and (len(batch) == most or pixels > BATCH_PIXELS):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


@contextmanager
def _quiet() -> Iterator[None]:
    # No progress bar, and no page on what a checkpoint lacks: the error says it in a line.
    log: Any = logging  # its functions are untyped
    log.disable_progress_bar()
    before = log.get_verbosity()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(before)
