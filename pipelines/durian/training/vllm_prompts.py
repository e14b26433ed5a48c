"""Prompts on their way to a vLLM that runs beside the trainer: the same ones must be read.

The trainer's prompts hold all tokens of their images already; TRL hands these ids over together
with the images, and vLLM writes the tokens again (TRL#6294). How many there are, and which ones end
a row or an image, is each family's own affair. So vLLM gets the ids of the text alone, in which an
image is its placeholder, as it does in a profile; and what it says it has read is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from durian.errors import RunError


def reads_what_is_trained_on(
    generate: Callable[..., Any], texts: Mapping[tuple[int, ...], list[int]]
) -> Callable[..., Any]:
    """TRL's `VLLMGeneration.generate`, given prompts that vLLM reads as the trainer does.

    Args:
        generate: takes `prompts` and `images`, and gives the prompts as vLLM has read them first.
        texts: the ids of each prompt's text alone, by those that are trained on; asked at each
            call.
    Returns:
        The same, which raises `RunError` where other prompts have been read, or where one is given
        that was not encoded for this rollout batch.
    """

    def generated(*, prompts: Sequence[Sequence[int]], **rest: Any) -> Any:
        given = [texts.get(tuple(ids)) for ids in prompts]
        if None in given:
            raise RunError(
                f"TRL gives vLLM a prompt of {len(prompts[given.index(None)])} tokens that this "
                "process has not encoded; use the version of TRL that Durian names"
            )
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
