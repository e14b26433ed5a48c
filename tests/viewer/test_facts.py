"""What is told of one sample: counts by hand from the planted run."""

import json
from pathlib import Path

import pytest

from durian.table.checked import check_manifest
from durian.viewer.completions import Completions
from durian.viewer.facts import both_runs, sample_facts, samples_like
from durian.viewer.table import SampleTable
from tests.cli.in_process import durian
from tests.viewer.planted import IDS


@pytest.fixture(scope="module")
def table(planted):
    return SampleTable(planted)


@pytest.fixture(scope="module")
def facts(planted, table):
    completions, manifest = Completions(planted), check_manifest(planted)
    return [sample_facts(table, completions, manifest, place) for place in range(len(table))]


def test_every_completion_is_there_whole_and_blind_ones_come_last(facts):
    assert [len(one.completions) for one in facts] == [6, 6, 4, 4, 4, 4]
    first = facts[0].completions
    assert [one.blind for one in first] == [False] * 4 + [True] * 2
    assert first[3].completion.startswith("<think>Sample 0, draw 3.</think> \\boxed{2} and so on")
    assert first[3].completion.endswith(" and so on" * 60)
    # -2.5 nats over 10 tokens.
    assert (first[0].sum_logprob, first[0].n_tokens, first[0].mean_logprob) == (-2.5, 10, -0.25)


def test_only_the_row_group_of_a_sample_is_read(planted, monkeypatch):
    completions, read = Completions(planted), []
    _ = completions.index
    whole = completions._file.matching
    monkeypatch.setattr(
        completions._file, "matching", lambda g, *of: read.append(g) or whole(g, *of)
    )
    # Six rows of each of the first two samples, then four each, in row groups of eight: the last
    # sample's are rows 24 to 27.
    assert len(completions.by_sample(IDS[5])) == 4 and read == [3]
    assert len(completions.by_sample(IDS[1])) == 6 and read == [3, 0, 1]
    assert completions.by_sample("nobody") == []


def test_distinct_answers_are_counted_with_and_without_the_image(facts):
    told = [[(a.answer, a.right, a.seen, a.blind) for a in one.answers] for one in facts]
    assert told[1] == [("red", False, 3, 0), ("blue", True, 1, 0), ("2", False, 0, 2)]
    assert told[3] == [("1", False, 1, 0), ("2", False, 1, 0), ("4", False, 1, 0),
                       (None, False, 1, 0)]  # fmt: skip
    assert told[4] == [("0.5", True, 2, 0), ("1", False, 2, 0)]


def test_evidence_is_told_in_counts(facts):
    assert facts[1].evidence[:3] == [
        "1 of 4 completions are right",
        "3 of 4 give one answer, red: not the reference's (blue)",
        "without the image 0 of 2 are right",
    ]
    assert "3 completions give 3 different answers" not in facts[3].evidence
    assert "1 of 4 are cut at their longest" in facts[3].evidence
    assert "in 1 of 4 no answer was found" in facts[3].evidence
    assert facts[1].why == "doubtful_label" and "another answer" in facts[1].cause


def test_a_measure_is_placed_among_all_samples(facts):
    # Pass rates 1, 1/4, 0, 0, 1/2, 3/4: two of six lie below 1/4, three above.
    (rate,) = [one for one in facts[1].measures if one.name == "pass_rate"]
    assert (rate.below, rate.above) == (pytest.approx(2 / 6), pytest.approx(3 / 6))
    assert (rate.counts, rate.bar) == ([2, 1, 1, 1, 1], 1)


def test_the_rule_is_that_of_the_references_kind(facts):
    assert facts[0].kind == "number" and facts[2].kind == "name"
    assert facts[0].rule and facts[0].rule != facts[2].rule


def test_samples_over_the_same_image_come_before_those_near_in_measures(table):
    like = samples_like(table, 2)  # blue, as is 4
    assert [one.place for one in like[:1]] == [4] and like[0].why == "same image"
    rest = [one.place for one in like[1:]]
    # Pass rate 0 and the next log-probability: 3 is nearest.
    assert rest[0] == 3 and sorted(rest) == [0, 1, 3, 5]


def test_both_runs_are_told_side_by_side(planted, improved):
    table = SampleTable(planted, second=improved)
    both = both_runs(table, 3)
    assert both["change"] == "learned" and ["pass_rate", 0.0, 1.0] in both["pairs"]


def test_show_prints_a_sample_in_eighty_columns(planted, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = durian("show", planted, "--row", 1)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    for text in ("Which colour?", "3  wrong  red", "Completion 0: wrong, answer red, reward 0",
                 "without the image 0 of 2 are right", "same image", "topic: looks"):  # fmt: skip
        assert text in out, text
    assert out.count(" and so on") + out.count("\n  and so on") >= 300  # six times 60, wrapped
    code, again, _ = durian("show", planted, "--id", IDS[1])
    assert (code, again) == (0, out)
    held = json.loads(durian("show", planted, "--row", 1, "--json")[1])
    assert held["sample"]["sample_id"] == IDS[1] and len(held["sample"]["completions"]) == 6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--row", 77], "has no sample of row 77"),
        (["--id", "nobody"], "has no sample of id 'nobody'"),
        ([], "name one sample: --row N, or --id ID"),
        (["--row", 1, "--id", "a"], "name one sample: --row N, or --id ID"),
    ],
)
def test_a_sample_that_is_not_there_is_one_line(planted, arguments, says):
    code, out, err = durian("show", planted, *arguments)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--filter", "pass_rte > 0"], "did you mean 'pass_rate'"),
        (["--marks", "marks.csv"], "name a .jsonl or .parquet file"),
        (["--dataset", "nowhere.parquet"], "no such file or folder"),
        (["--image-root", "nowhere"], "no such folder"),
        (["--host", "192.0.2.1", "--no-open"], "cannot be served at"),
    ],
)
def test_what_cannot_be_viewed_is_one_line(planted, options, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = durian("view", planted, *options)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_marks_and_pages_do_not_go_into_the_run(planted):
    for option in (["--marks", planted / "marks.jsonl"], ["--static", planted / "page"]):
        code, _, err = durian("view", planted, *option)
        assert code == 2 and "in the run" in err
    code, _, err = durian("view", planted, "--static", Path(__file__).parent)
    assert code == 2 and "holds something" in err
