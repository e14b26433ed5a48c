"""Prompts on their way to a vLLM that runs beside the trainer: the same ones must be read.

TRL's processor has written as many image tokens as an image has, and hands these ids over together
with the image; vLLM writes them again (TRL#6294). So each run of them goes to vLLM as one token,
which is also right where TRL has not written them; and what vLLM says it has read is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from durian.errors import RunError


def one_token_an_image(ids: Sequence[int], image_token: int) -> list[int]:
    """The prompt with each run of image tokens as one."""
    return [
        token for value, run in groupby(ids) for token in ([value] if value == image_token else run)
    ]


def reads_what_is_trained_on(
    generate: Callable[..., Any], image_token: int | None
) -> Callable[..., Any]:
    """TRL's `VLLMGeneration.generate`, given prompts that vLLM reads as the trainer does.

    Args:
        generate: takes `prompts` and `images`, and gives the prompts as vLLM has read them first.
        image_token: None where the policy has none.
    Returns:
        The same, which raises `RunError` where other prompts have been read.
    """

    def generated(*, prompts: Sequence[Sequence[int]], **rest: Any) -> Any:
        given = prompts
        if image_token is not None:
            given = [one_token_an_image(ids, image_token) for ids in prompts]
        read, *answer = generate(prompts=given, **rest)
        for ours, theirs in zip(prompts, read, strict=True):
            if list(ours) != list(theirs):
                raise RunError(
                    f"vLLM has read a prompt of {len(theirs)} tokens where the trainer has one of "
                    f"{len(ours)}: the two see images of other sizes; leave out use_vllm, or give "
                    "--min-pixels and --max-pixels that both heed"
                )
        return (read, *answer)

    return generated
