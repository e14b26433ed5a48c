import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModelForImageTextToText, Qwen2Config, Qwen2Model

from durian.config import SamplingConfig
from durian.engines.loading import open_encoder
from durian.engines.patches import FAMILIES
from durian.errors import ConfigError
from durian.measures.spectral_entropy import spectral_entropy
from durian.samples import Failed
from tests.engines.tiny_towers import TINY, save_tiny

SIZES = [(64, 48), (33, 30), (64, 16)]  # width, height in pixels

# Patches of the three images before and after the projector, worked out from each processor's
# rule; patches are 8 x 8 pixels, tiles of fixed size hold 4 x 4 of them.
COUNTS = {
    # Whatever the size, one tile of 32 x 32.
    "gemma3": ([16, 16, 16], [4, 4, 4]),
    # Sides rounded to 16 pixels: 8 x 6, 4 x 4, 8 x 2 patches; four are merged into one.
    "glm4v": ([48, 16, 16], [12, 4, 4]),
    "glm4v_moe": ([48, 16, 16], [12, 4, 4]),
    # The longer side becomes 64, both sides are rounded up to tiles: 2 x 2, 2 x 2 and 2 x 1 of
    # them, and the whole image as one more.
    "idefics3": ([80, 80, 48], [20, 20, 12]),
    "smolvlm": ([80, 80, 48], [20, 20, 12]),
    # The grid of at most 4 tiles that is nearest in shape: 2 x 2, 1 alone, 4 x 1; where there are
    # several tiles, a thumbnail too.
    "internvl": ([80, 16, 80], [20, 4, 20]),
    # Into 64 x 64, 64 x 32 and 64 x 32 pixels: what shows the image is 8 x 6, 4 x 4 (33 x 30
    # enlarged to 35 x 32, in the middle) and 8 x 2 patches; and the thumbnail's 16. The
    # projector merges none.
    "llava_next": ([64, 32, 32], [64, 32, 32]),
    "llava_onevision": ([64, 32, 32], [64, 32, 32]),
    # Sides rounded to 16 pixels: 8 x 6, 4 x 4, 8 x 2 patches; four are merged into one.
    "qwen2_5_vl": ([48, 16, 16], [12, 4, 4]),
    "qwen2_vl": ([48, 16, 16], [12, 4, 4]),
    "qwen3_vl": ([48, 16, 16], [12, 4, 4]),
    "qwen3_vl_moe": ([48, 16, 16], [12, 4, 4]),
}


