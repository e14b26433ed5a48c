"""What the doctor says of an installation."""

import json
from importlib.metadata import version

import durian.doctor.installation as installation
from durian.errors import EXTRAS
from tests.cli.in_process import durian


def test_versions_and_roads_of_a_whole_installation():
    found = installation.look_at_installation()
    assert found.versions["torch"] == version("torch")
    assert found.versions["durian"] == version("durian-rl")
    assert found.disk_free_gib > 0
    (transformers,) = [road for road in found.roads if road.name.endswith("engine transformers")]
    assert transformers.works and transformers.way_out is None


def test_a_package_that_is_missing_closes_its_roads_and_names_its_extra(monkeypatch):
    find = installation.find_spec
    monkeypatch.setattr(
        installation, "find_spec", lambda name: None if name in ("trl", "ray") else find(name)
    )
    found = installation.look_at_installation()
    closed = {road.name: road for road in found.roads if not road.works}
    assert set(closed) == {"train", "profile, distributed ray"}
    assert closed["train"].lacks == ["trl"]
    assert closed["train"].way_out == 'pip install ".[train]" in a clone of Durian'
    assert found.versions["trl"] is None
    (train,) = [extra for extra in found.extras if extra.name == "train"]
    assert not train.installed and train.adds == "durian train"


def test_every_extra_is_explained():
    assert set(installation.ADDS) == set(EXTRAS.values())
    assert {package for needed in installation.ROADS.values() for package in needed} <= set(EXTRAS)


def test_the_command_without_a_policy():
    code, out, err = durian("doctor", "--json")
    assert (code, err) == (0, "")
    assert {"versions", "gpus", "chromium", "disk_free_gib", "roads", "extras"} == set(
        json.loads(out)
    )
    code, out, err = durian("doctor")
    assert code == 0 and "GiB free here" in out and "python" in out
    assert durian("doctor", "--quiet") == (0, "", "")


def test_an_engine_without_a_policy_is_refused():
    code, out, err = durian("doctor", "--engine", "vllm")
    assert (code, out) == (2, "")
    assert err == "durian: engine is for a policy: pass --model, or leave --engine out\n"
