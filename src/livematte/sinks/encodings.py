"""How each format is encoded: codec, pixel format, options, colours. Measured; see Note [Encoder settings].

Note [Encoder settings]
    ProRes always gets a fixed qscale: prores_ks's rate control searches quantisers and is four times slower (25
    against 6 fps at 1080p on two cores). `global_quality` is 118 x q: q 9 fast, 4 good, 1 lossless (as near as
    ProRes comes; its alpha is exact in every case). Alpha has 8 bits unless the source has more than 8 or
    `lossless` was asked: ProRes codes alpha without loss, and 8 bits make files 11 to 25 % smaller than 16 (720p and
    1080p mattes of the evaluation clips) with the same matte.
    VP9 with alpha runs the encoder twice a frame, colour and alpha. `deadline=realtime` at every level: on a 720p matte
    (group) `good` at cpu-used 4 costs 88 ms of CPU a frame for 41.6 dB in 27.5 KiB, realtime at cpu-used 5 29 ms for
    42.4 dB in 32 KiB; lossless 45 ms and 145 KiB instead of 128 ms and 143 KiB. A key frame at least every 120, so that
    checks and players can seek.
    FFV1 (RFC 9043) version 3 with four slices, so that cores share a frame; `slicecrc` finds damage later. Every level
    is lossless and the same: the range coder with large contexts took twice the time for 0 to 8 % larger files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Final

import av

from livematte.config import Encode, OutputSettings
from livematte.errors import SinkError
from livematte.frames import StreamInfo
from livematte.planes import Layout, layout
from livematte.sinks import animated_webp, exr_light, h26x, hevc_alpha
from livematte.sinks.animated_time import animation_notes, size_notes
from livematte.sinks.encoding import Content as Content
from livematte.sinks.encoding import Encoding as Encoding
from livematte.sinks.encoding import narrowing_notes
from livematte.sinks.formats import FORMATS, H26X, Format
from livematte.sinks.tags import grey_color, prores_color, rgb_color, yuv_color

_PRORES_Q: Final[Mapping[Encode, int]] = {"fast": 9, "good": 4, "lossless": 1}
_QP2LAMBDA: Final = 118
"""FFmpeg's FF_QP2LAMBDA: `global_quality` is in units of 1/118 of a quantiser step."""

_VP9: Final[Mapping[Encode, dict[str, str]]] = {
    "fast": {"cpu-used": "8", "crf": "24", "b": "0"},
    "good": {"cpu-used": "5", "crf": "18", "b": "0"},
    "lossless": {"cpu-used": "5", "lossless": "1"},
}
_VP9_COMMON: Final = {
    "deadline": "realtime", "lag-in-frames": "0", "auto-alt-ref": "0", "row-mt": "1", "tile-columns": "2", "g": "120",
}  # fmt: skip
_FFV1: Final = {"level": "3", "g": "1", "slicecrc": "1", "coder": "rice", "context": "0"}
_PNG: Final[Mapping[Encode, dict[str, str]]] = {
    "fast": {"compression_level": "1", "pred": "up"},
    "good": {"compression_level": "3", "pred": "up"},
    "lossless": {"compression_level": "3", "pred": "up"},
}


def content_of(settings: OutputSettings) -> Content:
    """What a run's settings ask every output to hold."""
    if settings.alpha_only:
        return "alpha"
    if settings.foreground_only:
        return "foreground"
    return "composite" if settings.background is not None else "straight"


def encoding_for(chosen: Format, settings: OutputSettings, info: StreamInfo) -> Encoding:
    """The encoding of `chosen` for pictures such as `info` describes. Of a pair: that of its colours.

    Raises `SinkError` where no encoder of this installation can write it.
    """
    content = content_of(settings)
    makers = {"mov": _prores, "webm": _vp9, "mkv": _ffv1, "png": _png, "png-mov": _png_mov, "apng": _apng,
              "nut": _raw, "rawvideo": _raw}  # fmt: skip
    if chosen.name == "null":
        inner = _prores(FORMATS["mov"], content, settings.encode, info)
        return Encoding(
            chosen, content, "", inner.pix_fmt, inner.color, {}, "none (conversion for ProRes 4444 only)",
            plane_bits=inner.plane_bits, alpha_bits=inner.alpha_bits,
        )  # fmt: skip
    if chosen.name in H26X:
        return h26x.encoding_for(chosen, content, settings, info)
    if chosen.name == "pair":
        return h26x.encoding_for(chosen, "foreground" if content == "straight" else content, settings, info)
    if chosen.name == "hevc-alpha":
        return hevc_alpha.encoding_for(chosen, content, settings, info)
    if chosen.name == "exr":
        made = exr_light.encoding_for(chosen, content, settings, info)
    elif chosen.name == "webp":
        made = animated_webp.encoding_for(chosen, content, settings, info)
    else:
        made = makers[chosen.name](chosen, content, settings.encode, info)
    if settings.hardware_encoder == "nvenc":
        note = f"NVENC encodes H.264 and HEVC only; {chosen.title} is encoded by the CPU."
        made = replace(made, notes=(*made.notes, note))
    return made


