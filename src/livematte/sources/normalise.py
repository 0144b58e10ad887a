"""Every pixel format that FFmpeg decodes to, brought into a working format (`frames.py`, Note [Working formats]).

Note [At the door]
    Lossless, and tested bit by bit: semi-planar (nv12, p010...), packed 4:2:2, full-range names (yuvj), packed RGB,
    palettes, big-endian samples, and every planar format with alpha, whose alpha goes to `Frame.alpha`.
    Lossless too, but larger, and said: 4:1:1, 4:1:0 and 4:4:0 become 4:4:4 by repeating chroma samples.
    Grey becomes planar RGB where it is full range (PNG), and 4:2:0 with neutral chroma where it is limited
    (H.264 monochrome), because planar RGB has no limited range of its own.
    What is left (floating point, Bayer, XYZ...) goes through libswscale to the nearest working format, and is said.
    swscale moves alpha by one step on the way into yuva formats, and rounds 16-bit RGB: it is used here only for
    reorderings that are exact, and where nothing better exists.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final, TypeAlias, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from livematte.errors import SourceError
from livematte.frames import AlphaArray
from livematte.planes import PlaneArray, alpha_from_bits, layout, new_picture, plane_arrays
from livematte.sources.orientation import copy_tags

Split: TypeAlias = tuple[av.VideoFrame, AlphaArray | None]

_SEMI: Final = {
    "nv12": ("yuv420p", 0, False), "nv21": ("yuv420p", 0, True), "nv16": ("yuv422p", 0, False),
    "nv24": ("yuv444p", 0, False), "nv42": ("yuv444p", 0, True),
    "p010le": ("yuv420p10le", 6, False), "p210le": ("yuv422p10le", 6, False), "p410le": ("yuv444p10le", 6, False),
    "p012le": ("yuv420p12le", 4, False), "p212le": ("yuv422p12le", 4, False), "p412le": ("yuv444p12le", 4, False),
    "p016le": ("yuv420p16le", 0, False), "p216le": ("yuv422p16le", 0, False), "p416le": ("yuv444p16le", 0, False),
    "nv20le": ("yuv422p10le", 0, False),
}  # fmt: skip
"""Semi-planar format -> (planar format, bits that the samples are shifted up by, V before U)."""
_PACKED_422: Final = {"yuyv422": (0, 1, 3), "uyvy422": (1, 0, 2), "yvyu422": (0, 3, 1)}
"""Packed 4:2:2 -> positions of Y, U and V in each group of four bytes."""
_PACKED_RGB: Final = {
    "rgb24": "rgb", "bgr24": "bgr", "rgba": "rgba", "bgra": "bgra", "argb": "argb", "abgr": "abgr",
    "rgb0": "rgb-", "bgr0": "bgr-", "0rgb": "-rgb", "0bgr": "-bgr",
    "rgb48": "rgb", "bgr48": "bgr", "rgba64": "rgba", "bgra64": "bgra", "ya8": "ya", "ya16": "ya",
    "gray": "y", "gray9": "y", "gray10": "y", "gray12": "y", "gray14": "y", "gray16": "y",
}  # fmt: skip
"""Packed RGB and grey formats (without the byte order) -> the order of their samples."""
_PACKED_444: Final = {"ayuv": "ayuv", "vuya": "vuya", "vuyx": "vuy-", "vyu444": "vyu", "uyva": "uyva"}
"""Packed 4:4:4 formats of 8 bits -> the order of their samples."""
_ABORTS: Final = ("yaf32",)
"""Formats on which libswscale ends the whole process with a failed assertion (FFmpeg 8.1): refused instead."""
_SPREAD: Final = {"yuv411p": (4, 1), "yuv410p": (4, 4), "yuv440p": (1, 2)}
"""Rare subsampling -> how often each chroma sample is repeated (across, down) to reach 4:4:4."""
_REFUSED: Final = (
    "the input's pixel format is {name}, which cannot be read. Convert it first, for example with "
    "'ffmpeg -i IN -pix_fmt yuv420p OUT' (or gbrp16le for pictures with more than 8 bits)."
)


@dataclass(frozen=True, slots=True)
class Door:
    """How one source format becomes a working format."""

    source: str
    target: str
    convert: Callable[[av.VideoFrame], Split]
    has_alpha: bool = False
    full_range_name: bool = False
    """The source format's name says full range (`yuvj420p`)."""
    remark: str = ""
    """What the person should know, as a sentence; empty: nothing changes that matters."""


