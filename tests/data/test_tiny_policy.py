import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from data.make_easy_vqa import FIRST_SHIPPED_IMAGE, image_bytes
from data.make_tiny_policy import main, sequence_loss
from data.questions import KINDS
from data.tiny_lessons import (
    LessonBatches,
    Lessons,
    _answer,
    completion,
    draw_lessons,
    easy_lessons,
    easy_question,
)

DATA = Path(__file__).parents[2] / "data"
POLICY = DATA / "tiny_policy"


@pytest.fixture(scope="module")
def processor():
    return AutoProcessor.from_pretrained(POLICY)


@pytest.fixture(scope="module")
def policy():
    return AutoModelForImageTextToText.from_pretrained(POLICY, dtype=torch.float32)


def prompt(processor, text: str, image: Image.Image):
    content = [{"type": "image", "image": image}, {"type": "text", "text": text}]
    return processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )


def test_the_shipped_policy_is_small(policy):
    assert sum(path.stat().st_size for path in POLICY.rglob("*")) <= 8_000_000
    assert 1_000_000 <= sum(weight.numel() for weight in policy.parameters()) <= 4_000_000


def test_the_shipped_policy_answers_in_the_format(policy, processor):
    inputs = prompt(processor, "what color is the shape?", Image.new("RGB", (100, 80), "white"))
    written = policy.generate(**inputs, do_sample=False, max_new_tokens=32)
    text = processor.decode(written[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert text.startswith("<think>The shape is ")
    assert "</think> \\boxed{" in text and text.endswith("}")


@pytest.mark.parametrize(
    ("size", "tokens"),
    [((64, 64), 16), ((128, 128), 16), ((20, 20), 16), ((640, 480), 12)],
)
def test_images_of_every_size_become_few_tokens(processor, size, tokens):
    inputs = prompt(processor, "what?", Image.new("RGB", size))
    assert int((inputs["input_ids"] == processor.image_token_id).sum()) == tokens


@pytest.mark.parametrize(
    "text",
    [
        "<think>Left to right: red circle, teal triangle.</think> \\boxed{2}",
        "<think> two  spaces </think>\n\\boxed{\\frac{1}{2}}",
        "日本語, Ünï, emoji 🍈, tab\t, nul \x00",
    ],
)
def test_any_text_survives_the_tokenizer(processor, text):
    ids = processor.tokenizer(text)["input_ids"]
    assert processor.tokenizer.decode(ids, skip_special_tokens=True) == text
    assert processor.tokenizer.unk_token_id not in ids


def test_words_of_the_shipped_sets_are_one_token_each(processor):
    words = " is the red circle relative left below many shapes image"
    assert len(processor.tokenizer(words)["input_ids"]) == len(words.split())


def test_a_system_message_is_left_out_of_the_prompt(processor):
    user = {"role": "user", "content": [{"type": "text", "text": "what?"}]}
    system = {"role": "system", "content": "Think step by step."}
    alone, both = (processor.apply_chat_template(m) for m in ([user], [system, user]))
    assert alone == both == "<|im_start|>user\nwhat?<|im_end|>\n"


@pytest.mark.parametrize(
    ("problem", "answer", "written"),
    [
        ("is there a red shape?", "yes", "<think>I see a red shape.</think> \\boxed{yes}"),
        ("is no circle present?", "yes", "<think>I see no circle.</think> \\boxed{yes}"),
        (
            "does the image not contain a gray shape?",
            "no",
            "<think>I see a gray shape.</think> \\boxed{no}",
        ),
        ("what is the teal shape?", "circle", "<think>I see a circle.</think> \\boxed{circle}"),
        (
            "what is the color of the triangle?",
            "gray",
            "<think>The triangle is gray.</think> \\boxed{gray}",
        ),
    ],
)
def test_a_thought_says_what_the_answer_says(problem, answer, written):
    assert completion(easy_question(problem, answer), answer) == written


def test_a_batch_depends_on_seed_and_step_alone(processor):
    one, other = (
        LessonBatches(processor, Lessons(steps=9, images=4, seed=seed)) for seed in (0, 1)
    )
    assert torch.equal(one[3].input_ids, one[3].input_ids)
    assert torch.equal(one[3].pixel_values, one[3].pixel_values)
    assert one[3].pixel_values.shape == one[4].pixel_values.shape
    assert not torch.equal(one[3].pixel_values, one[4].pixel_values)
    assert not torch.equal(one[3].pixel_values, other[3].pixel_values)


def test_packed_questions_cost_what_each_costs_alone(policy, processor):
    batch = LessonBatches(processor, Lessons(steps=1, images=3))[0]
    patches = len(batch.pixel_values) // 3
    total, tokens = 0.0, 0
    with torch.no_grad():
        packed = sequence_loss(policy, batch).item()
        for row in range(3):
            for block in range(1, 5):
                kept = (batch.blocks[row] == 0) | (batch.blocks[row] == block)
                input_ids, labels = batch.input_ids[row : row + 1, kept], batch.labels[row, kept]
                alone = policy(
                    input_ids=input_ids,
                    mm_token_type_ids=(input_ids == policy.config.image_token_id).int(),
                    pixel_values=batch.pixel_values[row * patches : (row + 1) * patches],
                    image_grid_thw=batch.image_grid_thw[row : row + 1],
                    labels=labels[None],
                )
                taught = int((labels != -100).sum())
                total, tokens = total + alone.loss.item() * taught, tokens + taught
    assert packed == pytest.approx(total / tokens, rel=1e-4)


def test_a_noisy_answer_has_a_thought_that_agrees_with_it():
    lessons = Lessons(steps=1, images=100)
    noisy = replace(lessons, noise={**dict.fromkeys(KINDS, 0.0), "yes_no": 0.5})
    asked = [
        question
        for lesson in draw_lessons(noisy, 0)
        for question in lesson.turns
        if question[1].endswith(("{yes}", "{no}"))
    ]
    negated = [
        (" no " in thought) == ("{yes}" in thought)
        for problem, thought in asked
        if " no " in problem or " not " in problem
    ]
    plain = [
        (" no " in thought) == ("{no}" in thought)
        for problem, thought in asked
        if not (" no " in problem or " not " in problem)
    ]
    assert negated and plain and all(negated) and all(plain)


def test_the_rate_of_noise_is_per_kind():
    question = easy_question("is there a red shape?", "yes")
    rng = np.random.default_rng(0)
    # 2,000 draws at 0.3: the standard deviation is 0.01.
    wrong = np.mean([_answer(question, rng, {"yes_no": 0.3}) == "no" for _ in range(2000)])
    assert wrong == pytest.approx(0.3, abs=0.05)
    assert all(_answer(question, rng, {"shape": 1.0}) == "yes" for _ in range(50))


def test_lessons_hold_no_shipped_image(processor):
    shipped = {
        image["bytes"]
        for name in ("photo_shapes/train", "photo_shapes/test", "easy_vqa/train", "easy_vqa/test")
        for images in pq.read_table(DATA / f"{name}.parquet", columns=["images"])["images"]
        for image in images.as_py()
    }
    taught = {lesson.image for step in range(5) for lesson in draw_lessons(Lessons(steps=5), step)}
    assert taught and not taught & shipped
    numbers = {image for image, _ in easy_lessons()}
    assert max(numbers) < FIRST_SHIPPED_IMAGE["train"]
    # easy-VQA repeats no file between the taught images and the shipped ones.
    assert not {image_bytes("train", number) for number in numbers} & shipped


def test_a_few_steps_run_and_the_policy_loads_again(tmp_path):
    out, clean = tmp_path / "policy", tmp_path / "clean"
    common = ["--images", "2", "--workers", "0", "--noise-steps", "2"]
    main(["--out", str(out), "--clean-out", str(clean), "--steps", "2", *common])
    main(["--out", str(tmp_path / "again"), "--clean", str(clean), *common])
    processor = AutoProcessor.from_pretrained(out)
    model = AutoModelForImageTextToText.from_pretrained(out)
    inputs = prompt(processor, "what color is the shape?", Image.new("RGB", (64, 64)))
    assert torch.isfinite(model(**inputs).logits).all()
    again = AutoModelForImageTextToText.from_pretrained(tmp_path / "again")
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name
    assert json.loads((out / "config.json").read_text())["model_type"] == "qwen2_5_vl"
