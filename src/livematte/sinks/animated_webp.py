"""Animated WebP: pictures encoded by libwebp (Pillow), put into one animation here.

Note [Animated WebP]
    FFmpeg's `libwebp_anim` holds the animation in memory until its end, and more than that: 400 pictures of 720p took
    361 MiB for a file of 23. So each picture is encoded by itself, one a core, and its chunks go into the file at once
    (WebP container specification, https://developers.google.com/speed/webp/docs/riff_container; RFC 9649): memory is
    constant. A picture is cut to the subject's box, replaces what was there (no blending), and its box is cleared
    after it; at the box's cost, empty surroundings cost nothing. The lossy kind has 8-bit 4:2:0 colours in BT.601 by
    definition (libwebp converts from RGB) and alpha without loss. Colours under alpha 0 are those of the cleaned
    foreground; in the lossless kind they are blanked (left to itself, libwebp predicts them from the edge).
    Levels, on a cut-out of a person that fills 1440x1080, CPU: quality 85 with method 0, 2 and 3 takes 71, 169 and 205
    ms for 101, 59 and 57 KiB; lossless with method 0 and 1 takes 50 and 248 ms for 480 and 339 KiB.
    A RIFF file ends at 4 GiB.
"""

from __future__ import annotations

import io
import struct
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from livematte.config import Encode, OutputSettings
from livematte.errors import SinkError
from livematte.frames import AudioPacket, StreamInfo, Timestamp
from livematte.planes import PlaneArray
from livematte.sinks.animated_time import Milliseconds, Steps, animation_notes
from livematte.sinks.encoding import Content, Encoding, narrowing_notes
from livematte.sinks.formats import Format
from livematte.sinks.tags import rgb_color

_LEVELS: Final[Mapping[Encode, dict[str, str]]] = {
    "fast": {"quality": "75", "method": "0"},
    "good": {"quality": "85", "method": "2"},
    "lossless": {"lossless": "1", "quality": "25", "method": "1"},
}
_LARGEST_SIDE: Final = 16383
_LARGEST_FILE: Final = (1 << 32) - 10
_HEAD_BYTES: Final = 12 + 18 + 14
"""RIFF header, VP8X, ANIM."""
_WIDE_GAMUTS: Final = frozenset({"bt2020", "smpte431", "smpte432"})
_MODES: Final = {"rgba": ("RGBA", 4), "rgb24": ("RGB", 3), "gray": ("L", 1)}


def encoding_for(chosen: Format, content: Content, settings: OutputSettings, info: StreamInfo) -> Encoding:
    """Animated WebP of that content. `SinkError` for HDR, and for pictures too large for the format."""
    if info.color.is_hdr and content != "alpha":
        raise SinkError(
            "animated WebP cannot say that its colours are HDR, so every viewer would show them dull. Write --format "
            "mov, mkv, webm or png, which say it, or --format exr for linear light."
        )
    if max(info.width, info.height) > _LARGEST_SIDE:
        raise SinkError(
            f"WebP pictures have at most {_LARGEST_SIDE} px a side; the output has {info.width}x{info.height}. Make it "
            "smaller with --size."
        )
    # A matte alone is small without loss too.
    is_lossless = settings.encode == "lossless" or content == "alpha"
    options = _LEVELS["lossless" if is_lossless else settings.encode]
    notes = [*narrowing_notes("WebP", info, content, "good"), *animation_notes("animated WebP", info)]
    if info.color.color_primaries in _WIDE_GAMUTS and content != "alpha":
        notes.append(
            f"Animated WebP is read as sRGB, and the input has {info.color.color_primaries} primaries: its colours "
            "will look paler. PNG, APNG and MOV say which primaries they have."
        )
    notes.append("Animated WebP counts in milliseconds: each picture's time is rounded to one, and they do not add up.")
    pix_fmt = {"straight": "rgba", "alpha": "gray"}.get(content, "rgb24")
    how = "lossless" if is_lossless else f"quality {options['quality']}"
    return Encoding(
        chosen, content, "libwebp", pix_fmt, rgb_color(info), options, f"animated WebP (libwebp), {how}", tuple(notes)
    )


