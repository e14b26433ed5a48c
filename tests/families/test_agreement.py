"""One prompt, one set of tokens, right log-probabilities: on every family, on both engines.

vLLM loads for a quarter of a minute, so only a few families run on it here; all of them do by
`python -m tests.families`, which writes docs/families.md.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from durian.config import SYSTEM_PROMPT, SamplingConfig
from durian.engines.chat import Chat, load_chat
from durian.engines.loading import open_engine
from durian.engines.prompt_facts import PromptFacts
from durian.errors import ConfigError
from durian.measuring.blinding import Blinding
from durian.samples import Prompt, Rollout, Sample
from tests.engines.drawing import draw
from tests.families.plain import Plain
from tests.families.policies import POLICIES

# transformers' own: Mllama calls its own layers by an old name.
pytestmark = pytest.mark.filterwarnings("ignore:`hidden_state` is deprecated:FutureWarning")
FAMILIES = [family for family in POLICIES if family != "phi4_multimodal"]
ON_VLLM = ["glm4v", "llava_next", "mistral3"]  # what had been wrong in three ways
ROADS = [("transformers", family) for family in FAMILIES] + [("vllm", f) for f in ON_VLLM]
BOUNDED = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "glm4v"]
QUESTION = "How many of the shapes in the picture are larger than the red one?"


def picture(seed, size=(72, 56)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def ask(*images, system=""):
    parts = [*({"type": "image"} for _ in images), {"type": "text", "text": QUESTION}]
    asked = [{"role": "user", "content": parts}]
    if system:
        asked.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
    return Prompt(sample_id="x", messages=asked, images=images)


ONE, OTHER = ask(picture(0)), ask(picture(1))
TWO, TEXT = ask(picture(2), picture(3, (56, 72))), ask()


@dataclass
class Road:
    """What an engine drew for a family's policy, and transformers alone beside it."""

    chat: Chat
    plain: Plain
    drawn: list[tuple[Prompt, list[Rollout]]]


@pytest.fixture(scope="module", params=ROADS, ids="-".join)
def road(request, policy_of):
    engine, family = request.param
    folder = policy_of(family)
    config = SamplingConfig(model=str(folder), engine=engine, rollouts=4, max_tokens=12)
    opened = open_engine(config)
    prompts = [ONE, OTHER, TWO, TEXT]
    drawn = draw(opened, prompts)
    opened.close()
    assert all(isinstance(rollouts, list) for rollouts in drawn), drawn
    return Road(load_chat(config), Plain(folder), list(zip(prompts, drawn, strict=True)))


@pytest.fixture(scope="module")
def chat_of(policy_of):
    def get(family, **bounds):
        return load_chat(
            SamplingConfig(model=str(policy_of(family)), engine="transformers", **bounds)
        )

    return get


def test_an_engine_reads_the_very_tokens_that_transformers_makes(road):
    for prompt, rollouts in road.drawn:
        expected = road.plain.ids(prompt)
        assert road.chat.token_ids(road.chat.render(prompt), prompt.images) == expected
        assert {rollout.prompt_tokens for rollout in rollouts} == {len(expected)}


def test_the_facts_of_a_prompt_are_what_the_engine_has_read(road):
    facts = PromptFacts(road.chat)
    for prompt, rollouts in road.drawn:
        sizes = [image.size for image in prompt.images]
        ids = road.plain.ids(prompt)
        assert facts.image_tokens(sizes) == road.chat.count_image_tokens(ids)
        assert facts.prompt_tokens(prompt) == rollouts[0].prompt_tokens


def test_log_probabilities_are_those_of_a_plain_pass(road):
    held = 0
    for prompt, rollouts in road.drawn:
        for rollout in rollouts:
            expected = road.plain.sum_logprob(prompt, rollout)
            if expected is not None:
                assert rollout.sum_logprob == pytest.approx(expected, abs=1e-4)
                held += 1
    assert held >= 8  # of 16: enough leave all their tokens in the text


def test_another_image_moves_every_sum(road):
    (prompt, rollouts), *_ = road.drawn
    assert prompt is ONE
    own = [road.plain.sum_logprob(ONE, rollout) for rollout in rollouts]
    other = [road.plain.sum_logprob(OTHER, rollout) for rollout in rollouts]
    moved = [abs(a - b) for a, b in zip(own, other, strict=True) if a is not None]
    assert moved and min(moved) > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_system_prompt_stands_once_and_as_it_was_written(family, chat_of):
    chat = chat_of(family)
    for images in ((picture(0),), ()):
        text = chat.render(ask(*images, system=SYSTEM_PROMPT))
        assert isinstance(text, str), text
        assert text.count(SYSTEM_PROMPT) == text.count(QUESTION) == 1
        assert "{'type'" not in text


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tokens_that_a_dry_run_counts_are_those_of_the_prompt(family, chat_of):
    chat = chat_of(family)
    for prompt in (ONE, TWO, TEXT):
        text = chat.render(prompt)
        true = len(chat.token_ids(text, prompt.images))
        for _ in range(2):  # it learns from the first whether the processor counts right
            assert chat.prompt_length(text, prompt.images) == true


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tokens_of_a_prompt_are_told_by_the_sizes_of_its_images(family, chat_of):
    chat = chat_of(family)
    facts = PromptFacts(chat)
    for sizes in ([(72, 56)], [(150, 40)], [(33, 90)], [(72, 56), (40, 64)], [(90, 33), (64, 64)]):
        prompt = ask(*(picture(n, size) for n, size in enumerate(sizes)))
        ids = chat.token_ids(chat.render(prompt), prompt.images)
        assert facts.image_tokens(sizes) == chat.count_image_tokens(ids)
        assert facts.prompt_tokens(prompt) == len(ids)


@pytest.mark.parametrize("family", BOUNDED)
def test_an_image_within_bounds_has_the_tokens_of_so_many_pixels(family, chat_of):
    # 96 x 72 pixels in at most 1,024: shrunk by the root of 6.75, and each side down to a multiple
    # of 16: 32 x 16, two tokens of 16 x 16.
    prompt = ask(picture(0, (96, 72)))
    chat = chat_of(family, min_pixels=256, max_pixels=1024)
    ids = chat.token_ids(chat.render(prompt), prompt.images)
    assert chat.count_image_tokens(ids) == 2
    assert chat.resizing.of((96, 72)) == (32, 16)
    # 32 x 16 of 96 x 72 pixels: the root of 512 / 6,912.
    facts = PromptFacts(chat)
    assert facts.resize_factor([(96, 72)]) == pytest.approx((512 / 6912) ** 0.5)
    assert facts.resize_factor([(32, 32), (96, 72)]) == facts.resize_factor([(96, 72)])


@pytest.mark.parametrize("family", [f for f in FAMILIES if f not in BOUNDED])
def test_bounds_in_pixels_are_refused_where_a_processor_has_none(family, chat_of):
    with pytest.raises(ConfigError, match="not bounded in pixels"):
        chat_of(family, max_pixels=1024)


@pytest.mark.parametrize("family", ["qwen2_5_vl", *ON_VLLM])
def test_without_its_images_a_prompt_is_one_of_text_alone(chat_of, family):
    chat = chat_of(family)
    for prompt in (ONE, TWO):
        sample = Sample(sample_id="x", row=0, problem=QUESTION, answer="", images=(b"1",))
        blind = Blinding("none").prompt(sample, prompt)
        assert blind.images == () and chat.render(blind) == chat.render(TEXT)
