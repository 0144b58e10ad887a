"""Colours and matte as two opaque files, for editors without alpha: `clip_fg.mp4` and `clip_alpha.mp4`, in one pass."""

from __future__ import annotations

from dataclasses import replace

from livematte.config import OutputSettings
from livematte.frames import AudioPacket, Composite, MattedFrame, StreamInfo
from livematte.reporting import Reporter
from livematte.sinks import h26x
from livematte.sinks.encoding import Content, Encoding
from livematte.sinks.formats import Format, files_of
from livematte.sinks.video import VideoFileSink


class PairSink:
    """Two video files from the same frames. Neither gets its name before both are whole and checked."""

    drops = False

    def __init__(
        self, target: str, colours: Encoding, matte: Encoding, *, wants_audio: bool, reporter: Reporter
    ) -> None:
        settings = OutputSettings(format="pair")
        names = files_of(target, settings)
        self.name = target
        self.colours = VideoFileSink(names[0], colours, wants_audio=wants_audio, reporter=reporter)
        self.matte = VideoFileSink(names[1], matte, wants_audio=False, reporter=reporter)
        self.wants = colours.wants
        self.wants_audio = wants_audio
        self.alpha_bits = matte.alpha_bits
        self.encoder = f"{colours.label} and {matte.label}"

    @property
    def frames(self) -> int:
        """Frames written so far."""
        return self.matte.frames

    @property
    def bytes_written(self) -> int:
        """See `Sink.bytes_written`; both files."""
        return self.colours.bytes_written + self.matte.bytes_written

    def open(self, info: StreamInfo) -> None:
        """See `Sink.open`."""
        self.colours.open(info)
        try:
            self.matte.open(replace(info, audio=()))
        except BaseException:
            self.colours.abort(keep=False)
            raise

    def write(self, item: MattedFrame | Composite | AudioPacket) -> None:
        """See `Sink.write`."""
        self.colours.write(item)
        if not isinstance(item, AudioPacket):
            self.matte.write(item.matted if isinstance(item, Composite) else item)

    def close(self) -> None:
        """See `Sink.close`."""
        try:
            self.colours.complete()
        except BaseException:
            self.matte.remove()
            raise
        try:
            self.matte.complete()
        except BaseException:
            self.colours.remove()
            raise
        self.colours.settle()
        self.matte.settle()

    def abort(self, *, keep: bool) -> None:
        """See `Sink.abort`."""
        self.colours.abort(keep=keep)
        self.matte.abort(keep=keep)


def encodings_for(chosen: Format, settings: OutputSettings, info: StreamInfo) -> tuple[Encoding, Encoding]:
    """(colours, matte) of a pair: straight colours, or the composite where a background is given; grey beside them.

    The matte has limited range: editors assume it of H.264, whatever the tag says.
    """
    content: Content = "composite" if settings.background is not None else "foreground"
    colours = h26x.encoding_for(chosen, content, settings, info)
    full = h26x.encoding_for(chosen, "alpha", settings, info)
    return colours, replace(full, color=replace(full.color, color_range="tv"), notes=())
