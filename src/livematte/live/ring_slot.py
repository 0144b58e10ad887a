"""How one frame lies in a slot of the ring: a small header in JSON, then the planes, tightly packed.

The reader trusts nothing: a worker gone mad may have written anything. Sizes, names and lengths are checked against
the tables of formats and the slot's own length before a byte is copied.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt

from livematte.color import COLOR_PRIMARIES, COLOR_RANGES, COLOR_TRCS, COLORSPACES, ColorSpec
from livematte.frames import AlphaArray, Frame, Matte, MattedFrame, StreamInfo, Timestamp
from livematte.live.base import LiveFrame
from livematte.live.messages import Wanted
from livematte.planes import PlaneArray, layout, new_picture, plane_arrays

ByteArray = npt.NDArray[np.uint8]

PLANES_AT: Final = 2048
"""Bytes of a slot before its planes: sequence, length of the header, header."""
HEADER_AT: Final = 64
_ALIGNMENT: Final = 64
_LARGEST_SIDE: Final = 16384
_LARGEST_COUNT: Final = 2**62


class SlotDamaged(Exception):
    """What lies in the slot is no frame."""


@dataclass(frozen=True, slots=True)
class SlotPayload:
    """What goes into one slot. The raw picture is not among it, save for the small `before` where that is wanted."""

    number: int
    generation: int
    time: Timestamp
    duration: int | None
    captured_ns: int
    color: ColorSpec
    pix_fmt: str
    width: int
    height: int
    composite: av.VideoFrame | None = None
    """In `pix_fmt`, of the size above."""
    foreground: av.VideoFrame | None = None
    """STRAIGHT, in `pix_fmt`, of the size above; only together with `alpha`."""
    alpha: AlphaArray | None = None
    """(height, width) uint8 or uint16."""
    before: npt.NDArray[np.uint8] | None = None
    """(h, w, 3) uint8 RGB, small."""


def slot_bytes_for(info: StreamInfo, wanted: Wanted, *, alpha_bits: int = 8) -> int:
    """Bytes that a slot needs for frames of this size and format with the parts that are wanted."""
    before = before_size(info.width, info.height, wanted.before_height) if wanted.before else None
    shapes = _Shapes(
        info.pix_fmt, info.width, info.height, wanted.composite, alpha_bits if wanted.straight else 0, before
    )
    return PLANES_AT + shapes.length()


def before_size(width: int, height: int, wanted_height: int) -> tuple[int, int]:
    """(width, height) of the page's "before" picture: at most `wanted_height` lines, same shape, never enlarged."""
    lines = max(1, min(height, wanted_height))
    return max(1, round(width * lines / height)), lines


