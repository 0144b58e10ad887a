"""Opening a camera through PyAV: v4l2 on Linux, dshow on Windows, AVFoundation on macOS."""

from __future__ import annotations

import errno

import av
import av.error
from av.container import InputContainer

from livematte.config import LiveSettings
from livematte.errors import SourceError
from livematte.reporting import Once, Reporter
from livematte.sources.camera_arguments import DeviceArguments, camera_modes_of, device_arguments
from livematte.sources.camera_devices import find_camera, survey
from livematte.sources.camera_errors import opening_error
from livematte.sources.camera_kinds import Camera, System, this_system
from livematte.sources.camera_listing import with_device
from livematte.sources.camera_modes import DEFAULT_RATE, Mode, Wanted, choose_mode
from livematte.sources.camera_source import CameraSource, Opened
from livematte.sources.ffmpeg_errors import captured_log


def open_camera(settings: LiveSettings, *, reporter: Reporter) -> CameraSource:
    """The camera that `settings.input` names, in the mode that suits best (`camera_modes.py`, Note [Choosing a mode]).

    SourceError: no such camera, in use, no permission, mode not there, no picture. UsageError: a setting that cannot be
    read. `info` is complete: the first picture was read.
    """
    say = Once(reporter)
    system = this_system()
    wanted = Wanted.of(settings)
    found = survey(system)
    camera = find_camera(settings.input, with_device(found, settings.input) if system == "linux" else found)
    _refuse_own_output(camera, settings, system)
    if camera.kind == "loopback":
        say.note(f"{camera.name} ({camera.path}) is a virtual camera: what another program shows there is read.")
    modes = camera_modes_of(camera, system)
    mode = choose_mode(modes, wanted, str(camera)) or _unlisted(wanted)
    if mode is not None and wanted.near and wanted.size != (mode.width, mode.height):
        say.note(f"{camera} has no mode of {settings.camera_size}; {mode} is the nearest.")
    return CameraSource(_open(camera, mode, wanted, system, say), mirror=settings.mirror, reporter=say)


def _refuse_own_output(camera: Camera, settings: LiveSettings, system: System) -> None:
    named = settings.device_name
    is_output = named in (camera.path, camera.name) if named else camera.kind == "loopback" and system != "linux"
    if is_output:
        raise SourceError(
            f"{camera} is the virtual camera that livematte's picture goes to; it cannot be the input too. Choose "
            "another with --input ('livematte webcam --list'), or name another output with --device-name."
        )


def _unlisted(wanted: Wanted) -> Mode | None:
    """What to ask of a camera that does not tell its modes; None: nothing, it is taken as it stands."""
    if wanted.is_soft and wanted.size is None:
        return None
    width, height = wanted.size or (1280, 720)
    return Mode(width, height, wanted.rate or DEFAULT_RATE, wanted.format or "")


def _open(camera: Camera, mode: Mode | None, wanted: Wanted, system: System, say: Once) -> Opened:
    log: list[str] = []
    try:
        return Opened(open_device(device_arguments(system, camera, mode), log), camera, mode, system)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        failed = opening_error(error, camera, system, log=log, asked=str(mode) if mode else "being opened")
        if mode is None or not wanted.is_soft or getattr(error, "errno", None) != errno.EINVAL:
            raise failed from error
        say.note(f"{camera} lists {mode} but does not take it; it is opened as it stands.")
    log = []
    try:
        return Opened(open_device(device_arguments(system, camera, None), log), camera, None, system)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise opening_error(error, camera, system, log=log, asked="being opened") from error


def open_device(arguments: DeviceArguments, log: list[str]) -> InputContainer:
    """`av.open` with these arguments; FFmpeg's error lines are added to `log`. Raises PyAV's own errors."""
    lines: list[str] = []
    try:
        with captured_log() as lines:
            return av.open(arguments.file, "r", format=arguments.format, options=dict(arguments.options))
    finally:
        log.extend(lines)