def door_for(picture: av.VideoFrame) -> Door:
    """The way in for pictures like this one (its format, and for palettes and grey its contents' tags)."""
    name = picture.format.name
    if name == "pal8":
        return _pal8_door(_palette_has_alpha(picture))
    is_limited_grey = name.startswith("gray") and picture.color_range != 2 and picture.colorspace != 0
    return _door(name, is_limited_grey)


@cache
def _door(name: str, is_limited_grey: bool) -> Door:
    plain, big = (name[:-2], True) if name.endswith("be") else (name, False)
    if plain.startswith("yuvj"):
        return _planar_door(name, plain.replace("yuvj", "yuv"), full_range_name=True)
    if name in _SEMI:
        target, shift, swapped = _SEMI[name]
        return Door(name, target, partial(_from_semi_planar, target=target, shift=shift, swapped=swapped))
    if name in _PACKED_422:
        return Door(name, "yuv422p", partial(_from_packed_422, places=_PACKED_422[name]))
    bare = plain.removesuffix("le")
    if bare in _PACKED_RGB and is_limited_grey:
        return _grey_door(name, big=big)
    if bare in _PACKED_RGB:
        return _packed_door(name, _PACKED_RGB[bare], big=big)
    if name in _PACKED_444:
        way = partial(_from_packed, order=_PACKED_444[name], target="yuv444p", big=False, wide=False)
        return Door(name, "yuv444p", way, has_alpha="a" in _PACKED_444[name])
    planar = f"{plain}le" if big else plain
    if _is_planar(planar) or planar.startswith(tuple(_SPREAD)):
        return _planar_door(name, planar, big=big)
    return _fallback_door(name)


def _is_planar(name: str) -> bool:
    try:
        layout(name)
    except (ValueError, KeyError):
        return False
    return True


def _planar_door(name: str, planar: str, *, big: bool = False, full_range_name: bool = False) -> Door:
    for rare, (across, down) in _SPREAD.items():
        if planar.startswith(rare):
            target = planar.replace(rare, "yuv444p")
            remark = f"the input's chroma layout ({name}) becomes 4:4:4 by repeating samples."
            way = partial(_copy_planes, target=target, repeat=(across, down), big=big)
            return Door(name, target, way, full_range_name=full_range_name, remark=remark)
    shape = layout(planar)
    if shape.log2_chroma_width > 1 or shape.log2_chroma_height > shape.log2_chroma_width:
        return _fallback_door(name)
    target = re.sub(r"^(yuv|gbr)a(p?)", _without_a, planar) if shape.has_alpha else planar
    if name == target:
        return Door(name, target, _as_it_is)
    way = partial(_copy_planes, target=target, big=big)
    return Door(name, target, way, has_alpha=shape.has_alpha, full_range_name=full_range_name)


def _without_a(found: re.Match[str]) -> str:
    return found[1] + found[2]


def _packed_door(name: str, order: str, *, big: bool) -> Door:
    bits = max(part.bits for part in av.VideoFormat(name).components)
    target = "gbrp" if bits == 8 else f"gbrp{bits}le"
    way = partial(_from_packed, order=order, target=target, big=big, wide=bits > 8)
    return Door(name, target, way, has_alpha="a" in order)


def _grey_door(name: str, *, big: bool) -> Door:
    bits = av.VideoFormat(name).components[0].bits
    target = "yuv420p" if bits == 8 else f"yuv420p{bits}le"
    return Door(name, target, partial(_from_limited_grey, target=target, big=big))


