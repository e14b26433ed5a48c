"""A dataset in which some samples have images and others have none."""

import json

import polars as pl

from durian.config import ProfileConfig, TrainConfig
from durian.profile import profile_dataset
from durian.train import train_policy


def test_samples_without_images_are_left_out_where_others_have_some(
    rows, settings, tiny_policy, tmp_path
):
    source = pl.read_parquet(rows).head(8)
    images = [[] if row in (1, 4, 6) else own for row, own in enumerate(source["images"])]
    problems = [text.replace("<image>", "") for text in source["problem"]]
    bare = (
        pl.Series("images", images, dtype=source["images"].dtype),
        pl.Series("problem", problems),
    )
    data, run, out = (tmp_path / name for name in ("rows.parquet", "run", "out"))
    source.with_columns(*bare).write_parquet(data)
    profile_dataset(
        ProfileConfig(dataset=str(data), out=str(run), model=str(tiny_policy), max_tokens=8,
                      engine="transformers", rollouts=2, bins=2)
    )  # fmt: skip
    grpo = settings["grpo"] | {"max_steps": 4}
    given = {"dataset": str(data), "table": str(run), "grpo": grpo}
    train_policy(TrainConfig(**settings | given, out=str(out)))
    samples = json.loads((out / "samples.json").read_text())
    assert samples["left_out"] == {"no image, where other samples have one": 3}
    assert samples["samples"] == 5 and (out / "model.safetensors").exists()
