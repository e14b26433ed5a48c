"""The gray rule, against numpy on the pixels that were planted, and against skimage's entropy."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from skimage.measure import shannon_entropy

from durian.images.decode import DecodedImage, decode
from durian.measures.pixel_entropy import pixel_entropy
from durian.samples import Failed

LIMIT = 10**6
RNG = np.random.default_rng(7)
GRAY = RNG.integers(0, 256, (40, 30), dtype=np.uint8)
COLOR = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (40, 30), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (40, 30), dtype=np.uint16)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(
    width: int, height: int, bits: int, color: int, rows: list[bytes], **chunks: bytes
) -> bytes:
    """A PNG written by hand, for what Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    body = b"".join(chunk(kind.encode(), data) for kind, data in chunks.items())
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )  # fmt: skip


def luma(rgb: np.ndarray) -> np.ndarray:
    """ITU-R 601-2 in 16-bit fixed point, rounded: 0.299, 0.587 and 0.114 times 65536."""
    red, green, blue = (rgb[..., i].astype(np.int64) for i in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16).astype(np.uint8)


def over_white(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    a = alpha.astype(np.float64) / 255
    a = a[..., None] if values.ndim == 3 else a
    return np.rint(values * a + 255 * (1 - a)).astype(np.uint8)


def decoded(data: bytes, keep: bool = False) -> DecodedImage:
    image = decode(data, pixel_limit=LIMIT, keep=keep)
    assert isinstance(image, DecodedImage), image
    return image


def check(data: bytes, gray: np.ndarray) -> None:
    image = decoded(data)
    assert (image.width, image.height) == (gray.shape[1], gray.shape[0])
    assert image.gray_histogram.tolist() == np.bincount(gray.ravel(), minlength=256).tolist()
    assert pixel_entropy(image.gray_histogram) == pytest.approx(shannon_entropy(gray), abs=1e-12)


def palette_image() -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """Indices into 16 colours; the image, its indices and its colours."""
    index, colors = GRAY % 16, COLOR.reshape(-1, 3)[:16]
    image = Image.fromarray(index.astype(np.uint8)).convert("L")
    image.putpalette(colors.tobytes())
    return image, index, colors


def test_gray_is_taken_as_it_is():
    check(encoded(Image.fromarray(GRAY), "PNG"), GRAY)


def test_colour_is_weighed_as_itu_r_601():
    check(encoded(Image.fromarray(COLOR), "PNG"), luma(COLOR))


def test_colour_with_alpha_is_laid_over_white():
    rgba = np.dstack([COLOR, ALPHA])
    check(encoded(Image.fromarray(rgba), "PNG"), luma(over_white(COLOR, ALPHA)))


def test_gray_with_alpha_is_laid_over_white():
    image = Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(ALPHA)])
    check(encoded(image, "PNG"), over_white(GRAY, ALPHA))


def test_black_line_art_on_nothing_is_not_a_black_image():
    alpha = np.zeros((40, 30), dtype=np.uint8)
    alpha[10] = 255
    expected = np.where(alpha == 255, 0, 255).astype(np.uint8)
    rgba = np.dstack([np.zeros((40, 30, 3), dtype=np.uint8), alpha])
    check(encoded(Image.fromarray(rgba), "PNG"), expected)


def test_a_palette_is_expanded():
    image, index, colors = palette_image()
    check(encoded(image, "PNG"), luma(colors[index]))


@pytest.mark.parametrize("alphas", [bytes([0]), bytes([0, 128, 255, 3])])
def test_a_palette_with_transparency_is_laid_over_white(alphas):
    image, index, colors = palette_image()
    alpha = np.full(16, 255, dtype=np.uint8)
    alpha[: len(alphas)] = list(alphas)
    data = encoded(image, "PNG", transparency=alphas)
    check(data, luma(over_white(colors[index], alpha[index])))


def test_a_gray_level_named_transparent_becomes_white():
    data = encoded(Image.fromarray(GRAY), "PNG", transparency=100)
    check(data, np.where(GRAY == 100, 255, GRAY).astype(np.uint8))


def test_a_colour_named_transparent_becomes_white():
    named = tuple(int(value) for value in COLOR[3, 4])
    data = encoded(Image.fromarray(COLOR), "PNG", transparency=named)
    hidden = (COLOR == COLOR[3, 4]).all(axis=-1)
    check(data, np.where(hidden, 255, luma(COLOR)).astype(np.uint8))


@pytest.mark.parametrize(
    ("bits", "row", "transparent", "gray"),
    [
        (1, b"\xa0", 0, [255, 255, 255, 255]),  # 1 0 1 0
        (2, b"\x1b", 2, [0, 85, 255, 255]),  # 0 1 2 3, spread by 85
        (4, b"\x01\x23", 2, [0, 17, 255, 51]),  # 0 1 2 3, spread by 17
        (16, b"\x00\x00\x01\x00\x02\x00\x02\x01", 0x0200, [0, 1, 255, 2]),  # not 0x0201
    ],
)
def test_a_transparent_gray_is_found_at_every_depth(bits, row, transparent, gray):
    data = png(4, 1, bits, 0, [row], tRNS=struct.pack(">H", transparent))
    check(data, np.array([gray], dtype=np.uint8))


