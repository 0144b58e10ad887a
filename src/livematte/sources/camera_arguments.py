"""What FFmpeg is told to open a camera, on each system, and how it is made to tell a camera's modes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final

import av
import av.error
import av.logging

from livematte.sources.camera_kinds import Camera, System
from livematte.sources.camera_modes import Mode, parse_avfoundation_modes, parse_dshow_modes
from livematte.sources.ffmpeg_errors import captured_log

_DSHOW_BUFFER_BYTES: Final = 64 << 20
"""FFmpeg's default of 3 MB holds one and a half raw 720p frames, and it drops what does not fit."""


@dataclass(frozen=True, slots=True)
class DeviceArguments:
    """What `av.open` gets."""

    file: str
    format: str
    options: dict[str, str]


def device_arguments(system: System, camera: Camera, mode: Mode | None) -> DeviceArguments:
    """FFmpeg's input format, file and options for a camera in a mode; None: as the camera stands. Pure.

    `probesize` and `fpsprobesize` keep FFmpeg from holding the first frames back while it looks for a rate that the
    device has told already.
    """
    options = {"fpsprobesize": "0", "probesize": "32"}
    if mode is not None:
        options |= {"video_size": f"{mode.width}x{mode.height}", "framerate": _rate_option(mode)}
    if system == "linux":
        if mode is not None and mode.format:
            options["input_format"] = mode.format
        return DeviceArguments(camera.path, "v4l2", options)
    if system == "windows":
        options["rtbufsize"] = str(_DSHOW_BUFFER_BYTES)
        if mode is not None and mode.format:
            options["vcodec" if mode.is_compressed else "pixel_format"] = mode.format
        return DeviceArguments(f"video={camera.path}", "dshow", options)
    options["pixel_format"] = mode.format if mode is not None and mode.format else "nv12"
    options.setdefault("framerate", "30")  # its default of 29.97 is refused by most Macs' cameras
    return DeviceArguments(f"{camera.path}:none", "avfoundation", options)


def _rate_option(mode: Mode) -> str:
    return str(mode.rate) if mode.rate.denominator != 1 else str(mode.rate.numerator)


def camera_modes_of(camera: Camera, system: System) -> tuple[Mode, ...]:
    """The modes of a camera, sorted; empty where the system does not tell. Starts it on no system."""
    if camera.modes or system == "linux":
        return camera.modes
    options = {"list_options": "true"} if system == "windows" else {"video_size": "16x16", "framerate": "1"}
    arguments = device_arguments(system, camera, None)
    lines = log_of(DeviceArguments(arguments.file, arguments.format, options))
    parse = parse_dshow_modes if system == "windows" else parse_avfoundation_modes
    return tuple(parse(lines))


def log_of(arguments: DeviceArguments) -> list[str]:
    """What FFmpeg logs when it is asked to list something; such an open always fails."""
    with captured_log() as lines:
        av.logging.set_level(av.logging.INFO)
        # "Immediate exit requested": the answer is in the log.
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            av.open(arguments.file, "r", format=arguments.format, options=arguments.options).close()
    return lines
