"""The mathematics process: hostile questions, death, threads, forks, and a clean end."""

import os
import signal
import subprocess
import sys
import threading
import warnings

import pytest

from durian.errors import RunError
from durian.rewards import answers_equal, math_judge
from durian.rewards.math_judge import MathJudge, judge

BS = "\\"
GUARD_SECONDS = 240  # far above what any test here takes: only a hang gets there


@pytest.fixture(autouse=True)
def guard():
    def hang(signum, frame):
        raise AssertionError(f"no answer in {GUARD_SECONDS} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(GUARD_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


HOSTILE = [
    ("9^{9^{9^9}}", "a power tower"),
    ("10000000!", "a factorial of 66 million digits"),
    (BS + "frac{1}{1+" * 300 + "1" + "}" * 300, "a tower of fractions"),
    ("{" * 990 + "1" + "}" * 990, "braces 990 deep"),
    (BS + "sqrt{" * 400, "roots never closed"),
    ("$" * 1_999 + "1", "dollar signs"),
    (BS + "[" * 900 + "1", "display brackets never closed"),
    ("1,and" * 390, "a long list"),
    ("final answer is 1 I hope " * 70, "the words that math-verify looks for"),
    ("x^{1000000}-1", "a polynomial of a high degree"),
    ("(x+y+z)^{300}", "a power that could be expanded"),
    ("1e999999999", "an exponent"),
    ("__import__('os').system('true')", "code"),
    ("\ud800 + 1", "half of a surrogate pair"),
    ("\x00 + 1", "a null"),
    ("ﷺ" * 1_999, "characters that NFKC makes eighteen times as long"),
]


@pytest.mark.parametrize(("answer", "why"), HOSTILE, ids=[why for _, why in HOSTILE])
def test_hostile_answers_are_not_equal_and_the_next_question_is_answered(answer, why, monkeypatch):
    # Without the clock's help: the bound of processor time alone must end the endless ones.
    monkeypatch.setattr(math_judge, "_WALL_SECONDS", 10.0 * GUARD_SECONDS)
    assert not answers_equal(answer, r"\frac{x}{7}+3"), why
    assert judge().equal(r"\sqrt{8}", r"2\sqrt{2}")


@pytest.mark.parametrize(("said", "most"), [(False, 10), (None, 1)])
def test_a_list_asks_few_questions_and_none_after_one_that_takes_too_long(said, most, monkeypatch):
    asked = []
    monkeypatch.setattr(MathJudge, "ask", lambda self, *texts: asked.append(texts) or said)
    answer = ", ".join(rf"\int_0^{number} x^{most} dx" for number in range(20))
    assert not answers_equal(answer, r"\{1, 2\}")
    assert len(asked) == most


def test_a_per_cent_sign_within_mathematics_is_read():
    # latex2sympy2's parser for antlr 4.9.3, as Hydra and OmegaConf ask for, fails at each of them.
    assert judge().equal(r"50\% x", r"\frac{x}{2}")
    assert judge().equal(r"x + 50\%", r"50\% + x")
    assert not judge().equal(r"50\% x", r"\frac{x}{3}")


def test_text_that_grows_when_tidied_is_not_asked_about():
    judge().close()
    assert not answers_equal("ﷺ" * 1_900 + "= x", "x + 1")  # 18 characters each: 34,200
    assert judge().pid is None


def test_a_process_killed_from_outside_is_replaced():
    ours = MathJudge()
    assert ours.equal(r"\sqrt{8}", r"2\sqrt{2}")
    first = ours.pid
    os.kill(first, signal.SIGKILL)
    assert ours.equal(r"\sqrt{12}", r"2\sqrt{3}")
    assert ours.pid not in (None, first)
    ours.close()


def test_a_process_that_stops_answering_is_ended_and_counts_as_not_equal(monkeypatch):
    ours = MathJudge()
    assert ours.equal(r"\sqrt{8}", r"2\sqrt{2}")
    stopped = ours.pid
    os.kill(stopped, signal.SIGSTOP)  # no processor time passes: only the clock helps
    monkeypatch.setattr(math_judge, "_WALL_SECONDS", 0.2)
    assert not ours.equal(r"\sqrt{8}", r"2\sqrt{2}")
    assert ours.pid is None
    with pytest.raises(ProcessLookupError):  # ended, and waited for: no zombie
        os.kill(stopped, 0)


def test_an_interrupted_question_does_not_leave_its_answer_for_the_next(monkeypatch):
    ours = MathJudge()
    assert ours.equal("x", "x")
    read = ours._read

    def interrupt(process, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(ours, "_read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        ours.equal(r"\sqrt{8}", r"2\sqrt{2}")  # its answer would be true
    monkeypatch.setattr(ours, "_read", read)
    assert not ours.equal("x", "y")
    ours.close()


def test_many_threads_each_get_their_own_answer():
    wrong = []

    def ask(number):
        for k in range(5):
            n = 10 * number + k
            if not judge().equal(f"{n}x", f"x\\cdot {n}") or judge().equal(f"{n}x", f"{n + 1}x"):
                wrong.append(n)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can bound the address space")
def test_the_process_may_take_two_gibibytes_beyond_its_start():
    assert judge().equal("x + 1", "1 + x")
    with open(f"/proc/{judge().pid}/limits") as limits:
        [bound] = [int(line.split()[3]) for line in limits if line.startswith("Max address space")]
    with open(f"/proc/{judge().pid}/statm") as statm:
        now = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    # What it has now is what it had at its start and what few questions may have added: 256 MiB.
    assert 0 <= 2 * 1024**3 - (bound - now) < 256 * 1024**2


def _answer_in_the_child(parents):
    right = False
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(GUARD_SECONDS)  # alarms are not inherited
        right = judge().pid is None and judge().equal("x + 2", "2 + x") and judge().pid != parents
        judge().close()
    finally:
        os._exit(0 if right else 1)


def test_a_forked_child_asks_a_process_of_its_own():
    assert judge().equal("x + 1", "1 + x")
    before = judge().pid
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads, from 3.12 on
        with judge()._lock:  # as if another thread were asking
            child = os.fork()
            if child == 0:
                _answer_in_the_child(before)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert judge().pid == before and judge().equal("x + 3", "3 + x")


def test_a_worker_that_cannot_start_is_an_error_not_a_wrong_answer(monkeypatch, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("import json\nprint(json.dumps('ImportError: no antlr'))\n")
    monkeypatch.setattr(math_judge, "_WORKER", broken)
    with pytest.raises(RunError, match="failed: ImportError: no antlr; pip install"):
        MathJudge().equal("x", "x")
    broken.write_text("raise SystemExit(3)\n")
    with pytest.raises(RunError, match="it does not start"):
        MathJudge().equal("x", "x")


def _python(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=GUARD_SECONDS,
        check=False,
    )


def test_importing_the_rewards_imports_neither_sympy_nor_torch():
    ran = _python(
        "import sys, durian.rewards\n"
        "print([m for m in ('sympy', 'torch', 'math_verify', 'numpy') if m in sys.modules])"
    )
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_the_interpreter_ends_quietly_and_takes_the_process_with_it():
    ran = _python(
        "from durian.rewards import answers_equal\n"
        "from durian.rewards.math_judge import judge\n"
        r"assert answers_equal(r'\int_0^1 x\,dx', '0.5')"
        "\n"
        "print(judge().pid)"
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(ran.stdout), 0)


def test_the_process_ends_when_its_parent_is_killed():
    ran = _python(
        "import os, signal\n"
        "from durian.rewards.math_judge import judge\n"
        "judge().equal('x', 'x')\n"
        "print(judge().pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert ran.returncode == -signal.SIGKILL
    # Its standard input has ended. Wait for it to be gone (or a zombie, where nobody waits for
    # orphans): a hang trips the guard.
    while True:
        try:
            with open(f"/proc/{int(ran.stdout)}/stat") as stat:
                if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                    break
        except (FileNotFoundError, ProcessLookupError):
            break