def test_a_transparent_colour_of_16_bits_is_found_by_its_high_bytes():
    row = bytes([0, 9, 0, 9, 0, 9, 2, 1, 2, 1, 2, 1])  # pixels 0x0009 and 0x0201, gray
    data = png(2, 1, 16, 2, [row], tRNS=bytes([2, 1, 2, 1, 2, 1]))
    check(data, np.array([[0, 255]], dtype=np.uint8))


def test_black_and_white_is_0_and_255():
    image = Image.fromarray(GRAY > 127)
    assert image.mode == "1"
    check(encoded(image, "PNG"), np.where(GRAY > 127, 255, 0).astype(np.uint8))


def test_cmyk_goes_through_rgb():
    cmyk = RNG.integers(0, 256, (40, 30, 4), dtype=np.uint8)
    # Pillow's naive conversion: 255 less the ink, times what black leaves, rounded.
    ink, black = cmyk[..., :3].astype(np.int64), cmyk[..., 3:].astype(np.int64)
    left = 255 - black
    rgb = np.clip(left - np.rint(ink * left / 255), 0, 255).astype(np.uint8)
    check(encoded(Image.frombytes("CMYK", (30, 40), cmyk.tobytes()), "TIFF"), luma(rgb))


@pytest.mark.parametrize("mode", ["YCbCr", "LAB"])
def test_other_colour_spaces_decode(mode):
    image = Image.new(mode, (6, 4), (128, 128, 128))
    assert decoded(encoded(image, "TIFF")).gray_histogram.sum() == 24


@pytest.mark.parametrize(
    ("mode", "order", "kind"),
    [("I;16", "<u2", "TIFF"), ("I;16", "<u2", "PNG"), ("I;16B", ">u2", "TIFF")],
)
def test_16_bits_are_shifted_not_clipped(mode, order, kind):
    image = Image.frombytes(mode, (30, 40), DEEP.astype(order).tobytes())
    check(encoded(image, kind), (DEEP >> 8).astype(np.uint8))


def test_32_bits_count_as_16_while_they_fit():
    image = Image.fromarray(DEEP.astype(np.int32))
    assert image.mode == "I"
    check(encoded(image, "TIFF"), (DEEP >> 8).astype(np.uint8))


@pytest.mark.parametrize(
    ("pixels", "error"),
    [
        (np.array([[65536]], dtype=np.int32), "32-bit pixels with values above 65535"),
        (np.array([[-1]], dtype=np.int32), "32-bit pixels with negative values"),
        (
            np.array([[0.5]], dtype=np.float32),
            "float pixels have no gray levels; convert it to 8 or 16 bits a channel",
        ),
    ],
)
def test_values_without_a_gray_level_are_an_error(pixels, error):
    data = encoded(Image.fromarray(pixels), "TIFF")
    assert decode(data, pixel_limit=LIMIT, keep=True) == Failed(f"cannot decode image: {error}")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_is_its_first_frame(kind):
    first = np.repeat(np.repeat(GRAY[:4, :4] // 16 * 16, 8, axis=0), 8, axis=1)
    frames = [Image.fromarray(first), Image.fromarray(255 - first)]
    options = {"lossless": True} if kind == "WEBP" else {}
    check(
        encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options),
        first,
    )


def test_a_gif_with_a_transparent_colour_is_laid_over_white():
    image, index, colors = palette_image()
    next_frame = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    data = encoded(
        image,
        "GIF",
        save_all=True,
        append_images=[next_frame],
        transparency=5,
        optimize=False,
    )
    hidden = index == 5
    assert hidden.any()
    check(data, np.where(hidden, 255, luma(colors[index])).astype(np.uint8))


def test_an_animated_webp_with_alpha_is_laid_over_white():
    rgba = np.dstack([COLOR, ALPHA])
    frames = [Image.fromarray(rgba), Image.fromarray(255 - rgba)]
    data = encoded(
        frames[0],
        "WEBP",
        save_all=True,
        append_images=frames[1:],
        lossless=True,
        exact=True,
    )
    check(data, luma(over_white(COLOR, ALPHA)))


def test_a_jpeg_is_decoded_at_full_size():
    data = encoded(Image.fromarray(COLOR), "JPEG")
    check(data, luma(np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))))


def test_the_policy_sees_the_pixels_laid_over_white_too():
    rgba = np.dstack([COLOR, ALPHA])
    rgb = decoded(encoded(Image.fromarray(rgba), "PNG"), keep=True).rgb
    assert rgb.mode == "RGB"
    assert np.array_equal(np.asarray(rgb), over_white(COLOR, ALPHA))


def test_the_policy_sees_16_bits_shifted_too():
    image = Image.frombytes("I;16", (30, 40), DEEP.tobytes())
    rgb = np.asarray(decoded(encoded(image, "PNG"), keep=True).rgb)
    assert np.array_equal(rgb, np.dstack([(DEEP >> 8).astype(np.uint8)] * 3))


def test_no_pixels_are_kept_unless_asked():
    assert decoded(encoded(Image.fromarray(COLOR), "PNG"), keep=False).rgb is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_policy_sees_what_datasets_decodes_and_gray_does_not_turn(orientation):
    datasets = pytest.importorskip("datasets")
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(COLOR), "PNG", exif=exif)
    peer = datasets.Image().decode_example({"bytes": data, "path": None})
    image = decoded(data, keep=True)
    assert np.array_equal(np.asarray(image.rgb), np.asarray(peer))
    assert image.gray_histogram.tolist() == np.bincount(luma(COLOR).ravel(), minlength=256).tolist()
    assert (image.width, image.height) == (30, 40)
