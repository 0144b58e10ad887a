"""Cameras of this machine by number, name and path, on Linux, Windows and macOS."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from livematte.errors import SourceError
from livematte.sources.camera_arguments import camera_modes_of
from livematte.sources.camera_kinds import Camera, Survey, System, this_system
from livematte.sources.camera_listing import survey_by_ffmpeg, survey_linux
from livematte.sources.camera_modes import modes_words

__all__ = ["Camera", "Survey", "describe_camera", "find_camera", "list_cameras", "survey"]


def list_cameras() -> list[Camera]:
    """The cameras of this machine, numbered from 0; without virtual cameras, metadata nodes and codecs."""
    return list(survey().cameras)


def survey(system: System | None = None) -> Survey:
    """All video devices. Starts none of them. Where the system cannot be asked, `trouble` says why."""
    system = system or this_system()
    return survey_linux() if system == "linux" else survey_by_ffmpeg(system)


def describe_camera(camera: Camera) -> str:
    """One line for `--list`: number, name, path and modes. Asks the camera where the list does not know its modes."""
    modes = camera.modes or camera_modes_of(camera, this_system())
    head = f"{camera.number}  {camera.name} ({camera.path})" if camera.number >= 0 else f"{camera.name} ({camera.path})"
    return f"{head}: {modes_words(modes)}" if modes else head


def find_camera(spec: str | None, found: Survey) -> Camera:
    """The camera that a number, a path or a (part of a) name means; None: the first.

    SourceError lists those that are there. livematte's own virtual camera is refused: it would look at itself.
    """
    wanted = (spec if spec is not None else "0").strip().removeprefix("video=")
    everything = (*found.cameras, *found.left_out)
    if wanted.isdigit():
        matches = [camera for camera in found.cameras if camera.number == int(wanted)]
    else:
        matches = _by_path(wanted, everything) or _by_name(wanted, found.cameras) or _by_name(wanted, found.left_out)
    if len(matches) > 1:
        raise SourceError(
            f"'{wanted}' is the name of {len(matches)} cameras: {_listed(matches)}. Give the number or the path."
        )
    if not matches:
        what = f"there is no camera {wanted}" if wanted.isdigit() else f"there is no camera and no file '{wanted}'"
        raise SourceError(f"{what}. {_there_are(found)}")
    chosen = matches[0]
    if chosen.kind == "own":
        raise SourceError(
            f"'{chosen.name}' ({chosen.path}) is livematte's own virtual camera; it cannot be its own input. "
            f"{_there_are(found)}"
        )
    if chosen.kind == "not a camera":
        raise SourceError(f"{chosen.path} gives no pictures that can be read: {chosen.remark}. {_there_are(found)}")
    return chosen


def _by_path(wanted: str, cameras: Iterable[Camera]) -> list[Camera]:
    try:
        real = str(Path(wanted).resolve()) if wanted.startswith("/dev/") else wanted  # /dev/v4l/by-id/... is a link
    except OSError:
        real = wanted
    return [camera for camera in cameras if camera.path in (wanted, real) and not camera.path.isdigit()]


def _by_name(wanted: str, cameras: Iterable[Camera]) -> list[Camera]:
    low = wanted.lower()
    those = list(cameras)
    exact = [camera for camera in those if camera.name.lower() == low]
    return exact or [camera for camera in those if low in camera.name.lower()]


def _listed(cameras: Iterable[Camera]) -> str:
    return ", ".join(f"{camera.number} ({camera.name}, {camera.path})" for camera in cameras)


def _there_are(found: Survey) -> str:
    if found.cameras:
        return f"There are: {_listed(found.cameras)}."
    why = f" ({found.trouble})" if found.trouble else ""
    others = "; left out: " + ", ".join(f"{one.name} ({one.path})" for one in found.left_out) if found.left_out else ""
    return (
        f"No camera was found{why}{others}. Plug one in, or give a clip or a stream: --input clip.mp4 --loop. "
        "'livematte doctor --camera' says more."
    )
