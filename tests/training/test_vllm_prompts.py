"""vLLM beside the trainer reads the prompts that are trained on, or the training stops."""

from types import SimpleNamespace

import pytest
from trl import GRPOTrainer

from durian.config import SamplingConfig
from durian.engines.chat import load_chat
from durian.errors import RunError
from durian.training import trainer
from durian.training.checkpoints import States
from durian.training.trainer import DurianTrainer
from durian.training.vllm_prompts import reads_what_is_trained_on
from tests.families.beside import PROMPTS, read_beside

IMAGE, END = 9, 8


class Reader:
    """vLLM as far as prompts go: an image's placeholder becomes its tokens, here 3 and an end."""

    def __init__(self, tokens=3):
        self.tokens = tokens
        self.given = []

    def generate(self, *, prompts, images, num_generations):
        self.given = [list(ids) for ids in prompts]
        written = {IMAGE: [IMAGE] * self.tokens + [END]}
        read = [[t for token in ids for t in written.get(token, [token])] for ids in prompts]
        return read, [[5]] * len(prompts), [[[-0.1]]] * len(prompts), None


def test_vllm_gets_the_text_and_reads_what_is_trained_on():
    vllm = Reader()
    trained_on = [[1, 9, 9, 9, 8, 2], [1, 2]]
    texts = {(1, 9, 9, 9, 8, 2): [1, 9, 2], (1, 2): [1, 2]}
    generate = reads_what_is_trained_on(vllm.generate, texts)
    read, completions, _, _ = generate(prompts=trained_on, images=["a", None], num_generations=4)
    assert vllm.given == [[1, 9, 2], [1, 2]]
    assert read == trained_on and completions == [[5], [5]]


def test_an_image_of_another_size_is_refused():
    texts = {(1, 9, 9, 9, 8, 2): [1, 9, 2]}
    generate = reads_what_is_trained_on(Reader(tokens=12).generate, texts)
    with pytest.raises(RunError, match="prompt of 15 tokens where the trainer has one of 6"):
        generate(prompts=[[1, 9, 9, 9, 8, 2]], images=["a"], num_generations=4)


def test_a_prompt_that_was_not_encoded_here_is_refused_before_vllm_sees_it():
    vllm = Reader()
    generate = reads_what_is_trained_on(vllm.generate, {(1, 2): [1, 2]})
    with pytest.raises(RunError, match="a prompt of 5 tokens that this process has not encoded"):
        generate(prompts=[[1, 2], [1, 9, 9, 9, 2]], images=[None, "a"], num_generations=4)
    assert vllm.given == []


@pytest.fixture(scope="module")
def chat_of(policy_of):
    return lambda family: load_chat(
        SamplingConfig(model=str(policy_of(family)), engine="transformers")
    )


@pytest.fixture
def beside(chat_of, monkeypatch):
    """A trainer beside a vLLM as far as its prompts go: TRL's own set-up needs a GPU."""

    def set_up(self, **_):
        self.use_vllm, self.vllm_mode, self.ref_model = True, "colocate", None
        self.accelerator = SimpleNamespace(state=None, num_processes=1)
        self.vllm_generation = SimpleNamespace(generate=lambda *, prompts: (prompts, prompts))

    monkeypatch.setattr(GRPOTrainer, "__init__", set_up)
    monkeypatch.setattr(trainer, "check_backend", lambda *_, **__: None)
    return DurianTrainer(
        normalization=None, reward=None, chat=chat_of("pixtral"), states=States(None)
    )


def test_a_trainer_remembers_the_texts_of_the_rollout_batch_in_hand(beside):
    # Pixtral's image is rows of [IMG] that end by [IMG_BREAK], the last one by [IMG_END].
    image = beside._chat.tokenizer.convert_tokens_to_ids("[IMG]")
    for prompts in (PROMPTS[:2], PROMPTS[2:]):
        ids, _, _ = beside._tokenize_prompts(prompts)
        with pytest.raises(RunError, match="vLLM has read a prompt"):
            beside.vllm_generation.generate(prompts=ids)  # this one writes no image's tokens
        given = list(beside._texts.values())
        assert [row.count(image) for row in given] == [
            sum(part["type"] == "image" for part in prompt[0]["content"]) for prompt in prompts
        ]
    assert len(beside._texts) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning:vllm")
@pytest.mark.parametrize("family", ["qwen2_5_vl", "pixtral"])
def test_vllm_itself_writes_the_tokens_that_are_trained_on(family, chat_of, policy_of):
    # The other families: python -m tests.families --roads beside
    pytest.importorskip("vllm", exc_type=ImportError)
    assert read_beside(policy_of(family), chat_of(family)) > 3 * 4
