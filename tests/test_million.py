"""The commands that are measured over a million samples, over a few: the measuring works."""

from tests.benchmarks.bench_million import at_sizes


def test_a_command_over_synthetic_runs_is_measured_at_two_sizes():
    rows = at_sizes(40, 80, commands=("join",))
    assert [row["what"] for row in rows] == [
        "join of 80 samples x 8: CPU seconds", "join of 80 samples x 8: peak memory, GB",
    ]  # fmt: skip
    seconds, gigabytes = (row["value"] for row in rows)
    assert seconds > 0 and 0.01 < gigabytes < 2
