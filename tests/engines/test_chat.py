"""One prompt, one set of tokens: what `Chat` makes of the prompts of families that differ."""

import warnings

import pytest
import torch
from PIL import Image
from transformers import Glm4vImageProcessor

from durian.config import SamplingConfig
from durian.engines import faults
from durian.engines.agreement import Agreement
from durian.engines.base import RefusedPrompt
from durian.engines.chat import Chat, chat_template, load_chat
from durian.engines.loading import open_engine
from durian.engines.resizing import find_resizing
from durian.errors import ConfigError, RunError
from durian.samples import Prompt
from tests.engines.conftest import noise_image
from tests.engines.drawing import draw

SYSTEM = {"role": "system", "content": [{"type": "text", "text": "Think hard."}]}


def asked(*sizes: tuple[int, int], text: str = "how many?", system: bool = True) -> Prompt:
    parts = [*({"type": "image"} for _ in sizes), {"type": "text", "text": text}]
    messages = [*([SYSTEM] if system else []), {"role": "user", "content": parts}]
    images = tuple(noise_image(i, size) for i, size in enumerate(sizes))
    return Prompt(sample_id="", messages=messages, images=images)


@pytest.fixture(scope="session")
def chat_of(policy_of):
    made: dict[str, Chat] = {}

    def get(family: str) -> Chat:
        if family not in made:
            config = SamplingConfig(model=str(policy_of(family)), engine="transformers")
            made[family] = load_chat(config)
        return made[family]

    return get


# Whose template writes the token that begins a text, and whose tokenizer must.
@pytest.mark.parametrize(
    ("family", "begins", "adds"),
    [
        ("llava_next", "<s>", True),
        ("llava", "<s>", True),
        ("gemma3", "<bos>", False),
        ("pixtral", "<s>", False),
        ("mllama", "<|begin_of_text|>", False),
        ("idefics3", "<|begin_of_text|>", False),
    ],
)
def test_every_prompt_begins_once(chat_of, family, begins, adds):
    chat, prompt = chat_of(family), asked((48, 32))
    text = chat.render(prompt)
    ids = chat.token_ids(text, prompt.images)
    begin = chat.tokenizer.convert_tokens_to_ids(begins)
    assert ids[0] == begin and ids.count(begin) == 1
    assert chat.adds_special_tokens(text) is adds


@pytest.mark.parametrize("owner", ["processor", "tokenizer"])
def test_of_several_chat_templates_the_default_one_makes_the_prompts(chat_of, owner, monkeypatch):
    chat = chat_of("qwen3_vl")
    own = chat.processor.chat_template
    named = {"tool_use": "{{ raise_exception('for tools') }}", "default": own}
    expected = chat.render(asked((48, 32)))
    monkeypatch.setattr(chat.processor, "chat_template", named if owner == "processor" else None)
    monkeypatch.setattr(chat.tokenizer, "chat_template", named if owner == "tokenizer" else None)
    assert Chat(chat.processor).render(asked((48, 32))) == expected
    del named["default"]
    assert chat_template(chat.processor) is None


# By hand: Gemma 3 writes 4 soft tokens an image here; Pixtral's image of 48 x 32 is cut by 8, 6 x 4
# tokens with an end of each of its 4 rows; of Qwen's kind it is cut by 8 and merged by 2, 3 x 2.
@pytest.mark.parametrize(
    ("family", "tokens"), [("gemma3", 4), ("pixtral", 28), ("qwen2_vl", 6), ("glm4v", 6)]
)
def test_the_tokens_that_stand_for_an_image_are_counted_by_the_processor_s_ids(
    chat_of, family, tokens
):
    chat, prompt = chat_of(family), asked((48, 32))
    ids = chat.token_ids(chat.render(prompt), prompt.images)
    assert chat.count_image_tokens(ids) == tokens


# These two count wrongly: one image short, and several images as if each stood alone.
@pytest.mark.parametrize("family", ["gemma3", "llava_onevision", "glm4v", "llava_next"])
def test_prompts_are_as_long_as_their_tokens_from_the_first_to_the_last(chat_of, family):
    chat = chat_of(family)
    for sizes in ([(48, 32)], [(40, 64)], [(48, 32), (64, 40)], [(33, 70), (64, 30)], []):
        prompt = asked(*sizes)
        text = chat.render(prompt)
        assert chat.prompt_length(text, prompt.images) == len(chat.token_ids(text, prompt.images))


