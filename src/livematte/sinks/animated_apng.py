"""APNG: pictures of FFmpeg's PNG encoder, put into one animation here.

Note [APNG]
    An APNG is a PNG with the frames' data in further chunks (W3C PNG, third edition, 2025,
    https://www.w3.org/TR/png-3/). FFmpeg's own encoder of it tries several ways to write what changed against the
    picture before: 2.5 fps at 1080p on two cores, and for moving people files of the same size (3609 against 3606 KiB a
    picture). Its `png` encoder takes a picture a core (10 fps); its chunks are re-labelled here, each picture whole
    (`blend` source, nothing kept of the one before), so memory stays constant, any picture can be read back by itself,
    and delays are as exact as the format has them (Note [Delays]).
"""

from __future__ import annotations

import io
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

import av

from livematte.errors import SinkError
from livematte.frames import AudioPacket, Timestamp
from livematte.sinks.animated_time import Fractions, Steps
from livematte.sinks.container import encoder_threads
from livematte.sinks.encoding import Encoding
from livematte.sinks.tags import tag

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_IHDR_END: Final = 33
"""Signature, and IHDR with its 13 bytes."""
_HEADER_BYTES: Final = 8
"""Of a chunk: length and name."""


class ApngWriter:
    """An open APNG. `finish` or `discard` ends it, once."""

    def __init__(self, path: str, encoding: Encoding, *, size: tuple[int, int], steps: Steps, loop_count: int) -> None:
        self._size = size
        self._steps = steps
        self._clock = Fractions()
        self._loop_count = loop_count
        self._pictures: deque[bytes] = deque()
        self._delays: deque[tuple[int, int]] = deque()
        self._given = self._written = self._sequence = 0
        self.bytes_encoded = 0
        codec: Any = av.CodecContext.create("png", "w")
        codec.width, codec.height = size
        codec.pix_fmt = encoding.pix_fmt
        codec.time_base = Fraction(1, 25)
        codec.options = dict(encoding.options)
        codec.thread_count, codec.thread_type = encoder_threads(), "FRAME"
        tag(codec, encoding.color)
        self._codec = codec
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115  closed by finish and discard

    def encode(self, picture: av.VideoFrame, time: Timestamp, duration: int | None) -> None:
        """Take one picture."""
        stood = self._steps.next(time, duration)
        if stood is not None:
            self._delays.append(self._clock.take(stood))
        picture.pts, picture.time_base = self._given, Fraction(1, 25)
        self._given += 1
        self._take(self._codec.encode(picture))

    def audio(self, item: AudioPacket) -> None:
        """Animated pictures have no sound."""

    def finish(self) -> None:
        """Write what is held back, the number of pictures, and close the file."""
        try:
            self._delays.append(self._clock.take(self._steps.end()))
            self._take(self._codec.encode(None))
            self._chunk(b"IEND", b"")
            self._file.seek(_IHDR_END)
            self._chunk(b"acTL", struct.pack(">II", self._written, self._loop_count))
            self._file.close()
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Close the file as it is. Never raises."""
        try:
            self._file.close()
        except OSError:
            return

    def _take(self, packets: list[Any]) -> None:
        for packet in packets:
            self._pictures.append(bytes(packet))
            self.bytes_encoded += packet.size
        while self._pictures and self._delays:
            self._write(self._pictures.popleft(), self._delays.popleft())

    def _write(self, png: bytes, delay: tuple[int, int]) -> None:
        """One picture: its control chunk, and its data as IDAT (the first) or fdAT (all others)."""
        if not self._written:
            self._write_head(png)
        control = struct.pack(">IIIIIHHBB", self._next(), *self._size, 0, 0, *delay, 0, 0)
        self._chunk(b"fcTL", control)
        for name, data in chunks(png):
            if name == b"IDAT" and not self._written:
                self._chunk(b"IDAT", data)
            elif name == b"IDAT":
                self._chunk(b"fdAT", struct.pack(">I", self._next()) + data)
        self._written += 1

    def _write_head(self, png: bytes) -> None:
        """Signature, size, the animation's own chunk, and what the encoder says of colours."""
        self._file.write(_SIGNATURE)
        for name, data in chunks(png):
            if name == b"IDAT":
                return
            self._chunk(name, data)
            if name == b"IHDR":
                self._chunk(b"acTL", struct.pack(">II", 0, self._loop_count))

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    def _chunk(self, name: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + name)
        self._file.write(data)
        self._file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, data) of each chunk of a PNG in memory."""
    at = len(_SIGNATURE)
    while at + _HEADER_BYTES <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        begin = at + _HEADER_BYTES
        yield png[at + 4 : begin], png[begin : begin + length]
        at = begin + length + 4


@dataclass(slots=True)
class ApngIndex:
    """Where everything lies in an APNG file."""

    head: list[tuple[bytes, int, int]] = field(default_factory=list)
    """(name, offset, length) of the chunks before the pictures."""
    pictures: list[list[tuple[bytes, int, int]]] = field(default_factory=list)
    """The data chunks of each picture."""
    stated: int = 0
    """How many pictures the file says it has."""
    is_whole: bool = False
    """The file ends as it should."""


def index_of(path: Path) -> ApngIndex:
    """Walk an APNG file's chunks without reading the pictures."""
    found = ApngIndex()
    with path.open("rb") as file:
        end = file.seek(0, 2)
        at = len(_SIGNATURE)
        while at + _HEADER_BYTES <= end:
            file.seek(at)
            length, name = struct.unpack(">I4s", file.read(_HEADER_BYTES))
            place = (name, at + _HEADER_BYTES, length)
            if name == b"acTL":
                (found.stated,) = struct.unpack(">I", file.read(4))
            elif name == b"fcTL":
                found.pictures.append([])
            elif name in (b"IDAT", b"fdAT") and found.pictures:
                found.pictures[-1].append(place)
            elif not found.pictures:
                found.head.append(place)
            at += _HEADER_BYTES + length + 4
            found.is_whole = name == b"IEND" and at == end
    return found


def picture_at(path: Path, index: ApngIndex, number: int) -> av.VideoFrame:
    """Picture `number` of an APNG file, decoded as the still PNG that it is. `SinkError` where it cannot be."""
    still = bytearray(_SIGNATURE)
    with path.open("rb") as file:

        def take(at: int, length: int) -> bytes:
            file.seek(at)
            return file.read(length)

        if number >= len(index.pictures):
            raise SinkError(f"picture {number} is missing.")
        parts = [(name, take(at, length)) for name, at, length in index.head]
        for name, at, length in index.pictures[number]:
            skipped = 4 if name == b"fdAT" else 0
            parts.append((b"IDAT", take(at + skipped, length - skipped)))
    for name, data in [*parts, (b"IEND", b"")]:
        still += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
    with av.open(io.BytesIO(bytes(still)), mode="r") as container:
        return next(container.decode(video=0))
