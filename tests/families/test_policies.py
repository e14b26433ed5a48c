"""The tiny policies themselves: complete, and of the family's own kind."""

import pytest
from transformers import AutoConfig, AutoProcessor

from tests.families.policies import POLICIES

BUILT = [family for family in POLICIES if family != "phi4_multimodal"]


@pytest.mark.parametrize("family", BUILT)
def test_a_tiny_policy_is_loaded_as_the_public_ones_are(family, policy_of):
    folder = policy_of(family)
    processor = AutoProcessor.from_pretrained(folder)
    assert processor.image_processor is not None
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How?"}]}]
    text = processor.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert text.count("How?") == 1
    model = "llava" if family == "pixtral" else family  # Pixtral is a LLaVA with another tower
    assert AutoConfig.from_pretrained(folder).model_type == model
    # One character, one token: a completion's text gives its tokens back.
    ids = processor.tokenizer("a b\n", add_special_tokens=False)["input_ids"]
    assert processor.tokenizer.decode(ids) == "a b\n" and len(ids) == 4
