"""What the sinks that encode share: opening, packing, encoding, and the word about what is in the file."""

from __future__ import annotations

from typing import Any, Protocol

import av

from livematte.errors import SinkError
from livematte.frames import AlphaArray, AudioPacket, Composite, Frame, MattedFrame, StreamInfo, Timestamp
from livematte.reporting import Once, Reporter
from livematte.sinks.container import Writer, encoder_threads
from livematte.sinks.encodings import Encoding
from livematte.sinks.faults import explained
from livematte.sinks.formats import STDOUT
from livematte.sinks.pixels import Packer


class PictureWriter(Protocol):
    """What a sink needs of an open file: `container.Writer`, and those of animated pictures."""

    @property
    def bytes_encoded(self) -> int:
        """Bytes of the pictures that the encoder has given out."""

    def encode(self, picture: av.VideoFrame, time: Timestamp, duration: int | None) -> None: ...

    def audio(self, item: AudioPacket) -> None: ...

    def finish(self) -> None:
        """Write all that is held back, and close the file."""

    def discard(self) -> None:
        """Close the file as it is. Never raises."""


class EncodedSink:
    """A sink with an encoder and a container. Subclasses say where it is written and how it ends."""

    drops = False

    def __init__(self, name: str, encoding: Encoding, *, wants_audio: bool, reporter: Reporter) -> None:
        self.name = name
        self.encoding = encoding
        self.wants = encoding.wants
        self.wants_audio = wants_audio
        self.alpha_bits = encoding.alpha_bits
        self.encoder = encoding.label
        self.frames = 0
        """Frames written so far."""
        self._reporter = Once(reporter)
        self._packer: Packer | None = None
        self._writer: PictureWriter | None = None

    @property
    def bytes_written(self) -> int:
        """See `Sink.bytes_written`; what the encoder still holds is not counted."""
        raise NotImplementedError

    def _start(self, path: str, info: StreamInfo) -> None:
        """Open the container at `path` and say what changes on the way into it."""
        for note in self.encoding.notes:
            self._reporter.note(note)
        if info.audio and not self.wants_audio and self.encoding.format.audio_else is None:
            self._reporter.note(f"{self.encoding.format.title} has no sound; the input's audio is left out.")
        held = encoder_threads() if self.encoding.codec == "png" else 0
        self._packer = Packer(self.encoding, info.width, info.height, reporter=self._reporter, held=held)
        self._writer = self._open_writer(path, info, self._packer.size)

    def _open_writer(self, path: str, info: StreamInfo, size: tuple[int, int]) -> PictureWriter:
        """The container at `path`, for pictures of that (width, height)."""
        return Writer(path, self.encoding, info, size=size, audio=self.wants_audio, reporter=self._reporter)

    def write(self, item: MattedFrame | Composite | AudioPacket) -> None:
        """Encode one frame, or pass one audio packet on."""
        with explained("stdout" if self.name == STDOUT else self.name):
            if isinstance(item, AudioPacket):
                self._opened().audio(item)
                return
            if self._packer is None:
                raise SinkError(f"{self.name} was written to before it was opened.")
            frame, picture, alpha = parts(item, self.encoding)
            alpha = self._packer.fit_alpha(alpha)
            packed = self._packer.pack(picture, frame.color, alpha)
            self._before_encode(frame, packed, alpha)
            self._opened().encode(packed, frame.time, frame.duration)
            self.frames += 1

    def _before_encode(self, frame: Frame, packed: av.VideoFrame, alpha: AlphaArray | None) -> None:
        """For subclasses that remember what was meant: alpha as it is in the encoder's picture."""

    def _opened(self) -> PictureWriter:
        if self._writer is None:
            raise SinkError(f"{self.name} was written to before it was opened.")
        return self._writer


def parts(
    item: MattedFrame | Composite, encoding: Encoding
) -> tuple[Frame, av.VideoFrame | None, AlphaArray | None]:  # fmt: skip
    """(frame, picture to encode, alpha to encode) of an item; fails closed where the foreground is missing.

    Without a cleaned foreground the picture would still show the room under alpha 0: that is an error, never a
    fallback to the raw picture.
    """
    if isinstance(item, Composite):
        if encoding.wants != "composite":
            raise SinkError("a composite was handed to a sink that writes alpha; the outputs are wired up wrongly.")
        return item.matted.frame, item.picture, None
    if item.matte.ready is not None:
        item.matte.ready.synchronize()
    if encoding.wants == "alpha":
        return item.frame, None, item.matte.alpha
    foreground: Any = item.matte.foreground
    if encoding.wants != "straight" or not isinstance(foreground, av.VideoFrame):
        raise SinkError("a frame came without its cleaned foreground on the host, so nothing of it was written.")
    return item.frame, foreground, item.matte.alpha if encoding.has_alpha else None
