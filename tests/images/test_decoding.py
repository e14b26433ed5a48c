"""Decoders that hang, crash or fill the memory: the image is named, and all else is unharmed."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from array import array
from pathlib import Path

import polars as pl
import pytest
from PIL import Image, PngImagePlugin

from durian.errors import RunError
from durian.images import decode as decode_module
from durian.images import image_process
from durian.images.decode import decode, size
from durian.images.decoding import Notes, Slot
from durian.images.image_process import processes
from durian.images.image_worker import REQUEST
from durian.images.pixels import DecodedImage, decode_image, decode_tried, tried_size
from durian.measuring.chunks import decoded_chunks
from durian.progress import Silent
from durian.samples import Failed, Sample

PLANTED = Path(__file__).parent / "planted"
LIMIT = 10**6
PREFIX = "cannot decode image: its decoder "


def encoded(kind: str, gray: int = 255, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("L", (16, 16), gray).save(file, kind, **options)
    return file.getvalue()


def planted_png(what: str) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("plant", what)
    return encoded("PNG", pnginfo=text)


@pytest.fixture
def planted(monkeypatch):
    """Decoders that do harm in the processes that decode apart, and a second for each image."""
    monkeypatch.setenv("PYTHONPATH", f"{PLANTED}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(image_process, "SECONDS", 1.0)
    monkeypatch.setattr(image_process, "_GRACE_SECONDS", 1.0)
    processes().close()
    yield
    processes().close()


def looks(*images: bytes | tuple[bytes, ...], notes: Path | None = None) -> list[str | None]:
    """The errors of one sample for each image, or tuple of images."""
    samples = [
        Sample(
            sample_id=str(row),
            row=row,
            problem="",
            answer="",
            images=image if isinstance(image, tuple) else (image,),
        )
        for row, image in enumerate(images)
    ]
    chunks = decoded_chunks(
        samples, [(0, range(len(samples)))], keep=True, pixel_limit=LIMIT, workers=2,
        progress=Silent(), notes=notes,
    )  # fmt: skip
    return [seen.error for chunk in chunks for seen in chunk.looks]


def test_an_image_that_harms_its_decoder_is_named_and_the_others_are_unharmed(planted):
    good = encoded("TGA")
    assert looks(
        good,
        b"PLANTED:crash",
        b"PLANTED:abort",
        b"PLANTED:loop",
        b"PLANTED:sleep in C",
        b"PLANTED:deaf",
        b"PLANTED:memory",
        b"PLANTED:",
        (good, b"PLANTED:crash"),
        encoded("PNG"),
        good,
    ) == [
        None,
        PREFIX + "died (signal 11)",
        PREFIX + "died (signal 6)",
        PREFIX + "took over 1 s",
        PREFIX + "took over 1 s",
        PREFIX + "took over 1 s",
        "cannot decode image: MemoryError",
        None,
        "image 2: " + PREFIX + "died (signal 11)",
        None,
        None,
    ]


def test_a_process_that_died_is_replaced_and_one_that_lives_is_kept(planted):
    def white() -> list[int]:
        image = decode(b"PLANTED:", pixel_limit=LIMIT, keep=True)
        assert isinstance(image, DecodedImage) and image.rgb is not None
        assert image.gray_histogram.nonzero()[0].tolist() == [255]
        assert image.rgb.tobytes() == b"\xff" * 12  # 2 x 2, three channels
        return processes().pids

    [first] = white()
    assert white() == [first]
    decode(b"PLANTED:crash", pixel_limit=LIMIT, keep=False)
    [second] = white()
    assert second != first
    os.kill(second, signal.SIGKILL)  # from outside, between two images: no image is at fault
    os.waitid(os.P_PID, second, os.WEXITED | os.WNOWAIT)
    [third] = white()
    assert third != second


def test_a_process_ends_itself_though_nobody_is_left_to_end_it(planted):
    worker = subprocess.Popen(
        [sys.executable, "-m", "durian.images.image_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    data = b"PLANTED:loop"
    try:
        worker.communicate(REQUEST.pack(False, False, LIMIT, 0.5, len(data)) + data, timeout=60)
    finally:
        worker.kill()
    assert worker.returncode == -signal.SIGALRM


def test_a_forked_process_has_decoders_of_its_own():
    good = encoded("TGA")
    decode(good, pixel_limit=LIMIT, keep=False)
    mine = processes().pids
    child = os.fork()
    if child == 0:
        none = not processes().pids
        image = decode(good, pixel_limit=LIMIT, keep=False)
        other = set(processes().pids).isdisjoint(mine)
        processes().close()
        os._exit(0 if none and other and isinstance(image, DecodedImage) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isinstance(decode(good, pixel_limit=LIMIT, keep=False), DecodedImage)
    assert processes().pids == mine


def test_a_process_that_does_not_start_ends_the_run(monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import os\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    processes().close()
    with pytest.raises(RunError, match=r"that decodes images apart does not start \(exit code 3\)"):
        looks(encoded("TGA"))


def test_a_header_that_harms_its_reader_has_no_size(planted):
    assert size(b"PLANTED:crash") == (2, 2)  # the harm is in the pixels
    assert size(encoded("TGA")) == size(encoded("PNG")) == (16, 16)
    assert size(b"") is size(b"no image") is None


def test_a_memory_bomb_is_bounded_by_what_its_header_promises(planted):
    assert decode(b"PLANTED:memory", pixel_limit=LIMIT, keep=False) == Failed(
        "cannot decode image: MemoryError"
    )


@pytest.fixture
def hung(monkeypatch):
    """The image `b"hang"` holds up a decoder of this process until the test is over."""
    over = threading.Event()
    hanging = threading.Event()

    def decode_or_hang(data: bytes, **options: object) -> object:
        if data == b"hang":
            hanging.set()
            over.wait()
        return decode_tried(data, **options)

    monkeypatch.setattr(decode_module, "decode_tried", decode_or_hang)
    monkeypatch.setattr(image_process, "SECONDS", 0.5)
    yield hanging
    over.set()


def test_a_thread_that_hangs_is_left_and_its_image_is_named(hung):
    good = encoded("PNG")
    images = [good, b"hang", (good, b"hang"), b"hang", *[good] * 5]  # more than there are threads
    error = PREFIX + "took over 0.5 s"
    assert looks(*images) == [None, error, f"image 2: {error}", error, *[None] * 5]
    assert hung.is_set()


def test_a_thread_that_hangs_does_not_keep_the_process_from_ending(tmp_path):
    script = tmp_path / "hang.py"
    script.write_text(
        "import threading\n"
        "from tests.images.test_decoding import decode_module, image_process, looks\n"
        "decode_module.decode_tried = lambda data, **options: threading.Event().wait()\n"
        "image_process.SECONDS = 0.5\n"
        "print(looks(b'hang'))\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, timeout=60, text=True)
    assert ended.stdout.strip() == f"['{PREFIX}took over 0.5 s']", ended.stderr


def test_a_slot_notes_its_row_while_a_decoder_works(tmp_path):
    notes = Notes(tmp_path / "decoding")
    first, second = notes.slot(), notes.slot()
    first.row, second.row = 0, 41

    def noted() -> set[int]:
        return {row for row in array("q", (tmp_path / "decoding").read_bytes()) if row}

    with first, second:
        assert noted() == {1, 42}
        assert Notes(tmp_path / "decoding").suspects == {0, 41}  # another attempt, after a crash
    assert noted() == {1, 42}  # which keeps them, should it crash over another image
    assert Notes(tmp_path / "decoding").suspects == {0, 41}
    assert first.since is None and Slot().since is None


def test_a_damaged_file_of_notes_is_no_obstacle(tmp_path):
    (tmp_path / "decoding").write_bytes(array("q", [-5, 7]).tobytes() + b"abc")
    assert Notes(tmp_path / "decoding").suspects == {6}


def test_what_was_at_hand_in_a_crash_is_decoded_apart(planted, tmp_path):
    (tmp_path / "decoding").write_bytes(array("q", [2]).tobytes())  # row 1
    bad = planted_png("crash")  # would do no harm in this process
    assert looks(bad, bad, encoded("PNG"), notes=tmp_path / "decoding") == [
        None,
        PREFIX + "died (signal 11)",
        None,
    ]


def test_a_run_that_a_decoder_crashed_goes_on_without_the_image_at_fault(tmp_path):
    images = [encoded("PNG", gray) for gray in range(40)]
    images[7], images[23] = planted_png("crash"), planted_png("abort")
    for row, image in enumerate(images):
        (tmp_path / f"{row}.png").write_bytes(image)
    lines = [
        {"problem": f"p{row}", "answer": "1", "image": f"{row}.png"} for row in range(len(images))
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    command = [
        sys.executable, "-m", "durian_cli", "profile", str(tmp_path / "a.jsonl"), "--measures",
        "pixel", "--workers", "2", "--part-size", "10", "--out", str(tmp_path / "run"), "--quiet",
    ]  # fmt: skip
    paths = f"{PLANTED}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"

    def attempt() -> int:
        return subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}).returncode

    assert [attempt(), attempt(), attempt()] == [-signal.SIGSEGV, -signal.SIGABRT, 0]
    errors = pl.read_parquet(tmp_path / "run" / "difficulty.parquet")["error"].to_list()
    assert {row: error for row, error in enumerate(errors) if error} == {
        7: PREFIX + "died (signal 11)",
        23: PREFIX + "died (signal 6)",
    }
    assert not (tmp_path / "run" / "parts").exists()


# Which decoders run in the caller's thread


@pytest.mark.parametrize(
    ("kind", "options", "here"),
    [
        ("JPEG", {}, True),
        ("JPEG", {"progressive": True}, True),
        ("PNG", {}, True),
        ("GIF", {}, True),
        ("BMP", {}, True),
        ("PPM", {}, True),
        ("WEBP", {"lossless": True}, True),
        ("TIFF", {}, True),
        ("TIFF", {"compression": "tiff_lzw"}, False),
        ("TIFF", {"compression": "packbits"}, False),
        ("JPEG2000", {}, False),
        ("AVIF", {}, False),
        ("TGA", {}, False),
        ("ICO", {}, False),
        ("PCX", {}, False),
    ],
)
def test_an_image_is_the_same_wherever_it_is_decoded(kind, options, here):
    data = encoded(kind, 77, **options)
    assert (decode_tried(data, pixel_limit=LIMIT, keep=True) is not None) is here
    plain = decode_image(data, pixel_limit=LIMIT, keep=True)
    assert isinstance(plain, DecodedImage) and plain.rgb is not None
    for apart in (False, True):
        image = decode(data, pixel_limit=LIMIT, keep=True, apart=apart)
        assert isinstance(image, DecodedImage) and image.rgb is not None
        assert image.rgb.tobytes() == plain.rgb.tobytes()
        assert image.gray_histogram.tolist() == plain.gray_histogram.tolist()
        assert (image.width, image.height) == (16, 16)


def test_loops_in_python_and_headers_without_end_are_left_to_others():
    rle = encoded("BMP")[:30] + (1).to_bytes(4, "little") + encoded("BMP")[34:]  # BI_RLE8
    for data in (rle, b"P2 2 1 255 0 255"):
        assert decode_tried(data, pixel_limit=LIMIT, keep=False) is None
    jpeg = encoded("JPEG")
    comment = b"\xff\xfe\xff\xff" + b"a" * 65533  # the longest there is; 513 are over 32 MiB
    data = jpeg[:2] + comment * 513 + jpeg[2:]
    assert decode_tried(data, pixel_limit=LIMIT, keep=False) is tried_size(data) is None
    assert size(data) == (16, 16)
    assert isinstance(decode(data, pixel_limit=LIMIT, keep=False), DecodedImage)


def test_a_jpeg_of_many_scans_is_left_to_others():
    data = encoded("JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    scan = data[start:-2]
    few, many = data[:-2] + scan * 20 + data[-2:], data[:-2] + scan * 60 + data[-2:]
    assert decode_tried(few, pixel_limit=LIMIT, keep=False) is not None
    assert decode_tried(many, pixel_limit=LIMIT, keep=False) is None
    assert isinstance(decode(many, pixel_limit=LIMIT, keep=False), DecodedImage)
