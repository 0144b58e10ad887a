"""From a picture's planes to the 8-bit RGB that networks read: the one place that turns colours into RGB.

Note [Colour conversion]
    One libswscale pass from the planes to RGB at the wanted size, with the frame's own matrix and range given
    explicitly: swscale's defaults (BT.601, limited) are wrong for HD. AREA takes the exact mean over each target
    pixel. Without ACCURATE_RND and FULL_CHR_H_INT the result is 2.2/255 darker than that mean; with them the
    bias is below 0.01/255 and the pass costs 1.3 ms instead of 0.8 (720p to 448x256, one thread).
    RGB sources need FULL_CHR_H_INP, or swscale halves their chroma on the way in (MAD 0.75 instead of 0.25).

    Two scales of swscale's are not what one expects, and are set right here. Its 16-bit RGB reaches 65280 for
    white (255 * 256), not 65535. And it reads full-range samples of more than 8 bits as if white were 2^n - 2^(n-8)
    (1020 for 10 bits), which is 0.35/255 too bright on average: those go through 16-bit RGB, where white lies at
    (2^n - 1) * 2^(16-n) and can be divided out.

Note [Tone mapping]
    Networks were trained on SDR pictures, so HDR (PQ, HLG) is tone-mapped for their input; the planes that are
    written to a file are not touched. The signal becomes display light by Rec. ITU-R BT.2100-2 (2018,
    https://www.itu.int/rec/R-REC-BT.2100): PQ by its EOTF, HLG by its inverse OETF and the OOTF of a 1000 nit
    display (gamma 1.2). Each channel is then brought from 1000 to 100 nit by the EETF of Report ITU-R BT.2390-8
    (2020, section 5.4.1, https://www.itu.int/pub/R-REP-BT.2390): a Hermite spline above a knee, in the PQ domain.
    Reference white (203 nit, BT.2408) comes out at 89 of 100 nit. Primaries become BT.709's by a 3x3 matrix,
    what lies outside is clipped, and the light is encoded with the inverse of BT.1886 (gamma 2.4).
    Averaging over the target pixel happens before, on the coded signal, as everywhere else.
    All curves are tables: 448x256 costs about 6 ms of CPU for PQ and 13 for HLG, the scaling included.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Final, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from livematte.color import ColorSpec
from livematte.planes import Layout, PlaneArray, layout

SWS_MATRICES: Final = {
    "bt709": 1, "fcc": 4, "bt470bg": 5, "smpte170m": 5, "smpte240m": 7, "bt2020nc": 9, "bt2020c": 9,
}  # fmt: skip
"""Matrices that libswscale knows, FFmpeg's name -> SWS_CS value. `bt2020c` is read as `bt2020nc`; a matrix that is
not here (`ycgco`, `ictcp`) is read as BT.709, which the source says when it opens."""

SWS_RANGES: Final = {"tv": 1, "pc": 2}
"""FFmpeg's name -> AVColorRange."""

# libswscale's flags by number, because PyAV 17 has no names for the last three.
SWS_BICUBIC: Final = 1 << 2
SWS_AREA: Final = 1 << 5
SWS_FULL_CHR_H_INT: Final = 1 << 13
SWS_FULL_CHR_H_INP: Final = 1 << 14
SWS_ACCURATE_RND: Final = 1 << 18
_AREA: Final = SWS_AREA | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT
_AREA_RGB: Final = _AREA | SWS_FULL_CHR_H_INP
_CURVE_BITS: Final = 12
_CURVE_TOP: Final = (1 << _CURVE_BITS) - 1
_CONTEXTS_A_THREAD: Final = 8

RgbImage = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]


class _Scalers(threading.local):
    """swscale contexts of one thread, by what they convert: a context that changes its job is set up anew."""

    def __init__(self) -> None:
        self.known: dict[tuple[object, ...], VideoReformatter] = {}

    def get(self, key: tuple[object, ...]) -> VideoReformatter:
        found = self.known.pop(key, None) or VideoReformatter()
        self.known[key] = found
        if len(self.known) > _CONTEXTS_A_THREAD:
            del self.known[next(iter(self.known))]
        return found


_scalers = _Scalers()
_sharing = tuple(threading.Lock() for _ in range(64))


