"""Where a command's words go: a person's terminal, JSON lines, or nowhere."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    import rich.console

_PLAIN = str.maketrans(
    {
        "\N{RIGHTWARDS ARROW}": "->",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{HORIZONTAL ELLIPSIS}": "...",
        "\N{EN DASH}": "-",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{SUPERSCRIPT TWO}": "2",
    }
)


class _Nowhere(io.TextIOBase):
    """Takes the words of a program that was started without a stdout or stderr (a service, `>&-`)."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)


def _or_nowhere(stream: TextIO | None) -> TextIO:
    return cast(TextIO, _Nowhere()) if stream is None else stream


def safe_streams() -> None:
    """Never fail at a character that the terminal's encoding lacks (a file's name on an old console)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def plain(text: str, encoding: str | None) -> str:
    """The text with arrows and dashes spelt in ASCII where the encoding has no Unicode."""
    return text if (encoding or "").lower().replace("-", "").startswith("utf") else text.translate(_PLAIN)


@dataclass(slots=True)
class Console:
    """A `Reporter` that prints. Threads may use it; messages and a progress bar do not disturb each other."""

    stream: TextIO
    """Where the person's words, or the JSON lines, go."""
    quiet: bool = False
    as_json: bool = False
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _rich: rich.console.Console | None = None
    _held: list[tuple[str, str | None]] | None = None
    """Messages (text, style) that wait for the status line; None: none wait."""

    @classmethod
    def for_run(cls, *, quiet: bool, as_json: bool, stdout_taken: bool) -> Console:
        """stdout, or stderr where `-o -` puts the picture on stdout."""
        return cls(_or_nowhere(sys.stderr if stdout_taken else sys.stdout), quiet=quiet, as_json=as_json)

    @classmethod
    def for_errors(cls, *, as_json: bool, stdout_taken: bool) -> Console:
        """JSON errors go where JSON lines go; all other errors to stderr."""
        return cls(_or_nowhere(sys.stdout if as_json and not stdout_taken else sys.stderr), as_json=as_json)

    @property
    def is_terminal(self) -> bool:
        """True where a person watches, so that a progress bar and questions make sense."""
        return not self.as_json and not self.quiet and self.stream.isatty()

    def note(self, message: str) -> None:
        """Something the person should know."""
        self.notes.append(message)
        if self.as_json:
            self.event("note", {"message": message})
        elif not self.quiet:
            self._message(f"  {message}")

    def warn(self, message: str) -> None:
        """Something that is not as it should be. `--quiet` does not silence it."""
        self.warnings.append(message)
        if self.as_json:
            self.event("warning", {"message": message})
        elif self.quiet:
            self._write(f"warning: {message}", _or_nowhere(sys.stderr))
        else:
            self._message(f"warning: {message}", "yellow")

    @contextmanager
    def status_first(self) -> Iterator[Callable[[str], None]]:
        """Holds messages back until the status line is said (with the function it gives) or the block ends."""
        self._held = []

        def say_status(line: str) -> None:
            self.say(line)
            self._release()

        try:
            yield say_status
        finally:
            self._release()

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for text, style in held:
            self._print(text, style=style)

    def _message(self, text: str, style: str | None = None) -> None:
        if self._held is None:
            self._print(text, style=style)
        else:
            self._held.append((text, style))

    def say(self, line: str) -> None:
        """A line of the answer, for persons only."""
        if not self.as_json and not self.quiet:
            self._print(line)

    def event(self, kind: str, values: Mapping[str, Any]) -> None:
        """One JSON line, where JSON was asked for."""
        if self.as_json:
            self._write(json.dumps({"event": kind, **values}, ensure_ascii=True, allow_nan=False), self.stream)

    def failure(self, kind: str, message: str, exit_code: int, error: BaseException | None = None) -> None:
        """An error, as one paragraph or one JSON line; with its traceback where `error` is given."""
        if error is not None:
            self._write("".join(traceback.format_exception(error)).rstrip(), _or_nowhere(sys.stderr))
        if self.as_json:
            self.event("error", {"kind": kind, "exit_code": exit_code, "message": message})
        else:
            self._write(f"livematte: {message}", self.stream)

    def ask(self, question: str) -> bool:
        """True if the person says yes; False where nobody can be asked."""
        if not (self.is_terminal and sys.stdin is not None and sys.stdin.isatty()):
            return False
        self.stream.write(plain(f"{question} [y/N] ", self.stream.encoding))
        self.stream.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @property
    def rich(self) -> rich.console.Console:
        """The rich console on the same stream; made on first use, because importing rich takes 80 ms."""
        if self._rich is None:
            from rich.console import Console as RichConsole

            self._rich = RichConsole(file=self.stream, highlight=False, markup=False, emoji=False)
        return self._rich

    def _print(self, line: str, *, style: str | None = None) -> None:
        text = plain(line, self.stream.encoding)
        if not self.is_terminal:
            self._write(text, self.stream)
            return
        try:
            self.rich.print(text, style=style, soft_wrap=True)
        except OSError:  # the terminal was closed
            abandon(self.stream)

    def _write(self, line: str, stream: TextIO) -> None:
        with self._lock:
            try:
                stream.write(plain(line, stream.encoding) + "\n")
                stream.flush()
            except OSError as error:
                _give_up(stream, error)


def _give_up(stream: TextIO, error: OSError) -> None:
    """Nobody reads on (`| head`), or a log's disk is full: no reason to throw the work away. Later words go nowhere."""
    abandon(stream)
    if isinstance(error, BrokenPipeError) or stream is not sys.stdout or sys.stderr is None:
        return
    with contextlib.suppress(OSError):
        sys.stderr.write(f"livematte: stdout cannot be written to ({error.strerror}): no more is said there.\n")


def abandon(stream: TextIO) -> None:
    """Point a stream's descriptor at nowhere: Python would try once more, at the end, to write what it still holds."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
