"""Processes beside this one: what they are given, how their end is told, and that none stays."""

import os
import select
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from durian.processes import Beside


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """A module of functions for processes, on the path of this one."""
    (tmp_path / "functions_beside.py").write_text(
        "import signal\n"
        "def echo(pipe):\n"
        "    while True:\n"
        "        pipe.send(pipe.recv())\n"
        "def rest(pipe):\n"
        "    pipe.send('here')\n"
        "    while True:\n"
        "        signal.pause()\n"
        "def fail(pipe):\n"
        "    raise SystemExit(3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_things_go_to_and_fro(functions):
    with closing(Beside("functions_beside:echo", "it")) as process:
        process.pipe.send([1, "two"])
        assert process.pipe.recv() == [1, "two"]


def test_a_process_that_ended_by_itself_is_told_by_its_name_and_how(functions):
    with closing(Beside("functions_beside:fail", "process 1 of 1")) as process:
        with pytest.raises(EOFError):
            process.pipe.recv()
        assert str(process.died()).startswith("process 1 of 1 died (exit code 3); what is finished")


def test_a_closed_process_is_gone_whatever_it_does(functions):
    process = Beside("functions_beside:rest", "it")
    assert process.pipe.recv() == "here"
    process.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_process_ends_with_its_parent_however_that_ends(functions, number):
    parent = subprocess.Popen(
        [sys.executable, "-c",
         "import signal; from durian.processes import Beside\n"
         "process = Beside('functions_beside:rest', 'it')\n"
         "process.pipe.recv(); print(process.pid, flush=True); signal.pause()"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(functions), *sys.path])},
    )  # fmt: skip
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    os.killpg(parent.pid, number)  # as Ctrl-C: all of its session, in which the child is not
    assert select.select([child], [], [], 60)[0]
    os.close(child)
    parent.stdout.close()
    parent.wait()