def _prores(chosen: Format, content: Content, encode: Encode, info: StreamInfo) -> Encoding:
    wide = info.bits > 8 or encode == "lossless"
    options = {"vendor": "apl0", "flags": "+qscale", "global_quality": str(_QP2LAMBDA * _PRORES_Q[encode])}
    color = prores_color(yuv_color(info))
    notes: list[str] = []
    if encode == "lossless" and content != "alpha":
        notes.append(
            "ProRes is never lossless: alpha is exact, colours are as near as it comes. --format mkv is exact."
        )
    if content != "alpha" and color.color_range != yuv_color(info).color_range:
        notes.append("ProRes has no full-range flag, so the full-range colours of the input become limited range.")
    if content == "alpha":
        notes.append("ProRes has no full-range flag: in the grey picture alpha 0 is black (64) and 1 is white (940).")
        return Encoding(
            chosen, content, "prores_ks", "yuv422p10le", color, {"profile": "hq", **options},
            "ProRes 422 HQ (prores_ks), alpha as grey", tuple(notes), plane_bits=10, alpha_bits=10 if wide else 8,
        )  # fmt: skip
    if content != "straight":
        name = "ProRes 4444" if content == "foreground" else "ProRes 422 HQ"
        pix_fmt = "yuv444p10le" if content == "foreground" else "yuv422p10le"
        profile = "4444" if content == "foreground" else "hq"
        return Encoding(
            chosen, content, "prores_ks", pix_fmt, color, {"profile": profile, **options},
            f"{name} (prores_ks), opaque", tuple(notes), plane_bits=10,
        )  # fmt: skip
    bits = 16 if wide else 8
    return Encoding(
        chosen, content, "prores_ks", "yuva444p10le", color, {"profile": "4444", "alpha_bits": str(bits), **options},
        f"ProRes 4444 (prores_ks), {bits}-bit alpha", tuple(notes), plane_bits=10, alpha_bits=10 if wide else 8,
    )  # fmt: skip


def _vp9(chosen: Format, content: Content, encode: Encode, info: StreamInfo) -> Encoding:
    options = {**_VP9_COMMON, **_VP9[encode]}
    notes = narrowing_notes("VP9 with alpha" if content == "straight" else "VP9 for browsers", info, content, encode)
    color = grey_color(info) if content == "alpha" else yuv_color(info)
    pix_fmt = "yuva420p" if content == "straight" else "yuv420p"
    tail = {"straight": "with alpha", "alpha": "alpha as grey"}.get(content, "opaque")
    return Encoding(chosen, content, "libvpx-vp9", pix_fmt, color, options, f"VP9 (libvpx-vp9), {tail}", notes)


def _ffv1(chosen: Format, content: Content, encode: Encode, info: StreamInfo) -> Encoding:
    slices = "4" if min(info.width, info.height) >= 64 and info.width % 2 == 0 and info.height % 2 == 0 else "1"
    options = {**_FFV1, "slices": slices}
    if content == "alpha":
        grey = "gray" if info.bits == 8 else "gray16le"
        bits = 8 if info.bits == 8 else 16
        return Encoding(
            chosen, content, "ffv1", grey, grey_color(info), options, f"FFV1 (ffv1), {bits}-bit alpha as grey",
            plane_bits=bits, alpha_bits=bits,
        )  # fmt: skip
    pix_fmt = ffv1_format(info.pix_fmt, with_alpha=content == "straight")
    packed = pix_fmt in ("bgra", "bgr0")
    bits = 8 if packed else layout(pix_fmt).bits
    notes: tuple[str, ...] = ()
    if bits != info.bits:
        notes = (f"FFV1 has no {info.bits}-bit form with alpha: the samples are kept exactly, in {bits} bits.",)
    tail = f"{pix_fmt}, exact" if content == "straight" else f"{pix_fmt}, opaque"
    color = info.color if packed or layout(pix_fmt).is_rgb else yuv_color(info)
    return Encoding(
        chosen, content, "ffv1", pix_fmt, color, options, f"FFV1 (ffv1), {tail}", notes, plane_bits=bits,
        alpha_bits=bits if content == "straight" else 8,
    )  # fmt: skip


