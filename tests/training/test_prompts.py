"""What TRL trains on is what was profiled: the prompts of families that it encodes otherwise."""

import pytest
import torch
from PIL import Image
from trl.data_utils import apply_chat_template, prepare_multimodal_messages

from durian.config import SamplingConfig
from durian.engines.chat import load_chat
from durian.errors import ConfigError, RunError
from durian.samples import Prompt
from durian.training.prompts import (
    ProfiledProcessor,
    TellingImages,
    check_masks,
    check_trainable,
    tokenized,
)
from tests.engines.conftest import noise_image


def messages(*sizes):
    parts = [*({"type": "image"} for _ in sizes), {"type": "text", "text": f"{sizes}?"}]
    system = {"role": "system", "content": [{"type": "text", "text": "Think hard."}]}
    return [system, {"role": "user", "content": parts}]


def images(*sizes):
    return [noise_image(i, size) for i, size in enumerate(sizes)]


def prompt(*sizes) -> Prompt:
    return Prompt(sample_id="", messages=messages(*sizes), images=tuple(images(*sizes)))


def for_trl(*sizes):
    return prepare_multimodal_messages(messages(*sizes), images=images(*sizes))


@pytest.fixture(scope="session")
def chat_of(policy_of):
    def get(family: str):
        return load_chat(SamplingConfig(model=str(policy_of(family)), engine="transformers"))

    return get


# Prompts of unequal length, in one batch: a second token that begins the text (gemma3), none at all
# (llava_next), tensors alone (pixtral), a system message as a text (glm4v), several images.
UNEQUAL = ((48, 32),), ((64, 64),), ((33, 70),)
PAIRS = ((48, 32), (40, 64)), ((64, 64), (48, 32))


@pytest.mark.parametrize(
    ("family", "rows"),
    [
        ("gemma3", UNEQUAL), ("llava_next", UNEQUAL), ("pixtral", UNEQUAL), ("glm4v", UNEQUAL),
        ("llava_onevision", PAIRS), ("qwen2_vl", PAIRS), ("gemma3", ((), ())),
    ],
)  # fmt: skip
def test_trl_gets_the_ids_that_the_engines_read(chat_of, family, rows):
    chat = chat_of(family)
    ids, shown, fields = tokenized(chat, [for_trl(*sizes) for sizes in rows])
    for row, sizes, given in zip(range(len(rows)), rows, ids, strict=True):
        own = chat.encode([chat.render(prompt(*sizes))], [images(*sizes)])
        assert given == own["input_ids"][0].tolist()
        for name in ("token_type_ids", "mm_token_type_ids"):
            assert (name in fields) == (name in own)
            if name in fields:
                assert fields[name][row] == own[name][0].tolist()
    assert (shown is None) == (not any(rows))


@pytest.mark.parametrize("family", ["gemma3", "pixtral", "llava_next"])
def test_trl_s_forward_pass_reads_them_too(chat_of, family):
    # The two calls of TRL 1.16's `_generate_and_score_completions`.
    chat = chat_of(family)
    processor = ProfiledProcessor(chat)
    texts = [
        apply_chat_template({"prompt": for_trl(*sizes)}, processor)["prompt"] for sizes in UNEQUAL
    ]
    encoded = processor(
        images=[images(*sizes) for sizes in UNEQUAL], text=texts, padding=True, return_tensors="pt"
    )
    kept = encoded["attention_mask"].bool()
    ids = [row[mask].tolist() for row, mask in zip(encoded["input_ids"], kept, strict=True)]
    assert ids == tokenized(chat, [for_trl(*sizes) for sizes in UNEQUAL])[0]
    assert processor.image_processor is chat.processor.image_processor


def test_a_model_is_told_the_images_of_each_chunk_of_rows():
    told = []

    def model(*, input_ids, batch_num_images):
        told.append(batch_num_images.tolist())

    telling = TellingImages(model, [1, 2, 3, 1, 2], chunk=2)
    for rows in (2, 2, 1):
        telling(input_ids=torch.zeros(rows, 4))
    assert told == [[1, 2], [3, 1], [2]]


def test_a_policy_whose_tensors_trl_does_not_hand_over_is_refused_and_they_are_named(chat_of):
    image = Image.new("RGB", (64, 64))
    with pytest.raises(ConfigError, match="aspect_ratio_ids.*cross_attention_mask.*choose another"):
        check_trainable(chat_of("mllama"), "m", image)
    for family in ("gemma3", "pixtral", "llava_onevision", "qwen2_vl", "idefics3", "internvl"):
        check_trainable(chat_of(family), "m", image)


def test_masks_of_trl_that_are_not_the_processor_s_are_stopped_with_both_numbers(chat_of):
    chat = chat_of("gemma3")
    own = chat.encode([chat.render(prompt((48, 32)))], [images((48, 32))])
    ids, marks = own["input_ids"], own["token_type_ids"]
    after = torch.zeros(1, 5, dtype=torch.long)
    out = {
        "prompt_ids": ids, "prompt_mask": torch.ones_like(ids), "completion_ids": after,
        "token_type_ids": torch.cat([marks, after], dim=1),
    }  # fmt: skip
    check_masks(chat, {0: prompt((48, 32))}, out)
    wide = ids.shape[1] + 5
    longer = {**out, "token_type_ids": torch.cat([marks, after, after[:, :1]], dim=1)}
    with pytest.raises(RunError, match=f"{wide + 1} token_type_ids for {wide} tokens"):
        check_masks(chat, {0: prompt((48, 32))}, longer)
    first = int(marks[0].nonzero()[0]) + 1
    late = {**out, "token_type_ids": torch.cat([after[:, :1], marks, after[:, 1:]], dim=1)}
    late["token_type_ids"][0, -6:] = 0
    with pytest.raises(
        RunError, match=f"has 4 tokens from {first + 1} on .* has 4 tokens from {first} "
    ):
        check_masks(chat, {0: prompt((48, 32))}, late)
