"""The table of commands, and what an error becomes: one paragraph and an exit code, never a traceback."""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cyclopts import App, CycloptsError, Group, Parameter

from livematte import __version__
from livematte.cli.console import Console, abandon, safe_streams
from livematte.cli.unexpected import unexpected
from livematte.errors import Interrupted, LivematteError

_INTRO = """Removes the background behind people, in clips, photos and live video. Nothing leaves your machine.

`livematte demo` shows what it does. `livematte convert clip.mp4` makes a transparent clip of yours. `livematte webcam`
shows you in a call without the room behind you.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 input unreadable, 4 model missing or broken, 5 the accelerator or
runtime asked for is not available, 130 interrupted (`webcam`: 0, for Ctrl-C is its ordinary end).
"""


def build() -> App:
    """The application. The commands' modules are imported when one runs, so `--help` is quick."""
    app = App(
        name="livematte",
        help=_INTRO,
        version=f"livematte {__version__}",
        help_format="markdown",
        default_parameter=Parameter(negative_iterable=(), negative_bool=(), show_default=worth_showing),
        version_flags=["--version"],
        group_commands=Group("Commands", sort_key=0),
    )
    here = "livematte.cli"
    app.command(f"{here}.convert:convert", name="convert", help="Make clips transparent, or put something else behind.")
    app.command(f"{here}.photo:photo", name="photo", help="Cut people out of pictures.")
    app.command(
        f"{here}.webcam:webcam", name="webcam", help="Your camera without the room behind you, for calls and OBS."
    )
    app.command(f"{here}.app_command:app", name="app", help="A page to drop clips and photos on; no camera.")
    app.command(f"{here}.demo:demo", name="demo", help="See it work on a clip that it makes itself.")
    app.command(f"{here}.model:app", name="model", help="List, show, fetch and verify networks.")
    app.command(f"{here}.engine:app", name="engine", help="Compile networks for NVIDIA GPUs; list and remove plans.")
    app.command(f"{here}.bench:app", name="bench", help="How fast this machine is, stage by stage.")
    app.command(f"{here}.evaluate:evaluate", name="evaluate", help="Measure mattes against true ones.")
    app.command(f"{here}.completion:completion", name="completion", help="Names and options at the Tab key.")
    app.command(f"{here}.doctor:doctor", name="doctor", help="What works on this machine, and what would add the rest.")
    return app


def worth_showing(default: object) -> str | None:
    """Text of a default in the help, None where it says nothing: flags that are off, options that are not set."""
    if default is None or default is False or default is True or default == [] or default == "":
        return None
    if isinstance(default, tuple):
        return ",".join(f"{value:g}" for value in default)
    return f"{default:g}" if isinstance(default, float) else str(default)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Nothing that goes wrong escapes, except `SystemExit`."""
    safe_streams()
    given = _with_rate_spelt_out(arguments)
    options = given[: given.index("--")] if "--" in given else given
    errors = Console.for_errors(as_json="--json" in options, stdout_taken=writes_to_stdout(options))
    debug = "--debug" in options or os.environ.get("LIVEMATTE_DEBUG", "") not in ("", "0")
    try:
        with _ending_like_ctrl_c():
            return _dispatch(given or ["--help"])
    except CycloptsError as error:
        from livematte.cli.usage import explain

        errors.failure("UsageError", explain(error), 2, error if debug else None)
        return 2
    except LivematteError as error:
        errors.failure(type(error).__name__, str(error), error.exit_code, error if debug else None)
        return error.exit_code
    except KeyboardInterrupt as error:
        errors.failure("Interrupted", "interrupted.", Interrupted.exit_code, error if debug else None)
        return Interrupted.exit_code
    except BrokenPipeError:
        if sys.stdout is not None:  # its reader has gone (`| head`)
            abandon(sys.stdout)
        return 1
    except MemoryError as error:
        errors.failure("MemoryError", _NO_MEMORY, 1, error if debug else None)
        return 1
    except Exception as error:
        errors.failure("InternalError", unexpected(error), 1, error if debug else None)
        return 1


def _with_rate_spelt_out(arguments: Sequence[str]) -> list[str]:
    """`--constant-rate` without a rate behind it means `auto`; an input's name is no rate."""
    given: list[str] = []
    for word, following in itertools.zip_longest(arguments, arguments[1:], fillvalue=""):
        given.append(word)
        if word == "--constant-rate" and not re.fullmatch(r"auto|-?[\d./]*\d", following):
            given.append("auto")
    return given


@contextmanager
def _ending_like_ctrl_c() -> Iterator[None]:
    """A service's stop (SIGTERM), a closed terminal (SIGHUP) and Ctrl-Break end a run as Ctrl-C does.

    Signals that are ignored (`nohup`) or that the caller handles stay as they are; only the main thread may ask.
    """
    taken: list[int] = []
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, signal.default_int_handler)
                taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _dispatch(arguments: list[str]) -> int:
    app = build()
    command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    result = command(*bound.args, **bound.kwargs)
    return result if isinstance(result, int) else 0


def writes_to_stdout(options: Sequence[str]) -> bool:
    """True where `-o -` (or `--output -`) sends the output to stdout, so that nothing else may be printed there."""
    pairs = itertools.pairwise(options)
    joined = any(word in ("-o-", "-o=-", "--output=-") for word in options)
    named = joined or any(name in ("-o", "--output") and value == "-" for name, value in pairs)
    has_output = any(word.startswith(("-o", "--output")) for word in options)
    return named or (list(options[:1]) == ["photo"] and "-" in options and not has_output)


_NO_MEMORY = (
    "memory ran out. Close other programs, make the clip smaller with --size or --end, or write one output at a time."
)
