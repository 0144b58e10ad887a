"""Cameras by number, name and path; what FFmpeg is told on each system; the systems' lists."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av.device
import pytest

from livematte.errors import SourceError
from livematte.sources import camera_devices, camera_listing, camera_v4l2
from livematte.sources.camera_arguments import DeviceArguments, camera_modes_of, device_arguments
from livematte.sources.camera_devices import Camera, Survey, describe_camera, find_camera
from livematte.sources.camera_errors import holders_of, opening_error, reading_error
from livematte.sources.camera_kinds import System
from livematte.sources.camera_listing import Entry, parse_device_log, survey_linux, survey_of_entries
from livematte.sources.camera_modes import Mode

HD = Mode(1280, 720, Fraction(30), "mjpeg")
RAW = Mode(640, 480, Fraction(30000, 1001), "yuyv422")
LINUX = Camera(0, "HD Pro Webcam C920", "/dev/video2", modes=(HD, RAW))
WINDOWS = Camera(0, "HD Pro Webcam C920", r"@device_pnp_\\?\usb#vid_046d&pid_082d#{65e8773d}\global")
MAC = Camera(1, "FaceTime HD Camera", "1")


# --- arguments ---


@pytest.mark.parametrize(
    ("system", "camera", "mode", "file", "device", "options"),
    [
        ("linux", LINUX, HD, "/dev/video2", "v4l2",
         {"video_size": "1280x720", "framerate": "30", "input_format": "mjpeg"}),
        ("linux", LINUX, RAW, "/dev/video2", "v4l2",
         {"video_size": "640x480", "framerate": "30000/1001", "input_format": "yuyv422"}),
        ("linux", LINUX, None, "/dev/video2", "v4l2", {}),
        ("windows", WINDOWS, HD, f"video={WINDOWS.path}", "dshow",
         {"video_size": "1280x720", "framerate": "30", "vcodec": "mjpeg", "rtbufsize": "67108864"}),
        ("windows", WINDOWS, RAW, f"video={WINDOWS.path}", "dshow",
         {"video_size": "640x480", "framerate": "30000/1001", "pixel_format": "yuyv422", "rtbufsize": "67108864"}),
        ("windows", WINDOWS, None, f"video={WINDOWS.path}", "dshow", {"rtbufsize": "67108864"}),
        ("macos", MAC, Mode(1280, 720, Fraction(30), ""), "1:none", "avfoundation",
         {"video_size": "1280x720", "framerate": "30", "pixel_format": "nv12"}),
        ("macos", MAC, Mode(1280, 720, Fraction(30), "uyvy422"), "1:none", "avfoundation",
         {"video_size": "1280x720", "framerate": "30", "pixel_format": "uyvy422"}),
        ("macos", MAC, None, "1:none", "avfoundation", {"framerate": "30", "pixel_format": "nv12"}),
    ],
)  # fmt: skip
def test_what_ffmpeg_is_told(
    system: System, camera: Camera, mode: Mode | None, file: str, device: str, options: dict[str, str]
) -> None:
    quick = {"probesize": "32", "fpsprobesize": "0"}
    assert device_arguments(system, camera, mode) == DeviceArguments(file, device, {**quick, **options})


def test_modes_that_a_log_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DeviceArguments] = []

    def log(arguments: DeviceArguments) -> list[str]:
        asked.append(arguments)
        return ["  vcodec=mjpeg  min s=1280x720 fps=30 max s=1280x720 fps=30", "  1280x720@[15.0 30.000030]fps"]

    monkeypatch.setattr("livematte.sources.camera_arguments.log_of", log)
    assert camera_modes_of(WINDOWS, "windows") == (HD,)
    assert camera_modes_of(MAC, "macos") == (Mode(1280, 720, Fraction(30), ""),)
    assert camera_modes_of(LINUX, "linux") == LINUX.modes
    assert [(one.format, one.file) for one in asked] == [("dshow", f"video={WINDOWS.path}"), ("avfoundation", "1:none")]
    assert asked[0].options == {"list_options": "true"}


# --- which one is meant ---

FOUND = Survey(
    (
        Camera(0, "HD Pro Webcam C920", "/dev/video0", modes=(HD,)),
        Camera(1, "Integrated Camera", "/dev/video2"),
        Camera(2, "Integrated Camera", "/dev/video4"),
    ),
    (
        Camera(-1, "HD Pro Webcam C920", "/dev/video1", kind="not a camera", remark="it carries metadata"),
        Camera(-1, "livematte", "/dev/video10", kind="own", remark="livematte's own virtual camera"),
        Camera(-1, "Droidcam", "/dev/video11", kind="loopback", remark="a loopback device"),
    ),
)


@pytest.mark.parametrize(
    ("spec", "path"),
    [(None, "/dev/video0"), ("0", "/dev/video0"), ("2", "/dev/video4"), ("c920", "/dev/video0"),
     ("HD Pro Webcam C920", "/dev/video0"), ("/dev/video2", "/dev/video2"), ("droidcam", "/dev/video11"),
     ("/dev/video11", "/dev/video11"), ("video=HD Pro Webcam C920", "/dev/video0")],
)  # fmt: skip
def test_a_camera_is_found(spec: str | None, path: str) -> None:
    assert find_camera(spec, FOUND).path == path


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("7", r"there is no camera 7. There are: 0 \(HD Pro Webcam C920, /dev/video0\), 1 \(Integrated"),
        ("10", "there is no camera 10"),  # /dev/video10 has no number of its own
        ("integrated", "is the name of 2 cameras.*Give the number or the path"),
        ("livematte", "own virtual camera; it cannot be its own input"),
        ("/dev/video10", "own virtual camera"),
        ("/dev/video1", "gives no pictures that can be read: it carries metadata"),
        ("Elgato", "there is no camera and no file 'Elgato'"),
    ],
)
def test_a_camera_that_is_not_meant_to_be_opened(spec: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        find_camera(spec, FOUND)


def test_no_camera_at_all_says_what_to_do() -> None:
    with pytest.raises(SourceError, match=r"No camera was found \(no devices\).*--input clip.mp4 --loop"):
        find_camera(None, Survey((), (), "no devices"))


def test_a_link_by_id_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_devices.Path, "resolve", lambda self: Path("/dev/video2"))
    assert find_camera("/dev/v4l/by-id/usb-046d_HD_Pro-video-index0", FOUND).number == 1


def test_a_camera_on_one_line() -> None:
    assert describe_camera(FOUND.cameras[0]) == "0  HD Pro Webcam C920 (/dev/video0): 1280x720 at 30 (MJPEG)"


# --- Linux' list ---

NODES = {
    "/dev/video0": ("uvcvideo", "IR Camera", 0x04200001, [Mode(640, 360, Fraction(30), "gray")]),
    "/dev/video1": ("uvcvideo", "HD Pro Webcam C920", 0x04A00000, []),
    "/dev/video2": ("uvcvideo", "HD Pro Webcam C920", 0x04200001, [HD]),
    "/dev/video9": ("v4l2 loopback", "livematte", 0x05200002, []),
    "/dev/video10": ("v4l2 loopback", "OBS Virtual Camera", 0x05200003, []),
    "/dev/video12": ("bcm2835-codec", "bcm2835-codec-decode", 0x04208000, []),
    "/dev/video13": ("qcom-camss", "msm_vfe0", 0x04201000, []),
}


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sysfs with these nodes, one that may not be opened and one that is gone."""
    for path in (*NODES, "/dev/video20", "/dev/video21"):
        folder = tmp_path / Path(path).name
        folder.mkdir()
        (folder / "name").write_text(f"name of {path}\n")

    @contextmanager
    def opened(path: str) -> Iterator[str]:
        if path == "/dev/video20":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        if path == "/dev/video21":
            raise OSError(errno.ENODEV, "No such device", path)
        yield path

    def capability(path: str) -> camera_v4l2.Capability:
        driver, card, caps, _ = NODES[path]
        return camera_v4l2.Capability(driver, card, "usb", caps)

    monkeypatch.setattr(camera_v4l2, "opened", opened)
    monkeypatch.setattr(camera_v4l2, "capability", capability)
    monkeypatch.setattr(camera_v4l2, "modes", lambda path: NODES[path][3])
    return tmp_path


