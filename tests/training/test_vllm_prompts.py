"""vLLM beside the trainer reads the prompts that are trained on, or the training stops."""

import pytest

from durian.errors import RunError
from durian.training.vllm_prompts import one_token_an_image, reads_what_is_trained_on

IMAGE = 9


class Reader:
    """vLLM as far as prompts go: each image token becomes as many as its image has, here 3."""

    def __init__(self, tokens: int = 3) -> None:
        self.tokens = tokens
        self.given: list[list[int]] = []

    def generate(self, *, prompts, images, num_generations):
        self.given = [list(ids) for ids in prompts]
        read = [
            [t for token in ids for t in ([token] * (self.tokens if token == IMAGE else 1))]
            for ids in prompts
        ]
        return read, [[5]] * len(prompts), [[[-0.1]]] * len(prompts), None


def test_each_image_is_one_token_on_the_way():
    assert one_token_an_image([1, 9, 9, 9, 2, 9, 9, 3], IMAGE) == [1, 9, 2, 9, 3]
    assert one_token_an_image([1, 9, 2], IMAGE) == [1, 9, 2]  # where TRL has not written them


def test_vllm_reads_what_is_trained_on():
    vllm = Reader()
    generate = reads_what_is_trained_on(vllm.generate, IMAGE)
    trained_on = [[1, 9, 9, 9, 2], [1, 2]]
    read, completions, _, _ = generate(prompts=trained_on, images=["a", None], num_generations=4)
    assert vllm.given == [[1, 9, 2], [1, 2]]
    assert read == trained_on and completions == [[5], [5]]


def test_an_image_of_another_size_is_refused():
    generate = reads_what_is_trained_on(Reader(tokens=12).generate, IMAGE)
    with pytest.raises(RunError, match="prompt of 14 tokens where the trainer has one of 5"):
        generate(prompts=[[1, 9, 9, 9, 2]], images=["a"], num_generations=4)
