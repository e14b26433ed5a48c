"""Processes of a launch: they join with the timeout that was asked for, and wait without one."""

from datetime import timedelta

import pytest
from torch.distributed import TCPStore

from durian.training import launch
from durian.training.launch import first_prepares, join_launch


@pytest.fixture
def store(monkeypatch):
    """The launch's store, with this process as one of two."""
    kept = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                        "MASTER_PORT": str(kept.port)}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return kept


def done(store, restarts=0):
    return store.check([f"durian/prepared/{restarts}"])


def test_the_first_process_says_when_it_has_prepared(store, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    with first_prepares():
        assert not done(store)
    store.wait(["durian/prepared/0"])  # to set is to send: it is there a little later


def test_another_process_asks_until_then_and_waits_in_no_collective(store, monkeypatch):
    # There is no process group here at all: a collective would raise.
    naps = []

    def nap(seconds):
        naps.append(seconds)
        if len(naps) == 3:
            store.set("durian/prepared/1", "yes")
            store.wait(["durian/prepared/1"])  # to set is to send: it is there a little later

    monkeypatch.setattr(launch.time, "sleep", nap)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    store.set("durian/prepared/0", "yes")  # by the launch before the restart
    with first_prepares():
        assert len(naps) == 3
    assert not done(store, 2)


def test_a_process_alone_waits_for_none_and_joins_none(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr("accelerate.PartialState", lambda **given: pytest.fail("joined"))
    join_launch(60)
    with first_prepares():
        pass


def test_the_timeout_that_was_asked_for_is_the_process_groups(monkeypatch):
    # It once came too late: the group was made before it, with the library's own.
    given = {}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("accelerate.PartialState", lambda **named: given.update(named))
    join_launch(7200)
    assert given["timeout"] == timedelta(hours=2) and given["backend"] == "gloo"
