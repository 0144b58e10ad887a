"""Where matted frames go: video files, image sequences, pipes, nowhere."""

from __future__ import annotations

from dataclasses import replace

from livematte.config import OutputSettings
from livematte.frames import StreamInfo
from livematte.reporting import Reporter
from livematte.sinks.base import Sink
from livematte.sinks.encodings import encoding_for
from livematte.sinks.formats import ANIMATED, FORMATS, PCM, STDOUT, Format, format_for

__all__ = ["FORMATS", "Format", "Sink", "format_for", "open_sink"]


def open_sink(target: str, *, settings: OutputSettings, info: StreamInfo, reporter: Reporter) -> Sink:
    """The sink for `target`, made for a source such as `info` describes; the pipeline then calls its `open`.

    `target` is a file's name, a folder or pattern for PNG pictures, `-` for stdout, or `null`; the format is
    `settings.format`, else what the name says (`format_for`). Raises `UsageError`; the file system is touched by
    `open`.
    """
    chosen = format_for(target, settings)
    if settings.audio_codec == "pcm" and chosen.audio_else is not None:
        chosen = replace(chosen, audio_copy=chosen.audio_copy & PCM, audio_else="pcm")
    wants_audio = settings.audio and bool(info.audio) and chosen.audio_else is not None
    if chosen.name == "pair":
        from livematte.sinks.pair import PairSink, encodings_for

        colours, matte = encodings_for(chosen, settings, info)
        return PairSink(target, colours, matte, wants_audio=wants_audio, reporter=reporter)
    encoding = encoding_for(chosen, settings, info)
    if settings.loop_count and chosen.name not in (*ANIMATED, "null"):
        reporter.note(f"--loop-count is for apng and webp; {chosen.title} does not say how often it plays.")
    if chosen.name == "null":
        from livematte.sinks.null import NullSink

        return NullSink(encoding, reporter=reporter)
    if chosen.name == "exr":
        from livematte.sinks.exr import ExrSequenceSink

        return ExrSequenceSink(target, encoding, reporter=reporter)
    if chosen.name in ANIMATED:
        from livematte.sinks.animated import AnimatedFileSink

        return AnimatedFileSink(target, encoding, loop_count=settings.loop_count, reporter=reporter)
    if chosen.name == "png":
        from livematte.sinks.images import ImageSequenceSink

        return ImageSequenceSink(target, encoding, reporter=reporter)
    if target == STDOUT:
        from livematte.sinks.pipe import PipeSink

        return PipeSink(encoding, wants_audio=wants_audio, reporter=reporter)
    from livematte.sinks.video import VideoFileSink

    return VideoFileSink(target, encoding, wants_audio=wants_audio, reporter=reporter)
