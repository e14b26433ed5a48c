r"""What a policy may write: a reward comes within its bounds, never an exception, no code is run.

`DURIAN_STRINGS=100000 pytest -s` on this file tries them all; a run by default takes the first.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from durian.rewards import boxed_reward, extract_answer, is_formatted, math_judge
from durian.rewards.math_judge import judge
from durian.rewards.math_worker import CPU_SECONDS, MEMORY_BYTES
from tests.rewards.hostile_text import BS, completion

STRINGS = int(os.environ.get("DURIAN_STRINGS", "5000"))
REFERENCES = ("7", "B", "a red cube", r"\frac{1}{2}", "x^2+1", "3 cm", "50%", r"\{1,2\}")
BOUND = 0.5  # seconds of processor time
MINUTE = 60.0  # by the clock, where the bound of processor time fails


def used(pid):
    """Seconds of processor time that a process has used."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def most_memory(pid):
    """Bytes that a process has held at most."""
    with open(f"/proc/{pid}/status") as status:
        [kilobytes] = [line.split()[1] for line in status if line.startswith("VmHWM")]
    return int(kilobytes) * 1024


def test_seeded_strings_are_scored_without_an_exception():
    worst, most, rewards = (0.0, -1), 0, Counter()
    for number in range(STRINGS):
        begun, reference = time.perf_counter(), REFERENCES[number % len(REFERENCES)]
        [score] = boxed_reward([completion(number)], [1], reference)
        worst = max(worst, (time.perf_counter() - begun, number))
        rewards[score.reward] += 1
        if sys.platform == "linux" and (pid := judge().pid) is not None:
            most = max(most, most_memory(pid))
    told = f"{STRINGS:,} tried, {dict(rewards)}; the longest took {worst[0]:.2f} s (number"
    print(f"{told} {worst[1]}); the judge held {most / 2**20:,.0f} MiB at most; exceptions=0")
    assert set(rewards) <= {0.0, 0.1, 0.9, 1.0} and rewards.total() == STRINGS
    assert most < MEMORY_BYTES + 2**30


TOWER = "9^{" * 12 + "9" + "}" * 12
SYSTEMS = [
    # what makes a computer algebra system run for ever, or take all memory
    (TOWER, "a tower of powers"),
    ("(10^{10})!", "a factorial of ten thousand million"),
    ("((9!)!)!", "a factorial of factorials"),
    (BS + "binom{10^{12}}{10^{11}}", "a binomial"),
    (BS + "sum_{n=1}^{10^{12}}" + BS + "frac{1}{n^{n}}", "a sum of a million million terms"),
    (BS + "prod_{k=1}^{10^{9}}(k^k+1)", "a product of a thousand million terms"),
    (BS + "int_{0}^{1}e^{x^{x^{x}}}" + BS + "sin(" + BS + "log x)dx", "an integral nobody knows"),
    (BS + "lim_{x" + BS + "to 0}" + BS + "frac{" + BS + "sin(x^{x^{x}})}{x^{99}}", "a limit"),
    ("(a+b+c+d+e+f)^{90}-1", "a power to expand"),
    (BS + "sqrt{1+" * 150 + "1" + "}" * 150, "roots 150 deep"),
    (BS + "begin{pmatrix}" + (("x^2+y&" * 14 + "z") + BS * 2) * 12 + BS + "end{pmatrix}^{9}",
     "a matrix"),
    (BS + "{" + ",".join(f"{n}^{{9^9}}" for n in range(99)) + BS + "}", "a set of powers"),
    ("x^{99999999}+x+1=0", "an equation of a high degree"),
    (BS + "log_{10^{-9}}(" * 50 + "x" + ")" * 50, "logarithms of logarithms"),
    ("0." + "3" * 1_900, "two thousand decimals"),
    ("1" + "0" * 1_900 + "/3", "a fraction of two thousand digits"),
    ("(-1)^{0.3333333333333333333333333333}" * 20, "roots of minus one"),
    (BS + "frac{d}{dx}" * 60 + "(x^{x^{x}})", "sixty derivatives"),
    ("|" * 1_000, "bars"),
    ("[" * 900 + "1,2" + ")" * 900, "intervals of intervals"),
]  # fmt: skip


# Each that is ended costs the start of another judge.
TRIED = SYSTEMS if STRINGS > 5_000 else SYSTEMS[:5]


@pytest.fixture
def short(tmp_path, monkeypatch):
    """A judge whose bound is a sixth of the real one, else the same; gives how its ends came."""
    source = math_judge._WORKER.read_text()
    assert source.count(f"CPU_SECONDS = {CPU_SECONDS}") == 1
    worker = tmp_path / "math_worker.py"
    worker.write_text(source.replace(f"CPU_SECONDS = {CPU_SECONDS}", f"CPU_SECONDS = {BOUND}"))
    monkeypatch.setattr(math_judge, "_WORKER", worker)
    monkeypatch.setattr(math_judge, "_WALL_SECONDS", MINUTE)
    ends, end = [], math_judge.MathJudge._end
    judge().close()
    monkeypatch.setattr(
        math_judge.MathJudge,
        "_end",
        lambda self, process: ends.append(end(self, process)) or ends[-1],
    )
    yield ends
    judge().close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's time")