@dataclass(slots=True)
class _Picture:
    """One picture on its way through an encoder thread."""

    box: tuple[int, int, int, int]
    """x, y, width, height in the animation; x and y are even."""
    still: Future[bytes]


class WebpWriter:
    """An open animated WebP. `finish` or `discard` ends it, once."""

    def __init__(
        self, path: str, encoding: Encoding, *, size: tuple[int, int], steps: Steps, loop_count: int, threads: int
    ) -> None:
        self._path = path
        self._encoding = encoding
        self._size = size
        self._steps = steps
        self._clock = Milliseconds()
        self._loop_count = loop_count
        self._pictures: deque[_Picture] = deque()
        self._delays: deque[int] = deque()
        self._most_pictures = threads + 1
        self._pool = ThreadPoolExecutor(threads, "livematte-webp")
        self._end = _HEAD_BYTES
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115  closed by finish and discard
        self._write_head()

    @property
    def bytes_encoded(self) -> int:
        """Bytes in the file so far."""
        return self._end

    def encode(self, picture: av.VideoFrame, time: Timestamp, duration: int | None) -> None:
        """Take one picture; waits where the encoder threads are behind."""
        stood = self._steps.next(time, duration)
        if stood is not None:
            self._delays.append(self._clock.take(stood))
        mode, channels = _MODES[self._encoding.pix_fmt]
        pixels = _pixels(picture, channels)
        x, y, width, height = box = _subject_box(pixels) if mode == "RGBA" else (0, 0, *self._size)
        # A copy: the packer writes its next pictures into the same memory.
        cut = pixels[y : y + height, x : x + width]
        if mode == "RGBA" and "lossless" in self._encoding.options:
            cut = _blanked(cut)
        raw = cut.tobytes()
        job = self._pool.submit(still_webp, raw, mode, (width, height), self._encoding.options)
        self._pictures.append(_Picture(box, job))
        self._write_done(most=self._most_pictures)

    def audio(self, item: AudioPacket) -> None:
        """Animated pictures have no sound."""

    def finish(self) -> None:
        """Write what is held back, the file's size, and close it."""
        try:
            self._delays.append(self._clock.take(self._steps.end()))
            self._write_done(most=0)
            self._file.seek(0)
            self._write_head()
            self._file.close()
        except BaseException:
            self.discard()
            raise
        self._pool.shutdown()

    def discard(self) -> None:
        """Close the file as it is. Never raises."""
        self._pool.shutdown(cancel_futures=True)
        try:
            self._file.close()
        except OSError:
            return

    def _write_done(self, *, most: int) -> None:
        """Write the pictures that are encoded and whose delay is known; at most so many stay behind."""
        while self._pictures and self._delays and (len(self._pictures) > most or self._pictures[0].still.done()):
            done = self._pictures.popleft()
            self._write(done.still.result(), done.box, self._delays.popleft())

    def _write(self, still: bytes, box: tuple[int, int, int, int], delay_ms: int) -> None:
        x, y, width, height = box
        image = b"".join(_chunk(name, data) for name, data in chunks(still) if name in (b"ALPH", b"VP8 ", b"VP8L"))
        # Do not blend (2), and clear the box afterwards (1).
        head = _uint24(x // 2, y // 2, width - 1, height - 1, delay_ms) + bytes([3])
        frame = _chunk(b"ANMF", head + image)
        if self._end + len(frame) > _LARGEST_FILE:
            raise SinkError(
                f"{self._path} has reached 4 GB, and a WebP file cannot be larger. Write .webm, or a shorter part with "
                "--start and --end, or make it smaller with --size or --encode fast."
            )
        self._file.write(frame)
        self._end += len(frame)

    def _write_head(self) -> None:
        """RIFF, size of the canvas, background (transparent), how often it plays."""
        width, height = self._size
        flags = 0x02 | (0x10 if self._encoding.has_alpha else 0)
        self._file.write(b"RIFF" + struct.pack("<I", self._end - 8) + b"WEBP")
        self._file.write(_chunk(b"VP8X", bytes([flags, 0, 0, 0]) + _uint24(width - 1, height - 1)))
        self._file.write(_chunk(b"ANIM", struct.pack("<IH", 0, self._loop_count)))


def still_webp(raw: bytes, mode: str, size: tuple[int, int], options: Mapping[str, str]) -> bytes:
    """A still WebP file of pixels in Pillow's `mode`. libwebp works without the interpreter's lock."""
    memory = io.BytesIO()
    Image.frombytes(mode, size, raw).save(
        memory,
        "WEBP",
        lossless="lossless" in options,
        quality=int(options["quality"]),
        method=int(options["method"]),
        alpha_quality=100,
        exact="lossless" in options,
    )
    return memory.getvalue()


def _pixels(picture: av.VideoFrame, channels: int) -> PlaneArray:
    """(H, W, channels) view onto an interleaved 8-bit picture."""
    plane = picture.planes[0]
    memory: Any = np.frombuffer(memoryview(plane), np.uint8)
    rows = memory[: plane.line_size * picture.height].reshape(picture.height, plane.line_size)
    view: PlaneArray = rows[:, : picture.width * channels].reshape(picture.height, picture.width, channels)
    return view


def _subject_box(pixels: PlaneArray) -> tuple[int, int, int, int]:
    """x, y, width, height of what is not empty, x and y even; the first pixel where all is empty."""
    x, y, width, height = cv2.boundingRect(cv2.extractChannel(pixels, 3))
    if not width or not height:
        return 0, 0, 1, 1
    left, top = x & ~1, y & ~1
    return left, top, x + width - left, y + height - top


def _blanked(pixels: PlaneArray) -> PlaneArray:
    """Nothing where alpha is 0. Not for the lossy kind: 4:2:0 would carry the black into the edge."""
    return cast(PlaneArray, cv2.copyTo(pixels, cv2.extractChannel(pixels, 3)))


def _uint24(*values: int) -> bytes:
    return b"".join(value.to_bytes(3, "little") for value in values)


def _chunk(name: bytes, data: bytes) -> bytes:
    """A RIFF chunk, padded to an even length."""
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)