@dataclass(frozen=True, slots=True)
class _Shapes:
    """Which parts a slot holds, and how large each is: the same arithmetic for the writer and the reader."""

    pix_fmt: str
    width: int
    height: int
    composite: bool
    alpha_bits: int
    """8 or 16: foreground and alpha are there; 0: they are not."""
    before: tuple[int, int] | None
    """(width, height)."""

    def parts(self) -> Iterator[tuple[str, int, tuple[int, ...], type[np.uint8] | type[np.uint16]]]:
        """(part, offset behind `PLANES_AT`, shape, dtype) of each plane, in order."""
        kind, at = layout(self.pix_fmt), 0
        right, down = (1 << kind.log2_chroma_width) - 1, (1 << kind.log2_chroma_height) - 1
        chroma = (
            (self.height + down) >> kind.log2_chroma_height,
            (self.width + right) >> kind.log2_chroma_width,
        )
        planes: list[tuple[str, tuple[int, ...], type[np.uint8] | type[np.uint16]]] = []
        for part in ("composite",) * self.composite + ("foreground",) * bool(self.alpha_bits):
            planes += [(part, shape, kind.dtype) for shape in ((self.height, self.width), chroma, chroma)]
        if self.alpha_bits:
            planes.append(("alpha", (self.height, self.width), np.uint8 if self.alpha_bits == 8 else np.uint16))
        if self.before is not None:
            planes.append(("before", (self.before[1], self.before[0], 3), np.uint8))
        for part, shape, dtype in planes:
            yield part, at, shape, dtype
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            at += -(-size // _ALIGNMENT) * _ALIGNMENT

    def length(self) -> int:
        """Bytes of all parts."""
        return sum(
            -(-int(np.prod(shape)) * np.dtype(dtype).itemsize // _ALIGNMENT) * _ALIGNMENT
            for _, _, shape, dtype in self.parts()
        )


def put(payload: SlotPayload, slot: ByteArray) -> int:
    """Write header and planes into a slot's bytes; gives the header's length. ValueError where they do not fit."""
    alpha, before = payload.alpha, payload.before
    shapes = _Shapes(
        payload.pix_fmt,
        payload.width,
        payload.height,
        payload.composite is not None,
        8 * alpha.dtype.itemsize if alpha is not None and payload.foreground is not None else 0,
        None if before is None else (before.shape[1], before.shape[0]),
    )
    header = _header(payload, shapes)
    if PLANES_AT + shapes.length() > slot.size or HEADER_AT + len(header) > PLANES_AT:
        raise ValueError(f"{shapes} does not fit a slot of {slot.size} bytes")
    planes: dict[str, Iterator[Any]] = {
        "composite": iter(_planes(payload.composite, payload)),
        "foreground": iter(_planes(payload.foreground, payload)),
        "alpha": iter([alpha]),
        "before": iter([before]),
    }
    for part, view in _views(shapes, slot):
        np.copyto(view, next(planes[part]), casting="no")
    slot[HEADER_AT : HEADER_AT + len(header)] = np.frombuffer(header, np.uint8)
    return len(header)


def _planes(picture: av.VideoFrame | None, payload: SlotPayload) -> list[PlaneArray]:
    if picture is None:
        return []
    got = (picture.format.name, picture.width, picture.height)
    if got != (payload.pix_fmt, payload.width, payload.height):
        raise ValueError(f"a part of the frame is {got}, and the frame is {payload.width}x{payload.height}")
    return plane_arrays(picture)


def _views(shapes: _Shapes, slot: ByteArray) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    for part, at, shape, dtype in shapes.parts():
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        yield part, slot[PLANES_AT + at : PLANES_AT + at + size].view(dtype).reshape(shape)


def _header(payload: SlotPayload, shapes: _Shapes) -> bytes:
    color = payload.color
    base = payload.time.time_base
    fields = {
        "number": payload.number,
        "generation": payload.generation,
        "pts": payload.time.pts,
        "time_base": [base.numerator, base.denominator],
        "duration": payload.duration,
        "captured_ns": payload.captured_ns,
        "color": [color.colorspace, color.color_range, color.color_primaries, color.color_trc],
        "guessed": sorted(color.guessed),
        "pix_fmt": shapes.pix_fmt,
        "size": [shapes.width, shapes.height],
        "composite": shapes.composite,
        "alpha_bits": shapes.alpha_bits,
        "before": shapes.before,
    }
    return json.dumps(fields).encode()


@dataclass(frozen=True, slots=True)
class _Head:
    shapes: _Shapes
    number: int
    generation: int
    time: Timestamp
    duration: int | None
    captured_ns: int
    color: ColorSpec


def take(slot: ByteArray, header_length: int) -> LiveFrame:
    """A frame copied out of a slot's bytes. SlotDamaged where they are none."""
    if not 0 < header_length <= PLANES_AT - HEADER_AT:
        raise SlotDamaged(f"a header of {header_length} bytes")
    try:
        head = _parse(json.loads(slot[HEADER_AT : HEADER_AT + header_length].tobytes()))
        fits = PLANES_AT + head.shapes.length() <= slot.size
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise SlotDamaged(f"a header that cannot be read ({error})") from error
    if not fits:
        raise SlotDamaged(f"{head.shapes} in a slot of {slot.size} bytes")
    return _copied(head, slot)


def _copied(head: _Head, slot: ByteArray) -> LiveFrame:
    shapes = head.shapes
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    for part, view in _views(shapes, slot):
        parts.setdefault(part, []).append(view)
    composite = _picture(parts["composite"], head) if "composite" in parts else None
    matted = None
    if "foreground" in parts:
        foreground = _picture(parts["foreground"], head)
        frame = Frame(foreground, head.time, head.duration, head.number, head.color, captured_ns=head.captured_ns)
        matted = MattedFrame(frame, Matte(parts["alpha"][0].copy(), foreground))
    return LiveFrame(
        number=head.number,
        generation=head.generation,
        time=head.time,
        captured_ns=head.captured_ns,
        color=head.color,
        width=shapes.width,
        height=shapes.height,
        composite=composite,
        matted=matted,
        before=parts["before"][0].copy() if "before" in parts else None,
    )


def _picture(planes: list[npt.NDArray[Any]], head: _Head) -> av.VideoFrame:
    made = new_picture(head.shapes.pix_fmt, head.shapes.width, head.shapes.height)
    for target, plane in zip(plane_arrays(made), planes, strict=True):
        np.copyto(target, plane)
    made.colorspace = COLORSPACES[head.color.colorspace]
    made.color_range = COLOR_RANGES[head.color.color_range]
    made.color_primaries = COLOR_PRIMARIES[head.color.color_primaries]
    made.color_trc = COLOR_TRCS[head.color.color_trc]
    return made


def _parse(fields: Any) -> _Head:
    """ValueError, TypeError, KeyError or IndexError where anything is not what `_header` writes."""
    width, height = (_whole(side, 1, _LARGEST_SIDE) for side in fields["size"])
    before = None
    if fields["before"] is not None:
        before_width, before_height = (_whole(side, 1, _LARGEST_SIDE) for side in fields["before"])
        before = (before_width, before_height)
    kind = layout(_text(fields["pix_fmt"]))
    if kind.has_alpha:
        raise ValueError(f"'{kind.pix_fmt}' carries alpha")
    bits = _whole(fields["alpha_bits"], 0, 16)
    if bits not in (0, 8, 16):
        raise ValueError(f"alpha of {bits} bits")
    numerator, denominator = (_whole(part, 1, _LARGEST_COUNT) for part in fields["time_base"])
    duration = fields["duration"]
    return _Head(
        shapes=_Shapes(kind.pix_fmt, width, height, fields["composite"] is True, bits, before),
        number=_whole(fields["number"], 0, _LARGEST_COUNT),
        generation=_whole(fields["generation"], 0, _LARGEST_COUNT),
        time=Timestamp(_whole(fields["pts"], -_LARGEST_COUNT, _LARGEST_COUNT), Fraction(numerator, denominator)),
        duration=None if duration is None else _whole(duration, -_LARGEST_COUNT, _LARGEST_COUNT),
        captured_ns=_whole(fields["captured_ns"], 0, _LARGEST_COUNT),
        color=_color(fields["color"], fields["guessed"]),
    )


def _color(names: Any, guessed: Any) -> ColorSpec:
    colorspace, color_range, primaries, trc = (_text(name) for name in names)
    tables = (COLORSPACES, COLOR_RANGES, COLOR_PRIMARIES, COLOR_TRCS)
    for name, table in zip((colorspace, color_range, primaries, trc), tables, strict=True):
        if name not in table:
            raise ValueError(f"unknown colour '{name[:40]}'")
    return ColorSpec(colorspace, color_range, primaries, trc, frozenset(_text(name) for name in guessed))


def _whole(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{str(value)[:40]} is not a whole number from {low} to {high}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:40]} is not text")
    return value