def test_linux_lists_cameras_only(nodes: Path) -> None:
    found = survey_linux(nodes)
    assert [(one.number, one.name, one.path) for one in found.cameras] == [
        (0, "HD Pro Webcam C920", "/dev/video2"),
        (1, "IR Camera", "/dev/video0"),  # grey only: last
    ]
    assert found.cameras[0].modes == (HD,)
    kinds = {one.path: one.kind for one in found.left_out}
    assert kinds == {
        "/dev/video1": "not a camera", "/dev/video9": "own", "/dev/video10": "loopback", "/dev/video12": "not a camera",
        "/dev/video13": "not a camera", "/dev/video20": "camera", "/dev/video21": "not a camera",
    }  # fmt: skip
    exclusive = {one.path: one.exclusive for one in found.left_out if one.exclusive is not None}
    assert exclusive == {"/dev/video9": True, "/dev/video10": False}
    assert "/dev/video20 may not be opened by this user: sudo usermod -aG video" in found.trouble


def test_a_device_that_the_kernel_does_not_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, /dev/video2 may be there without its entry in sysfs."""

    @contextmanager
    def opened(path: str) -> Iterator[str]:
        yield path

    monkeypatch.setattr(camera_v4l2, "opened", opened)
    monkeypatch.setattr(
        camera_v4l2, "capability", lambda path: camera_v4l2.Capability("uvcvideo", "C920", "", 0x4200001)
    )
    monkeypatch.setattr(camera_v4l2, "modes", lambda path: [HD])
    monkeypatch.setattr(Path, "is_char_device", lambda self: str(self) == "/dev/video2")
    nothing = Survey(())
    camera = find_camera("/dev/video2", camera_listing.with_device(nothing, "/dev/video2"))
    assert (camera.name, camera.modes, str(camera)) == ("C920", (HD,), "camera (C920, /dev/video2)")
    for spec in ("/dev/video3", "C920", None):
        assert camera_listing.with_device(nothing, spec) is nothing
    assert camera_listing.with_device(FOUND, "/dev/video2") is FOUND


def test_a_machine_without_cameras(tmp_path: Path) -> None:
    found = survey_linux(tmp_path / "none")
    assert found.cameras == ()
    assert found.trouble


# --- Windows' and macOS' lists ---

DSHOW_LOG = """\
"Integrated Camera" (video)
  Alternative name "@device_pnp_\\\\?\\usb#vid_04f2"