@cache
def _pal8_door(has_alpha: bool) -> Door:
    return Door("pal8", "gbrp", partial(_from_palette, has_alpha=has_alpha), has_alpha=has_alpha)


@cache
def _fallback_door(name: str) -> Door:
    if name.startswith(_ABORTS):
        raise SourceError(_REFUSED.format(name=name))
    known = av.VideoFormat(name)
    bits = max((part.bits for part in known.components), default=8)
    has_alpha = len(known.components) in (2, 4) and "bayer" not in name
    if known.is_rgb or known.is_bayer or len(known.components) < 3 or name.startswith(("xyz", "gbr")):
        depth = next(depth for depth in (8, 10, 12, 16, 32) if bits <= depth)
        target = {8: "gbrp", 10: "gbrp10le", 12: "gbrp12le"}.get(depth, "gbrp16le")
    else:
        probe = av.VideoFormat(name, 8, 8).components[1]
        chroma = {(8, 8): "444", (4, 8): "422", (4, 4): "420"}.get((probe.width, probe.height), "444")
        depth = next(depth for depth in (8, 10, 12, 16, 32) if bits <= depth)
        target = f"yuv{chroma}p" + {8: "", 10: "10le", 12: "12le"}.get(depth, "16le")
    remark = f"the input's pixel format {name} is converted to {target}; values may change by rounding."
    way = partial(_through_swscale, target=target, has_alpha=has_alpha)
    return Door(name, target, way, has_alpha=has_alpha, remark=remark)


# --- the ways in ---


def _as_it_is(picture: av.VideoFrame) -> Split:
    if any(plane.line_size < 0 for plane in picture.planes):  # stored bottom up: planes.py reads downward
        return _copy_planes(picture, target=picture.format.name)
    return picture, None


