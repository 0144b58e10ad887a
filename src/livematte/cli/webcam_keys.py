"""Keys in the terminal: read one by one without echo, and the terminal given back as it was, in every case."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from livematte.errors import LivematteError

if TYPE_CHECKING:
    from livematte.live.base import Controls
    from livematte.reporting import Reporter

HELP = "Keys: c camera off or on, b next background, q quit, ? this line. All other controls are on the page (--page)."
BACKGROUNDS = ("blur", "#2b2b2b", "white", "green")
"""What `b` goes through, after the background that the run began with. None of them shows the room: blur leaves
nothing of it to be read at its usual radius."""

ReadKeys = Callable[[], str]
"""The keys pressed since the last call, without waiting; empty: none."""


@contextmanager
def reading_keys(stream: TextIO | None) -> Iterator[ReadKeys]:
    """Keys from the terminal behind `stream` (stdin); where it is none, or another job's, there never are any."""
    if sys.platform == "win32":
        yield _windows_keys if stream is not None and stream.isatty() else _no_keys
        return
    descriptor = _foreground_terminal(stream)
    if descriptor is None:
        yield _no_keys
        return
    with _one_by_one(descriptor):
        yield lambda: _posix_keys(descriptor)


def _no_keys() -> str:
    return ""


def _foreground_terminal(stream: TextIO | None) -> int | None:
    """The descriptor of a terminal that this process may change: a job in the background would be stopped for it."""
    try:
        descriptor = stream.fileno() if stream is not None else -1
        if descriptor < 0 or not os.isatty(descriptor) or os.tcgetpgrp(descriptor) != os.getpgrp():
            return None
    except (OSError, ValueError):  # closed, or not a file at all
        return None
    return descriptor


@contextmanager
def _one_by_one(descriptor: int) -> Iterator[None]:
    """No waiting for Enter and no echo; Ctrl-C and Ctrl-Z stay what they are. Set again after Ctrl-Z and `fg`."""
    import termios
    import tty

    before = termios.tcgetattr(descriptor)

    def set_again(*_: Any) -> None:
        if _foreground_terminal(sys.stdin) is not None:
            tty.setcbreak(descriptor, termios.TCSANOW)

    def give_back_and_stop(*_: Any) -> None:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # stops here; goes on after `fg`
        signal.signal(signal.SIGTSTP, give_back_and_stop)

    def give_back_and_quit(*_: Any) -> None:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGQUIT)

    handlers = {
        signal.SIGCONT: set_again,
        signal.SIGTSTP: give_back_and_stop,
        signal.SIGQUIT: give_back_and_quit,
    }
    taken = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
        with contextlib.suppress(termios.error, OSError):  # the terminal itself is gone: nothing to give back
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _posix_keys(descriptor: int) -> str:
    import select

    try:
        ready, _, _ = select.select([descriptor], [], [], 0)
        return os.read(descriptor, 64).decode("utf-8", "ignore") if ready else ""
    except (OSError, ValueError):  # the terminal was closed
        return ""


def _windows_keys() -> str:
    import importlib

    console: Any = importlib.import_module("msvcrt")
    keys = ""
    while console.kbhit():
        key = console.getwch()
        if key in ("\x00", "\xe0"):  # a function or arrow key: its second half is no key of ours
            console.getwch()
            continue
        keys += key
    return keys


class Keys:
    """What each key does to a live run. None of them shows the room."""

    def __init__(self, controls: Controls, background: str, reporter: Reporter) -> None:
        """`background`: the one that the run began with, which `b` comes back to."""
        self._controls = controls
        self._reporter = reporter
        self._backgrounds: Sequence[str] = (background, *(one for one in BACKGROUNDS if one != background))
        self._at = 0

    def press(self, keys: str) -> None:
        """Do what these keys say; those that mean nothing are passed over."""
        if keys.startswith("\x1b"):
            return  # an arrow or function key: a sequence whose letters are not meant
        actions = {"c": self._camera, "b": self._background, "q": self._controls.stop, "?": self._help, "h": self._help}
        for key in keys:
            action = actions.get(key.lower())
            if action is not None:
                action()

    def _camera(self) -> None:
        off = self._controls.state().state != "off"
        self._controls.set_camera_off(off)
        self._reporter.note("The camera is off; c switches it on again." if off else "The camera is on again.")

    def _background(self) -> None:
        """The next one that can be used: a picture that has been moved is said and passed over."""
        for _ in self._backgrounds:
            self._at = (self._at + 1) % len(self._backgrounds)
            text = self._backgrounds[self._at]
            try:
                self._controls.set_background(text)
            except LivematteError as error:
                self._reporter.warn(str(error))
                continue
            self._reporter.note(f"Background: {text}.")
            return

    def _help(self) -> None:
        self._reporter.note(HELP)
