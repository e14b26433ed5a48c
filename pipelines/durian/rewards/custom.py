"""A user's own reward, `FILE.py:function`, in the convention of the trainer that it is for.

`conventions.py` finds that out by its parameters: verl's, TRL's and ms-swift's are called as those
call them, any other as EasyR1's:

    def f(reward_input: dict) -> float | dict

`reward_input` has `response` (the completion), `response_length` (tokens) and `ground_truth` (the
sample's answer), as EasyR1 gives them; and `question`, `options`, `columns` (the row's own, without
images), `image_sizes` and `seen_sizes` (width and height of each image, in the file and as the
policy sees it) and `finish_reason` (stop, length, repetition or error; None where it is not known).

A file with `REWARD_TYPE = "batch"` is given a list of such dicts, one sample's rollouts, and
returns a list. A result is a number, right at 0.5 or more, or a dict with `overall` or `score` (the
reward) and, if it has them, `accuracy` or `acc`, and `format`, each true at 0.5 or more. Rewards
may lie outside 0 to 1 but must be finite. The `answer` column is what the last box holds.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, ClassVar

from durian.config.policy import PromptConfig
from durian.errors import ConfigError, one_line
from durian.rewards.boxed import BoxedReward
from durian.rewards.conventions import Call, caller, takes
from durian.rewards.extract import extract_answer
from durian.rewards.formula import TOLERANCE
from durian.rewards.judged import JudgedReward, ServedJudge
from durian.rewards.located import RIGHT, LocatedReward
from durian.rewards.score import Attempts, Pending, Reward, scored_now
from durian.samples import Score

DEFAULT, JUDGED = "boxed", "boxed+judge"
NAMED = (DEFAULT, JUDGED, "iou", "point")
_TYPES = ("sequential", "batch")  # EasyR1's words


def open_reward(name_or_file: str | None = None, config: PromptConfig | None = None) -> Reward:
    """The reward of a name, or of the function that `FILE.py:function` names; None: boxed.

    Args:
        config: the settings that the reward may need.
    Raises:
        ConfigError: no such reward, file or function, the file cannot be run, or the judge that
            is needed does not serve its model.
    """
    config = config or PromptConfig()
    tolerance = TOLERANCE if config.tolerance is None else config.tolerance
    if name_or_file is None or name_or_file == DEFAULT:
        return BoxedReward(tolerance=tolerance)
    if name_or_file == JUDGED:
        assert config.judge_url is not None and config.judge_model is not None
        judge = ServedJudge(config.judge_url, config.judge_model)
        return JudgedReward(BoxedReward(tolerance=tolerance), judge)
    if name_or_file in ("iou", "point"):
        systems: Any = config.coords or ("pixel",)
        right = RIGHT if config.iou is None else config.iou
        located_by: Any = name_or_file
        return LocatedReward(of=located_by, references=systems[0], answers=systems[-1], right=right)
    path, name = _parts(name_or_file)
    module = _load(path)
    function = getattr(module, name, None)
    if not callable(function):
        found = sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        raise ConfigError(f"{path}: no function '{name}' (found: {', '.join(found) or 'none'})")
    kind = getattr(module, "REWARD_TYPE", "sequential")
    if kind not in _TYPES:
        raise ConfigError(f"{path}: REWARD_TYPE is {kind!r}; it must be one of {', '.join(_TYPES)}")
    given = config.reward_args or {}
    for argument in given:
        if not takes(function, argument):
            raise ConfigError(f"{path}: '{name}' takes no '{argument}'; leave the reward-arg out")
    try:
        return CustomReward(caller(function, batch=kind == "batch", given=given))
    except (Exception, SystemExit) as error:  # of a class that is made
        why = one_line(f"{type(error).__name__}: {error}")
        raise ConfigError(f"{path}: cannot make a '{name}': {why}") from error


def reward_fingerprint(name_or_file: str | None = None) -> str:
    """Identify a reward by its name, or by `FILE.py:function@` and a hash of the file.

    Raises:
        ConfigError: no such reward, or the file cannot be read.
    """
    if name_or_file is None or name_or_file in NAMED:
        return name_or_file or DEFAULT
    path, name = _parts(name_or_file)
    digest = blake2b(_read(path), digest_size=16).hexdigest()
    return f"{path.name}:{name}@{digest}"


@dataclass(frozen=True)
class CustomReward:
    """A user's function as a `Reward`."""

    call: Call
    reads_images: ClassVar[bool] = True

    def start(self, attempts: Attempts) -> Pending:
        """See `Reward.start`. The function is called here and now: it may be of any kind."""
        return scored_now(lambda: self._scores(attempts))

    def close(self) -> None:
        """Nothing is held."""

    def _scores(self, attempts: Attempts) -> list[Score]:
        try:
            results = self.call(attempts)
        except (Exception, SystemExit) as error:  # sys.exit() in it would end the whole run
            raise _failed(one_line(f"{type(error).__name__}: {error}")) from error
        expected = len(attempts.completions)
        if not isinstance(results, list | tuple) or len(results) != expected:
            raise _failed(f"it must return a list of {expected}, not {_described(results)}")
        return [
            _score(result, completion)
            for result, completion in zip(results, attempts.completions, strict=True)
        ]


def _score(result: Any, completion: str) -> Score:
    answer = extract_answer(completion)
    if not isinstance(result, dict):
        reward = _number(result, "the reward")
        return Score(reward=reward, correct=reward >= 0.5, formatted=None, answer=answer)
    name = next((name for name in ("overall", "score") if name in result), None)
    if name is None:
        raise _failed("the dict it returned has no 'overall' and no 'score'")
    reward = _number(result[name], f"'{name}'")
    accuracy, form = result.get("accuracy", result.get("acc")), result.get("format")
    return Score(
        reward=reward,
        correct=(reward if accuracy is None else _number(accuracy, "'accuracy'")) >= 0.5,
        formatted=None if form is None else _number(form, "'format'") >= 0.5,
        answer=answer,
    )


def _number(value: Any, what: str) -> float:
    # numpy and torch scalars have __float__ too; text has not.
    if not hasattr(value, "__float__"):
        raise _failed(f"{what} is {_described(value)}, not a number")
    try:
        number = float(value)
    except Exception as error:  # an array of several numbers
        raise _failed(f"{what} is {_described(value)}, not a number") from error
    if not math.isfinite(number):
        raise _failed(f"{what} is {number}, which is not finite")
    return number


def _described(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"a {type(value).__name__}"


def _failed(why: str) -> ValueError:
    return ValueError(f"reward failed: {why}")


def _parts(name_or_file: str) -> tuple[Path, str]:
    path, colon, name = name_or_file.rpartition(":")
    if not colon or not path.endswith(".py") or not name.isidentifier():
        raise ConfigError(
            f"reward is '{name_or_file}'; it must be one of {', '.join(NAMED)} or FILE.py:function"
        )
    return Path(path), name


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read the reward file: {error.strerror}; pass FILE.py:function"
        ) from error


def _load(path: Path) -> Any:
    source = _read(path)
    name = f"durian_reward_{blake2b(str(path.resolve()).encode(), digest_size=8).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # the name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as an import would: dataclasses and pickle look it up
    try:
        # Not by its loader, which leaves a __pycache__ beside the user's file.
        exec(compile(source, path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        why = one_line(f"{type(error).__name__}: {error}")
        raise ConfigError(f"{path}: cannot load the reward file: {why}") from error
    return module
