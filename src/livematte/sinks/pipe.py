"""Frames on a pipe: NUT (keeps times and audio) or raw video, on stdout or any other file descriptor.

FFmpeg's own pipe protocol writes the descriptor, in binary mode on Windows too, without Python touching a byte.
"""

from __future__ import annotations

import sys

import av

from livematte.errors import SinkError
from livematte.frames import AlphaArray, Frame, StreamInfo
from livematte.reporting import Reporter
from livematte.sinks.encoded import EncodedSink
from livematte.sinks.encodings import Encoding
from livematte.sinks.faults import explained
from livematte.sinks.formats import STDOUT


class PipeSink(EncodedSink):
    """Writes to a pipe. Nothing can be read back from it, so its alpha is not checked, and that is said."""

    def __init__(
        self, encoding: Encoding, *, wants_audio: bool, reporter: Reporter, descriptor: int | None = None
    ) -> None:
        super().__init__(STDOUT, encoding, wants_audio=wants_audio, reporter=reporter)
        self._descriptor = descriptor
        self._bytes = 0

    @property
    def bytes_written(self) -> int:
        """See `Sink.bytes_written`."""
        return self._bytes

    def open(self, info: StreamInfo) -> None:
        """See `Sink.open`."""
        self._reporter.note("What goes into a pipe cannot be decoded back and checked; the reader sees what was sent.")
        descriptor = self._descriptor
        if descriptor is None:
            try:
                sys.stdout.flush()
                descriptor = sys.stdout.fileno()
            except (AttributeError, OSError, ValueError) as error:
                raise SinkError(
                    "there is no stdout to write to here; give the output a name with -o clip.mov."
                ) from error
        with explained("stdout"):
            self._start(f"pipe:{descriptor}", info)

    def _before_encode(self, frame: Frame, packed: av.VideoFrame, alpha: AlphaArray | None) -> None:
        """Raw pictures: their size is known without asking the pipe."""
        channels = len(packed.format.components)
        self._bytes += packed.width * packed.height * channels

    def close(self) -> None:
        """See `Sink.close`."""
        with explained("stdout"):
            writer, self._writer = self._opened(), None
            writer.finish()

    def abort(self, *, keep: bool) -> None:
        """See `Sink.abort`."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()
