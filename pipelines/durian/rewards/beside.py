"""A user's own reward in a process of its own, which scores while the engine draws.

A process, not a thread: it may hold the interpreter's lock for long, and it must run where a main
thread is. math-verify's timeout is a signal; in another thread its `verify` says False to every
answer, and tells only the log.
"""

from __future__ import annotations

import os
import pickle
from concurrent.futures import Future
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import ClassVar

from durian.config.policy import PromptConfig
from durian.errors import RunError, one_line
from durian.processes import Beside
from durian.rewards.score import Attempts, Pending
from durian.samples import Score


class RewardBeside:
    """A user's own reward, asked for one sample after another, in the order of `start`."""

    reads_images: ClassVar[bool] = True

    def __init__(self, name: str, config: PromptConfig | None = None) -> None:
        """Start the process.

        Args:
            name: FILE.py:function, and with it the settings: as `open_reward` takes them.
        """
        self._process = Beside(f"{__name__}:serve", f"the process of reward {name}")
        self._process.pipe.send((name, config))
        self._asked = SimpleQueue[tuple[Attempts, Future[list[Score]]]]()
        # It waits for the process and does nothing else. A daemon: a reward that never returns must
        # not keep Durian from ending.
        Thread(target=self._ask, daemon=True).start()

    def start(self, attempts: Attempts) -> Pending:
        """See `Reward.start`."""
        scores = Future[list[Score]]()
        self._asked.put((attempts, scores))
        return scores.result

    def close(self) -> None:
        """End the process, whatever it does. What was not scored yet raises `RunError`."""
        self._process.close()

    def _ask(self) -> None:
        stopped: RunError | None = None
        while True:
            attempts, scores = self._asked.get()
            try:
                given = stopped or self._given(attempts)
            except (EOFError, OSError):
                given = stopped = self._process.died()
            if isinstance(given, Exception):
                scores.set_exception(given)
            else:
                scores.set_result(given)

    def _given(self, attempts: Attempts) -> list[Score] | Exception:
        try:
            asked = pickle.dumps(attempts)
        except Exception as error:  # a cell of a kind that cannot be given to a process
            return ValueError(f"reward failed: {one_line(error)}")
        self._process.pipe.send_bytes(asked)
        given: list[Score] | Exception = self._process.pipe.recv()
        return given


def serve(pipe: Connection) -> None:
    """The life of the process: load the reward, then score attempts as they come."""
    from durian.rewards.custom import open_reward

    os.dup2(2, 1)  # what the function prints is not the command's result
    reward = open_reward(*pipe.recv())
    while True:
        attempts = pickle.loads(pipe.recv_bytes())
        try:
            given: list[Score] | Exception = reward.start(attempts)()
        except ValueError as error:
            given = ValueError(str(error))  # alone: what it was raised from may not pickle
        pipe.send(given)
