"""docs/families.md says what the tests find."""

import pytest

from durian.config import SamplingConfig
from durian.doctor.policy import examine
from tests.families.__main__ import checks_of
from tests.families.matrix import NAMES, PAGE, page, read_record, verdict
from tests.families.policies import POLICIES


def test_the_page_is_what_the_record_gives():
    assert PAGE.read_text() == page(read_record())


def test_every_family_is_in_the_record_and_nothing_wrong_stands_there_unsaid():
    record = read_record()
    assert set(record) == set(NAMES) == set(POLICIES)
    for family, tried in record.items():
        for engine in ("transformers", "vllm"):
            for name, check in tried.get(engine, {}).items():
                assert check["verdict"] == "ok" or check["said"], (family, engine, name)


@pytest.mark.parametrize("family", ["llava_next", "mistral3"])
def test_the_record_is_what_the_doctor_finds_today(family, policy_of):
    folder = policy_of(family)
    found = checks_of(examine(SamplingConfig(model=str(folder), engine="transformers")), folder)
    recorded = read_record()[family]["transformers"]
    for name, check in found.items():
        assert check["verdict"] == recorded[name]["verdict"], (name, check["said"])
        assert (check["nats"] or 0) < 1e-4
    assert set(found) == set(recorded)


def test_a_cell_is_the_worst_of_its_checks():
    checks = {"a": {"verdict": "ok"}, "b": {"verdict": "unsupported"}, "c": {"verdict": "wrong"}}
    assert verdict(checks, "a") == "ok"
    assert verdict(checks, "a", "b") == verdict(checks, "nowhere") == "no"
    assert verdict(checks, "a", "b", "c") == "**wrong**"
    assert verdict(None, "a") == "not tried"
