"""Where matted frames go: video files, image sequences, pipes, nowhere."""

from __future__ import annotations

from livematte.config import OutputSettings
from livematte.frames import StreamInfo
from livematte.reporting import Reporter
from livematte.sinks.base import Sink
from livematte.sinks.encodings import encoding_for
from livematte.sinks.formats import FORMATS, STDOUT, Format, format_for

__all__ = ["FORMATS", "Format", "Sink", "format_for", "open_sink"]


def open_sink(target: str, *, settings: OutputSettings, info: StreamInfo, reporter: Reporter) -> Sink:
    """The sink for `target`, made for a source such as `info` describes; the pipeline then calls its `open`.

    `target` is a file's name, a folder or pattern for PNG pictures, `-` for stdout, or `null`; the format is
    `settings.format`, else what the name says (`format_for`). Raises `UsageError`; the file system is touched by
    `open`.
    """
    chosen = format_for(target, settings)
    encoding = encoding_for(chosen, settings, info)
    wants_audio = settings.audio and bool(info.audio) and chosen.audio_else is not None
    if chosen.name == "null":
        from livematte.sinks.null import NullSink

        return NullSink(encoding, reporter=reporter)
    if chosen.name == "png":
        from livematte.sinks.images import ImageSequenceSink

        return ImageSequenceSink(target, encoding, reporter=reporter)
    if target == STDOUT:
        from livematte.sinks.pipe import PipeSink

        return PipeSink(encoding, wants_audio=wants_audio, reporter=reporter)
    from livematte.sinks.video import VideoFileSink

    return VideoFileSink(target, encoding, wants_audio=wants_audio, reporter=reporter)
