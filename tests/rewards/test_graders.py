"""The grader processes: the same verdicts as at once, in parallel, once a pair, through deaths."""

import os
import signal
import subprocess
import sys

import pytest

from durian.errors import RunError
from durian.rewards import Attempts, BoxedReward, Reference, boxed_reward, grade
from durian.rewards import graders as module
from durian.rewards.graders import Graders, Pair, graders
from tests.rewards.pairs import PAIRS


@pytest.fixture
def pool():
    own = Graders(2)
    yield own
    own.close()


def asked(answer, reference):
    return Pair(answer, Reference.of(reference))


def processes(pool):
    return [one._process.pid for one in pool._started if one._process is not None]


def test_a_pool_gives_the_verdicts_that_are_given_at_once(pool):
    pairs = [asked(a, r) for rows in PAIRS.values() for a, r, _, _ in rows]
    verdicts = [future.result() for future in pool.submit(pairs)]
    assert verdicts == [grade(pair.answer, pair.reference).right for pair in pairs]
    assert len(processes(pool)) == 2


def test_a_pool_that_is_limited_starts_no_more_processes():
    pool = Graders(4)
    pool.limit(1)
    pool.submit([asked(str(n), "7") for n in range(200)])[-1].result()
    assert len(processes(pool)) == 1
    pool.close()


def test_words_and_choices_start_no_process(pool):
    pairs = [asked("blue", "red"), asked("(B)", "B"), asked("C2O", "CO2"), asked("3:30", "3:15")]
    assert [f.result() for f in pool.submit(pairs)] == [False, True, False, False]
    assert processes(pool) == []


def test_a_pair_is_judged_once(pool):
    first, again, other = pool.submit([asked("1", "2"), asked("1", "2"), asked("2", "2")])
    assert first is again and first is not other
    [later] = pool.submit([asked("1", "2")])
    assert later is first and not first.result()


def test_a_process_killed_from_outside_is_replaced(pool):
    assert pool.submit([asked("1", "1")])[0].result()
    [pid] = processes(pool)
    os.kill(pid, signal.SIGKILL)
    assert [f.result() for f in pool.submit([asked(str(n), "7") for n in range(100)])] == [
        n == 7 for n in range(100)
    ]
    assert pid not in processes(pool)


def test_half_of_a_surrogate_pair_and_nulls_go_through(pool):
    pairs = [asked("\ud800", "7"), asked("\x00", "7"), asked("ﷺ" * 900, "7"), asked("7", "7")]
    assert [f.result() for f in pool.submit(pairs)] == [False, False, False, True]


def test_scoring_is_begun_before_it_is_waited_for():
    graders().close()
    attempts = [
        Attempts(
            completions=[rf"<think></think>\boxed{{{number}}}", "7"], n_tokens=[1, 1], answer="7"
        )
        for number in range(20)
    ]
    pending = [BoxedReward().start(one) for one in attempts]  # all begun
    scores = [wait() for wait in pending]
    assert scores == [boxed_reward(one.completions, one.n_tokens, "7") for one in attempts]
    assert [first.reward for first, _ in scores] == [1.0 if n == 7 else 0.1 for n in range(20)]
    BoxedReward().close()


def test_the_interpreter_ends_quietly_and_takes_the_processes_with_it():
    code = (
        "from durian.rewards import Reference\n"
        "from durian.rewards.graders import Pair, graders\n"
        "[future] = graders().submit([Pair('1', Reference.of('1'))])\n"
        "assert future.result()\n"
        "print(*[one._process.pid for one in graders()._started])"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    for pid in map(int, ran.stdout.split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_pair_that_failed_may_be_asked_again(pool, monkeypatch):
    def gone(self):
        raise RunError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Graders, "_process", gone)
        [failed] = pool.submit([asked("1", "1")])
        with pytest.raises(RunError):
            failed.result()
    assert pool.submit([asked("1", "1")])[0].result()


def test_a_forked_child_starts_its_own_and_the_parents_answer_on():
    code = (
        "import gc, os\n"
        "from durian.rewards import Reference\n"
        "from durian.rewards.graders import Pair, graders\n"
        "def right(text):\n"
        "    return graders().submit([Pair(text, Reference.of(text))])[0].result()\n"
        "assert right('1')\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    gc.collect()\n"
        "    raise SystemExit(not right('2'))\n"
        "assert os.waitpid(child, 0)[1] == 0 and right('3')\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_verdicts_that_are_kept_are_bounded(pool, monkeypatch):
    monkeypatch.setattr(module, "_KEPT", 3)
    futures = pool.submit([asked(word, "red") for word in ("red", "blue", "green", "grey", "pink")])
    assert [future.result() for future in futures] == [True, False, False, False, False]
    assert len(pool._known) == 3
