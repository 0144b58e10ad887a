"""An open camera as a source: FFmpeg's test pictures, MJPEG in memory and a scripted device in the camera's place."""

from __future__ import annotations

import errno
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
import pytest

from livematte.config import LiveSettings
from livematte.errors import EndedEarly, SourceError, UsageError
from livematte.frames import Frame
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter
from livematte.sources import camera, camera_source
from livematte.sources.camera_arguments import DeviceArguments
from livematte.sources.camera_clock import CameraClock
from livematte.sources.camera_kinds import Camera, Survey
from livematte.sources.camera_modes import Mode
from livematte.sources.camera_source import CameraSource, Opened
from livematte.sources.live import is_camera, open_live_source

MICRO = Fraction(1, 1_000_000)
C920 = Camera(
    0,
    "C920",
    "/dev/video0",
    modes=(Mode(1280, 720, Fraction(10), "yuyv422"), Mode(1280, 720, Fraction(30), "mjpeg")),
)
LOOPBACK = Camera(-1, "Droidcam", "/dev/video7", kind="loopback", remark="a loopback device")


def _lavfi(pix_fmt: str = "yuyv422", size: str = "64x48") -> Any:
    return av.open(f"testsrc2=size={size}:rate=30,format={pix_fmt}", "r", format="lavfi")


def _source(container: Any, say: ListReporter | None = None, *, mirror: bool = False) -> CameraSource:
    return CameraSource(Opened(container, C920, None, "linux"), mirror=mirror, reporter=say or ListReporter())


def _take(source: CameraSource, count: int) -> list[Frame]:
    frames = []
    for frame in source:
        assert isinstance(frame, Frame)
        frames.append(frame)
        if len(frames) == count:
            break
    return frames


# --- the clock ---


def _clock(*, is_monotonic: bool = True) -> CameraClock:
    return CameraClock(MICRO, 33_333, is_monotonic=is_monotonic)


def test_a_monotonic_stamp_is_the_moment_of_capture() -> None:
    clock = _clock()
    assert clock(5_000_000, 5_040_000_000) == (0, 5_000_000_000)
    assert clock(5_033_400, 5_070_000_000) == (33_400, 5_033_400_000)


@pytest.mark.parametrize("stamp", [None, 1_700_000_000_000_000, 0, 100_000_001])
def test_other_stamps_leave_the_moment_of_the_read(stamp: int | None) -> None:
    assert _clock()(stamp, 100_000_000_000)[1] == 100_000_000_000


def test_windows_stamps_are_not_taken_for_ours() -> None:
    assert _clock(is_monotonic=False)(5_000_000, 5_040_000_000)[1] == 5_040_000_000


def _play(stamps: list[int | None], reads_ms: list[int]) -> tuple[list[int], int]:
    clock = _clock()
    made = [clock(stamp, read * 1_000_000)[0] for stamp, read in zip(stamps, reads_ms, strict=True)]
    assert made == sorted(set(made))
    return made, clock.jumps


def test_stamps_that_go_back_go_on() -> None:
    made, jumps = _play([9_000_000, 9_033_000, 1_000, 34_000, 67_000], [9000, 9033, 9066, 9099, 9132])
    assert made == [0, 33_000, 66_000, 99_000, 132_000]
    assert jumps == 1


def test_stamps_that_leap_ahead_go_on() -> None:
    made, jumps = _play([9_000_000, 9_033_000, 99_000_000, 99_033_000], [9000, 9033, 9066, 9099])
    assert made == [0, 33_000, 66_000, 99_000]
    assert jumps == 1


def test_a_late_reader_is_no_jump() -> None:
    """Three seconds without a read: four old frames at once, then live ones; their own distances count."""
    stamps = [0, 33_000, 66_000, 99_000, 132_000, 3_100_000, 3_133_000]
    made, jumps = _play([stamp + 9_000_000 for stamp in stamps], [9000, 9033, 12_000, 12_001, 12_002, 12_110, 12_140])
    assert made == stamps
    assert jumps == 0


def test_missing_and_equal_stamps_rise() -> None:
    made, _ = _play([1000, None, 70_000, 70_000], [1, 34, 70, 103])
    assert made[:3] == [0, 33_333, 33_333 + 69_000]


