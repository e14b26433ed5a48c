"""Tokens of a part: added up over its chunks, kept in its metadata, None where they are unknown."""

import pyarrow as pa

from durian.measuring.measuring import Measured, part_tables, together
from durian.run.folder import RunFolder
from durian.run.progress import Stopwatch
from durian.run.tokens import Tokens, part_tokens, tokens_of
from durian.samples import Rollout


def rollout(n_tokens: int, prompt_tokens: int | None) -> Rollout:
    return Rollout(completion="", n_tokens=n_tokens, sum_logprob=-1.0, finish_reason="stop",
                   prompt_tokens=prompt_tokens)  # fmt: skip


def test_a_prompt_counts_once_however_many_rollouts_it_has_and_a_failed_one_not_at_all():
    drawn = [[rollout(3, 100), rollout(4, 100)], [], [rollout(5, 60)]]
    assert tokens_of(drawn) == Tokens(prompts=2, prompt=160, completions=3, completion=12)


def test_prompts_are_unknown_as_soon_as_one_was_not_counted():
    drawn = [[rollout(3, 100)], [rollout(4, None)]]
    assert tokens_of(drawn) == Tokens(prompts=2, prompt=None, completions=2, completion=7)
    assert tokens_of(drawn[1:]) + tokens_of(drawn[:1]) == tokens_of(drawn)


def test_a_parts_metadata_holds_the_tokens_of_all_its_samples():
    samples = [Measured(tokens=tokens_of([[rollout(3, 100)]] * count)) for count in (1, 2)]
    difficulty, _, _ = part_tables(together(samples, Stopwatch()))
    assert part_tokens(difficulty.schema) == Tokens(
        prompts=3, prompt=300, completions=3, completion=9
    )


def test_a_run_begun_by_an_older_durian_has_no_count(tmp_path):
    run = RunFolder(tmp_path)
    run.parts.mkdir()
    difficulty, rollouts, seconds = part_tables(Measured(tokens=tokens_of([[rollout(3, 9)]])))
    run.write_part(0, difficulty, rollouts, seconds)
    assert run.tokens() == Tokens(prompts=1, prompt=9, completions=1, completion=3)
    assert part_tokens(pa.schema([])) is None
    old = {k: v for k, v in difficulty.schema.metadata.items() if k != b"durian.tokens"}
    run.write_part(1, difficulty.replace_schema_metadata(old), rollouts, seconds)
    assert run.tokens() is None