def test_marks_beside_the_tokens_are_as_many_as_the_tokens(chat_of, monkeypatch):
    chat, prompt = chat_of("gemma3"), asked((48, 32))
    text = chat.render(prompt)
    encoded = chat.encode([text], [prompt.images])
    assert encoded["token_type_ids"].shape == encoded["input_ids"].shape
    encoded["token_type_ids"] = encoded["token_type_ids"][:, 1:]
    longer = encoded["input_ids"].shape[1]
    chat = Chat(chat.processor)
    monkeypatch.setattr(chat, "processor", lambda **_: encoded)
    with pytest.raises(RunError, match=f"gives {longer - 1} token_type_ids for {longer} tokens"):
        chat.encode([text], [prompt.images])


# 64 x 48 is 3,072 pixels; within 1,024 it is 32 x 16 (multiples of 16), once, not within 512 as the
# processor counts, which has two frames of each image.
def test_bounds_in_pixels_are_those_of_an_image_where_a_processor_counts_frames(policy_of):
    model = str(policy_of("glm4v"))
    bounded = load_chat(
        SamplingConfig(model=model, engine="transformers", min_pixels=256, max_pixels=1024)
    )
    assert bounded.image_size == {"shortest_edge": 512, "longest_edge": 2048}
    assert bounded.resizing.of((64, 48)) == (32, 16)
    assert (bounded.resizing.min_pixels, bounded.resizing.max_pixels) == (256, 1024)
    prompt = asked((64, 48))
    pixels = bounded.encode([bounded.render(prompt)], [prompt.images])
    assert (pixels["image_grid_thw"][0].tolist()) == [1, 2, 4]  # of 8 pixels: 16 by 32


@pytest.mark.parametrize("size", [(64, 48), (9, 200), (500, 400), (16, 16)])
def test_the_rule_of_frames_gives_the_size_that_the_processor_makes(size):
    processor = Glm4vImageProcessor(
        patch_size=8, size={"shortest_edge": 2 * 32 * 32, "longest_edge": 2 * 64 * 64}
    )
    _, height, width = processor(Image.new("RGB", size), return_tensors="pt")["image_grid_thw"][0]
    assert find_resizing(processor).of(size) == (int(width) * 8, int(height) * 8)


def test_a_package_that_a_processor_asks_for_is_named_with_its_extra(policy_of, monkeypatch):
    from transformers import AutoProcessor

    def raises(*_, **__):
        raise ImportError("Package `num2words` is required to run SmolVLM processor.")

    monkeypatch.setattr(AutoProcessor, "from_pretrained", raises)
    model = str(policy_of("qwen2_vl"))
    with pytest.raises(ConfigError) as caught:
        load_chat(SamplingConfig(model=model, engine="transformers"))
    assert str(caught.value) == (
        f"model '{model}': its processor needs num2words, which is not installed; "
        'pip install ".[smolvlm]" in a clone of Durian'
    )


def test_an_engine_that_reads_other_tokens_is_stopped_with_both_numbers(chat_of):
    chat, prompt = chat_of("llava_next"), asked((48, 32))
    ids = chat.token_ids(chat.render(prompt), prompt.images)
    Agreement(chat, "the engine", "do this").check(prompt, ids)
    with pytest.raises(RunError) as caught:
        Agreement(chat, "the engine", "do this").check(prompt, ids[1:])
    assert str(caught.value) == (
        f"the engine has read a prompt of {len(ids) - 1} tokens where the policy's processor makes "
        f"{len(ids)}; do this"
    )
    with pytest.raises(RunError, match=f"token 1 of a prompt's {len(ids)} as 5 where .* {ids[0]}"):
        Agreement(chat, "the engine", "do this").check(prompt, [5, *ids[1:]])


def test_the_first_prompts_of_each_number_of_images_are_compared(chat_of):
    chat = chat_of("llava_next")
    agreement = Agreement(chat, "the engine", "do this")
    for _ in range(2):
        prompt = asked((48, 32))
        agreement.check(prompt, chat.token_ids(chat.render(prompt), prompt.images))
    agreement.check(asked((48, 32)), [])  # enough of its kind
    with pytest.raises(RunError, match="a prompt of 0 tokens"):
        agreement.check(asked((48, 32), (48, 32)), [])


