"""The shape of a pixel, put into a finished Matroska or WebM file, because PyAV cannot tell FFmpeg's writer of it.

Note [Display size]
    Matroska (RFC 9559) states how wide and high a picture is shown, in `DisplayWidth` and `DisplayHeight`. FFmpeg's
    writer takes them from the stream's aspect ratio, which PyAV 17 to 19 has no way to set. It reserves room behind
    its index of sections, though (`SeekHead`, then a `Void` of about 80 bytes). So ten bytes of that are given up,
    what lies between is moved ahead by them, and the two elements are written at the end of the track's `Video`. All
    that follows stays where it is. Sizes, the two positions in the index and the checksums are set right.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

_SEGMENT, _SEEK_HEAD, _SEEK, _VOID = b"\x18\x53\x80\x67", b"\x11\x4d\x9b\x74", b"\x4d\xbb", b"\xec"
_SEEK_ID, _SEEK_POSITION = b"\x53\xab", b"\x53\xac"
_INFO, _TRACKS, _ENTRY, _VIDEO = b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b", b"\xae", b"\xe0"
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = b"\x54\xb0", b"\x54\xba", b"\x54\xb2"
_CHECKSUM, _CLUSTER = b"\xbf", b"\x1f\x43\xb6\x75"
_HEADER_BYTES: Final = 1 << 16
"""More than the sections before the first pictures ever take."""


class _Unexpected(Exception):
    """The file is not laid out as FFmpeg lays it out; nothing has been written."""


@dataclass(frozen=True, slots=True)
class _Element:
    """An EBML element (RFC 8794): where its identifier, its size field and its content begin, and where it ends."""

    kind: bytes
    start: int
    size_at: int
    content: int
    end: int


def state_pixel_shape(path: str, size: tuple[int, int], shape: Fraction) -> bool:
    """Write into `path` that pictures of `size` have pixels of `shape` (width / height); Note [Display size].

    False, and the file untouched, where it is not laid out as expected. OSError: it cannot be read or written.
    """
    width, height = size
    shown = (round(width * shape), height) if shape > 1 else (width, round(height / shape))
    with open(path, "r+b") as file:
        header = bytearray(file.read(_HEADER_BYTES))
        try:
            end = _insert(header, *shown)
        except (_Unexpected, IndexError, OverflowError, ValueError):
            return False
        file.seek(0)
        file.write(header[:end])
    return True


def _insert(data: bytearray, width: int, height: int) -> int:
    """Put the display size into the header `data`, in place; returns where the changed part ends."""
    segment = _find(data, _SEGMENT, 0, len(data))
    seek_head, tracks = (_find(data, kind, segment.content, len(data)) for kind in (_SEEK_HEAD, _TRACKS))
    room = next(_elements(data, seek_head.end, len(data)))
    entry, video = next(
        (entry, part)
        for entry in _elements(data, tracks.content, tracks.end)
        if entry.kind == _ENTRY
        for part in _elements(data, entry.content, entry.end)
        if part.kind == _VIDEO
    )
    made = _number(_DISPLAY_WIDTH, width) + _number(_DISPLAY_HEIGHT, height)
    if room.kind != _VOID or room.end - room.content < len(made) or tracks.start < room.end:
        raise _Unexpected
    for part in _elements(data, video.content, video.end):
        if part.kind in (_DISPLAY_WIDTH, _DISPLAY_HEIGHT):
            raise _Unexpected
        if part.kind == _DISPLAY_UNIT:
            data[part.end - 1] = 0  # pixels, where FFmpeg says `unknown`
    _resize(data, room, -len(made))
    for grown in (video, entry, tracks):
        _resize(data, grown, len(made))
    _move_positions(data, seek_head, len(made))
    data[room.end - len(made) : video.end] = data[room.end : video.end] + made
    _set_checksum(data, seek_head.content, seek_head.end)
    _set_checksum(data, tracks.content - len(made), tracks.end)
    return tracks.end


def _move_positions(data: bytearray, seek_head: _Element, by: int) -> None:
    """Info and Tracks lie `by` bytes earlier now."""
    for seek in _elements(data, seek_head.content, seek_head.end):
        if seek.kind != _SEEK:
            continue
        name = _find(data, _SEEK_ID, seek.content, seek.end)
        place = _find(data, _SEEK_POSITION, seek.content, seek.end)
        if bytes(data[name.content : name.end]) in (_INFO, _TRACKS):
            moved = int.from_bytes(data[place.content : place.end], "big") - by
            data[place.content : place.end] = moved.to_bytes(place.end - place.content, "big")


def _set_checksum(data: bytearray, start: int, end: int) -> None:
    """CRC-32 over what follows it in its parent, little-endian; files without one stay so."""
    first = next(_elements(data, start, end))
    if first.kind == _CHECKSUM:
        data[first.content : first.end] = zlib.crc32(data[first.end : end]).to_bytes(4, "little")


def _resize(data: bytearray, element: _Element, by: int) -> None:
    """Another size in the same number of bytes; OverflowError where it does not fit."""
    length = element.content - element.size_at
    marker = 1 << (7 * length)
    size = element.end - element.content + by
    if not 0 <= size < marker - 1:  # all ones: size unknown
        raise OverflowError
    data[element.size_at : element.content] = (marker | size).to_bytes(length, "big")


def _number(kind: bytes, value: int) -> bytes:
    """An unsigned integer of two bytes as an element."""
    return kind + b"\x82" + value.to_bytes(2, "big")


def _find(data: bytearray, kind: bytes, start: int, end: int) -> _Element:
    for element in _elements(data, start, end):
        if element.kind == kind:
            return element
    raise _Unexpected


def _elements(data: bytearray, start: int, end: int) -> Iterator[_Element]:
    """Elements of a parent's content, up to the first pictures."""
    while start < end:
        size_at = start + _length(data[start])
        content = size_at + _length(data[size_at])
        kind = bytes(data[start:size_at])
        if kind == _CLUSTER:
            return
        size = int.from_bytes(data[size_at:content], "big") & ((1 << (7 * (content - size_at))) - 1)
        yield _Element(kind, start, size_at, content, content + size)
        start = content + size


def _length(first: int) -> int:
    """Bytes of a variable-length number: one more than its leading zero bits."""
    if first == 0:
        raise _Unexpected
    return 9 - first.bit_length()
