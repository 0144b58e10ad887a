"""Keys in the terminal, and the line that shows how it goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any

import pytest

from livematte.cli.console import Console
from livematte.cli.webcam_keys import BACKGROUNDS, HELP, Keys, reading_keys
from livematte.cli.webcam_line import as_event, showing, state_line
from livematte.cli.webcam_run import offset_words, summary_words
from livematte.errors import UsageError
from livematte.live.base import LiveState
from livematte.live.supervisor import LiveSummary
from livematte.reporting import ListReporter

posix = pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")


def state(**changes: Any) -> LiveState:
    values: dict[str, Any] = {
        "state": "running", "reason": "", "camera": "clip", "engine": "cpu", "rung": "livematte-s 384x224, every frame",
        "background": "blur", "matting": {}, "frames": 100, "dropped": 12, "fps": 29.94, "latency_ms": {"p50": 41.2},
        "cpu_percent": 87.3,
    }  # fmt: skip
    return LiveState(**(values | changes))


@dataclass
class FakeControls:
    """The part of `Controls` that keys use."""

    off: bool = False
    stopped: bool = False
    backgrounds: list[str] = field(default_factory=list)
    refused: tuple[str, ...] = ()

    def state(self) -> LiveState:
        return state(state="off" if self.off else "running")

    def set_camera_off(self, off: bool) -> None:
        self.off = off

    def set_background(self, text: str) -> None:
        if text in self.refused:
            raise UsageError(f"'{text}' cannot be.")
        self.backgrounds.append(text)

    def stop(self) -> None:
        self.stopped = True


def keys_on(controls: FakeControls, background: str = "beach.jpg") -> tuple[Keys, ListReporter]:
    reporter = ListReporter()
    return Keys(controls, background, reporter), reporter  # type: ignore[arg-type]


def test_c_switches_the_camera_off_and_on() -> None:
    controls = FakeControls()
    keys, said = keys_on(controls)
    keys.press("c")
    assert controls.off
    keys.press("C")
    assert not controls.off
    assert len(said.notes) == 2


def test_b_goes_through_the_backgrounds_and_comes_back() -> None:
    controls = FakeControls()
    keys, _ = keys_on(controls)
    for _ in range(len(BACKGROUNDS) + 1):
        keys.press("b")
    assert controls.backgrounds == [*BACKGROUNDS, "beach.jpg"]
    blurred = FakeControls()
    keys, _ = keys_on(blurred, "blur")
    keys.press("b" * len(BACKGROUNDS))
    assert blurred.backgrounds == [*BACKGROUNDS[1:], "blur"]


def test_a_background_that_is_refused_is_said_and_passed_over() -> None:
    controls = FakeControls(refused=(BACKGROUNDS[0],))
    keys, said = keys_on(controls)
    keys.press("b")
    assert controls.backgrounds == [BACKGROUNDS[1]]
    assert said.warnings == [f"'{BACKGROUNDS[0]}' cannot be."]


def test_q_ends_and_help_says_the_keys() -> None:
    controls = FakeControls()
    keys, said = keys_on(controls)
    keys.press("?xyz\n")
    assert said.notes == [HELP]
    assert not controls.stopped
    keys.press("q")
    assert controls.stopped


def test_no_key_shows_the_room() -> None:
    controls = FakeControls()
    keys, _ = keys_on(controls)
    keys.press("".join(chr(code) for code in range(32, 127) if chr(code) not in "qQcCbB?hH"))
    keys.press("\x1b[B\x1b[C")  # the arrows' letters are no keys
    assert controls.backgrounds == []
    assert not controls.off
    assert not any("raw" in text or "transparent" in text for text in BACKGROUNDS)


def test_without_a_terminal_there_are_no_keys() -> None:
    with reading_keys(None) as read:
        assert read() == ""
    with reading_keys(StringIO("q")) as read:
        assert read() == ""
    with open(os.devnull) as nothing, reading_keys(nothing) as read:
        assert read() == ""


# -- a real terminal ------------------------------------------------------------------------------------------------

IN_A_TERMINAL = """
import sys, termios, time
from livematte.cli.webcam_keys import reading_keys
print("line mode" if termios.tcgetattr(0)[3] & termios.ICANON else "one by one", flush=True)
try:
    with reading_keys(sys.stdin) as read:
        echoes = termios.tcgetattr(0)[3] & (termios.ICANON | termios.ECHO)
        print("line mode" if echoes else "one by one", flush=True)
        keys = ""
        while "." not in keys:
            keys += read()
            time.sleep(0.01)
        print("got", keys, flush=True)
        if "x" in keys:
            raise RuntimeError("on purpose")
finally:
    print("line mode" if termios.tcgetattr(0)[3] & termios.ICANON else "one by one", flush=True)
