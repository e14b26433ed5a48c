"""What goes on beside the engine: it never waits for a reward, and what it drew outlives it."""

import os
import select
from contextlib import closing
from threading import Event

import polars as pl
import pytest

from durian.config import ProfileConfig
from durian.errors import ConfigError, RunError
from durian.measuring import sampling
from durian.profile import profile_dataset
from durian.rewards import Attempts
from durian.rewards.beside import RewardBeside
from durian.samples import Rollout, Score

SAMPLES = 6


class Engine:
    """Answers each request as it comes, and then does as it is told."""

    told = ""

    def __init__(self, at_the_end=lambda: None, answers=SAMPLES):
        self.at_the_end, self.answers = at_the_end, answers

    def stream(self, requests):
        for number, request in enumerate(requests):
            if number == self.answers:
                self.at_the_end()
            said = f"{number}"
            rollout = Rollout(completion=said, n_tokens=1, sum_logprob=-1.0, finish_reason="stop")
            yield request.key, [rollout]
        self.at_the_end()

    def close(self):
        pass


@pytest.fixture
def profile(tmp_path, png, monkeypatch):
    """Profiles six samples by an engine, in parts of two."""
    rows = {
        "problem": [f"q{i}" for i in range(SAMPLES)],
        "answer": ["1"] * SAMPLES,
        "images": [[png]] * SAMPLES,
    }
    pl.DataFrame(rows).write_parquet(tmp_path / "data.parquet")

    def run(engine, reward, **further):
        monkeypatch.setattr(sampling, "open_engine", lambda config: engine)
        config = ProfileConfig(
            dataset=str(tmp_path / "data.parquet"), out=str(tmp_path / "run"), part_size=2,
            model=str(tmp_path / "script.jsonl"), engine="scripted", rollouts=1, reward=reward,
            **further,
        )  # fmt: skip
        profile_dataset(config)
        return pl.read_parquet(tmp_path / "run" / "rollouts.parquet")

    (tmp_path / "script.jsonl").write_text(
        '{"sample_id": "s", "rollout": 0, "completion": "", "n_tokens": 1, "sum_logprob": -1.0,'
        ' "finish_reason": "stop"}\n'
    )
    return run


def test_the_engine_draws_on_while_a_users_own_reward_blocks(profile, tmp_path):
    # The reward's first answer waits for a word that the engine gives once it has drawn all.
    os.mkfifo(word := tmp_path / "word")
    (tmp_path / "slow.py").write_text(
        "import os, select\n"
        "asked = []\n"
        "def f(r, more=0):\n"
        "    if not r['response'].isdecimal():\n"  # of the first row, which is tried before
        "        return 0\n"
        "    asked.append(1)\n"
        "    if len(asked) > 1:\n"
        "        return len(asked) + more\n"
        f"    pipe = os.open({str(word)!r}, os.O_RDONLY | os.O_NONBLOCK)\n"
        "    told = select.select([pipe], [], [], 100)[0] and os.read(pipe, 1)\n"
        "    return 1 + more if told else -9\n"
    )
    held = os.open(word, os.O_RDWR)  # so that neither end waits to be opened
    engine = Engine(lambda: os.write(held, b"."))
    table = profile(engine, f"{tmp_path / 'slow.py'}:f", reward_args={"more": 10})
    os.close(held)
    # One at a time and in the order drawn: the nth call says n, and the argument 10 more.
    assert table["completion"].to_list() == [str(i) for i in range(SAMPLES)]
    assert table["reward"].to_list() == [11.0, 12.0, 13.0, 14.0, 15.0, 16.0]


