"""A small profile by the policy that ships, and short trainings over it."""

import gc
import os
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest

# What TRL, vLLM and torch warn of while they are imported is theirs; all else is an error here.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from trl import GRPOTrainer  # noqa: F401

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
ROWS = 24


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first training rows of photo_shapes."""
    source = Path(__file__).parents[2] / "data" / "photo_shapes" / "train.parquet"
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pl.read_parquet(source).head(ROWS).write_parquet(path)
    return path


@pytest.fixture(scope="session")
def run(rows: Path, tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile of them, drawn with transformers, in 3 reasoning bins."""
    from durian.config import ProfileConfig
    from durian.profile import profile_dataset

    out = tmp_path_factory.mktemp("runs") / "profile"
    profile_dataset(
        ProfileConfig(dataset=str(rows), out=str(out), model=str(tiny_policy), max_tokens=40,
                      engine="transformers", rollouts=4, bins=3)
    )  # fmt: skip
    # Each training ends by a collection of garbage, of which what was imported takes most.
    gc.collect()
    gc.freeze()
    return out


@pytest.fixture(autouse=True, scope="module")  # undone before another room's tests look at figures
def plain_figures():
    """A third of a short training draws its figure, which tests of their own look at."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("durian.rendering.page.encode_figure", lambda *_: b"figure")
        yield


@pytest.fixture(scope="session")
def settings(rows: Path, run: Path, tiny_policy: Path) -> dict[str, Any]:
    """Of a training of 3 rollout batches of 4 prompts x 4 completions; two steps each."""
    return {
        "dataset": str(rows),
        "table": str(run),
        "model": str(tiny_policy),
        "rollout_batch": 4,
        "grpo": {
            "num_generations": 4,
            "per_device_train_batch_size": 8,
            "max_steps": 6,
            "learning_rate": 1e-3,
            "gradient_checkpointing": False,
            "save_steps": 2,
            "log_completions": True,
        },
    }


@pytest.fixture(scope="session")
def whole(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training with Durian's weights that nothing interrupted."""
    from durian.config import TrainConfig
    from durian.train import train_policy

    out = tmp_path_factory.mktemp("whole") / "out"
    train_policy(TrainConfig(**settings, out=str(out)))
    return out


@pytest.fixture(scope="session")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows to validate on: 10 of photo_shapes' test set, one of them twice; one without an image;
    one whose image is broken."""
    source = Path(__file__).parents[2] / "data" / "photo_shapes" / "test.parquet"
    rows = pl.read_parquet(source).head(10)
    bare = rows.head(1).with_columns(
        problem=pl.lit("what color is it?"), images=pl.lit([], dtype=rows.schema["images"])
    )
    broken = rows.tail(1).with_columns(images=pl.col("images").list.eval(_cut(rows)))
    path = tmp_path_factory.mktemp("held_out") / "rows.parquet"
    pl.concat([rows, rows.head(1), bare, broken]).write_parquet(path)
    return path


def _cut(rows: pl.DataFrame) -> pl.Expr:
    """The first bytes of each image of a list."""
    images = pl.element()
    if isinstance(rows.schema["images"].inner, pl.Struct):  # type: ignore[attr-defined]
        return images.struct.with_fields(bytes=pl.field("bytes").bin.slice(0, 60))
    return images.bin.slice(0, 60)