def _rows(picture: av.VideoFrame, number: int, width: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """(height, width) view of plane `number`, top row first, `width` samples of `dtype` a row."""
    plane = picture.planes[number]
    item = np.dtype(dtype).itemsize
    pitch = abs(plane.line_size) // item
    rows = np.frombuffer(memoryview(cast(Any, plane)), dtype, count=pitch * plane.height).reshape(plane.height, pitch)
    return (rows if plane.line_size > 0 else rows[::-1])[:, :width]


def _sample_type(bits: int, *, big: bool) -> np.dtype[Any]:
    return np.dtype(np.uint8) if bits == 8 else np.dtype(">u2" if big else "<u2")


def _copy_planes(picture: av.VideoFrame, *, target: str, repeat: tuple[int, int] = (1, 1), big: bool = False) -> Split:
    """Planar to planar: other byte order, other name, repeated chroma; a fourth plane becomes alpha."""
    made = new_picture(target, picture.width, picture.height)
    bits = layout(target).bits
    kind = _sample_type(bits, big=big)
    for number, into in enumerate(plane_arrays(made)):
        rows = _rows(picture, number, picture.planes[number].width, kind)
        if repeat != (1, 1) and number in (1, 2):
            rows = np.repeat(np.repeat(rows, repeat[0], axis=1), repeat[1], axis=0)
            rows = rows[: into.shape[0], : into.shape[1]]
        np.copyto(into, rows, casting="same_kind")
    alpha = None
    if len(picture.planes) == 4:
        plane = np.ascontiguousarray(_rows(picture, 3, picture.width, kind)).astype(kind.newbyteorder("="))
        plane = np.minimum(plane, (1 << bits) - 1)  # damaged data may exceed the depth
        alpha = alpha_from_bits(cast(PlaneArray, plane), bits, wide=bits > 8)
    copy_tags(picture, made)
    return made, alpha


def _from_semi_planar(picture: av.VideoFrame, *, target: str, shift: int, swapped: bool) -> Split:
    made = new_picture(target, picture.width, picture.height)
    luma, first, second = plane_arrays(made)
    kind = _sample_type(layout(target).bits, big=False)
    chroma = _rows(picture, 1, first.shape[1] * 2, kind)
    if swapped:
        first, second = second, first
    np.right_shift(_rows(picture, 0, picture.width, kind), shift, out=luma)
    np.right_shift(chroma[:, 0::2], shift, out=first)
    np.right_shift(chroma[:, 1::2], shift, out=second)
    copy_tags(picture, made)
    return made, None


def _from_packed_422(picture: av.VideoFrame, *, places: tuple[int, int, int]) -> Split:
    made = new_picture("yuv422p", picture.width, picture.height)
    luma, blue, red = plane_arrays(made)
    packed = _rows(picture, 0, 4 * blue.shape[1], np.uint8)
    luma[:] = packed[:, places[0] :: 2][:, : picture.width]
    blue[:] = packed[:, places[1] :: 4]
    red[:] = packed[:, places[2] :: 4]
    copy_tags(picture, made)
    return made, None


def _from_packed(picture: av.VideoFrame, *, order: str, target: str, big: bool, wide: bool) -> Split:
    made = new_picture(target, picture.width, picture.height)
    count, bits = len(order), layout(target).bits
    rows = _rows(picture, 0, picture.width * count, _sample_type(bits, big=big))
    rows = np.ascontiguousarray(rows, np.uint16 if wide else np.uint8)
    samples = cv2.split(rows.reshape(picture.height, picture.width, count)) if count > 1 else (rows,)
    is_rgb = layout(target).is_rgb
    for name, into in zip("gbr" if is_rgb else "yuv", plane_arrays(made), strict=True):
        np.copyto(into, samples[order.index(name if name in order else "y")])
    alpha = cast(AlphaArray, samples[order.index("a")]) if "a" in order else None
    copy_tags(picture, made)
    if is_rgb:
        made.colorspace = 0
    return made, alpha


def _from_limited_grey(picture: av.VideoFrame, *, target: str, big: bool) -> Split:
    made = new_picture(target, picture.width, picture.height)
    shape = layout(target)
    luma, blue, red = plane_arrays(made)
    np.copyto(luma, _rows(picture, 0, picture.width, _sample_type(shape.bits, big=big)), casting="same_kind")
    blue.fill(1 << (shape.bits - 1))
    red.fill(1 << (shape.bits - 1))
    copy_tags(picture, made)
    return made, None


def _palette(picture: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """(256, 4) uint8 BGRA: FFmpeg stores native-endian 0xAARRGGBB."""
    words = np.frombuffer(memoryview(cast(Any, picture.planes[1])), np.uint32, count=256)
    return np.stack([(words >> shift) & 255 for shift in (0, 8, 16, 24)], axis=1).astype(np.uint8)


def _palette_has_alpha(picture: av.VideoFrame) -> bool:
    used = np.unique(_rows(picture, 0, picture.width, np.uint8))
    return bool((_palette(picture)[used, 3] < 255).any())


def _from_palette(picture: av.VideoFrame, *, has_alpha: bool) -> Split:
    made = new_picture("gbrp", picture.width, picture.height)
    index, table = np.ascontiguousarray(_rows(picture, 0, picture.width, np.uint8)), _palette(picture)
    for column, into in zip((1, 0, 2), plane_arrays(made), strict=True):
        np.copyto(into, table[:, column][index])
    copy_tags(picture, made)
    made.colorspace, made.color_range = 0, 2
    return made, table[:, 3][index] if has_alpha else None


def _through_swscale(picture: av.VideoFrame, *, target: str, has_alpha: bool) -> Split:
    shape = layout(target)
    full = 2 if shape.is_rgb else None
    carrier = target.replace("gbrp", "gbrap").replace("yuv4", "yuva4") if has_alpha else target
    if has_alpha and not _is_planar(carrier):
        carrier = target
    try:
        made = VideoReformatter().reformat(picture, format=carrier, dst_color_range=full, threads=1)
    except av.error.FFmpegError as error:
        raise SourceError(_REFUSED.format(name=picture.format.name)) from error
    copy_tags(picture, made)
    if shape.is_rgb:
        made.colorspace, made.color_range = 0, 2
    return _copy_planes(made, target=target) if carrier != target else (made, None)
