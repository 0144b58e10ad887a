"""The real program in a process of its own: signals, closed streams, full logs, silent pipes, names that cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from sinks.making import Shot, start

from livematte.errors import SinkError

COMMAND = [sys.executable, "-W", "error", "-X", "dev", "-m", "livematte", "convert"]
"""In developer mode, where a file that is not closed or a deprecated call is a line on stderr."""
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals, descriptors and limits")


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def pictures_in(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


class Started:
    """Starts the program, and ends it at the latest when the test does."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str, stdin: int = subprocess.DEVNULL, **more: Any) -> subprocess.Popen[str]:
        given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        running = subprocess.Popen([*COMMAND, *arguments], cwd=self._folder, stdin=stdin, text=True, **given)
        self._running.append(running)
        return running

    def end(self) -> None:
        for running in self._running:
            running.kill()
            running.wait()
            for stream in (running.stdin, running.stdout, running.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    running = Started(tmp_path)
    yield running
    running.end()


def clip(path: Path, frames: int) -> Path:
    """A clip that hardly compresses, so that a pipe holds only a part of it."""
    noise = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 160, 120, "yuv420p", 8_000_000
        for _ in range(frames):
            picture = noise.integers(0, 256, (120, 160, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    return path


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_services_stop_and_a_closed_terminal_end_a_run_as_ctrl_c_does(
    started: Started, tmp_path: Path, name: str
) -> None:
    running = started("synthetic:160x120@25:100000", "-o", "out.mov", "--keep-background")
    part = tmp_path / "out.part.mov"
    wait_until(lambda: part.exists() and part.stat().st_size > 50_000)
    running.send_signal(getattr(signal, name))
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert errors.strip().count("\n") == 0, errors
    assert "out.part.mov" in errors
    assert pictures_in(part) > 3
    assert not (tmp_path / "out.mov").exists()


@posix
@pytest.mark.parametrize("given", [0, 20_000], ids=["while it is opened", "while it is read"])
def test_ctrl_c_while_stdin_is_silent(started: Started, tmp_path: Path, given: int) -> None:
    """PyAV swallows an interruption inside its read callback: the clip would seem to end there, whole."""
    running = started("-", "-o", "out.mov", stdin=subprocess.PIPE)
    assert running.stdin is not None
    running.stdin.buffer.write(clip(tmp_path / "in.mkv", 4).read_bytes()[:given])
    running.stdin.flush()
    time.sleep(4)  # longer than the imports, and longer than what was given takes
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 130
    assert running.stderr is not None
    errors = running.stderr.read()
    assert errors.startswith("livematte: interrupted")
    assert "Traceback" not in errors
    assert not (tmp_path / "out.mov").exists()


@posix
@pytest.mark.slow
def test_ctrl_c_while_the_decoder_waits_keeps_what_was_read(started: Started, tmp_path: Path) -> None:
    running = started("-", "-o", "out.mov", "--keep-background", stdin=subprocess.PIPE)
    data = clip(tmp_path / "in.mkv", 120).read_bytes()
    assert running.stdin is not None
    running.stdin.buffer.write(data[: len(data) * 9 // 10])
    running.stdin.flush()
    part = tmp_path / "out.part.mov"
    wait_until(lambda: part.exists() and part.stat().st_size > 20_000)
    time.sleep(6)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 130
    assert running.stderr is not None
    errors = running.stderr.read()
    assert "out.part.mov" in errors
    assert "Fatal Python error" not in errors
    assert pictures_in(part) >= 60


@posix
@pytest.mark.slow
def test_ctrl_c_twice_leaves_a_pipe_that_nobody_empties(started: Started) -> None:
    reading, writing = os.pipe()
    try:
        running = started("synthetic:640x480@25:1000", "-o", "-", stdout=writing)
        time.sleep(6)
        running.send_signal(signal.SIGINT)
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 130
    finally:
        os.close(reading)
        os.close(writing)
    assert running.stderr is not None
    assert "'encode' did not come back" in running.stderr.read()


@posix
def test_a_reader_of_our_words_that_leaves_does_not_end_the_conversion(started: Started, tmp_path: Path) -> None:
    """`livematte convert clip.mp4 | head -1`."""
    running = started("synthetic:160x120@25:40", "-o", "out.mkv")
    assert running.stdout is not None
    assert running.stdout.readline()
    running.stdout.close()
    assert running.wait(timeout=60) == 0
    assert running.stderr is not None
    assert running.stderr.read() == ""
    assert pictures_in(tmp_path / "out.mkv") == 40


@posix
@pytest.mark.parametrize("closing", [">&-", ">&- 2>&-", ">/dev/full"])
def test_a_program_without_a_place_for_its_words_works(tmp_path: Path, closing: str) -> None:
    if "full" in closing and not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    line = f'exec "$@" {closing}'
    arguments = [*COMMAND, "synthetic:64x48@25:3", "-o", "out.mkv"]
    done = subprocess.run(
        ["sh", "-c", line, "sh", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "stdout cannot be written to" in done.stderr or "full" not in closing
    assert pictures_in(tmp_path / "out.mkv") == 3


def test_nothing_on_stdin_is_said(started: Started) -> None:
    running = started("-", "-o", "out.mov")
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 3
    assert "nothing came through stdin" in errors


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("synthetic:64x48@25:3", "-o", f"{'x' * 300}.mov"), 1),
        ((f"{'x' * 300}.mp4", "-o", "out.mov"), 3),
        (("synthetic:64x48@25:100000", "-o", "folder.mov"), 1),
    ],
    ids=["output's name too long", "input's name too long", "output is a folder"],
)
def test_names_that_cannot_be_are_refused_at_once(
    started: Started, tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    (tmp_path / "folder.mov").mkdir()
    running = started(*words)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == code, errors
    assert errors.startswith("livematte: ")
    assert errors.strip().count("\n") == 0
    assert "error that the program does not know" not in errors
    assert [path.name for path in tmp_path.iterdir()] == ["folder.mov"]


@pytest.mark.parametrize("name", ["clip.mov", "pictures/"])
def test_a_file_that_cannot_be_renamed_is_kept_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """On Windows a player that shows the old file keeps its name; the work of an hour is not thrown away for that."""

    def refuse(source: object, target: object) -> None:
        raise PermissionError(13, "Permission denied")

    shot = Shot()
    sink = start(f"{tmp_path / name}{'/' if name.endswith('/') else ''}", shot)
    for index in range(len(shot.pts)):
        sink.write(shot.item(index, sink.wants, wide=sink.alpha_bits > 8))
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(SinkError, match=r"lies? in .*\.part"):
        sink.close()
    (part,) = tmp_path.iterdir()
    assert ".part" in part.name
    assert part.is_dir() or pictures_in(part) == len(shot.pts)


def test_every_warning_is_one_sentence_and_no_line_of_pythons(started: Started) -> None:
    running = started("synthetic:64x48@25:3", "-o", "out.mov", "-o", "out.webm", "-o", "out.mkv", "-o", "pictures/")
    said, errors = running.communicate(timeout=100)
    assert running.returncode == 0, errors
    assert errors == ""
    assert "Warning" not in said