@pytest.mark.parametrize(("answer", "why"), TRIED, ids=[why for _, why in TRIED])
def test_the_judge_spends_no_more_than_its_bound_on_a_trap(short, answer, why):
    assert judge().equal("x + 1", "1 + x")
    before, spent = judge().pid, used(judge().pid)
    [score] = boxed_reward([f"<think></think>{BS}boxed{{{answer}}}"], [1], BS + "frac{x}{7}+3")
    assert (score.reward, score.formatted) == (0.1, True), why
    if judge().pid is not None:  # it answered: in its time, and within its memory
        assert judge().pid == before
        assert used(before) - spent <= BOUND + 0.25
        assert most_memory(before) < MEMORY_BYTES + 2**30
    else:  # the kernel ended it, at its bound and not at the clock's
        assert short == [-signal.SIGPROF]
        with pytest.raises(ProcessLookupError):
            os.kill(before, 0)


DEEP = 10_000
LONG = [
    ((BS + "boxed{") * DEEP + "1" + "}" * DEEP, "1"),
    ((BS + "boxed{") * DEEP, None),
    (BS + "boxed{" + "{" * 10**6, None),
    (BS + "boxed{1" + "}" * 10**6, "1"),
    (BS + "boxed{" + BS * 10**6 + "}", BS * 10**6),
    (BS + "boxed" + " " * 10**6, None),
    ((BS + "boxed ") * 10**5, None),
    ("<" + " " * 10**6 + BS + "boxed{1}", "1"),
    ("< " * 10**6 + BS + "boxed{1}", "1"),
    ("<think>" * 10**5 + BS + "boxed{1}", "1"),
    ("</think>" * 10**5 + BS + "boxed{1}", "1"),
    ("<think>" + "</think" * 10**5 + ">" + BS + "boxed{1}", "1"),
    (" " * 10**6 + "<think></think>" + BS + "boxed{1}", "1"),
    (BS + "boxed{" + "9" * 10**6 + "}", "9" * 10**6),
    (BS + "boxed{" + BS + "text{" * 10**5 + "}" * (10**5 + 1), BS + "text{" * 10**5 + "}" * 10**5),
    ("a" * 10**6, None),
]  # fmt: skip
# Enough for texts read once, by far; a text read once for each of its characters would take days.
SECONDS = 120


def test_a_megabyte_is_read_once_however_it_is_made():
    code = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))\n"
        "from durian.rewards import boxed_reward, extract_answer, is_formatted\n"
        "from tests.rewards.test_hostile_text import LONG\n"
        "for text, answer in LONG:\n"
        "    assert extract_answer(text) == answer, text[:40]\n"
        "    for reference in ('7', text[:1999]):\n"
        "        boxed_reward([text], [1], reference)\n"
        "print('read')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "read\n", "")


def test_what_the_long_texts_hold():
    for text, answer in LONG:
        assert extract_answer(text) == answer, text[:40]
    thought = [text for text, answer in LONG if is_formatted(text)]
    # A tag opens them, another closes it, and a box that is whole follows.
    assert [len(text) // 10**5 for text in thought] == [7, 10]


PLANTED = [
    "__import__('os').system('touch PLANTED')",
    "__import__(\"os\").system(\"touch PLANTED\")+1",
    "eval(\"open('PLANTED','w')\")^2",
    "exec(\"open('PLANTED','w')\")=1",
    "[c for c in ().__class__.__base__.__subclasses__()][0]('PLANTED')",
    "(lambda: open('PLANTED','w'))()+x",
    BS + "input{/etc/passwd}+x",
    BS + "write18{touch PLANTED}^2",
    BS + "immediate" + BS + "openout 1=PLANTED x^2",
    BS + "text{__import__('os').system('touch PLANTED')}=2",
    BS + "operatorname{exec}(open('PLANTED','w'))^2",
    BS + "mathrm{sympify}('open(PLANTED)')^2",
    "1; import os; os.system('touch PLANTED')",
    "1\n__import__('os').system('touch PLANTED')",
    "{{ cycler.__init__.__globals__.os.system('touch PLANTED') }}^2",
    "%(PLANTED)s {0.__class__} + x",
    "$(touch PLANTED) `touch PLANTED` + 2",
]  # fmt: skip

# The judge's own comparison in a process that hears of every program, file and piece of code.
LISTENING = """
import os, sys
from durian.rewards.math_worker import _load
from durian.rewards.tidy import tidy
from tests.rewards.test_hostile_text import PLANTED
equal, heard, on = _load(), [], False
def listen(event, args):
    if not on:
        return
    if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork",
                 "socket.connect", "os.remove", "os.rename", "os.mkdir"):
        heard.append((event, args))
    if event == "open" and (args[1] not in (None, "r", "rb") or args[0] == "/etc/passwd"):
        heard.append((event, args))
    if event == "compile" and any(
        planted in str(args[0]) for planted in ("PLANTED", "passwd", "__class__")
    ):
        heard.append((event, args))
sys.addaudithook(listen)
on = True
for planted in PLANTED:
    for text in (planted, tidy(planted)):
        equal(text, "x^2 + 1")
        equal("x^2 + 1", text)
on = False
print(heard)
"""


def test_no_code_that_a_policy_writes_is_run(tmp_path, monkeypatch):
    judge().close()
    monkeypatch.chdir(tmp_path)  # a new judge works here, where the code would leave its mark
    wraps = (f"{BS}boxed{{%s}}", f"<think>%s</think>{BS}boxed{{%s}}")
    for planted in PLANTED:
        for wrap in wraps:
            text = wrap.replace("%s", planted)
            boxed_reward([text], [1], "x^2 + 1")
            boxed_reward([f"{BS}boxed{{x^2+1}}"], [1], text)
    judge().close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_opened_started_or_compiled_of_it(tmp_path):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    ran = subprocess.run(
        [sys.executable, "-Wignore", "-c", LISTENING], capture_output=True, text=True, check=False,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "[]\n"), ran.stderr
    assert list(tmp_path.iterdir()) == []
