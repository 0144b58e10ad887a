"""What every source owes the pipeline (`sources/base.py`), over all of them."""

from __future__ import annotations

import http.server
import io
import itertools
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clipmaker import Clip, clip_bytes, write_alpha_webm, write_clip, write_pictures, write_variable
from livematte.config import InputSettings
from livematte.errors import SourceError
from livematte.frames import AudioPacket, Frame
from livematte.planes import layout
from livematte.reporting import ListReporter
from livematte.sources import open_source
from livematte.sources.base import Source

Opener = Callable[[InputSettings], Source]
FRAMES = 10


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """`http://user:secret@127.0.0.1:PORT` that serves tmp_path."""

    def handler(*args: object) -> _Handler:
        return _Handler(*args, directory=str(tmp_path))  # type: ignore[arg-type]

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)  # type: ignore[arg-type]
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://user:secret@127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def _piped(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False))


@pytest.fixture(params=["file", "variable", "audio", "alpha", "images", "pattern", "stdin", "url", "synthetic"])
def opener(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opener:
    kind = request.param
    spec = str(tmp_path / "a.mp4")
    if kind in ("file", "url"):
        write_clip(tmp_path / "a.mp4", Clip(container_options={"movflags": "faststart"}))
        spec = f"{request.getfixturevalue('server')}/a.mp4" if kind == "url" else spec
    elif kind == "variable":
        write_variable(tmp_path / "a.mp4")
    elif kind == "audio":
        write_clip(tmp_path / "a.mp4", Clip(audio=("aac", "aac")))
    elif kind == "alpha":
        spec = str(write_alpha_webm(tmp_path / "a.webm", frames=FRAMES))
    elif kind in ("images", "pattern"):
        spec = str(write_pictures(tmp_path / "pictures", FRAMES)) + ("/frame_%04d.png" if kind == "pattern" else "")
    elif kind == "stdin":
        _piped(clip_bytes(), monkeypatch)
        spec = "-"
    else:
        spec = f"synthetic:64x48@25:{FRAMES}"

    def open_it(settings: InputSettings) -> Source:
        return open_source(spec, settings, reporter=ListReporter())

    return open_it


def test_info_is_complete_before_the_first_frame_and_true_of_all(opener: Opener) -> None:
    source = opener(InputSettings())
    info = source.info
    assert info.name
    assert "secret" not in info.name + source.name
    assert source.decoder
    assert not source.is_live
    assert source.damaged == 0
    assert info.frame_rate is not None
    assert info.color.colorspace != "unknown"
    assert info.color.color_range in ("tv", "pc")
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    assert len(frames) == FRAMES
    if info.frame_count is not None:
        assert abs(info.frame_count - FRAMES) <= 1
    for frame in frames:
        picture = frame.host_picture()
        assert (picture.width, picture.height, picture.format.name) == (info.width, info.height, info.pix_fmt)
        assert layout(picture.format.name).bits == info.bits
        assert not layout(picture.format.name).has_alpha
        assert (frame.alpha is not None) is info.has_alpha
        if frame.alpha is not None:
            assert frame.alpha.shape == (info.height, info.width)
            assert frame.alpha.dtype == (np.uint8 if info.bits == 8 else np.uint16)
        assert frame.time.time_base == info.time_base
        assert frame.rgb(width=32, height=32).shape == (32, 32, 3)


def test_order_and_time(opener: Opener) -> None:
    source = opener(InputSettings())
    items = list(source)
    source.close()
    frames = [item for item in items if isinstance(item, Frame)]
    assert [frame.index for frame in frames] == list(range(FRAMES))
    times = [frame.time.seconds for frame in frames]
    assert times[0] == 0
    assert times == sorted(set(times))
    if not source.info.is_variable_rate:
        assert times == [Fraction(n) / source.info.frame_rate for n in range(FRAMES)]
    for earlier, later in itertools.pairwise(frames):
        if earlier.duration is not None and not source.info.is_variable_rate:
            assert earlier.time.pts + earlier.duration == later.time.pts
    packets = [item for item in items if isinstance(item, AudioPacket)]
    assert {packet.track for packet in packets} == set(range(len(source.info.audio)))


def test_a_window_begins_at_zero(opener: Opener) -> None:
    source = opener(InputSettings(start="0.1", end="0.3"))
    frames = [item for item in source if isinstance(item, Frame)]
    source.close()
    assert frames[0].time.pts == 0
    assert frames[0].index == 0
    assert all(frame.time.seconds < Fraction(1, 5) for frame in frames)
    assert len(frames) >= 3


@pytest.mark.parametrize("taken", [0, 1, 4])
def test_close_during_iteration(opener: Opener, taken: int) -> None:
    source = opener(InputSettings())
    items = iter(source)
    for _ in range(taken):
        next(items)
    source.close()
    assert len(list(items)) <= 2
    source.close()


def test_close_from_another_thread_while_it_is_read(opener: Opener) -> None:
    source = opener(InputSettings())
    started, seen = threading.Event(), []

    def read() -> None:
        for item in source:
            seen.append(item)
            started.set()

    reader = threading.Thread(target=read)
    reader.start()
    started.wait(10)
    source.close()
    reader.join(10)
    assert not reader.is_alive()
    assert seen


def test_no_threads_are_left(opener: Opener) -> None:
    before = {thread.name for thread in threading.enumerate()}
    source = opener(InputSettings())
    list(source)
    source.close()
    left = {thread.name for thread in threading.enumerate()} - before
    assert not {name for name in left if "process_request_thread" not in name}


def test_frames_outlive_their_source(opener: Opener) -> None:
    source = opener(InputSettings())
    frames = [item for item in source if isinstance(item, Frame)]
    before = [frame.rgb(width=64, height=48) for frame in frames]
    source.close()
    del source
    assert all((frame.rgb(width=64, height=48) == rgb).all() for frame, rgb in zip(frames, before, strict=True))


# --- URLs and pipes ---


def test_a_missing_url_is_an_error_without_credentials(server: str) -> None:
    with pytest.raises(SourceError, match="404") as caught:
        open_source(f"{server}/absent.mp4", InputSettings(), reporter=ListReporter())
    assert "secret" not in str(caught.value)


def test_a_refused_connection_is_an_error() -> None:
    with pytest.raises(SourceError, match="refused") as caught:
        open_source("http://me:secret@127.0.0.1:9/a.mp4", InputSettings(), reporter=ListReporter())
    assert "secret" not in str(caught.value)


def test_an_mp4_with_its_index_at_the_end_cannot_be_piped_and_the_message_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = Clip(frames=100, options={"preset": "ultrafast", "crf": "1"}, width=320, height=240)
    _piped(write_clip(tmp_path / "a.mp4", clip).read_bytes(), monkeypatch)
    with pytest.raises(SourceError, match="faststart"):
        open_source("-", InputSettings(), reporter=ListReporter())


def test_an_empty_pipe_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _piped(b"", monkeypatch)
    with pytest.raises(SourceError, match="stdin"):
        open_source("-", InputSettings(), reporter=ListReporter())


def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr("livematte.sources.opening.URL_TIMEOUT_SECONDS", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        with pytest.raises(SourceError, match="no data arrived in time"):
            open_source(f"http://127.0.0.1:{port}/a.mp4", InputSettings(), reporter=ListReporter())
