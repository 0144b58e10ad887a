"""Which encoders really work on this machine: each is opened, given small pictures, and what it made decoded again.

A build lists encoders that cannot work: NVENC without an NVIDIA driver, libx265 with an alpha format but built without
alpha layers. Only trying tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any, Final

import av
import numpy as np

from livematte.planes import PlaneArray, layout, new_picture, plane_arrays

_SIDE: Final = 256
"""Pictures of 256x256: NVENC refuses less than 145x49."""
_PICTURES: Final = 3
_LIMITS: Final = {"colours": 16.0, "alpha": 8.0}
"""Mean difference, in 1/255, up to which it counts as the same picture. RGB comes back as limited luma: a ramp of
16..235 becomes 30..218, which is 8 away on average; alpha as in `verify.py`."""


def why_not(codec: str, pix_fmt: str, options: Mapping[str, str]) -> str:
    """Empty where `codec` takes pictures of `pix_fmt` and gives luma and (where `pix_fmt` has one) alpha back.

    Else the reason, the end of a sentence that begins with the encoder's name. Each is tried once a run: about 0.1 s.
    """
    return _tried(codec, pix_fmt, tuple(options.items()))


@cache
def _tried(codec: str, pix_fmt: str, options: tuple[tuple[str, str], ...]) -> str:
    try:
        kind = av.Codec(codec, "w")
    except (ValueError, LookupError):  # UnknownCodecError is a ValueError
        return "is not in this build of FFmpeg"
    known = {one.name for one in kind.video_formats or ()}
    if known and pix_fmt not in known:
        return f"does not take {pix_fmt} in this build of FFmpeg"
    try:
        packets = _encode(codec, pix_fmt, dict(options))
    except (av.error.FFmpegError, OSError, ValueError, RuntimeError) as error:
        return f"is in this build of FFmpeg but does not open ({getattr(error, 'strerror', None) or error})"
    try:
        pictures = _decode(kind.canonical_name, packets)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        return f"writes what cannot be decoded again here ({getattr(error, 'strerror', None) or error})"
    return _judge(pictures, has_alpha=len(av.VideoFormat(pix_fmt).components) == 4)


def _ramp() -> PlaneArray:
    """(256, 256) uint8: columns from 16 to 235, within limited range, so that it may be luma or alpha."""
    return np.tile(np.linspace(16, 235, _SIDE).astype(np.uint8), (_SIDE, 1))


def _encode(codec: str, pix_fmt: str, options: dict[str, str]) -> list[Any]:
    context: Any = av.CodecContext.create(codec, "w")
    context.width = context.height = _SIDE
    context.pix_fmt, context.time_base, context.framerate = pix_fmt, Fraction(1, 25), Fraction(25)
    context.options = options
    packets: list[Any] = []
    for index in range(_PICTURES):
        picture = _picture(pix_fmt)
        picture.pts, picture.time_base = index, Fraction(1, 25)
        packets += context.encode(picture)
    return packets + list(context.encode(None))


def _picture(pix_fmt: str) -> av.VideoFrame:
    ramp = _ramp()
    if pix_fmt == "bgra":
        pixels: Any = np.dstack([ramp, ramp, ramp, ramp])
        return av.VideoFrame.from_ndarray(pixels, format="bgra")
    picture = new_picture(pix_fmt, _SIDE, _SIDE)
    shift = layout(pix_fmt).bits - 8
    planes = plane_arrays(picture)
    for number, plane in enumerate(planes):
        plane[:] = np.left_shift(ramp, shift, dtype=plane.dtype) if number in (0, 3) else 128 << shift
    return picture


def _decode(name: str, packets: list[Any]) -> list[av.VideoFrame]:
    decoder: Any = av.CodecContext.create(name, "r")
    made: list[av.VideoFrame] = []
    for packet in packets:
        copied = av.Packet(bytes(packet))
        copied.pts, copied.dts, copied.time_base = packet.pts, packet.dts, packet.time_base
        made += decoder.decode(copied)
    return made + list(decoder.decode(None))


def _judge(pictures: list[av.VideoFrame], *, has_alpha: bool) -> str:
    if len(pictures) != _PICTURES:
        return f"gave {len(pictures)} of {_PICTURES} pictures back"
    planes = plane_arrays(pictures[-1])
    if has_alpha and len(planes) < 4:
        return "takes pictures with alpha, but they are opaque when they are decoded again here"
    for number, what in [(0, "colours"), (3, "alpha")][: 2 if has_alpha else 1]:
        shift = layout(pictures[-1].format.name).bits - 8
        off = np.abs((planes[number] >> shift).astype(np.int16) - _ramp()).mean()
        if off > _LIMITS[what]:
            return f"gives {what} back {off:.0f}/255 off on average"
    return ""
