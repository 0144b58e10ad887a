"""Where live pictures come from: a camera, a stream, or a clip that stands in for a camera."""

from __future__ import annotations

import dataclasses
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from livematte.config import InputSettings, LiveSettings
from livematte.frames import AudioPacket, Frame
from livematte.reporting import Once, Reporter
from livematte.sources import kind_of, open_source
from livematte.sources.mirror import mirrored
from livematte.sources.opening import is_live_url, is_url
from livematte.sources.paced import PacedSource
from livematte.sources.synthetic import SyntheticSource

if TYPE_CHECKING:
    from livematte.sources.base import Source


def open_live_source(settings: LiveSettings, *, reporter: Reporter) -> Source:
    """Open what `settings.input` names; None: camera 0.

    A number, a device's path, or a name that is no file: a camera. A file, a folder of pictures, `-`, `synthetic:...`,
    or a URL that is read like a file: paced by its own timestamps, `loop` begins it again. `rtsp://` and its like: as
    they come. Frames carry `captured_ns`, rising times and a rising `index` (a gap in it: a frame that was past and was
    skipped); `mirror` is applied. SourceError where it cannot be opened (with what to do), UsageError where a setting
    makes no sense.
    """
    say = Once(reporter)
    if is_camera(settings.input):
        from livematte.sources.camera import open_camera

        if settings.loop:
            say.note("--loop is for clips; a camera has no end.")
        return open_camera(settings, reporter=say)
    spec = settings.input or ""
    _say_what_is_left_out(settings, say)
    first = open_source(spec, InputSettings(), reporter=say)
    if is_live_url(spec):
        if settings.loop:
            say.note("--loop is for clips; a stream is watched as it comes.")
        return LiveStream(first, mirror=settings.mirror)
    again = _again(spec, first, say) if settings.loop else None
    return PacedSource(first, again, mirror=settings.mirror, reporter=say)


def is_camera(spec: str | None) -> bool:
    """True where `spec` names a camera: a number, a device, or a name that is no file, URL or pattern."""
    if spec is None or spec.strip().isdigit() or spec.startswith(("/dev/video", "/dev/v4l/", "@device", "video=")):
        return True
    if is_url(spec) or kind_of_or_none(spec) in ("stdin", "synthetic", "images"):
        return False
    path = Path(spec)
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except (OSError, ValueError):
        # What looks like a file's name is a file that is missing: its own message says so.
        return not ("/" in spec or "\\" in spec or _looks_like_a_file(path))


def kind_of_or_none(spec: str) -> str | None:
    """`sources.kind_of`, for names that may be too long or too odd to be files."""
    try:
        return kind_of(spec)
    except (OSError, ValueError):
        return None


def _looks_like_a_file(path: Path) -> bool:
    from livematte.sources.inputs import PICTURE_SUFFIXES, VIDEO_SUFFIXES

    return path.suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES


def _say_what_is_left_out(settings: LiveSettings, say: Reporter) -> None:
    asked = [
        name
        for name, value in (
            ("--camera-size", settings.camera_size),
            ("--camera-rate", settings.camera_rate),
            ("--camera-format", settings.camera_format),
        )
        if value is not None
    ]
    if asked:
        say.note(f"{', '.join(asked)}: for cameras only; the clip is played as it is.")


def _again(spec: str, first: Source, say: Once) -> Callable[[], Source] | None:
    """What opens the clip for its next pass; None, and it is said, where it cannot begin again."""
    if isinstance(first, SyntheticSource):
        return lambda: _synthetic_again(first)
    if spec == "-" or _is_stream(spec):
        say.warn(f"'{first.name}' comes through a pipe and cannot begin again; it is played once, without --loop.")
        return None
    return lambda: open_source(spec, InputSettings(), reporter=say)


def _synthetic_again(first: SyntheticSource) -> SyntheticSource:
    made = SyntheticSource(first.clip.spec)
    made.clip = first.clip  # its textures took 0.2 s to make
    return made


def _is_stream(spec: str) -> bool:
    try:
        mode = Path(spec).stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


class LiveStream:
    """A stream that does not wait (`rtsp://`...), stamped with the moment at which each picture was read."""

    is_live = True

    def __init__(self, stream: Source, *, mirror: bool) -> None:
        self._stream = stream
        self._mirror = mirror
        self.name = stream.name
        self.decoder = stream.decoder
        self.info = dataclasses.replace(stream.info, audio=(), start_timecode=None)

    @property
    def damaged(self) -> int:
        """Pictures that could not be decoded, so far."""
        return self._stream.damaged

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        for item in self._stream:
            if isinstance(item, Frame):
                item.captured_ns = time.monotonic_ns()
                yield mirrored(item) if self._mirror else item

    def close(self) -> None:
        self._stream.close()