@pytest.mark.parametrize(
    ("family", "images", "cpu", "said"),
    [
        ("llava_onevision", 1, True, None),
        ("llava_onevision", 2, False, "several images of LLaVA-OneVision"),
        ("gemma3", 0, True, None),
        ("gemma3", 1, False, None),
        ("gemma3", 1, True, "lets an image of Gemma 3 look back only"),
        ("qwen2_vl", 2, True, None),
    ],
)
def test_what_vllm_is_known_to_misread_is_refused_and_named(
    chat_of, monkeypatch, family, images, cpu, said
):
    monkeypatch.setattr(faults, "_runs_on_cpu", lambda: cpu)
    chat = Chat(chat_of(family).processor, engine="vllm")
    given = chat.render(asked(*[(48, 32)] * images))
    assert isinstance(chat_of(family).render(asked(*[(48, 32)] * images)), str)
    if said is None:
        assert isinstance(given, str)
    else:
        assert isinstance(given, RefusedPrompt) and said in given.error
        assert given.way_out == "pass --engine transformers"


# Two images and three completions: copied one by one, [A, A, A, B, B, B], the images of the second
# and third completion would be others.
@pytest.mark.parametrize("family", ["glm4v", "internvl"])
def test_every_completion_is_written_to_all_images_of_its_prompt(chat_of, policy_of, family):
    config = SamplingConfig(
        model=str(policy_of(family)), engine="transformers", rollouts=3, max_tokens=8
    )
    engine, chat, prompt = open_engine(config), chat_of(family), asked((48, 32), (40, 64))
    try:
        [rollouts] = draw(engine, [prompt])
        model = engine._model
        for rollout in rollouts:
            tokens = chat.tokenizer(rollout.completion, add_special_tokens=False)["input_ids"]
            inputs = chat.encode([chat.render(prompt)], [prompt.images])
            after, before = torch.tensor([tokens]), inputs["input_ids"].shape[1]
            inputs["input_ids"] = torch.cat([inputs["input_ids"], after], dim=1)
            for name, value in (("attention_mask", 1), ("mm_token_type_ids", 0)):
                if name in inputs:
                    inputs[name] = torch.cat([inputs[name], torch.full_like(after, value)], dim=1)
            with torch.no_grad():
                logits = model(**inputs).logits[0, before - 1 : -1].double().log_softmax(-1)
            if len(tokens) == rollout.n_tokens:  # no end token, which is no text
                assert float(logits.gather(1, after.T).sum()) == pytest.approx(
                    rollout.sum_logprob, abs=1e-3
                )
    finally:
        engine.close()


def test_a_policy_trained_without_a_system_prompt_says_so_in_its_template(tiny_policy):
    chat = load_chat(SamplingConfig(model=str(tiny_policy)))
    said = {"role": "system", "content": [{"type": "text", "text": "Think inside tags."}]}
    asked_of = {"role": "user", "content": [{"type": "text", "text": "what color?"}]}
    prompt = Prompt(sample_id="", messages=[said, asked_of], images=())
    # Its own form, by hand: ChatML without a system turn.
    assert chat.render(prompt) == "<|im_start|>user\nwhat color?<|im_end|>\n<|im_start|>assistant\n"
    assert "without a system prompt" in chat.notes("Think inside tags.")[0]
    # Without that comment a template that leaves it out is not believed.
    processor = chat.processor
    silent = processor.chat_template or processor.tokenizer.chat_template
    processor.chat_template = silent.replace("durian: no system prompt", "")
    assert "Think inside tags." in Chat(processor).render(prompt)


def test_preparing_a_prompt_of_glm_warns_of_nothing_and_other_warnings_are_heard(
    chat_of, monkeypatch
):
    chat = chat_of("glm4v")
    prompt = asked((64, 48))
    text = chat.render(prompt)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        ids = chat.token_ids(text, prompt.images)
    assert chat.count_image_tokens(ids) > 0 and not heard
    processor = chat.processor

    def warning(*given, **settings):
        words = "__array__ implementation doesn't accept a copy keyword"  # but of this module
        warnings.warn(words, DeprecationWarning, stacklevel=1)
        return processor(*given, **settings)

    monkeypatch.setattr(chat, "processor", warning)
    with pytest.warns(DeprecationWarning, match="__array__"):
        chat.token_ids(text, prompt.images)
