"""How a sample is asked without its image: with none, a gray one, another sample's."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from durian.config import ProfileConfig, SamplingConfig
from durian.engines.base import RefusedPrompt
from durian.engines.chat import load_chat
from durian.engines.prompts import build_messages, without_images
from durian.errors import ConfigError
from durian.images.decode import decode
from durian.measuring.blinding import GRAY, Blinding
from durian.measuring.first_rows import check_first_rows
from durian.readers.dataset import open_dataset
from durian.readers.stand_ins import OTHERS, StandIns
from durian.samples import Failed, Prompt, Sample


def encoded(image, form="PNG"):
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def picture(seed, size=(40, 30)):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def sample(*images, name="a"):
    return Sample(sample_id=name, row=0, problem="?", answer="", images=tuple(map(encoded, images)))


def prompt_of(*images):
    messages = build_messages("?", len(images), system_prompt="", template=None)
    return Prompt(sample_id="a", messages=messages, images=images)


@pytest.mark.parametrize(
    ("problem", "n_images", "asked"),
    [
        ("<image>How many?", 1, "How many?"),
        ("<image>\n\nHow many?", 1, "How many?"),
        ("How many are in <image>?", 1, "How many are in ?"),
        ("In <image> and\n<image>\nwhich is larger?", 2, "In and\nwhich is larger?"),
        ("Which?", 2, "Which?"),
        ("Which? <image>", 1, "Which?"),
        ("  Which one?", 0, "  Which one?"),  # of text alone, it is as it was
    ],
)
def test_marks_leave_no_gap(problem, n_images, asked):
    messages = build_messages(problem, n_images, system_prompt="Think.", template=None)
    system, user = without_images(messages)
    assert system == messages[0]
    assert user == {"role": "user", "content": [{"type": "text", "text": asked}]}


def test_a_question_that_is_its_image_cannot_be_asked_without():
    assert without_images(
        build_messages("<image>\n", 1, system_prompt="", template=None)
    ) == Failed("the problem is empty without its image")


def test_the_shipped_policy_reads_a_question_of_text(tiny_policy):
    chat = load_chat(SamplingConfig(model=str(tiny_policy), engine="transformers"))
    blind = Blinding("none").prompt(sample(picture(0)), prompt_of(picture(0)))
    assert "vision" in chat.render(prompt_of(picture(0)))
    assert chat.render(blind) == "<|im_start|>user\n?<|im_end|>\n<|im_start|>assistant\n"


def test_gray_images_are_as_large_as_those_they_stand_for():
    seen = prompt_of(picture(0), picture(1, (20, 50)))
    gray = Blinding("gray").prompt(sample(*seen.images), seen)
    assert gray.messages == seen.messages
    assert [image.size for image in gray.images] == [(40, 30), (20, 50)]
    assert all(image.getcolors() == [(image.width * image.height, GRAY)] for image in gray.images)


def blinding(samples, seed=0):
    stand_ins = StandIns(seed)
    for each in samples:
        stand_ins.add(each)
    return Blinding("other", None, stand_ins.chosen(), pixel_limit=10**6, seed=seed)


def pixels(prompt):
    return [image.tobytes() for image in prompt.images]


def test_another_image_is_never_the_samples_own_nor_one_nearly_the_same():
    own = picture(0)
    bright = ImageOps.autocontrast(own, cutoff=1)
    same = decode(encoded(own, "JPEG"), pixel_limit=10**6, keep=True).rgb
    samples = [sample(own), sample(bright), sample(same), sample(picture(7))]
    for seed in range(8):
        other = blinding(samples, seed).prompt(sample(own), prompt_of(own))
        assert pixels(other) == [picture(7).tobytes()]


def test_which_image_stands_in_hangs_on_the_seed_and_not_on_the_order_of_rows():
    samples = [sample(picture(n), name=str(n)) for n in range(12)]
    images = [samples[n].images for n in range(12)]
    assert len(set(images)) == 12

    def shown(order, seed):
        one = blinding([samples[n] for n in order], seed)
        return [pixels(one.prompt(each, prompt_of(picture(n)))) for n, each in enumerate(samples)]

    known = shown(range(12), 1)
    assert shown(reversed(range(12)), 1) == known != shown(range(12), 2)
    assert len({str(each) for each in known}) > 4  # not one for all
    assert all(each != [picture(n).tobytes()] for n, each in enumerate(known))


def test_several_images_have_as_many_others():
    samples = [sample(picture(n)) for n in range(6)]
    seen = prompt_of(picture(0), picture(1))
    other = blinding(samples).prompt(sample(*seen.images), seen)
    assert len(set(pixels(other))) == 2 and not set(pixels(other)) & set(pixels(seen))
    few = blinding(samples[:2]).prompt(sample(*seen.images), seen)
    assert few == Failed("too few images of other samples stand in for its own")


def test_of_many_images_some_stand_in_and_of_one_none():
    stand_ins, backwards = StandIns(0), StandIns(0)
    for n in range(3 * OTHERS):
        stand_ins.add(sample(picture(n, (8, 6))))
        backwards.add(sample(picture(3 * OTHERS - 1 - n, (8, 6))))
    assert stand_ins.chosen() == backwards.chosen()
    stand_ins.add(Sample(sample_id="x", row=0, problem="", answer="", images=(b"", b"no image")))
    assert len({one.name for one in stand_ins.chosen()}) == OTHERS
    alone = StandIns(0)
    alone.add(sample(picture(0)))
    alone.add(sample(picture(0)))
    with pytest.raises(ConfigError, match="1 images .* pass --blind gray"):
        alone.chosen()


class NoText:
    """A chat template that takes no prompt without an image."""

    def render(self, prompt):
        return "ok" if prompt.images else RefusedPrompt("it wants an image")

    def notes(self, system_prompt):
        return []


def test_a_template_that_wants_images_is_told_from_the_first_rows(tmp_path, png):
    (tmp_path / "0.png").write_bytes(png)
    (tmp_path / "a.jsonl").write_text('{"problem": "?", "answer": "1", "image": "0.png"}')
    config = ProfileConfig(
        dataset=str(tmp_path / "a.jsonl"), out="run", engine="scripted", model="s",
        measures=("blind",),
    )  # fmt: skip
    for blind, refused in (("none", True), ("gray", False), (None, False)):
        try:
            check_first_rows(
                open_dataset(config.source), config, pixel_limit=10**6, chat=NoText, blind=blind
            )
        except ConfigError as error:
            assert refused and str(error).endswith("it wants an image; pass --blind gray")
        else:
            assert not refused
