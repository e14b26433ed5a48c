"""Which rows take part in a training: those that cannot are left out before it, and counted."""

import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from transformers import AutoConfig

from durian.config import SamplingConfig, TrainConfig
from durian.engines.chat import load_chat
from durian.engines.resizing import Resizing, find_resizing
from durian.errors import ConfigError
from durian.images.resize import resized
from durian.readers.dataset import open_dataset
from durian.run.progress import Silent
from durian.table.join import open_table
from durian.train import train_policy
from durian.training.samples import (
    ForTrl,
    open_samples,
    open_screen,
    prepare_samples,
    scan_rows,
)


def picture(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


def test_rows_that_cannot_be_prompted_are_left_out_and_counted(run, tiny_policy, tmp_path):
    good = picture(64, 64)
    rows = [
        ("what colour is it?", "teal", [good]),
        ("is it broken?", "yes", [good[:60]]),
        ("say <|im_end|> now", "no", [good]),
        ("why " * 60 + "?", "because", [good]),
    ]
    data = tmp_path / "rows.parquet"
    pl.DataFrame(rows, schema=["problem", "answer", "images"], orient="row").write_parquet(data)
    known = pl.read_parquet(run / "difficulty.parquet")
    config = TrainConfig(
        dataset=str(data), table=str(run), model=str(tiny_policy), out=str(tmp_path),
        missing="own", system_prompt="", max_prompt_tokens=60, reward="boxed",
    )  # fmt: skip
    reader, table = open_dataset(config.source), open_table(config)
    screen = open_screen(config, {"max_completion_length": 40})
    scanned = scan_rows(reader, config, _knowing(table, reader, known), screen, Silent())
    prepare_samples(tmp_path, config, reader, scanned, table, screen, Silent())
    counts = json.loads((tmp_path / "samples.json").read_text())
    assert (counts["rows"], counts["samples"], counts["order"]) == (4, 1, [0])
    reasons = " / ".join(counts["left_out"])
    assert "decode" in reasons
    assert "the special token <|im_end|>" in reasons
    assert "longer than 60 tokens" in reasons
    (row,) = open_samples(tmp_path, config.pixel_limit).dataset
    assert row["answer"] == "teal" and row["images"][0].size == (64, 64)
    assert row["perceptual_group"] == -1


def test_samples_come_in_the_order_of_the_table_with_the_longest_prompt_known(
    settings, run, tmp_path
):
    config = TrainConfig(
        **settings | {"grpo": {}}, out=str(tmp_path), order="hard_first", system_prompt="",
        reward="boxed",
    )  # fmt: skip
    reader, table = open_dataset(config.source), open_table(config)
    screen = open_screen(config, {"max_completion_length": 40})
    scanned = scan_rows(reader, config, table, screen, Silent())
    prepare_samples(tmp_path, config, reader, scanned, table, screen, Silent())
    prepared = open_samples(tmp_path, config.pixel_limit)
    # The least confident come first.
    known = pl.read_parquet(run / "difficulty.parquet").sort("mean_logprob")
    assert list(prepared.dataset["sample_id"]) == known["sample_id"].to_list()
    lengths = [
        len(
            screen.chat.token_ids(
                screen.chat.processor.apply_chat_template(
                    row["prompt"], tokenize=False, add_generation_prompt=True
                ),
                row["images"],
            )
        )
        for row in prepared.dataset
    ]
    assert prepared.counts.longest_prompt == max(lengths)


@pytest.mark.parametrize(
    ("grpo", "changes", "most"),
    [
        ({}, {}, "all"),
        ({"vllm_max_model_length": 300}, {}, 260),  # less a completion's 40
        ({}, {"max_prompt_tokens": 60}, 60),
    ],
)
def test_a_prompt_leaves_room_for_its_completion(settings, grpo, changes, most):
    config = TrainConfig(**settings | {"grpo": {}}, **changes, out="out", system_prompt="")
    screen = open_screen(config, {"max_completion_length": 40} | grpo)
    whole = AutoConfig.from_pretrained(config.model).get_text_config().max_position_embeddings
    assert screen.most_tokens == (whole - 40 if most == "all" else most)


@pytest.mark.parametrize(
    ("grpo", "changes", "said"),
    [
        ({"vllm_max_model_length": 40}, {}, "'max_completion_length' 40 and a prompt of 1 tokens"),
        ({"vllm_max_model_length": 90}, {"max_prompt_tokens": 60}, "context of 90"),
        ({"cast_lm_head_to_fp32": True}, {}, "TRL looks for the embeddings"),
    ],
)
def test_what_no_prompt_or_trl_could_do_with_is_refused(settings, grpo, changes, said):
    config = TrainConfig(**settings | {"grpo": {}}, **changes, out="out", system_prompt="")
    with pytest.raises(ConfigError, match=said):
        open_screen(config, {"max_completion_length": 40} | grpo)


def test_images_that_vllm_reads_wrongly_are_left_out_or_told_before_one_is_decoded(
    run, policy_of, tmp_path
):
    one, bad = picture(64, 64), b"no image"
    data, known = tmp_path / "rows.jsonl", pl.read_parquet(run / "difficulty.parquet")

    def scanned(rows, family, grpo):
        pl.DataFrame(rows, schema=["problem", "answer", "images"], orient="row").write_parquet(
            data.with_suffix(".parquet")
        )
        config = TrainConfig(
            dataset=str(data.with_suffix(".parquet")), table=str(run), out=str(tmp_path),
            model=str(policy_of(family)), missing="own", system_prompt="", reward="boxed",
        )  # fmt: skip
        reader, table = open_dataset(config.source), open_table(config)
        screen = open_screen(config, {"max_completion_length": 40} | grpo)
        table = _knowing(table, reader, known)
        found = scan_rows(reader, config, table, screen, Silent())
        return lambda: prepare_samples(tmp_path, config, reader, found, table, screen, Silent())

    several = [("what?", "teal", [one, one]), ("which?", "red", [bad, one])]
    with pytest.raises(ConfigError, match=r"'use_vllm': vLLM cuts several .* leave out use_vllm"):
        scanned(several, "llava_onevision", {"use_vllm": True})
    scanned(several, "llava_onevision", {})
    # Nobody asks a GPU's vLLM to look back only, and this machine's is not asked in a training.
    scanned([("what?", "teal", [one])], "gemma3", {"use_vllm": True})
    scanned([*several[:1], ("and?", "blue", [one])], "llava_onevision", {"use_vllm": True})()
    counts = json.loads((tmp_path / "samples.json").read_text())
    assert (counts["rows"], counts["samples"]) == (2, 1)
    ((reason, rows),) = counts["left_out"].items()
    assert rows == 1 and reason.endswith("as if each stood alone; leave out use_vllm")


def _knowing(table, reader, known):
    """The same table, as if it knew the first row: one that knows none is refused."""
    first = next(iter(reader.samples())).sample_id
    return type(table)(**{**vars(table), "number": {**table.number, first: 0}})


@pytest.mark.parametrize("size", [(64, 64), (300, 200), (17, 40)])
@pytest.mark.parametrize("bounds", [{}, {"min_pixels": 256, "max_pixels": 1024}])
def test_prompt_lengths_are_those_of_the_processor(tiny_policy: Path, size, bounds):
    chat = load_chat(SamplingConfig(model=str(tiny_policy), engine="transformers", **bounds))
    image = Image.new("RGB", size)
    text = "<|vision_start|><|image_pad|><|vision_end|>what is it?"
    chat.prompt_length(text, [Image.new("RGB", (40, 40))])  # the first is counted by its tokens
    assert chat.prompt_length(text, [image]) == len(chat.token_ids(text, [image]))


def test_images_come_as_the_policy_sees_them_within_bounds(tiny_policy: Path):
    # A processor of other bounds, as vLLM's, makes the same pixels of the resized image.
    bounded, free = (
        load_chat(
            SamplingConfig(
                model=str(tiny_policy), engine="transformers", min_pixels=256, max_pixels=most
            )
        )
        for most in (1024, 10**6)
    )
    resizing = find_resizing(bounded.processor.image_processor)
    text = "<|vision_start|><|image_pad|><|vision_end|>what is it?"
    noise = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    image = Image.fromarray(noise)
    seen = resized(image, resizing.of(image.size))
    assert seen.size == (16, 32)  # 40 x 50 pixels are 2,000: at most 1,024, both sides whole 16s
    ours, theirs = free.encode([text], [[seen]]), bounded.encode([text], [[image]])
    assert ours["input_ids"].tolist() == theirs["input_ids"].tolist()
    assert ours["pixel_values"].equal(theirs["pixel_values"])


def test_each_sample_comes_with_its_own_images_once_decoded(monkeypatch):
    decoded = []
    inner = ForTrl._decode

    def counted(self, encoded):
        decoded.append(len(encoded))
        return inner(self, encoded)

    monkeypatch.setattr(ForTrl, "_decode", counted)
    sizes = {"a": (16, 16), "b": (32, 16), "c": (16, 48)}
    rows = {
        "sample_id": ["a", "a", "b", "c", "c"],
        "encoded": [[picture(*sizes[i])] for i in ("a", "a", "b", "c", "c")],
        "messages": ["[]"] * 5,
    }
    given = ForTrl(10**6)
    for _ in range(2):  # TRL asks for a rollout batch again at each of its steps
        images = given(rows)["images"]
        assert given(rows)["image_sizes"] == [[sizes[i]] for i in rows["sample_id"]]
        assert [own[0].size for own in images] == [sizes[i] for i in rows["sample_id"]]
    assert decoded == [1, 1, 1]


def test_trl_is_given_images_within_the_bounds_and_the_reward_the_datasets_own_sizes():
    resizing = Resizing(min_pixels=1, max_pixels=9, step=1,
                        rule=lambda h, w, **_: (h // 2, w // 2))  # fmt: skip
    rows = {"sample_id": ["a"], "encoded": [[picture(32, 16)]], "messages": ["[]"]}
    given = ForTrl(10**6, resizing)(rows)
    assert given["images"][0][0].size == (16, 8)
    assert given["image_sizes"] == [[(32, 16)]]


def test_a_training_takes_the_samples_whose_estimated_difficulty_passes(settings, run, tmp_path):
    # Five samples are easier than the bounds, and five are harder.
    table = pl.read_parquet(run / "difficulty.parquet")
    low, high = table["difficulty"].sort()[[5, -6]]
    condition = f"difficulty between {low} and {high}"
    grpo = settings["grpo"] | {"max_steps": 4}
    train_policy(
        TrainConfig(**settings | {"grpo": grpo}, filter=condition, out=str(tmp_path / "out"))
    )
    passing = table.filter(pl.col("difficulty").is_between(low, high))
    samples = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert samples["samples"] == len(passing) == 14
    assert samples["left_out"] == {"filtered out": 10}
    logged = pl.read_parquet(tmp_path / "out" / "completions" / "*.parquet")
    assert set(logged["sample_id"]) <= set(passing["sample_id"])
    assert logged["sample_id"].n_unique() == 8  # two rollout batches of four
