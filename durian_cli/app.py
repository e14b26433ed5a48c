"""The Typer app, and the one place where an error becomes one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from importlib.metadata import version
from types import FrameType
from typing import Annotated, NoReturn

import typer

from durian.errors import ConfigError, DurianError, InputError, one_line
from durian_cli.compare import compare
from durian_cli.doctor import doctor
from durian_cli.eval import evaluate
from durian_cli.export import export
from durian_cli.grade import grade
from durian_cli.group import group
from durian_cli.import_logs import import_logs
from durian_cli.merge import merge
from durian_cli.profile import profile
from durian_cli.report import report
from durian_cli.rescore import rescore
from durian_cli.schema import schema
from durian_cli.show import show
from durian_cli.texts import printable
from durian_cli.train import train
from durian_cli.view import view

app = typer.Typer(
    name="durian",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Which samples of a multimodal dataset are hard for your model, and why.",
)
app.command()(profile)
app.command()(report)
app.command()(compare)
app.command()(doctor)
app.command("eval")(evaluate)
app.command()(export)
app.command()(grade)
app.command()(group)
app.command("import")(import_logs)
app.command()(merge)
app.command()(rescore)
app.command()(schema)
app.command()(show)
app.command()(train)
app.command()(view)

# 128 + the signal, as shells have it.
INTERRUPTED, TERMINATED = 130, 143


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"durian {version('durian-rl')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Which samples of a multimodal dataset are hard for your model, and why."""


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as schedulers send it before SIGKILL: the work ends as by Ctrl-C."""

    come = False  # whether it has: Typer makes one thing of all interrupts


def main() -> NoReturn:
    """Run the command line: exit 0 done, 1 failed part-way, 2 wrong input, 130 or 143 stopped."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal of another encoding than UTF-8 shows the escapes of what it cannot.
        sys.stdout.reconfigure(errors="backslashreplace")
    _heed_termination()
    sys.exit(_run())


def _run() -> int:
    try:
        _refuse_twice(sys.argv[1:])
        # Named, or `python -m durian_cli` would write completion for a command of that name.
        code: int = app(prog_name="durian", standalone_mode=False) or 0
        return _stopped() if code == INTERRUPTED else code  # Typer turns Ctrl-C into a code
    except typer.Exit as exit:
        return exit.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return _stopped()
    except typer.TyperException as error:  # an unknown option, a missing argument, ...
        return _fail(2, _wrong_usage(error))
    except DurianError as error:
        return _fail(2 if isinstance(error, InputError) else 1, str(error))
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        sys.stdout = None
        return 1
    except OSError as error:  # a full disk, a folder that vanished
        where = f"{error.filename}: " if error.filename else ""
        if error.errno == errno.ENAMETOOLONG:
            return _fail(2, f"{where[:80]}... is longer than a name can be; give a shorter one")
        return _fail(
            1, f"{where}{error.strerror or error}; mend it, and give the same command again"
        )


def _refuse_twice(words: list[str]) -> None:
    """Refuse an option that takes one value and stands twice: the last one would win in silence.

    Raises:
        ConfigError: names the option.
    """
    # Before Typer, which keeps the last of two values and says nothing of the first. Words are read
    # as it will read them: what follows an option that takes a value is that value, even if it
    # looks like an option.
    name = next((word for word in words if not word.startswith("-")), None)
    known = {
        word: option
        for command in app.registered_commands
        if command.callback is not None and (command.name or command.callback.__name__) == name
        for option in getattr(command.callback, "options", ())
        for word in filter(None, (f"--{option.typed}", option.about.short))
        if not option.about.positional
    }
    seen: set[str] = set()
    rest = iter(words)
    for word in rest:
        if word == "--":
            return
        written, equals, _ = word.partition("=")
        option = known.get(written)
        if option is None or option.kind is bool:
            continue
        if not equals:
            next(rest, None)  # its value, which may look like an option
        if option.typed in seen and not option.repeats:
            raise ConfigError(f"--{option.typed} is given twice; give it once")
        seen.add(option.typed)


def _heed_termination() -> None:
    main_process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != main_process:  # an engine's forked process, which dies of it
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        _Terminated.come = True
        raise _Terminated

    signal.signal(signal.SIGTERM, stop)


def _stopped() -> int:
    code, how = (TERMINATED, "terminated") if _Terminated.come else (INTERRUPTED, "interrupted")
    return _fail(code, f"{how}; a profile or training that has begun resumes by the same command")


def _wrong_usage(error: typer.TyperException) -> str:
    """Say what is wrong with the words of a command line, and which help to read."""
    text, context = error.format_message(), getattr(error, "ctx", None)
    if not text:  # no words at all: the help was shown
        text = "name a command"
    elif likely := getattr(error, "possibilities", None):
        text = f"no option {error.option_name}; did you mean {' or '.join(likely[:2])}?"  # type: ignore[attr-defined]
    return f"{text} (see {context.command_path if context else 'durian'} --help)"


def _fail(code: int, text: str) -> int:
    print(f"durian: {printable(one_line(text, longest=None))}", file=sys.stderr)
    return code
