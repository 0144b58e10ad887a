"""The virtual camera: which is taken, what is sent to it, who watches, and each refusal with the line that helps."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_outputs_making import (
    FakeCamera,
    FakeLoopback,
    FakeMacObs,
    FakeOwn,
    FakeUnity,
    FakeWindowsObs,
    Machine,
    Shot,
    info,
    placeholder,
    settings,
)

from livematte.errors import SinkError
from livematte.live.outputs import camera_backends, loopback, video_nodes
from livematte.live.outputs.camera_backends import System
from livematte.live.outputs.loopback import LOAD_LINE, RELOAD_LINE
from livematte.live.outputs.running import is_obs_running
from livematte.live.outputs.video_nodes import Capabilities
from livematte.live.outputs.virtual_camera import VirtualCameraOutput
from livematte.reporting import ListReporter

RATE = Fraction(30)
Register = Callable[..., None]
BOTH = [("obs", "OBS Virtual Camera"), ("unitycapture", "Unity Video Capture")]


def windows(machine: Machine, *installed: tuple[str, str]) -> System:
    return System("win32", machine.roots, lambda: list(installed))


def made(system: System, reporter: ListReporter | None = None, **sections: Any) -> VirtualCameraOutput:
    return VirtualCameraOutput("virtual", settings(**sections), reporter=reporter or ListReporter(), system=system)


def opened(system: System, reporter: ListReporter | None = None, **sections: Any) -> VirtualCameraOutput:
    output = made(system, reporter, **sections)
    output.open(info(), RATE)
    return output


# -- which camera ---------------------------------------------------------------------------------------------------


def test_linux_takes_the_first_free_loopback_and_yuyv(machine: Machine, register: Register) -> None:
    register(v4l2loopback=FakeLoopback)
    machine.node(0, "HD Webcam", loopback=False)
    path = machine.node(9, "Nine")
    machine.node(10, "Ten")
    output = opened(machine.system)
    camera = FakeCamera.made[0]
    assert (camera.name, camera.pixel, camera.size, camera.fps) == (path, "YUYV", (96, 64), 30.0)
    assert 'choose the camera "Nine"' in output.said()[0]
    assert any("mirrors only your own view" in line for line in output.said())
    output.close()
    assert camera.closed == 1


@pytest.mark.parametrize("name", ["/dev/video10", "video10", "10", "Ten"])
def test_linux_takes_the_one_that_is_named(machine: Machine, register: Register, name: str) -> None:
    register(v4l2loopback=FakeLoopback)
    machine.node(9, "Nine")
    machine.node(10, "Ten")
    wanted = name.replace("/dev", str(machine.roots.dev))
    output = made(machine.system, live={"device_name": wanted})
    assert output.found.label == "Ten"


def test_a_loopback_that_another_program_writes_to_is_passed_over(
    machine: Machine, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(v4l2loopback=FakeLoopback)
    busy = machine.node(9, "Nine")
    machine.node(10, "Ten")
    monkeypatch.setattr(loopback, "capabilities", lambda path: Capabilities(takes=path != busy, gives=path == busy))
    assert made(machine.system).found.label == "Ten"
    machine.process(77, "obs", busy)
    with pytest.raises(SinkError, match=r"already writes to .*video9 \(Nine\) by obs \(process 77\)"):
        made(machine.system, live={"device_name": "9"})


def test_windows_takes_obs_first_and_unity_by_name(machine: Machine, register: Register) -> None:
    register(obs=FakeWindowsObs, unitycapture=FakeUnity)
    output = opened(windows(machine, *BOTH))
    assert (FakeCamera.made[0].pixel, output.found.label) == ("I420", "OBS Virtual Camera")
    output.close()
    named = opened(windows(machine, *BOTH), live={"device_name": "unity video capture"})
    assert (FakeCamera.made[1].pixel, named.found.label, named.wants) == ("RGBA", "Unity Video Capture", "straight")
    assert any("ARGB" in line for line in named.said())
    named.close()
    with pytest.raises(SinkError, match="There are: 'OBS Virtual Camera', 'Unity Video Capture'"):
        made(windows(machine, *BOTH), live={"device_name": "Snap Camera"})


def test_macos_sends_what_its_extension_has(machine: Machine, register: Register) -> None:
    register(obs=FakeMacObs)
    output = opened(System("darwin", machine.roots, lambda: BOTH[:1]))
    assert (FakeCamera.made[0].pixel, output.found.label) == ("UYVY", "OBS Virtual Camera")
    output.close()


def test_a_registered_back_end_goes_first(machine: Machine, register: Register) -> None:
    register(v4l2loopback=FakeLoopback, own=FakeOwn)
    output = opened(machine.system)
    assert isinstance(FakeCamera.made[0], FakeOwn)
    assert (output.pixel, output.found.label, output.watchers()) == ("NV12", "Own Camera", 2)
    output.close()


def test_unity_capture_shows_a_background_that_was_asked_for(machine: Machine, register: Register) -> None:
    register(unitycapture=FakeUnity)
    output = opened(windows(machine, BOTH[1]), output={"background": "green"})
    assert output.wants == "composite"
    output.send(Shot(rgb=(0, 255, 0)).frame(0, straight=False))
    assert FakeCamera.made[0].channels()[3].min() == 255
    output.close()


def test_the_next_format_is_tried_where_one_is_refused(machine: Machine, register: Register) -> None:
    class OnlyNv12(FakeLoopback):
        takes = frozenset({"NV12"})

    register(v4l2loopback=OnlyNv12)
    machine.node(10, "Ten")
    output = opened(machine.system)
    assert output.pixel == "NV12"
    output.close()


# -- what is sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rgb", [(255, 0, 0), (0, 255, 0), (200, 150, 120)])
def test_composites_and_placeholders_have_their_colours(
    machine: Machine, register: Register, rgb: tuple[int, int, int]
) -> None:
    """Through the whole output: what pyvirtualcam gets is the colour by BT.601."""
    register(v4l2loopback=FakeLoopback)
    machine.node(10, "Ten")
    output = opened(machine.system)
    output.send(Shot(rgb=rgb).frame(0))
    output.send(placeholder(rgb))
    red, green, blue = (value / 255 for value in rgb)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    wanted = (16 + 219 * luma, 128 + 224 * (blue - luma) / 1.772, 128 + 224 * (red - luma) / 1.402)
    for number in (0, 1):
        for channel, value in zip(FakeCamera.made[0].channels(number), wanted, strict=True):
            assert np.abs(channel - value).max() <= 1.6
    output.close()


def test_straight_frames_reach_unity_capture_with_alpha_and_the_placeholder_opaque(
    machine: Machine, register: Register
) -> None:
    register(unitycapture=FakeUnity)
    output = opened(windows(machine, BOTH[1]))
    frame = Shot(rgb=(200, 150, 120)).frame(4)
    output.send(frame)
    output.send(placeholder())
    assert frame.matted is not None
    assert np.array_equal(FakeCamera.made[0].channels(0)[3], frame.matted.matte.alpha)
    assert FakeCamera.made[0].channels(1)[3].min() == 255
    output.close()


def test_the_same_item_again_is_sent_again_unconverted(
    machine: Machine, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(v4l2loopback=FakeLoopback)
    machine.node(10, "Ten")
    output = opened(machine.system)
    first, second = replace(Shot().frame(0), before=np.zeros((2, 2, 3), np.uint8)), Shot().frame(1)
    output.send(first)
    monkeypatch.setattr(output, "_packed", None)  # calling it would fail
    output.send(replace(first, before=None))  # the fan-out's copy, without the page's raw picture
    monkeypatch.undo()
    output.send(second)
    sent = FakeCamera.made[0].pictures
    assert len(sent) == output.sent == 3
    assert np.array_equal(sent[0], sent[1])
    assert not np.array_equal(sent[1], sent[2])


# -- refusals -------------------------------------------------------------------------------------------------------


def test_no_module(machine: Machine, register: Register) -> None:
    register(v4l2loopback=FakeLoopback)
    with pytest.raises(SinkError, match=r"not installed.*apt install v4l2loopback-dkms") as caught:
        made(machine.system)
    assert LOAD_LINE in str(caught.value)


@pytest.mark.skipif(os.name == "nt", reason="asks for the running Linux kernel's release")
def test_module_installed_but_not_loaded(machine: Machine, register: Register) -> None:
    register(v4l2loopback=FakeLoopback)
    folder = machine.roots.modules / os.uname().release
    folder.mkdir()
    (folder / "modules.dep").write_text(
        "updates/dkms/v4l2loopback.ko.zst: kernel/drivers/media/v4l2-core/videodev.ko\n"
    )
    with pytest.raises(SinkError, match=r"^There is no virtual camera on this machine\. Make one with: sudo modprobe"):
        made(machine.system)


def test_module_loaded_without_a_camera(machine: Machine, register: Register) -> None:
    register(v4l2loopback=FakeLoopback)
    (machine.roots.sys / "module" / "v4l2loopback").mkdir(parents=True)
    with pytest.raises(SinkError, match="is loaded, but made no camera") as caught:
        made(machine.system)
    assert RELOAD_LINE in str(caught.value)


def test_a_real_camera_is_never_written_to(machine: Machine, register: Register) -> None:
    register(v4l2loopback=FakeLoopback)
    machine.node(0, "HD Webcam", loopback=False)
    machine.node(10, "Ten")
    with pytest.raises(SinkError, match=r"is a real camera \(HD Webcam\).*Virtual cameras are: .*video10 \(Ten\)"):
        made(machine.system, live={"device_name": "0"})
    assert not FakeCamera.made


def test_a_number_that_is_not_there(machine: Machine, register: Register) -> None:
    register(v4l2loopback=FakeLoopback)
    machine.node(10, "Ten")
    with pytest.raises(SinkError, match=r"camera 4 does not exist\. There are: .*video10 \(Ten\)"):
        made(machine.system, live={"device_name": "4"})


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may open everything")
def test_no_permission(machine: Machine, register: Register) -> None:
    register(v4l2loopback=FakeLoopback)
    os.chmod(machine.node(10, "Ten"), 0)
    with pytest.raises(SinkError, match=r"usermod -aG video"):
        made(machine.system)


def test_no_permission_as_the_system_says_it(
    machine: Machine, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(v4l2loopback=FakeLoopback)
    machine.node(10, "Ten")
    monkeypatch.setattr(loopback.os, "access", lambda *given: False)
    with pytest.raises(SinkError, match=r"sudo usermod -aG video \"\$USER\""):
        made(machine.system)


def test_a_container_without_the_node(machine: Machine, register: Register) -> None:
    register(v4l2loopback=FakeLoopback)
    Path(machine.node(10, "Ten")).unlink()
    with pytest.raises(SinkError, match=r"In a container start it with: --device .*video10"):
        made(machine.system)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("Virtual camera device DEVICE could not be configured: Invalid argument", r"does not take 96x64.*modprobe -r"),
        ("Virtual camera device DEVICE could not be configured: Device or resource busy", "in use: another program"),
        ("Could not access DEVICE due to missing permissions.", "usermod -aG video"),
        ("Device DEVICE is already in use.", "open twice in this program"),
        ("Device DEVICE is not a video output device.", "another program already writes to"),
        ("Device DEVICE does not exist.", "is gone"),
        ("something new", "could not be opened: something new.*doctor --camera"),
    ],
)
def test_what_pyvirtualcam_says_is_explained(machine: Machine, register: Register, said: str, wanted: str) -> None:
    class Refusing(FakeLoopback):
        fails_to_open = said

    register(v4l2loopback=Refusing)
    machine.node(10, "Ten")
    with pytest.raises(SinkError, match=wanted):
        opened(machine.system)


def test_a_size_that_a_reader_holds(machine: Machine, register: Register) -> None:
    """VIDIOC_S_FMT succeeds with the size that is there, and pyvirtualcam would fail each write without a word."""
    register(v4l2loopback=FakeLoopback)
    path = machine.node(10, "Ten")
    machine.process(4242, "chrome", path)
    machine.format(10, "YUYV:640x480@30/1")
    output = made(machine.system)
    with pytest.raises(SinkError, match=r"it has 640x480, held by chrome \(process 4242\)\. Close"):
        output.open(info(), RATE)
    assert FakeCamera.made[0].closed == 1


def test_a_node_that_vanishes_or_changes_its_size_ends_it(machine: Machine, register: Register) -> None:
    register(v4l2loopback=FakeLoopback)
    path, now = machine.node(10, "Ten"), [0.0]
    output = VirtualCameraOutput(
        "virtual", settings(), reporter=ListReporter(), system=machine.system, clock=lambda: now[0]
    )
    output.open(info(), RATE)
    output.send(Shot().frame(0))
    machine.format(10, "YUYV:640x480@30/1")
    output.send(Shot().frame(1))  # within a second of the last look
    now[0] = 1.5
    with pytest.raises(SinkError, match="it has 640x480"):
        output.send(Shot().frame(2))
    Path(path).unlink()
    now[0] = 3.0
    with pytest.raises(SinkError, match="is gone"):
        output.send(Shot().frame(3))
    output.close()


def test_without_exclusive_caps_it_warns(machine: Machine, register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    register(v4l2loopback=FakeLoopback)
    machine.node(10, "Ten")
    reporter = ListReporter()
    monkeypatch.setattr(video_nodes, "capabilities", lambda path: Capabilities(takes=True, gives=True))
    opened(machine.system, reporter).close()
    assert len(reporter.warnings) == 1
    assert "without exclusive_caps, so Chrome, Zoom and Teams will not list it" in reporter.warnings[0]
    assert "exclusive_caps=1" in reporter.warnings[0]


def test_obs_holds_its_own_camera(machine: Machine, register: Register) -> None:
    class Busy(FakeWindowsObs):
        fails_to_open = "virtual camera output could not be started"

    register(obs=Busy)
    with pytest.raises(SinkError, match=r"Click Stop Virtual Camera in OBS.*/obs"):
        opened(windows(machine, BOTH[0]))


@pytest.mark.parametrize(
    ("platform", "wanted"), [("win32", "Install OBS.*UnityCapture"), ("darwin", "OBS 30 or newer.*System Settings")]
)
def test_nothing_installed(machine: Machine, register: Register, platform: str, wanted: str) -> None:
    register(obs=FakeWindowsObs)
    with pytest.raises(SinkError, match=wanted):
        made(System(platform, machine.roots, list))


def test_without_pyvirtualcam_the_line_that_installs_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, package: str | None = None) -> Any:
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(camera_backends.importlib, "import_module", missing)
    with pytest.raises(SinkError, match=r"pip install 'livematte\[webcam\]'"):
        made(machine.system)


def test_a_camera_that_stops_taking_pictures_is_a_sink_error_and_can_be_closed(
    machine: Machine, register: Register
) -> None:
    class Breaking(FakeLoopback):
        fails_to_send = True

    register(v4l2loopback=Breaking)
    machine.node(10, "Ten")
    output = opened(machine.system)
    with pytest.raises(SinkError, match="does not take pictures any more: Stream does not exist"):
        output.send(Shot().frame(0))
    output.close()
    output.close()
    assert FakeCamera.made[0].closed == 1


def test_the_kernel_s_answers_are_read_as_its_header_lays_them_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """struct v4l2_capability and struct v4l2_format of linux/videodev2.h, 64 bits."""
    asked: list[tuple[int, int]] = []

    def answer(path: str, request: int, data: bytearray) -> bytearray | None:
        asked.append((request, data[0]))
        if request == 0x80685600:  # VIDIOC_QUERYCAP
            return bytearray(struct.pack("=16s32s32sIII12x", b"v4l2 loopback", b"Ten", b"", 0, 0x85200003, 0x05200002))
        if data[0] == 2:  # V4L2_BUF_TYPE_VIDEO_OUTPUT: taken by a writer
            return None
        data[8:16] = struct.pack("=II", 1280, 720)
        return data

    monkeypatch.setattr(video_nodes, "_ask", answer)
    path = machine.node(10, "Ten")
    assert video_nodes.capabilities(path) == Capabilities(takes=True, gives=False)
    assert video_nodes.present_size(path, machine.roots) == (1280, 720)
    assert asked == [(0x80685600, 0), (0xC0D05604, 2), (0xC0D05604, 1)]
    machine.format(10, "YUYV:640x480@30/1")
    assert video_nodes.present_size(path, machine.roots) == (640, 480)


# -- who watches, and OBS -------------------------------------------------------------------------------------------


def test_watchers_are_the_other_processes_that_hold_the_node(machine: Machine, register: Register) -> None:
    register(v4l2loopback=FakeLoopback)
    path, now = machine.node(10, "Ten"), [0.0]
    machine.process(os.getpid(), "livematte", path)
    machine.process(4242, "chrome", path, path)
    machine.process(4343, "bash")
    output = VirtualCameraOutput(
        "virtual", settings(), reporter=ListReporter(), system=machine.system, clock=lambda: now[0]
    )
    assert output.watchers() == 1
    machine.process(4444, "zoom", path)
    assert output.watchers() == 1  # within the same second nothing is looked at
    now[0] = 1.0
    assert output.watchers() == 2


def test_back_ends_that_cannot_tell_say_none(machine: Machine, register: Register) -> None:
    register(obs=FakeWindowsObs)
    assert made(windows(machine, BOTH[0])).watchers() is None


def test_obs_is_seen_and_its_browser_source_recommended(machine: Machine, register: Register) -> None:
    register(v4l2loopback=FakeLoopback)
    machine.node(10, "Ten")
    output = made(machine.system)
    assert not any("/obs" in line for line in output.said())
    machine.process(99, "obs")
    assert is_obs_running("linux", machine.roots.proc)
    assert any("--page" in line and "/obs" in line for line in output.said())


@pytest.mark.skipif(os.name == "nt", reason="'ps' is not there")
def test_looking_for_obs_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_obs_running("darwin") in (True, False)
    assert is_obs_running("win32") is False  # no tasklist here
    assert is_obs_running("linux", Path("/nowhere")) is False


def test_importing_the_outputs_imports_no_pyvirtualcam(monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    code = (
        "import sys, livematte.live.outputs.choice, livematte.live.outputs.virtual_camera;"
        "sys.exit('pyvirtualcam' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
