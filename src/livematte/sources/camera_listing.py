"""The systems' own lists of video devices: Linux' sysfs and V4L2, Windows' and macOS' through FFmpeg."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import av.device
import av.error

from livematte.sources import camera_v4l2
from livematte.sources.camera_arguments import DeviceArguments, log_of
from livematte.sources.camera_kinds import FORMAT_OF, Camera, Kind, Survey, System
from livematte.sources.camera_modes import Mode

MAY_NOT: Final = "sudo usermod -aG video $USER, then log out and in again"
"""What lets a Linux user open cameras."""
OWN_LABEL: Final = "livematte"
"""In the label of the loopback device that the how-to makes."""
_VIRTUAL: Final = ("obs virtual camera", "obs-camera", "unity video capture", "v4l2loopback", "dummy video device")
_SCREENS: Final = "capture screen"
"""AVFoundation lists screens among the cameras."""
_DSHOW_NAME: Final = re.compile(r'^\s*"(?P<name>.+)"\s*\((?P<types>[\w, ]+)\)\s*$')
_DSHOW_OTHER: Final = re.compile(r'^\s*Alternative name "(?P<path>.+)"\s*$')
_AVF_NAME: Final = re.compile(r"^\s*\[(?P<index>\d+)\] (?P<name>.+)$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a list that FFmpeg made."""

    path: str
    name: str


def survey_by_ffmpeg(system: System) -> Survey:
    """Windows' and macOS' cameras; `trouble` says why the list may not be whole."""
    entries, trouble = _enumerated(FORMAT_OF[system])
    return survey_of_entries(entries, system, trouble)


def _enumerated(format_name: str) -> tuple[list[Entry], str]:
    """(video devices, trouble). PyAV's own list, else the one that FFmpeg logs."""
    enumerate_devices: Any = getattr(av.device, "enumerate_input_devices", None)
    if enumerate_devices is None:
        return parse_device_log(log_of(DeviceArguments("dummy", format_name, {"list_devices": "true"}))), ""
    try:
        devices = enumerate_devices(format_name)
    except ValueError:
        return [], f"this build of PyAV lacks FFmpeg's {format_name}; pip install --force-reinstall av"
    except (av.error.FFmpegError, OSError) as error:
        return [], f"the system did not list its cameras ({error})"
    return [Entry(d.name, d.description or d.name) for d in devices if "video" in (d.media_types or ["video"])], ""


def parse_device_log(lines: Sequence[str]) -> list[Entry]:
    """The video devices in what dshow and AVFoundation log under `list_devices`."""
    entries: list[Entry] = []
    is_video, waiting = True, ""
    for line in (part for text in lines for part in text.splitlines()):
        low = line.lower()
        if "video devices" in low or "audio devices" in low:
            is_video = "video devices" in low
        elif (found := _AVF_NAME.match(line)) is not None:
            if is_video:
                entries.append(Entry(found["index"], found["name"].strip()))
        elif (found := _DSHOW_NAME.match(line)) is not None:
            waiting = found["name"] if "video" in found["types"] else ""
        elif (found := _DSHOW_OTHER.match(line)) is not None and waiting:
            entries.append(Entry(found["path"], waiting))
            waiting = ""
    return entries


def survey_of_entries(entries: Iterable[Entry], system: System, trouble: str = "") -> Survey:
    """Cameras and what is left out, from a list that FFmpeg made. Pure."""
    cameras: list[Camera] = []
    left_out: list[Camera] = []
    for entry in entries:
        low = entry.name.lower()
        if system == "macos" and low.startswith(_SCREENS):
            continue
        if any(known in low for known in _VIRTUAL):
            remark = "a virtual camera, where livematte's picture may go"
            left_out.append(Camera(-1, entry.name, entry.path, kind="loopback", remark=remark))
        else:
            cameras.append(Camera(len(cameras), entry.name, entry.path))
    return Survey(tuple(cameras), tuple(left_out), trouble)


# --- Linux ---


def survey_linux(sysfs: Path = Path("/sys/class/video4linux"), dev: str = "/dev") -> Survey:
    """Every `/dev/videoN`, by the kernel's own list and each device's answers.

    Cameras whose every mode is grey (infrared sensors for face recognition) come last.
    """
    names = sorted(sysfs.glob("video*"), key=lambda path: int(re.sub(r"\D", "", path.name) or 0))
    if not names:
        return Survey((), (), "Linux lists no video device")
    nodes = [_node(f"{dev}/{path.name}", _read(path / "name")) for path in names]
    cameras = [node for node in nodes if not node.remark]
    cameras.sort(key=lambda camera: bool(camera.modes) and all(mode.format == "gray" for mode in camera.modes))
    numbered = (
        Camera(number, one.name, one.path, driver=one.driver, modes=one.modes) for number, one in enumerate(cameras)
    )
    refused = [node.path for node in nodes if node.remark.startswith("may not be opened")]
    trouble = f"{', '.join(refused)} may not be opened by this user: {MAY_NOT}" if refused else ""
    return Survey(tuple(numbered), tuple(node for node in nodes if node.remark), trouble)


def with_device(found: Survey, spec: str | None) -> Survey:
    """`found` with the device that `spec` names, where it exists and is not in the kernel's list (containers)."""
    if spec is None or not spec.startswith("/dev/"):
        return found
    real = Path(spec).resolve()
    if not real.is_char_device() or any(one.path == str(real) for one in (*found.cameras, *found.left_out)):
        return found
    return Survey(found.cameras, (*found.left_out, _node(str(real), "")), found.trouble)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _node(path: str, listed_name: str) -> Camera:
    """One device node with its kind; `remark` is set where it is not to choose from."""
    name = listed_name or Path(path).name
    try:
        with camera_v4l2.opened(path) as ioctl:
            capability = camera_v4l2.capability(ioctl)
            modes = camera_v4l2.modes(ioctl) if capability.captures else []
    except PermissionError:
        return Camera(-1, name, path, kind="camera", remark="may not be opened by this user")
    except OSError as error:
        reason = error.strerror or str(error)
        return Camera(-1, name, path, kind="not a camera", remark=f"it does not answer ({reason})")
    return node_of(capability, path, name, modes)


def node_of(capability: camera_v4l2.Capability, path: str, listed_name: str, modes: Sequence[Mode]) -> Camera:
    """A device node by its answers. Pure."""
    name = capability.card or listed_name
    kind, remark, exclusive = _judged(capability, name)
    return Camera(
        -1,
        name,
        path,
        kind=kind,
        driver=capability.driver,
        remark=remark,
        exclusive=exclusive,
        modes=tuple(modes) if kind in ("camera", "loopback") else (),
    )


def _judged(capability: camera_v4l2.Capability, name: str) -> tuple[Kind, str, bool | None]:
    if capability.is_loopback:
        # With exclusive_caps a device captures only while somebody writes to it, and takes only while nobody does.
        exclusive = not (capability.outputs and capability.captures)
        if OWN_LABEL in name.lower():
            return "own", "livematte's own virtual camera", exclusive
        return "loopback", "a loopback device, which shows what another program writes into it", exclusive
    if capability.is_codec:
        return "not a camera", "it is a hardware codec", None
    if capability.is_multi_planar:
        return "not a camera", "it captures in several planes, which FFmpeg does not read", None
    if not capability.captures:
        return "not a camera", "it carries metadata or output, no pictures", None
    return "camera", "", None
