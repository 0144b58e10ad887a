"""Opening containers: files, URLs and stdin, with FFmpeg's reasons in the message and without credentials."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from livematte.errors import SourceError, UsageError
from livematte.sources.ffmpeg_errors import captured_log, last_useful, reason

LIVE_SCHEMES: Final = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "srt")
"""Streams that do not wait for a slow reader; all other URLs are read like files."""
URL_TIMEOUT_SECONDS: Final = 15.0
"""How long a server may stay silent, at opening and later."""
_METADATA: Final[dict[str, Any]] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Metadata that is not UTF-8 must not stop a video; PyAV 19 takes it as it is and knows no such argument."""
_PIPE_BUFFER_BYTES: Final = 1 << 18
_TEXT_FORMATS: Final = ("tty", "bin", "xbin", "adf", "idf")
"""FFmpeg's demuxers that draw any text as a picture."""
_ALPHA_DECODERS: Final = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""FFmpeg's own VP8 and VP9 decoders drop alpha without a word; libvpx's keep it."""


def is_url(spec: str) -> bool:
    """True for `http://...`, `rtsp://...`; False for paths, Windows drives included."""
    return "://" in spec


def is_live_url(spec: str) -> bool:
    """True for a URL whose stream does not wait."""
    return is_url(spec) and urlsplit(spec).scheme.lower() in LIVE_SCHEMES


def display_name(spec: str) -> str:
    """What messages call the input: a file's name, `stdin`, a URL without user, password and query."""
    if spec == "-":
        return "stdin"
    if not is_url(spec):
        return Path(spec).name or spec
    parts = urlsplit(spec)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def shown_spec(spec: str) -> str:
    """An input as it was typed, for messages and records; a URL without user, password and query."""
    return display_name(spec) if is_url(spec) else spec


class Stdin:
    """Hands PyAV what stdin has, without waiting for full buffers and without pretending to seek.

    It reads the descriptor itself, where there is one: Python aborts at its end where a thread still waits in the
    buffered stream. Ctrl-C while it waits is kept for `raise_interruption`: PyAV would print it, and go on as if
    the input had ended.
    """

    name = "stdin"

    def __init__(self) -> None:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("the input is '-' (stdin), but nothing is piped into it. Give a file, or pipe a video in.")
        stream = sys.stdin.buffer
        self.bytes_read = 0
        self._interruption: KeyboardInterrupt | None = None
        self._read: Callable[[int], bytes]
        try:
            self._read = partial(os.read, stream.fileno())
        except OSError:
            self._read = getattr(stream, "read1", stream.read)

    def read(self, size: int) -> bytes:
        if self._interruption is not None:
            return b""
        try:
            data = self._read(size)
        except KeyboardInterrupt as error:
            self._interruption = error
            return b""
        self.bytes_read += len(data)
        return data

    def raise_interruption(self) -> None:
        """KeyboardInterrupt where Ctrl-C was pressed while data were waited for."""
        if self._interruption is not None:
            raise self._interruption


def open_container(spec: str, stdin: Stdin | None = None, *, hwaccel: HWAccel | None = None) -> InputContainer:
    """The opened container of a file, a URL or `stdin`; SourceError says why it cannot be opened and what to do.

    With `hwaccel` (files and URLs) what FFmpeg raises is raised as it is, for the caller to try again without.
    """
    name = display_name(spec)
    if stdin is not None:
        container = _open_stdin(stdin, name)
    elif is_url(spec):
        container = _open(spec, name, "Check the address in a player.", is_remote=True, hwaccel=hwaccel)
    else:
        _check_file(Path(spec))
        hint = "Check that it plays elsewhere; a download may be incomplete."
        container = _open(f"file:{spec}", name, hint, hwaccel=hwaccel)
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise SourceError(f"'{name}' is a text file, not a video. Give a video, a folder of pictures or a URL.")
    return container


def _open_stdin(stdin: Stdin, name: str) -> InputContainer:
    try:
        return _open(stdin, name, PIPE_HINT)
    except SourceError:
        stdin.raise_interruption()
        if stdin.bytes_read:
            raise
        raise SourceError(
            "nothing came through stdin. The program before the pipe has failed, or has nothing to say: look at its "
            "messages."
        ) from None