def chunks(riff: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, data) of each chunk of a WebP file in memory."""
    at = 12
    while at + 8 <= len(riff):
        name, length = struct.unpack_from("<4sI", riff, at)
        yield name, riff[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


# --- reading back ---


@dataclass(slots=True)
class WebpIndex:
    """Where the pictures lie in an animated WebP file."""

    size: tuple[int, int]
    pictures: list[tuple[int, int]]
    """(offset, length) of each ANMF chunk's data."""
    is_whole: bool
    """The size that the file states is the size that it has."""


def index_of(path: Path) -> WebpIndex:
    """Walk the chunks of an animated WebP without reading the pictures."""
    found = WebpIndex((0, 0), [], False)
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(4)
        (stated,) = struct.unpack("<I", file.read(4))
        at = 12
        while at + 8 <= end:
            file.seek(at)
            name, length = struct.unpack("<4sI", file.read(8))
            if name == b"VP8X":
                data = file.read(10)
                found.size = (int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1)
            elif name == b"ANMF":
                found.pictures.append((at + 8, length))
            at += 8 + length + (length & 1)
        found.is_whole = at == end == stated + 8
    return found


def picture_at(path: Path, index: WebpIndex, number: int) -> npt.NDArray[np.uint8]:
    """(H, W, 4) uint8 RGBA of picture `number` on its canvas, decoded by libwebp. `SinkError` where it cannot be."""
    if number >= len(index.pictures):
        raise SinkError(f"picture {number} is missing.")
    at, length = index.pictures[number]
    with path.open("rb") as file:
        file.seek(at)
        data = file.read(length)
    x, y, width, height = (int.from_bytes(data[3 * i : 3 * i + 3], "little") for i in range(4))
    size = _uint24(width, height)
    body = b"WEBP" + _chunk(b"VP8X", bytes([0x10, 0, 0, 0]) + size) + data[16:]
    with Image.open(io.BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body)) as still:
        pixels = np.asarray(still.convert("RGBA"))
    canvas = np.zeros((index.size[1], index.size[0], 4), np.uint8)
    canvas[2 * y : 2 * y + height + 1, 2 * x : 2 * x + width + 1] = pixels
    return canvas