# --- frames ---


@pytest.mark.parametrize(
    ("pix_fmt", "working"), [("yuyv422", "yuv422p"), ("nv12", "yuv420p"), ("yuv420p", "yuv420p"), ("bgr24", "gbrp")]
)
def test_frames_of_a_camera(pix_fmt: str, working: str) -> None:
    before = time.monotonic_ns()
    source = _source(_lavfi(pix_fmt))
    frames = _take(source, 5)
    assert source.is_live
    assert source.info.pix_fmt == working
    assert source.info.frame_rate == 30
    assert source.info.name.startswith("camera 0: C920, 64x48 at 30, ")
    assert source.name == source.info.name
    assert source.decoder == f"raw {pix_fmt}"
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time.seconds for frame in frames] == [Fraction(index, 30) for index in range(5)]
    captured = [frame.captured_ns for frame in frames]
    assert captured == sorted(captured)  # type: ignore[type-var]
    assert all(before <= one <= time.monotonic_ns() for one in captured)  # type: ignore[operator]
    if pix_fmt != "bgr24":
        assert (source.info.color.colorspace, source.info.color.color_range) == (
            "smpte170m",
            "tv",
        )  # USB video's default
    source.close()


def test_a_picture_does_not_lie_in_the_cameras_memory() -> None:
    """v4l2's buffers are unmapped when the device is closed: a working-format picture must be copied."""
    source = _source(_lavfi("yuv420p"))
    picture, read_ns = source._next_picture()  # type: ignore[misc]
    frame = source._frame(picture, read_ns)
    for theirs, ours in zip(plane_arrays(picture), plane_arrays(frame.host_picture()), strict=True):
        assert not np.shares_memory(theirs, ours)
        np.testing.assert_array_equal(theirs, ours)
    source.close()


def test_mirror() -> None:
    plain, turned = _source(_lavfi()), _source(_lavfi(), mirror=True)
    for one, other in zip(_take(plain, 2), _take(turned, 2), strict=True):
        for left, right in zip(plane_arrays(one.host_picture()), plane_arrays(other.host_picture()), strict=True):
            np.testing.assert_array_equal(left[:, ::-1], right)
    plain.close()
    turned.close()


def _jpegs(count: int) -> list[bytes]:
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 48, "yuvj422p", Fraction(1, 30)
    rng = np.random.default_rng(3)
    made = []
    for index in range(count):
        picture = av.VideoFrame.from_ndarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), format="rgb24")
        picture.pts = index
        made += [bytes(packet) for packet in encoder.encode(picture)]
    return made


def _mjpeg(jpegs: list[bytes]) -> Any:
    return av.open(io.BytesIO(b"".join(jpegs)), "r", format="mjpeg")