def _png(chosen: Format, content: Content, encode: Encode, info: StreamInfo) -> Encoding:
    # A matte alone may have 16 bits of an 8-bit clip: the network's alpha is finer than 8.
    wide = info.bits > 8 or (content == "alpha" and encode == "lossless")
    names = {"straight": ("rgba", "rgba64be"), "alpha": ("gray", "gray16be")}
    pix_fmt = names.get(content, ("rgb24", "rgb48be"))[wide]
    bits = 16 if wide else 8
    return Encoding(
        chosen, content, "png", pix_fmt, rgb_color(info), _PNG[encode], f"PNG (png), {bits} bits a channel",
        ("PNG pictures carry no times and no sound: set the frame rate where you import them.",),
        plane_bits=bits, alpha_bits=bits if content in ("straight", "alpha") else 8,
    )  # fmt: skip


def _png_mov(chosen: Format, content: Content, encode: Encode, info: StreamInfo) -> Encoding:
    made = _png(chosen, content, encode, info)
    return replace(made, label=f"{made.label}, in MOV", notes=())


def _apng(chosen: Format, content: Content, encode: Encode, info: StreamInfo) -> Encoding:
    made = _png(chosen, content, encode, info)
    notes = (*animation_notes("animated PNG", info), *size_notes(info, made.plane_bits))
    return replace(made, label=f"APNG (png), {made.plane_bits} bits a channel", notes=notes)


def _raw(chosen: Format, content: Content, encode: Encode, info: StreamInfo) -> Encoding:
    pix_fmt = {"straight": "rgba", "alpha": "gray"}.get(content, "rgb24")
    notes: list[str] = []
    if chosen.name == "rawvideo":
        rate = f"{info.frame_rate}" if info.frame_rate else "of your choice"
        notes.append(
            "Raw video carries no times, no size and no sound; the reader must be told: "
            f"-f rawvideo -pix_fmt {pix_fmt} -video_size {info.width}x{info.height} -framerate {rate}."
        )
    if info.bits > 8:
        notes.append(f"The pipe carries 8 bits a channel; the input has {info.bits}.")
    return Encoding(
        chosen, content, "rawvideo", pix_fmt, rgb_color(info), {}, f"raw {pix_fmt} ({chosen.name})", tuple(notes)
    )


@cache
def _encoder_formats(codec: str) -> frozenset[str]:
    return frozenset(known.name for known in av.Codec(codec, "w").video_formats or ())


def ffv1_format(pix_fmt: str, *, with_alpha: bool) -> str:
    """The pixel format that FFV1 keeps `pix_fmt` in exactly: the same, or the next larger depth that it has.

    8-bit RGB becomes `bgra` (FFV1 has no 8-bit planar RGB); everything else keeps planes, subsampling and depth.
    """
    known = layout(pix_fmt)
    if known.is_rgb and known.bits == 8:
        return "bgra" if with_alpha else "bgr0"
    family = ("gbrap" if with_alpha else "gbrp") if known.is_rgb else _yuv_family(known, with_alpha)
    for bits in (known.bits, *(depth for depth in (9, 10, 12, 14, 16) if depth > known.bits)):
        name = family if bits == 8 else f"{family}{bits}le"
        if name in _encoder_formats("ffv1"):
            return name
    raise SinkError(f"FFV1 has no pixel format for '{pix_fmt}'; choose MOV (--format mov).")


def _yuv_family(known: Layout, with_alpha: bool) -> str:
    shape = (known.log2_chroma_width, known.log2_chroma_height)
    names = {(1, 1): "420p", (1, 0): "422p", (0, 0): "444p"}
    return ("yuva" if with_alpha else "yuv") + names.get(shape, "444p")
