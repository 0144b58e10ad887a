"""What an EXR picture says: linear light, primaries, timecode; and how the coded colours of a source become that.

Note [Linear light]
    OpenEXR pictures are linear light by convention (OpenEXR Technical Introduction,
    https://openexr.com/en/latest/TechnicalIntroduction.html), so the coded RGB goes through the inverse of the
    source's own transfer function, as ITU-T H.273 (https://www.itu.int/rec/T-REC-H.273) writes it. The BT.709 family
    is undone by the inverse of its camera curve (scene light, what compositors call rec709), not by a display's gamma
    of 2.4. What a source does not state is BT.709's curve for YUV and sRGB's for RGB, as everywhere else (`tags.py`).
    PQ becomes display light over 100 cd/m2 (`whiteLuminance` says so; as OpenColorIO's ST-2084 transform), HLG scene
    light from 0 to 1. There is no tone mapping and no display's OOTF.
    Colours outside 0..1 (a camera's superwhites) are clipped on the way, as for every RGB output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from livematte.color import ColorSpec
from livematte.color_convert import hlg_to_scene, pq_to_nits
from livematte.config import OutputSettings
from livematte.errors import SinkError
from livematte.frames import StreamInfo
from livematte.sinks.encoding import Content, Encoding
from livematte.sinks.formats import Format
from livematte.sinks.tags import rgb_color
from livematte.sources.timing import shift_timecode

Curve = npt.NDArray[np.float64]
PQ_WHITE_NITS: Final = 100.0
"""Luminance of (1, 1, 1) in a picture made of PQ, in cd/m2."""

_D65, _C, _DCI, _E = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351), (1 / 3, 1 / 3)
CHROMATICITIES: Final[Mapping[str, tuple[float, ...]]] = {
    "bt709": (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *_D65),
    "bt470m": (0.670, 0.330, 0.210, 0.710, 0.140, 0.080, *_C),
    "bt470bg": (0.640, 0.330, 0.290, 0.600, 0.150, 0.060, *_D65),
    "smpte170m": (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    "smpte240m": (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    "film": (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C),
    "bt2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    "smpte428": (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, *_E),
    "smpte431": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_DCI),
    "smpte432": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    "ebu3213": (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
"""FFmpeg's name -> CIE x and y of red, green, blue and white (ITU-T H.273, table 2)."""
_PRIMARIES_OF_MATRIX: Final = {
    "bt2020nc": "bt2020", "bt2020c": "bt2020", "ictcp": "bt2020", "smpte170m": "smpte170m", "bt470bg": "bt470bg",
    "smpte240m": "smpte240m", "fcc": "bt470m",
}  # fmt: skip


def primaries_of(color: ColorSpec) -> str:
    """The primaries that a source states; where it states none, those that belong to its matrix, else BT.709's."""
    if color.color_primaries in CHROMATICITIES:
        return color.color_primaries
    return _PRIMARIES_OF_MATRIX.get(color.colorspace, "bt709")


def transfer_of(color: ColorSpec) -> str:
    """The transfer that a source states; where it states none, sRGB's for RGB and BT.709's for YUV."""
    if color.color_trc != "unknown":
        return color.color_trc
    return "iec61966-2-1" if color.colorspace == "rgb" else "bt709"


def encoding_for(chosen: Format, content: Content, settings: OutputSettings, info: StreamInfo) -> Encoding:
    """EXR of that content. `SinkError` for a transfer function whose inverse is not known here."""
    trc, primaries = transfer_of(info.color), primaries_of(info.color)
    if trc not in _INVERSES and content != "alpha":
        raise SinkError(
            f"the input's transfer function is '{trc}', and its linear light, which EXR holds, is not known to "
            "livematte. Write --format png or mkv, which keep the samples as they are."
        )
    notes = ["EXR pictures have no sound; the frame rate and the timecode are in each picture's header."]
    if content != "alpha":
        what = "premultiplied, " if content == "straight" else ""
        notes.append(f"EXR: {what}linear light (the inverse of {trc}), half float, {primaries} primaries.")
        if info.color.color_primaries not in CHROMATICITIES:
            notes.append(
                f"The input does not state its primaries; the EXR pictures say {primaries}, as its matrix does."
            )
        if trc == "smpte2084":
            notes.append("PQ: 1.0 in the EXR pictures is 100 cd/m2; whiteLuminance says so.")
        if trc == "arib-std-b67":
            notes.append("HLG: the EXR pictures hold scene light from 0 to 1, without a display's rendering (OOTF).")
    if info.is_variable_rate:
        notes.append("EXR sequences have one picture a frame and no times: give --constant-rate auto to keep pace.")
    channels = {"straight": "RGBA", "alpha": "Y"}.get(content, "RGB")
    # An alpha of 16 bits is carried by half floats to 11 significant bits, which near 0 are finer than 16 bits are.
    bits = 16 if content in ("straight", "alpha") and (info.bits > 8 or settings.encode == "lossless") else 8
    return Encoding(
        chosen, content, "exr", f"{channels} half", rgb_color(info), {}, f"EXR (OpenEXR), {channels} half float, ZIP",
        tuple(notes), plane_bits=bits, alpha_bits=bits, premultiplied=content == "straight",
    )  # fmt: skip