PIPE_HINT: Final = (
    "An MP4 or MOV with its index at the end cannot be read from a pipe: give it as a file, or rewrite it with "
    "'ffmpeg -i IN -c copy -movflags +faststart OUT.mp4'."
)


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise SourceError(f"'{path}' is a folder; it is read as pictures or as several videos, not as one file.")
        size = path.stat().st_size
    except FileNotFoundError:
        raise SourceError(f"there is no file '{path}'. Check the spelling and the folder.") from None
    except OSError as error:
        raise SourceError(f"'{path}' cannot be read: {reason(error)}.") from error
    if not os.access(path, os.R_OK):
        raise SourceError(f"'{path}' may not be read: permission was denied. Change its permissions, or copy it.")
    if size == 0 and path.is_file():
        raise SourceError(f"'{path.name}' is empty (0 bytes). The copy or download that made it has failed.")


def _open(
    target: Any, name: str, hint: str, *, is_remote: bool = False, hwaccel: HWAccel | None = None
) -> InputContainer:  # fmt: skip
    options: dict[str, str] = {}
    timeout = None
    if is_remote:
        timeout = (URL_TIMEOUT_SECONDS, URL_TIMEOUT_SECONDS)
        options = {"rw_timeout": str(int(URL_TIMEOUT_SECONDS * 1e6)), "rtsp_transport": "tcp"}
    lines: list[str] = []
    try:
        with captured_log() as lines:
            container: InputContainer = av.open(
                target,
                "r",
                options=options,
                buffer_size=_PIPE_BUFFER_BYTES,
                timeout=timeout,
                hwaccel=hwaccel,
                **_METADATA,
            )
            return container
    except (av.error.FFmpegError, OSError, ValueError, RuntimeError) as error:
        if hwaccel is not None:
            raise
        said = last_useful(lines).replace(str(target), name)
        # FFmpeg's own error holds the whole address, which a traceback would show.
        cause = None if is_remote else error
        raise SourceError(f"'{name}' cannot be opened as a video: {reason(error)}.{said} {hint}") from cause


def choose_video(container: InputContainer, name: str) -> VideoStream:
    """The default (FFmpeg: best) track of moving pictures; SourceError where there is none that can be decoded."""
    moving: list[Any] = [s for s in container.streams.video if not int(s.disposition) & _ATTACHED_PICTURE]
    if not moving:
        what = "only a cover picture" if container.streams.video else "no pictures"
        sound = " and sound" if container.streams.audio and container.streams.video else ""
        sound = " (it holds sound)" if container.streams.audio and not container.streams.video else sound
        raise SourceError(f"'{name}' has {what}{sound}. Give a file with a video track.")
    best = container.streams.best("video")
    chosen = next((s for s in moving if best is not None and s.index == best.index), moving[0])
    if chosen.codec_context is None:
        chosen = next((s for s in moving if s.codec_context is not None), chosen)
    if chosen.codec_context is None:
        raise SourceError(
            f"'{name}' holds a video codec that this build of FFmpeg cannot decode. Convert it to H.264 first."
        )
    return cast(VideoStream, chosen)


_ATTACHED_PICTURE: Final = 1 << 10
"""AV_DISPOSITION_ATTACHED_PIC: cover art."""


def make_decoder(stream: VideoStream) -> VideoCodecContext:
    """The decoder for this track, threaded; libvpx where the track says that it carries alpha."""
    decoder = stream.codec_context
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    name = decoder.codec.canonical_name if hasattr(decoder.codec, "canonical_name") else decoder.name
    if tags.get("alpha_mode") == "1" and name in _ALPHA_DECODERS:
        alpha_decoder = cast(VideoCodecContext, av.CodecContext.create(_ALPHA_DECODERS[name], "r"))
        if decoder.extradata:
            alpha_decoder.extradata = decoder.extradata
        return alpha_decoder
    decoder.thread_type = "AUTO"
    return decoder


def dropped_tracks(container: InputContainer, kept: set[int]) -> str:
    """What is left out, for a note: `2 subtitle tracks, 3 chapter marks`; empty: nothing."""
    words = {"subtitle": "subtitle track", "data": "data track", "video": "further video track", "audio": "audio track"}
    counts: dict[str, int] = {}
    for stream in container.streams:
        if stream.index in kept or _is_timecode(stream):
            continue
        is_cover = stream.type == "video" and int(stream.disposition) & _ATTACHED_PICTURE
        word = "cover picture" if is_cover else words.get(stream.type, "attachment")
        counts[word] = counts.get(word, 0) + 1
    chapters = len(container.chapters())
    if chapters:
        counts["chapter mark"] = chapters
    return ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for word, count in counts.items())


def _is_timecode(stream: Any) -> bool:
    """A `tmcd` track: its content is in the metadata, and is kept as the start timecode."""
    return stream.type == "data" and "timecode" in stream.metadata