def sharing(picture: av.VideoFrame) -> threading.Lock:
    """Hold this while `picture` is converted: several outputs may convert one picture at once, each in its own thread.

    PyAV writes what it was asked for into the source picture's own tags while it converts, and puts them back then;
    another thread that converts the same picture meanwhile gets the wrong matrix or range. Pictures share 64 locks.
    """
    return _sharing[id(picture) // 64 % len(_sharing)]


def to_rgb(picture: av.VideoFrame, color: ColorSpec, width: int, height: int) -> RgbImage:
    """Full-range RGB of `picture` at `width` x `height`, scaled by exact area (Note [Colour conversion]).

    Args:
        picture: In a working format (`frames.py`); any other is a ValueError.
        color: The picture's own matrix, range and transfer; HDR is tone-mapped (Note [Tone mapping]).
        width, height: Target size in px; larger than the picture is allowed (then it is interpolated).

    Returns:
        (height, width, 3) uint8, contiguous, memory of its own.
    """
    shape = layout(picture.format.name)
    if color.is_hdr:
        return _tone_mapped(_swscale(picture, color, shape, size=(width, height), target="gbrp16le"), color, shape)
    if shape.bits > 8 and color.color_range == "pc":
        wide = _swscale(picture, color, shape, size=(width, height), target="gbrp16le")
        return np.asarray(cv2.convertScaleAbs(wide, alpha=255.0 / _white(color, shape)), np.uint8)
    narrow = _swscale(picture, color, shape, size=(width, height), target="rgb24")
    if shape.is_rgb and color.color_range == "tv":
        return np.asarray(cv2.LUT(narrow, _limited_rgb_table()), np.uint8)
    return np.ascontiguousarray(narrow, np.uint8)


def _swscale(
    picture: av.VideoFrame, color: ColorSpec, shape: Layout, *, size: tuple[int, int], target: str
) -> PlaneArray:
    """(height, width, 3) in `target`, by one pass of the thread's own context."""
    width, height = size
    matrix = None if shape.is_rgb else SWS_MATRICES.get(color.colorspace, SWS_MATRICES["bt709"])
    if matrix == SWS_MATRICES["bt2020nc"] and picture.colorspace not in (9, 10):
        picture.colorspace = 9  # PyAV 17 knows no BT.2020 argument and reads the picture's own tag instead
    span = SWS_RANGES["pc"] if shape.is_rgb else SWS_RANGES[color.color_range]
    key = (shape.pix_fmt, picture.width, picture.height, width, height, target, matrix, span)
    with sharing(picture):
        converted = _scalers.get(key).reformat(
            picture,
            width=width,
            height=height,
            format=target,
            src_colorspace=matrix,
            src_color_range=span,
            dst_color_range=SWS_RANGES["pc"],
            interpolation=_AREA_RGB if shape.is_rgb else _AREA,
            threads=1,
        )
    return cast(PlaneArray, converted.to_ndarray())


def _white(color: ColorSpec, shape: Layout) -> int:
    """The value of white in swscale's 16-bit RGB (Note [Colour conversion])."""
    full = shape.is_rgb or color.color_range == "pc"
    return ((1 << shape.bits) - 1) << (16 - shape.bits) if full and shape.bits > 8 else 65280


@cache
def _limited_rgb_table() -> RgbImage:
    """(256,) table from RGB that is stored in limited range (16..235) to full range."""
    values = (np.arange(256) - 16) * 255.0 / 219.0
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


# --- HDR: Note [Tone mapping] ---

_PQ_M1: Final = 2610 / 16384
_PQ_M2: Final = 2523 / 4096 * 128
_PQ_C1: Final = 3424 / 4096
_PQ_C2: Final = 2413 / 4096 * 32
_PQ_C3: Final = 2392 / 4096 * 32
_HLG_A: Final = 0.17883277
_HLG_B: Final = 1 - 4 * _HLG_A
_HLG_C: Final = 0.5 - _HLG_A * np.log(4 * _HLG_A)
_PEAK_NITS: Final = 1000.0
_SDR_NITS: Final = 100.0
_BT2020_LUMA: Final = (0.2627, 0.6780, 0.0593)

_TO_BT709: Final = {
    "bt2020": ((1.660491, -0.587641, -0.072850), (-0.124550, 1.132900, -0.008349), (-0.018151, -0.100579, 1.118730)),
    "smpte432": ((1.224940, -0.224940, 0.0), (-0.042057, 1.042057, 0.0), (-0.019638, -0.078636, 1.098274)),
}
"""Linear light of these primaries -> BT.709's (white D65 in both). HDR without stated primaries is BT.2020."""


def pq_to_nits(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """BT.2100 PQ EOTF: signal 0..1 -> display light in cd/m2 (0..10000)."""
    power = np.power(np.clip(signal, 0, 1), 1 / _PQ_M2)
    light = np.power(np.maximum(power - _PQ_C1, 0) / (_PQ_C2 - _PQ_C3 * power), 1 / _PQ_M1)
    return np.asarray(10000.0 * light, np.float64)


def nits_to_pq(nits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """BT.2100 PQ inverse EOTF: display light in cd/m2 -> signal 0..1."""
    power = np.power(np.clip(nits, 0, 10000) / 10000.0, _PQ_M1)
    return np.asarray(np.power((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power), _PQ_M2), np.float64)


def hlg_to_scene(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """BT.2100 HLG inverse OETF: signal 0..1 -> scene light 0..1."""
    low = np.square(signal) / 3
    high = (np.exp((signal - _HLG_C) / _HLG_A) + _HLG_B) / 12
    return np.where(signal <= 0.5, low, high)


def tone_map_nits(nits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """BT.2390 EETF from a 1000 to a 100 nit display: light in cd/m2 -> light in cd/m2, 0..100."""
    peak = float(nits_to_pq(np.array([_PEAK_NITS]))[0])
    top = float(nits_to_pq(np.array([_SDR_NITS]))[0]) / peak
    knee = 1.5 * top - 0.5
    signal = np.minimum(nits_to_pq(nits) / peak, 1.0)
    t = np.clip((signal - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * top
    return pq_to_nits(np.where(signal < knee, signal, spline) * peak)


@cache
def _signal_table(trc: str) -> FloatArray:
    """(4096,) coded signal 0..1 -> for PQ tone-mapped light 0..1 (1 is 100 nit), for HLG scene light 0..1."""
    signal = np.arange(_CURVE_TOP + 1) / _CURVE_TOP
    if trc == "smpte2084":
        return (tone_map_nits(pq_to_nits(signal)) / _SDR_NITS).astype(np.float32)
    return hlg_to_scene(signal).astype(np.float32)


@cache
def _display_table() -> FloatArray:
    """(4096,) square root of display light (1 is 1000 nit) -> tone-mapped light 0..1 (1 is 100 nit)."""
    light = np.square(np.arange(_CURVE_TOP + 1) / _CURVE_TOP) * _PEAK_NITS
    return (tone_map_nits(light) / _SDR_NITS).astype(np.float32)


@cache
def _encode_table() -> RgbImage:
    """(4096,) square root of light 0..1 -> 8-bit code by the inverse of BT.1886."""
    light = np.square(np.arange(_CURVE_TOP + 1) / _CURVE_TOP)
    return np.asarray(np.rint(np.power(light, 1 / 2.4) * 255), np.uint8)


def _root_index(light: FloatArray) -> npt.NDArray[np.intp]:
    """Light 0..1 (clipped) -> index into a table over its square root: fine steps where the eye has them."""
    return _rounded(cv2.sqrt(np.clip(light, 0, 1)))


def _rounded(root: npt.NDArray[np.generic]) -> npt.NDArray[np.intp]:
    """0..1 -> the nearest index of a curve."""
    scaled = np.multiply(root, np.float32(_CURVE_TOP), dtype=np.float32)
    scaled += np.float32(0.5)
    return np.asarray(scaled, np.intp)


def _tone_mapped(coded: npt.NDArray[np.generic], color: ColorSpec, shape: Layout) -> RgbImage:
    """(H, W, 3) uint16 coded HDR as swscale gives it -> (H, W, 3) uint8 SDR."""
    unit = np.multiply(coded, np.float32(1 / _white(color, shape)), dtype=np.float32)
    index = _rounded(np.minimum(unit, 1, out=unit))
    light = _signal_table(color.color_trc)[index]
    if color.color_trc == "arib-std-b67":
        luma = cv2.transform(light, np.array([_BT2020_LUMA], np.float32))
        shown = light * cv2.pow(luma, 0.2).reshape(*light.shape[:2], 1)
        light = _display_table()[_root_index(shown)]
    if color.color_primaries != "bt709":
        matrix = _TO_BT709.get(color.color_primaries, _TO_BT709["bt2020"])
        light = np.asarray(cv2.transform(light, np.array(matrix, np.float32)), np.float32)
    return _encode_table()[_root_index(light)]