def picture(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(architecture):
        if architecture not in made:
            made[architecture] = save_tiny(architecture, tmp_path_factory.mktemp(architecture))
        return made[architecture]

    return folder


def encoder_of(folder, features="encoder", **settings):
    return open_encoder(SamplingConfig(model=str(folder), **settings), features=features)


def test_every_architecture_that_is_named_is_tested_here():
    assert set(FAMILIES) == set(TINY) == set(COUNTS)


@pytest.mark.parametrize("features", ["encoder", "projector"])
@pytest.mark.parametrize("architecture", TINY)
def test_patches_are_those_of_each_image_alone_whatever_shares_its_batch(
    folders, architecture, features
):
    encoder = encoder_of(folders(architecture), features)
    images = [picture(*size) for size in SIZES]
    together = list(encoder.encode([*images, images[0]]))
    counts = COUNTS[architecture][features == "projector"]
    assert [len(rows) for rows in together] == [*counts, counts[0]]
    width = 48 if features == "encoder" else 32
    assert all(rows.shape[1] == width and rows.dtype == torch.float32 for rows in together)
    for image, rows in zip(images, together, strict=False):
        (alone,) = encoder.encode([image])
        torch.testing.assert_close(rows, alone, rtol=1e-4, atol=1e-6)
        assert spectral_entropy(rows) == pytest.approx(spectral_entropy(alone), rel=1e-5)
    entropies = [spectral_entropy(rows) for rows in together]
    assert entropies[0] == pytest.approx(entropies[3], rel=1e-5)
    assert len({round(entropy, 6) for entropy in entropies}) == 3


def of_whole_model(folder, image, features):
    """Patch features of the whole policy, as transformers itself loads it, for 64 x 16 pixels."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval().model
    kind = model.config.model_type
    settings = {"crop_to_patches": True} if kind == "internvl" else {}
    nested = kind in ("idefics3", "smolvlm")
    inputs = AutoImageProcessor.from_pretrained(folder)(
        images=[[image]] if nested else [image], return_tensors="pt", **settings
    )
    kept = {}
    where = {
        "qwen": "visual.merger", "idefics3": "connector", "smolvlm": "connector",
        "glm": "visual.downsample",
    }  # fmt: skip
    projector = next((w for k, w in where.items() if kind.startswith(k)), "multi_modal_projector")
    module = model.get_submodule("vision_tower" if kind == "internvl" else projector)
    module.register_forward_hook(lambda _, given, found: kept.update(given=given, found=found))
    names = ("pixel_values", "image_grid_thw", "image_sizes", "pixel_attention_mask")
    with torch.inference_mode():
        found = model.get_image_features(**{n: inputs[n] for n in names if n in inputs})
    if features == "projector":
        rows = torch.cat(list(found.pooler_output)).flatten(0, -2)
        if kind.startswith("llava"):  # their rows end in a newline, which shows nothing
            rows = rows[(rows != model.image_newline).any(-1)]
        return rows
    if kind == "internvl":
        return kept["found"].last_hidden_state[:, 1:].flatten(0, 1)  # less the class token
    (rows,) = kept["given"]
    if kind.startswith("glm"):
        rows = rows.permute(0, 2, 3, 1)  # (merged, d, 2, 2), as a convolution takes them
    if kind.startswith("llava"):
        # 64 x 16 pixels in the middle of 64 x 32: rows 1 and 2 of the 4 of each of two tiles.
        thumbnail, *tiles = rows
        return torch.cat([thumbnail, *(tile[4:12] for tile in tiles)])
    return rows.flatten(0, -2)


@pytest.mark.parametrize("features", ["encoder", "projector"])
@pytest.mark.parametrize("architecture", TINY)
def test_features_are_those_of_the_whole_policy(folders, architecture, features):
    image = picture(64, 16, seed=7)
    (ours,) = encoder_of(folders(architecture), features).encode([image])
    theirs = of_whole_model(folders(architecture), image, features).double().numpy()
    assert ours.shape == theirs.shape
    centred = theirs - theirs.mean(0)
    variances = np.linalg.svd(centred, compute_uv=False) ** 2
    shares = variances / variances.sum()
    expected = -sum(p * math.log(p) for p in shares if p > 0)
    assert spectral_entropy(ours) == pytest.approx(expected, rel=1e-5)


def test_a_grid_that_the_language_model_is_given_shrunk_is_whole_before_the_projector(tmp_path):
    # anyres_max_1: 8 x 6 patches are sqrt(48 / 16) = 1.73 times too many along each side, so
    # floor(8 / 1.73) = 4 by floor(6 / 1.73) = 3 are left; and the thumbnail's 16.
    folder = save_tiny("llava_onevision", tmp_path, vision_aspect_ratio="anyres_max_1")
    image = picture(64, 48)
    (before,) = encoder_of(folder).encode([image])
    (after,) = encoder_of(folder, "projector").encode([image])
    assert (len(before), len(after)) == (64, 28)


@pytest.mark.parametrize("layer", [-2, [0, 1]])
def test_the_layer_that_the_projector_is_given_is_the_one_measured(tmp_path, layer):
    def patches(**changes):
        folder = save_tiny("llava_next", tmp_path / str(changes), **changes)
        return next(iter(encoder_of(folder).encode([picture(64, 48)])))

    found = patches(vision_feature_layer=layer)
    if isinstance(layer, list):  # side by side
        parts = [patches(vision_feature_layer=number) for number in layer]
        torch.testing.assert_close(found, torch.cat(parts, dim=1))
    else:
        torch.testing.assert_close(found, patches(vision_feature_layer=1))  # 0, 1 and 2 exist
        assert not torch.allclose(found, patches(vision_feature_layer=-1))


def test_a_checkpoint_that_names_its_weights_the_newer_way_is_read_as_well(folders, tmp_path):
    old = folders("qwen2_5_vl")
    weights = load_file(old / "model.safetensors")
    assert any(name.startswith("visual.") for name in weights)  # as on the hub
    save_file(
        {f"model.{name}" if name.startswith("visual.") else name: w for name, w in weights.items()},
        tmp_path / "model.safetensors", metadata={"format": "pt"},
    )  # fmt: skip
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((old / name).read_bytes())
    image = picture(64, 48)
    torch.testing.assert_close(
        next(iter(encoder_of(tmp_path).encode([image]))),
        next(iter(encoder_of(old).encode([image]))),
    )


def test_a_checkpoint_without_the_vision_weights_is_refused_not_left_random(
    folders, tmp_path, capfd
):
    old = folders("qwen2_5_vl")
    weights = load_file(old / "model.safetensors")
    gone = "visual.blocks.1.attn.qkv.weight"
    save_file(
        {name: w for name, w in weights.items() if name != gone},
        tmp_path / "model.safetensors", metadata={"format": "pt"},
    )  # fmt: skip
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((old / name).read_bytes())
    with pytest.raises(ConfigError) as raised:
        encoder_of(tmp_path)
    assert (
        "its checkpoint lacks weights of the vision encoder (1 of them, "
        "model.visual.blocks.1.attn.qkv.weight first)" in str(raised.value)
    )
    assert capfd.readouterr() == ("", "")  # nothing beside the one line


def test_the_language_half_is_never_read_nor_given_memory(folders, tmp_path):
    """An embedding of 1 GiB that exists as a hole in a file: reading it would show."""
    old = folders("qwen2_5_vl")
    data = (old / "model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    rows, name = 2**23, "model.embed_tokens.weight"  # of 32 float32
    assert header[name]["shape"] == [64, 32]
    header[name]["shape"] = [rows, 32]
    header[name]["data_offsets"] = [len(body), len(body) + rows * 32 * 4]
    header["left over"] = json.loads(data[8 : 8 + length])[name]  # a file may have no gaps
    text = json.dumps(header).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + body)
        file.truncate(file.tell() + rows * 32 * 4)
    config = json.loads((old / "config.json").read_text())
    config["text_config"]["vocab_size"] = rows
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_bytes(
        (old / "preprocessor_config.json").read_bytes()
    )
    program = (
        "import resource, sys\n"
        "from durian.config import SamplingConfig\n"
        "from durian.engines.loading import open_encoder\n"
        "for model in sys.argv[1:]:\n"
        "    encoder = open_encoder(SamplingConfig(model=model), features='encoder')\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    command = [sys.executable, "-c", program, str(old), str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    small, large = map(int, done.stdout.split())
    assert large - small < 100 * 1024  # KiB
    (found,), (expected,) = (encoder_of(f).encode([picture(64, 48)]) for f in (tmp_path, old))
    torch.testing.assert_close(found, expected)


def test_an_unknown_architecture_is_refused_by_naming_the_known(tmp_path):
    config = Qwen2Config(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, vocab_size=8,
    )  # fmt: skip
    Qwen2Model(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError) as raised:
        encoder_of(tmp_path)
    assert "does not know architecture 'qwen2'; it knows gemma3, glm4v, " in str(raised.value)


def test_weights_in_half_precision_are_computed_with_in_float32(folders, tmp_path):
    old = folders("qwen2_5_vl")
    weights = load_file(old / "model.safetensors")
    found = []
    for dtype in (torch.bfloat16, torch.float32):  # the same values, stored in 2 bytes and in 4
        folder = tmp_path / str(dtype)
        folder.mkdir()
        stored = {name: w.bfloat16().to(dtype) for name, w in weights.items()}
        save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((old / "config.json").read_text()) | {"dtype": str(dtype)[6:]}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "preprocessor_config.json").write_bytes(
            (old / "preprocessor_config.json").read_bytes()
        )
        found += encoder_of(folder).encode([picture(64, 48)])
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-6)


def test_bounds_in_pixels_are_the_engines(folders):
    # At most 32 x 32 pixels: 64 x 48 is shrunk by sqrt(3072 / 1024) = 1.73 to 32 x 16 (each side
    # down to a multiple of 16): 4 x 2 patches.
    (rows,) = encoder_of(folders("qwen2_5_vl"), max_pixels=1024).encode([picture(64, 48)])
    assert len(rows) == 8
    with pytest.raises(ConfigError) as raised:
        encoder_of(folders("internvl"), max_pixels=1024)
    assert "its images are not bounded in pixels" in str(raised.value)


def test_an_image_that_the_processor_refuses_fails_alone(folders):
    encoder = encoder_of(folders("qwen2_5_vl"))
    thin = Image.new("RGB", (2000, 4))  # Qwen's processors refuse an aspect ratio above 200
    good = [picture(64, 48, seed) for seed in range(2)]
    first, refused, second = encoder.encode([good[0], thin, good[1]])
    assert isinstance(refused, Failed)
    assert "image refused: absolute aspect ratio must be smaller than 200" in refused.error
    for image, rows in zip(good, (first, second), strict=True):
        torch.testing.assert_close(rows, next(iter(encoder.encode([image]))), rtol=1e-4, atol=1e-6)


def test_many_images_come_back_in_order_over_several_batches(folders):
    encoder = encoder_of(folders("qwen2_5_vl"))
    images = [picture(*SIZES[n % 3], seed=n) for n in range(40)]
    for image, rows in zip(images, list(encoder.encode(images)), strict=True):
        (alone,) = encoder.encode([image])
        torch.testing.assert_close(rows, alone, rtol=1e-4, atol=1e-6)
