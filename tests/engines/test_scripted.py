import polars as pl
import pytest

from durian.config import SamplingConfig
from durian.engines.loading import open_engine
from durian.errors import ConfigError
from durian.samples import Failed, Rollout
from tests.engines.drawing import draw

ROWS = [
    {"sample_id": sample, "rollout": number, "completion": f"{sample}{number}", "n_tokens": 2,
     "sum_logprob": -1.5, "finish_reason": "stop"}
    for sample, number in [("b", 1), ("a", 2), ("b", 0), ("a", 0), ("a", 1), ("c", 0)]
]  # fmt: skip


def write(path, rows):
    table = pl.DataFrame(rows)
    table.write_ndjson(path) if path.suffix == ".jsonl" else table.write_parquet(path)
    return path


def scripted(path, rollouts=2):
    return open_engine(SamplingConfig(model=str(path), engine="scripted", rollouts=rollouts))


def told(completion):
    return Rollout(completion=completion, n_tokens=2, sum_logprob=-1.5, finish_reason="stop")


@pytest.mark.parametrize(
    "name", ["rollouts.parquet", "rollouts.jsonl", "a[1].parquet", "a*[1].jsonl"]
)
def test_each_sample_gets_its_first_rollouts_in_the_order_of_the_prompts(name, tmp_path, ask):
    engine = scripted(write(tmp_path / name, ROWS))
    prompts = [ask("b"), ask("zzz"), ask("a"), ask("c"), ask("b")]
    drawn = draw(engine, prompts)
    assert drawn == [
        [told("b0"), told("b1")],
        Failed("no scripted rollouts for this sample"),
        [told("a0"), told("a1")],
        Failed("1 scripted rollouts for this sample, not 2"),
        [told("b0"), told("b1")],
    ]
    greedy = draw(engine, prompts, greedy=True)
    assert greedy[0] == [told("b0")] and greedy[3] == [told("c0")]


def test_a_log_probability_that_is_not_finite_goes_into_no_table(tmp_path, ask):
    path = write(tmp_path / "r.parquet", [ROWS[5] | {"sum_logprob": float("-inf")}])
    engine = scripted(path, rollouts=1)
    drawn = draw(engine, [ask("c")])
    assert drawn == [Failed("a log-probability is not finite")]


def test_a_table_that_cannot_be_replayed_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.parquet': no such rollouts table"):
        scripted(tmp_path / "none.parquet")
    (tmp_path / "r.csv").write_text("sample_id\n")
    with pytest.raises(ConfigError, match=r"\.parquet or \.jsonl"):
        scripted(tmp_path / "r.csv")
    (tmp_path / "text.parquet").write_text("not Parquet")
    with pytest.raises(ConfigError, match=r"text\.parquet': ") as caught:
        scripted(tmp_path / "text.parquet")
    assert "\n" not in str(caught.value)
    path = write(tmp_path / "less.parquet", [{"sample_id": "a", "rollout": 0}])
    with pytest.raises(ConfigError, match=r"no column 'completion' \(found: sample_id, rollout\)"):
        scripted(path)