"OBS Virtual Camera" (none)
  Alternative name "@device_sw_{860BB310}"
"Capture Card" (video, audio)
  Alternative name "@device_pnp_\\\\?\\usb#vid_0fd9"
"Microphone Array" (audio)
  Alternative name "@device_cm_{33D9A762}"
"""
AVF_LOG = """\
AVFoundation video devices:
[0] FaceTime HD Camera
[1] OBS Virtual Camera
[2] Capture screen 0
AVFoundation audio devices:
[0] MacBook Pro Microphone
"""


def test_lists_that_ffmpeg_logs() -> None:
    assert parse_device_log([DSHOW_LOG]) == [
        Entry(r"@device_pnp_\\?\usb#vid_04f2", "Integrated Camera"),
        Entry(r"@device_pnp_\\?\usb#vid_0fd9", "Capture Card"),
    ]
    assert parse_device_log(AVF_LOG.splitlines()) == [
        Entry("0", "FaceTime HD Camera"),
        Entry("1", "OBS Virtual Camera"),
        Entry("2", "Capture screen 0"),
    ]


def test_screens_and_virtual_cameras_are_left_out() -> None:
    found = survey_of_entries(parse_device_log([AVF_LOG]), "macos")
    assert [(one.number, one.name, one.path) for one in found.cameras] == [(0, "FaceTime HD Camera", "0")]
    assert [one.name for one in found.left_out] == ["OBS Virtual Camera"]


def test_pyavs_own_list(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [
        SimpleNamespace(name="@device_pnp_1", description="Camera A", media_types=["video"]),
        SimpleNamespace(name="@device_cm_2", description="Microphone", media_types=["audio"]),
    ]
    monkeypatch.setattr(av.device, "enumerate_input_devices", lambda name: listed if name == "dshow" else [])
    found = camera_listing.survey_by_ffmpeg("windows")
    assert [(one.name, one.path) for one in found.cameras] == [("Camera A", "@device_pnp_1")]


def test_a_pyav_without_the_device_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> list[object]:
        raise ValueError(f"no such input format: {name!r}")

    monkeypatch.setattr(av.device, "enumerate_input_devices", none)
    assert "avfoundation" in camera_listing.survey_by_ffmpeg("macos").trouble


def test_an_older_pyav_asks_ffmpegs_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(av.device, "enumerate_input_devices")
    monkeypatch.setattr(camera_listing, "log_of", lambda arguments: AVF_LOG.splitlines())
    assert [one.name for one in camera_listing.survey_by_ffmpeg("macos").cameras] == ["FaceTime HD Camera"]


# --- errors ---


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/dev/video0")


@pytest.mark.parametrize(
    ("system", "number", "log", "message"),
    [
        ("linux", errno.EBUSY, "", r"is in use by another program \(of another user, or it would be named\)\. Close"),
        ("linux", errno.EACCES, "", "may not be used: permission was denied.*usermod -aG video"),
        ("linux", errno.ENODEV, "", "is not there any more"),
        ("linux", errno.ENOENT, "", "is not there any more"),
        ("linux", errno.EINVAL, "", "does not take 1280x720 at 30, MJPEG.*--camera-size"),
        ("linux", errno.EIO, "", "cannot be opened: .*Unplug it"),
        ("windows", errno.EIO, "Could not run graph (sometimes caused by a device already in use by other application)",
         r"is in use by another program\. Close that program"),
        ("windows", errno.EIO, "Could not find video device with name [x] among source devices of type video.",
         "is not there any more"),
        ("windows", errno.EIO, "", "cannot be opened.*Privacy & security, Camera"),
        ("macos", errno.EIO, "Failed to create AV capture input device: Cannot use FaceTime HD Camera",
         "may not be used.*System Settings, Privacy & Security, Camera"),
        ("macos", errno.EIO, "Video device not found", "is not there any more"),
    ],
)  # fmt: skip
def test_opening_errors_say_what_to_do(system: System, number: int, log: str, message: str) -> None:
    lines = [log] if log else []
    error = opening_error(_os_error(number), LINUX, system, log=lines, asked=str(HD))
    assert re.search(message, str(error)), str(error)
    assert "camera 0 (HD Pro Webcam C920" in str(error)


def test_a_camera_that_goes_away() -> None:
    assert "was unplugged or switched off" in str(reading_error(_os_error(errno.ENODEV), LINUX))
    assert "was unplugged or switched off" in str(reading_error(None, LINUX))
    assert "stopped: " in str(reading_error(_os_error(errno.ENOSPC), LINUX))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")
def test_the_program_that_holds_a_camera_is_named(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch()
    code = "import sys; held = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(device)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        (line,) = holders_of(str(device))
        holder.communicate("")
    assert re.fullmatch(rf"\S+ \(process {holder.pid}\)", line)
    assert holders_of(str(device)) == []