def test_damaged_jpegs_are_skipped_and_counted() -> None:
    jpegs = _jpegs(12)
    for index in (4, 7):
        jpegs[index] = jpegs[index][: len(jpegs[index]) // 2]
    say = ListReporter()
    source = _source(_mjpeg(jpegs), say)
    assert source.info.pix_fmt == "yuv422p"
    assert source.info.color.color_range == "pc"
    assert "MJPEG" in source.info.name
    frames = []
    with pytest.raises(EndedEarly, match="unplugged"):
        frames.extend(iter(source))
    assert source.damaged == 2
    assert any("damaged frames" in line for line in say.warnings)
    source.close()


def test_a_camera_whose_every_jpeg_breaks_the_standard_is_read() -> None:
    broken = [jpeg[: len(jpeg) * 3 // 4] for jpeg in _jpegs(60)]
    say = ListReporter()
    source = _source(_mjpeg(broken), say)
    assert len(_take(source, 5)) == 5
    assert any("break the standard" in line for line in say.notes)
    source.close()


# --- a scripted device ---


class Packets:
    """A container whose demuxer does what the script says: packets of a real one, exceptions, calls."""

    def __init__(self, script: list[Any]) -> None:
        self._real = _lavfi()
        self._packets = (packet for packet in self._real.demux(video=0))
        self.streams = self._real.streams
        self.script = script
        self.closed = False

    def demux(self, stream: Any) -> Iterator[Any]:
        while self.script:
            step = self.script.pop(0)
            if isinstance(step, BaseException):
                raise step
            if callable(step):
                step()
            if step != "nothing":
                yield next(self._packets)
        yield from self._packets

    def close(self) -> None:
        self.closed = True
        self._packets.close()
        self._real.close()


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_a_read_that_has_no_frame_yet_is_tried_again() -> None:
    again: list[Any] = [BlockingIOError(errno.EAGAIN, "again")] * 3
    source = _source(Packets([*again, "frame", *again, "frame"]))
    assert len(_take(source, 3)) == 3
    assert source.damaged == 0
    source.close()


def test_an_unplugged_camera() -> None:
    say = ListReporter()
    container = Packets(["frame", "frame", _os_error(errno.ENODEV)])
    source = _source(container, say)
    taken: list[object] = []
    with pytest.raises(EndedEarly, match=r"camera 0 \(C920, /dev/video0\) was unplugged"):
        taken.extend(iter(source))
    source.close()
    assert container.closed


def test_damage_in_a_row_ends_it() -> None:
    damage: list[Any] = [av.error.InvalidDataError(1094995529, "Invalid data")] * 200
    source = _source(Packets(["frame", "frame", *damage]))
    with pytest.raises(SourceError, match="nothing but damaged frames"):
        list(source)
    assert source.damaged == 91
    source.close()


def test_close_during_a_read_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """close() comes back; the reading thread gives the device back itself when its read returns."""
    monkeypatch.setattr(camera_source, "_CLOSE_WAIT_SECONDS", 0.05)
    hangs, released = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        released.wait(20)

    container = Packets(["frame", "frame", hang])
    source = _source(container)
    thread = threading.Thread(target=lambda: list(source), name="livematte-test-reader")
    thread.start()
    assert hangs.wait(20)
    source.close()
    assert not container.closed
    released.set()
    thread.join(20)
    assert not thread.is_alive()
    assert container.closed


def test_close_between_two_reads() -> None:
    container = Packets([])
    source = _source(container)
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == 3:
            source.close()
    assert len(frames) == 3
    assert container.closed
    source.close()


def test_frames_that_waited_for_the_engine_are_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = lambda: time.sleep(0.05)  # noqa: E731  a live frame is waited for
    source = _source(Packets(["frame", *["frame"] * 9, slow, "frame", "frame"]))
    source._opened_ns -= 1_000_000_000  # the engine took a second
    first = next(iter(source))
    assert isinstance(first, Frame)
    assert source.stale == 10
    assert first.index == 0
    assert first.time.pts == 0
    source.close()


# --- opening ---


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[DeviceArguments]]:
    """Puts cameras and a device into the system's place; gives the list of arguments that it is opened with."""

    def install(*outcomes: Any, cameras: tuple[Camera, ...] = (C920,)) -> list[DeviceArguments]:
        asked: list[DeviceArguments] = []
        left = list(outcomes)

        def open_device(arguments: DeviceArguments, log: list[str]) -> Any:
            asked.append(arguments)
            outcome = left.pop(0)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        listed = tuple(one for one in cameras if one.kind == "camera")
        others = tuple(one for one in cameras if one.kind != "camera")
        monkeypatch.setattr(camera, "survey", lambda system: Survey(listed, others))
        monkeypatch.setattr(camera, "this_system", lambda: "linux")
        monkeypatch.setattr(camera, "open_device", open_device)
        return asked

    return install


def test_the_best_mode_is_asked_for(opens: Callable[..., list[DeviceArguments]]) -> None:
    asked = opens(_lavfi("yuv420p", "1280x720"))
    say = ListReporter()
    source = open_live_source(LiveSettings(), reporter=say)
    assert asked[0].file == "/dev/video0"
    assert asked[0].options["video_size"] == "1280x720"
    assert asked[0].options["input_format"] == "mjpeg"
    assert source.info.width == 1280
    assert say.warnings == []
    source.close()


def test_what_was_got_instead_is_said(opens: Callable[..., list[DeviceArguments]]) -> None:
    opens(_lavfi("yuv420p", "640x480"))
    say = ListReporter()
    source = open_live_source(LiveSettings(input="c920"), reporter=say)
    assert any("was asked for 1280x720 at 30, MJPEG, and gives 640x480 at 30" in line for line in say.warnings)
    source.close()


def test_a_driver_that_lists_what_it_does_not_take(opens: Callable[..., list[DeviceArguments]]) -> None:
    asked = opens(_os_error(errno.EINVAL), _lavfi())
    say = ListReporter()
    open_live_source(LiveSettings(), reporter=say).close()
    assert len(asked) == 2
    assert "video_size" not in asked[1].options
    assert any("opened as it stands" in line for line in say.notes)


def test_what_was_asked_for_is_not_dropped(opens: Callable[..., list[DeviceArguments]]) -> None:
    asked = opens(_os_error(errno.EINVAL))
    with pytest.raises(SourceError, match="does not take 1280x720 at 10, YUYV"):
        open_live_source(LiveSettings(camera_format="yuyv"), reporter=ListReporter())
    assert len(asked) == 1


def test_a_size_that_is_near_enough(opens: Callable[..., list[DeviceArguments]]) -> None:
    asked = opens(_os_error(errno.EINVAL), _lavfi())
    say = ListReporter()
    open_live_source(LiveSettings(camera_size="~1920x1080"), reporter=say).close()
    assert asked[0].options["video_size"] == "1280x720"
    assert any("has no mode of ~1920x1080; 1280x720 at 30, MJPEG is the nearest" in line for line in say.notes)
    assert "video_size" not in asked[1].options


def test_a_busy_camera(opens: Callable[..., list[DeviceArguments]]) -> None:
    opens(_os_error(errno.EBUSY))
    with pytest.raises(SourceError, match="is in use by"):
        open_live_source(LiveSettings(), reporter=ListReporter())


def test_a_camera_that_tells_no_modes(opens: Callable[..., list[DeviceArguments]]) -> None:
    bare = Camera(0, "Old Cam", "/dev/video0")
    asked = opens(_lavfi(), _lavfi(), cameras=(bare,))
    open_live_source(LiveSettings(), reporter=ListReporter()).close()
    open_live_source(LiveSettings(camera_size="64x48"), reporter=ListReporter()).close()
    assert "video_size" not in asked[0].options
    assert asked[1].options["video_size"] == "64x48"
    assert "input_format" not in asked[1].options


def test_another_programs_virtual_camera_is_taken_by_name_only(opens: Callable[..., list[DeviceArguments]]) -> None:
    opens(_lavfi(), cameras=(LOOPBACK,))
    say = ListReporter()
    with pytest.raises(SourceError, match=r"there is no camera 0.*left out: Droidcam"):
        open_live_source(LiveSettings(), reporter=say)
    open_live_source(LiveSettings(input="Droidcam"), reporter=say).close()
    assert any("is a virtual camera" in line for line in say.notes)


def test_the_output_is_never_the_input(opens: Callable[..., list[DeviceArguments]]) -> None:
    opens(cameras=(LOOPBACK,))
    with pytest.raises(SourceError, match="cannot be the input too"):
        open_live_source(LiveSettings(input="Droidcam", device_name="/dev/video7"), reporter=ListReporter())


def test_settings_that_cannot_be_read(opens: Callable[..., list[DeviceArguments]]) -> None:
    opens()
    with pytest.raises(UsageError, match="--camera-size"):
        open_live_source(LiveSettings(camera_size="hd"), reporter=ListReporter())


# --- what --input means ---


@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        (None, True), ("0", True), ("/dev/video3", True), ("C920", True), ("HD Pro Webcam", True),
        ("clip.mp4", False), ("folder/C920", False), ("-", False), ("synthetic:64x48@30:10", False),
        ("rtsp://host/cam", False), ("https://host/a.mp4", False), ("shot_%04d.png", False), ("x" * 5000, True),
    ],
)  # fmt: skip
def test_what_is_a_camera(spec: str | None, answer: bool) -> None:
    assert is_camera(spec) is answer


def test_a_missing_clip_is_not_taken_for_a_camera() -> None:
    with pytest.raises(SourceError, match=r"there is no file 'missing\.mp4'"):
        open_live_source(LiveSettings(input="missing.mp4"), reporter=ListReporter())


def test_a_file_without_a_suffix_is_a_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "C920").write_bytes(b"x")
    assert is_camera("C920") is False