def test_what_was_drawn_before_the_engine_failed_is_scored_and_its_whole_parts_are_kept(
    profile, tmp_path, monkeypatch
):
    failed = Event()

    class Late:
        reads_images = False

        def start(self, attempts):
            def wait():
                assert failed.wait(60)  # no score is there before the engine is gone
                return [Score(1.0, True, True, None)]

            return wait

        def close(self):
            pass

    def fail():
        failed.set()
        raise RunError("the server is gone")

    monkeypatch.setattr(sampling, "open_reward", lambda *which: Late())
    with pytest.raises(RunError, match="the server is gone"):
        profile(Engine(fail, answers=5), "boxed")
    # Five of six were drawn: two whole parts of two, and one sample that is drawn again.
    assert len(list((tmp_path / "run" / "parts").glob("part-*.parquet"))) == 2
    again = []

    class Counting(Engine):
        def stream(self, requests):
            for answer in super().stream(requests):
                again.append(answer[0])
                yield answer

    assert len(profile(Counting(), "boxed")) == SAMPLES
    assert len(again) == 2


@pytest.fixture
def beside(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import os, signal\n"
        "def f(r):\n"
        "    said = r['response']\n"
        "    if said == 'alarm':\n"  # as math-verify's timeout does
        "        signal.signal(signal.SIGALRM, lambda *_: None)\n"
        "        return 1.0\n"
        "    if said == 'end':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    print('of no matter')\n"
        "    return {'overall': float(said), 'accuracy': 1, 'format': 0}\n"
    )
    with closing(RewardBeside(f"{tmp_path / 'mine.py'}:f")) as reward:
        yield reward


def of(*completions):
    return Attempts(completions=completions, n_tokens=[1] * len(completions), answer="1")


def test_a_reward_in_its_own_process_scores_as_here_and_in_a_main_thread(beside):
    pending = [beside.start(of("alarm")), beside.start(of("0.5", "2")), beside.start(of("x"))]
    assert pending[0]() == [Score(1.0, True, None, None)]
    assert pending[1]() == [Score(0.5, True, False, None), Score(2.0, True, False, None)]
    with pytest.raises(ValueError, match="^reward failed: ValueError: could not convert string"):
        pending[2]()
    unkept = Attempts(completions=["1"], n_tokens=[1], answer="", columns={"f": lambda: 0})
    with pytest.raises(ValueError, match="^reward failed: .*pickle"):
        beside.start(unkept)()
    assert beside.start(of("3"))()[0].reward == 3.0


def test_a_reward_that_ends_its_process_stops_the_run_in_a_line(beside):
    first, second = beside.start(of("end")), beside.start(of("1"))
    for pending in (first, second, beside.start(of("1"))):
        with pytest.raises(RunError, match=r"mine.py:f died \(signal 9\); what is finished is"):
            pending()


def test_closing_ends_a_reward_that_never_returns(tmp_path):
    (tmp_path / "long.py").write_text("import signal\ndef f(r):\n    signal.pause()\n")
    reward = RewardBeside(f"{tmp_path / 'long.py'}:f")
    pending = reward.start(of("1"))
    reward.close()
    with pytest.raises(RunError):
        pending()


def test_a_policy_that_cannot_be_loaded_leaves_no_process_of_a_reward(
    profile, tmp_path, monkeypatch
):
    (tmp_path / "reward.py").write_text("def f(reward_input):\n    return 1.0\n")
    begun = []

    class Kept(RewardBeside):
        def __init__(self, *given):
            super().__init__(*given)
            begun.append(os.pidfd_open(self._process.pid))

    def refuse(config):
        raise ConfigError("no policy there")

    monkeypatch.setattr(sampling, "RewardBeside", Kept)
    config = ProfileConfig(
        dataset=str(tmp_path / "data.parquet"), out=str(tmp_path / "run"), rollouts=1,
        model=str(tmp_path / "script.jsonl"), engine="scripted",
        reward=f"{tmp_path / 'reward.py'}:f",
    )  # fmt: skip
    monkeypatch.setattr(sampling, "open_engine", refuse)
    with pytest.raises(ConfigError, match="no policy there"):
        profile_dataset(config)
    (process,) = begun
    assert select.select([process], [], [], 60)[0]  # readable once it has ended
    os.close(process)
