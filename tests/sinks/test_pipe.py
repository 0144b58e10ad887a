"""Frames through real pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from livematte.config import OutputSettings
from livematte.errors import SinkError
from livematte.reporting import ListReporter
from livematte.sinks.encodings import encoding_for
from livematte.sinks.formats import FORMATS
from livematte.sinks.pipe import PipeSink
from livematte.sinks.pixels import packed_array
from sinks.making import Shot, alpha, decode, times

pytestmark = pytest.mark.skipif(os.name == "nt", reason="descriptors of other pipes are not inherited on Windows")


def _through(name: str, shot: Shot, folder: Path) -> tuple[Path, ListReporter, PipeSink]:
    """Write into a pipe that a thread drains into a file."""
    reader, writer = os.pipe()
    path = folder / f"received.{name}"

    def drain() -> None:
        with os.fdopen(reader, "rb") as source:
            path.write_bytes(source.read())

    thread = threading.Thread(target=drain, name="livematte-test-drain")
    thread.start()
    reporter = ListReporter()
    encoding = encoding_for(FORMATS[name], OutputSettings(), shot.info)
    sink = PipeSink(encoding, wants_audio=False, reporter=reporter, descriptor=writer)
    try:
        sink.open(shot.info)
        for index in range(len(shot.pts)):
            sink.write(shot.item(index, sink.wants))
        sink.close()
    finally:
        os.close(writer)
        thread.join()
    return path, reporter, sink


def test_nut_keeps_times_and_alpha(tmp_path: Path) -> None:
    shot = Shot(pts=(0, 3000, 7000, 8000, 15001))
    path, reporter, sink = _through("nut", shot, tmp_path)
    assert times(path) == [shot.time_base * pts for pts in shot.pts]
    for index, frame in enumerate(decode(path)):
        assert np.array_equal(packed_array(frame)[..., 3], alpha(96, 64, index))
    assert any("cannot be decoded back" in note for note in reporter.notes)
    assert sink.bytes_written == 5 * 96 * 64 * 4


def test_rawvideo_is_pixels_alone_and_says_how_to_read_it(tmp_path: Path) -> None:
    path, reporter, _ = _through("rawvideo", Shot(), tmp_path)
    pixels = np.frombuffer(path.read_bytes(), np.uint8).reshape(8, 64, 96, 4)
    assert np.array_equal(pixels[5, ..., 3], alpha(96, 64, 5))
    assert any("-pix_fmt rgba -video_size 96x64" in note for note in reporter.notes)


def test_a_closed_pipe_is_one_clear_error() -> None:
    reader, writer = os.pipe()
    shot = Shot(width=320, height=240)
    encoding = encoding_for(FORMATS["nut"], OutputSettings(), shot.info)
    sink = PipeSink(encoding, wants_audio=False, reporter=ListReporter(), descriptor=writer)
    try:
        sink.open(shot.info)
        os.close(reader)
        with pytest.raises(SinkError, match="has closed it"):
            _write_all(sink, shot)
        sink.abort(keep=True)
    finally:
        os.close(writer)


def _write_all(sink: PipeSink, shot: Shot) -> None:
    for index in range(len(shot.pts)):
        sink.write(shot.item(index, sink.wants))


_SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from sinks.making import Shot
from livematte.config import OutputSettings
from livematte.reporting import ListReporter
from livematte.sinks import open_sink
shot = Shot()
sink = open_sink("-", settings=OutputSettings(), info=shot.info, reporter=ListReporter())
sink.open(shot.info)
for index in range(8):
    sink.write(shot.item(index, sink.wants))
sink.close()
"""


def test_stdout(tmp_path: Path) -> None:
    tests = str(Path(__file__).resolve().parents[1])
    done = subprocess.run([sys.executable, "-c", _SCRIPT, tests], capture_output=True, check=True, timeout=60)
    (tmp_path / "out.nut").write_bytes(done.stdout)
    assert len(decode(tmp_path / "out.nut")) == 8
    assert done.stderr == b""
