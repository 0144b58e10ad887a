"""The null sink: does all that the ProRes sink does up to the encoder, and writes nothing. For measuring."""

from __future__ import annotations

from livematte.errors import SinkError
from livematte.frames import AudioPacket, Composite, MattedFrame, StreamInfo
from livematte.reporting import Once, Reporter
from livematte.sinks.encoded import parts
from livematte.sinks.encodings import Encoding
from livematte.sinks.faults import explained
from livematte.sinks.pixels import Packer


class NullSink:
    """Makes the planes that ProRes 4444 would be given (yuva444p10le), and drops them."""

    drops = False
    wants_audio = False
    bytes_written = 0

    def __init__(self, encoding: Encoding, *, reporter: Reporter) -> None:
        self.name = "null"
        self.encoding = encoding
        self.wants = encoding.wants
        self.alpha_bits = encoding.alpha_bits
        self.encoder = encoding.label
        self.frames = 0
        self._reporter = Once(reporter)
        self._packer: Packer | None = None

    def open(self, info: StreamInfo) -> None:
        """See `Sink.open`."""
        self._packer = Packer(self.encoding, info.width, info.height, reporter=self._reporter)

    def write(self, item: MattedFrame | Composite | AudioPacket) -> None:
        """See `Sink.write`."""
        if isinstance(item, AudioPacket):
            return
        if self._packer is None:
            raise SinkError("the null sink was written to before it was opened.")
        with explained(self.name):
            frame, picture, alpha = parts(item, self.encoding)
            self._packer.pack(picture, frame.color, alpha)
        self.frames += 1

    def close(self) -> None:
        """See `Sink.close`."""
        self._packer = None

    def abort(self, *, keep: bool) -> None:
        """See `Sink.abort`."""
        self._packer = None
