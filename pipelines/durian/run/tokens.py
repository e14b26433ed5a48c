"""Tokens that an engine read and wrote: of a chunk, a part, a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from durian.records import from_json, left_out
from durian.samples import Rollout

TOKENS_KEY = b"durian.tokens"


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Counts of the prompts that were answered and of their completions, with their tokens."""

    prompts: int = 0  # samples with completions
    prompt: int | None = 0  # tokens of their prompts, each counted once; None: the engine told none
    completions: int = 0
    completion: int = 0  # tokens of all the completions
    blind: Tokens | None = left_out()  # those drawn without the image, not among these

    def __add__(self, other: Tokens) -> Tokens:
        # A sum of which one part is unknown is unknown: as 0 it would price the run too low.
        known = self.prompt is not None and other.prompt is not None
        return Tokens(
            prompts=self.prompts + other.prompts,
            prompt=(self.prompt or 0) + (other.prompt or 0) if known else None,
            completions=self.completions + other.completions,
            completion=self.completion + other.completion,
            blind=(self.blind or Tokens()) + (other.blind or Tokens())
            if self.blind or other.blind
            else None,
        )


def tokens_of(
    drawn: Iterable[Sequence[Rollout]], blind: Iterable[Sequence[Rollout]] = ()
) -> Tokens:
    """The tokens of some samples' rollouts; a sample without any counts for nothing."""
    total = Tokens()
    for rollouts in filter(None, drawn):
        total += Tokens(
            prompts=1,
            prompt=rollouts[0].prompt_tokens,
            completions=len(rollouts),
            completion=sum(rollout.n_tokens for rollout in rollouts),
        )
    without = tokens_of(blind) if blind else Tokens()
    return replace(total, blind=without) if without.prompts else total


def with_tokens(part: pa.Table, tokens: Tokens) -> pa.Table:
    """A part's difficulty rows with its tokens in the metadata, where `part_tokens` reads them."""
    kept = {**(part.schema.metadata or {}), TOKENS_KEY: json.dumps(asdict(tokens)).encode()}
    return part.replace_schema_metadata(kept)


def part_tokens(schema: pa.Schema) -> Tokens | None:
    """The tokens of a finished part; None where an older Durian, which counted none, wrote it."""
    told = (schema.metadata or {}).get(TOKENS_KEY)
    return None if told is None else from_json(Tokens, json.loads(told))