"""


class Terminal:
    """A program with a terminal of its own."""

    def __init__(self, *command: str) -> None:
        import pty

        self.child, self.descriptor = pty.fork()
        if self.child == 0:
            os.execv(command[0], list(command))
        self.text = ""

    def wait_for(self, words: str, seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < deadline, f"'{words}' did not come; there was: {self.text}"
            self.text += self._read()

    def press(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())

    def end(self, seconds: float = 90.0) -> int:
        deadline = time.monotonic() + seconds
        while True:
            self.text += self._read()
            done, status = os.waitpid(self.child, os.WNOHANG)
            if done:
                os.close(self.descriptor)
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                os.kill(self.child, signal.SIGKILL)
                os.waitpid(self.child, 0)
                pytest.fail(f"it did not end; there was: {self.text}")

    def is_line_mode(self) -> bool:
        import termios

        return bool(termios.tcgetattr(self.descriptor)[3] & termios.ICANON)

    def _read(self) -> str:
        import select

        ready, _, _ = select.select([self.descriptor], [], [], 0.05)
        try:
            return os.read(self.descriptor, 65536).decode("utf-8", "replace") if ready else ""
        except OSError:  # the other end is closed
            time.sleep(0.01)
            return ""


@posix
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("keys", ["ab.", "ax."])
def test_the_terminal_is_given_back_as_it_was_whatever_happens(keys: str) -> None:
    terminal = Terminal(sys.executable, "-c", IN_A_TERMINAL)
    terminal.wait_for("one by one")
    terminal.press(keys)
    code = terminal.end()
    lines = terminal.text.split("\r\n")
    assert lines[0] == "line mode"
    assert f"got {keys}" in lines
    assert lines.index("line mode", 2) > lines.index(f"got {keys}")
    assert code == ("x" in keys)


@posix
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_run_in_a_terminal_is_steered_by_keys_and_ended_with_q() -> None:
    terminal = Terminal(
        sys.executable, "-m", "livematte", "webcam", "--input", "synthetic:320x180@30:60", "--loop",
        "--runtime", "null", "--output", "null",
    )  # fmt: skip
    terminal.wait_for("Keys: c camera off")
    terminal.wait_for("fps")
    assert not terminal.is_line_mode()
    terminal.press("b")
    terminal.wait_for("Background: #2b2b2b.")
    terminal.press("c")
    terminal.wait_for("The camera is off; c")
    terminal.press("c")
    terminal.wait_for("The camera is on again.")
    terminal.press("q")
    terminal.wait_for("frames in")
    assert terminal.is_line_mode()
    assert terminal.end() == 0


@posix
def test_a_job_in_the_background_leaves_the_terminal_alone() -> None:
    code = (
        "import os, pty, sys\n"
        "from livematte.cli.webcam_keys import _foreground_terminal\n"
        "_, end = pty.openpty()\n"
        "print(_foreground_terminal(os.fdopen(end)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    assert done.stdout.strip() == "None", done.stderr


# -- the line -------------------------------------------------------------------------------------------------------


def test_the_line_says_how_it_goes_or_what_is_the_matter() -> None:
    line = state_line(state())
    for part in ("29.9 fps", "latency 41 ms", "12 dropped", "processor 87 %", "livematte-s 384x224, every frame"):
        assert part in line
    assert "restart" not in line
    assert "2 restarts" in state_line(state(faults=2))
    assert state_line(state(state="off", reason="The camera is off.")) == "The camera is off."
    assert state_line(state(state="starting")) == "starting"


def test_json_lines_come_once_a_second_with_plain_short_numbers() -> None:
    console = Console(StringIO(), as_json=True)
    with showing(console) as show:
        for _ in range(5):
            show(state(fps=29.94444))
    lines = console.stream.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 1
    assert '"fps": 29.944' in lines[0]
    assert as_event(state())["latency_ms"] == {"p50": 41.2}


def test_a_quiet_run_shows_nothing() -> None:
    console = Console(StringIO(), quiet=True)
    with showing(console) as show:
        show(state())
    assert console.stream.getvalue() == ""  # type: ignore[attr-defined]


def test_the_last_word_has_everything() -> None:
    summary = LiveSummary(
        frames=1781, dropped=19, repeated=3, fps=29.68, latency_ms={"p50": 44.0, "p95": 63.0, "p99": 80.0},
        cpu_percent=92.4, rungs=("a",), faults=0, seconds=60.0,
    )  # fmt: skip
    words = summary_words(summary)
    for part in ("1781 frames in 1 min 00 s (29.7 fps)", "19 dropped", "3 sent again", "p95 63", "Sync Offset: 40 ms"):
        assert part in words
    assert "restarts" not in words
    assert summary_words(replace(summary, frames=0)) == "No frame was sent."
    assert offset_words(96.0) == "Sync Offset: 100 ms"