# --- Note [Linear light] ---


def _bt709(coded: Curve) -> Curve:
    """Inverse of BT.709's OETF. 0.081242 is 4.5 times the light at which its two parts meet (0.018054)."""
    return np.where(coded < 0.081242858, coded / 4.5, np.power((coded + 0.099296826) / 1.099296826, 1 / 0.45))


def _srgb(coded: Curve) -> Curve:
    return np.where(coded <= 0.04045, coded / 12.92, np.power((coded + 0.055) / 1.055, 2.4))


def _smpte240m(coded: Curve) -> Curve:
    return np.where(coded < 4 * 0.0228, coded / 4.0, np.power((coded + 0.1115) / 1.1115, 1 / 0.45))


def _power(exponent: float, scale: float = 1.0) -> Callable[[Curve], Curve]:
    return lambda coded: np.asarray(scale * np.power(coded, exponent), np.float64)


def _logarithm(decades: float) -> Callable[[Curve], Curve]:
    """0 stays 0; the curve begins at 10^-decades."""
    return lambda coded: np.where(coded > 0, np.power(10.0, (coded - 1) * decades), 0.0)


_INVERSES: Final[Mapping[str, Callable[[Curve], Curve]]] = {
    "bt709": _bt709, "smpte170m": _bt709, "bt2020-10": _bt709, "bt2020-12": _bt709, "iec61966-2-4": _bt709,
    "bt1361e": _bt709, "iec61966-2-1": _srgb, "smpte240m": _smpte240m, "gamma22": _power(2.2), "gamma28": _power(2.8),
    "linear": _power(1.0), "log100": _logarithm(2.0), "log316": _logarithm(2.5), "smpte428": _power(2.6, 52.37 / 48.0),
    "smpte2084": lambda coded: pq_to_nits(coded) / PQ_WHITE_NITS, "arib-std-b67": hlg_to_scene,
}  # fmt: skip


@cache
def light_table(trc: str) -> npt.NDArray[np.float32]:
    """(65536,) coded value -> linear light, float32."""
    return _INVERSES[trc](np.arange(65536) / 65535.0).astype(np.float32)


def half_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The same values as the bits of half floats (IEEE 754 binary16), rounded to nearest."""
    return values.astype(np.float16).view(np.uint16)


@cache
def half_light_table(trc: str) -> npt.NDArray[np.uint16]:
    """(65536,) coded value -> linear light, as the bits of a half float."""
    return half_bits(light_table(trc))


@cache
def half_alpha_table(wide: bool) -> npt.NDArray[np.uint16]:
    """(256,) or (65536,) alpha -> coverage 0..1, as the bits of a half float."""
    top = 65535 if wide else 255
    return half_bits((np.arange(top + 1) / top).astype(np.float32))


def timecode_parts(start: str, seconds: Fraction, rate: Fraction) -> tuple[int, int, int, int, int, int] | None:
    """(hours, minutes, seconds, frames, drop, field) of the picture `seconds` after the timecode `start`.

    As SMPTE ST 12-1 counts in a header with room for 39 frames: over 40 frames a second two pictures share a number,
    told apart by the field mark. None: no timecode, or a rate above 80.
    """
    label = shift_timecode(start, seconds, rate)
    nominal = round(rate)
    if label is None or nominal > 80:
        return None
    drop = int(";" in label)
    hours, minutes, whole, frames = (int(part) for part in label.replace(";", ":").split(":"))
    if nominal > 40:
        return hours, minutes, whole, frames // 2, drop, frames % 2
    return hours, minutes, whole, frames, drop, 0
