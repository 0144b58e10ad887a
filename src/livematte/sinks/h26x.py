"""H.264 and HEVC: opaque, as grey, and stacked (colours above alpha). By the CPU, or NVENC where it really opens.

Note [H.26x settings]
    x264 and x265 at constant quality. Stacked pictures always carry limited range, as players assume that do not look
    at the tag: read wrongly, alpha 0 would become 6 % and the whole room's place a veil. Alpha then has 220 levels
    in 8 bits (rounding costs 0.27/255 on average) and 877 in the 10 bits that HEVC takes from deeper sources.
    Chroma of the lower half is neutral, so no matrix and no pair of primaries can change it.
    Where alpha is in the picture, adaptive quantisation is off: it takes bits from edges, which are all that a matte
    has. On a real matte (curls, 720p) x264 at crf 14 then gives alpha back 1.32/255 off within the edge, 27 at most, in
    38 KiB a frame; with it 1.83 and 31 in 58 KiB, and at crf 17 2.29 and 61 in 24 KiB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from livematte.config import Encode, OutputSettings
from livematte.errors import SinkError
from livematte.frames import StreamInfo
from livematte.sinks.encoders import why_not
from livematte.sinks.encoding import Content, Encoding, narrowing_notes, padded_size
from livematte.sinks.formats import Format
from livematte.sinks.tags import grey_color, yuv_color

_H264: Final[Mapping[Encode, dict[str, str]]] = {
    "fast": {"preset": "veryfast", "crf": "21"},
    "good": {"preset": "faster", "crf": "17"},
    "lossless": {"preset": "veryfast", "qp": "0"},
}
_HEVC: Final[Mapping[Encode, dict[str, str]]] = {
    "fast": {"preset": "ultrafast", "crf": "23", "x265-params": "log-level=none"},
    "good": {"preset": "veryfast", "crf": "19", "x265-params": "log-level=none"},
    "lossless": {"preset": "ultrafast", "x265-params": "log-level=none:lossless=1"},
}
_H264_ALPHA: Final[Mapping[Encode, dict[str, str]]] = {
    "fast": {"preset": "veryfast", "crf": "18", "aq-mode": "0"},
    "good": {"preset": "faster", "crf": "14", "aq-mode": "0"},
    "lossless": _H264["lossless"],
}
_HEVC_ALPHA: Final[Mapping[Encode, dict[str, str]]] = {
    "fast": {"preset": "superfast", "crf": "20", "x265-params": "log-level=none:aq-mode=0"},
    "good": {"preset": "veryfast", "crf": "16", "x265-params": "log-level=none:aq-mode=0"},
    "lossless": _HEVC["lossless"],
}
"""Where alpha is in the picture (Note [H.26x settings])."""
_NVENC: Final[Mapping[Encode, dict[str, str]]] = {
    "fast": {"preset": "p3", "tune": "hq", "rc": "vbr", "cq": "23", "b": "0"},
    "good": {"preset": "p6", "tune": "hq", "rc": "vbr", "cq": "19", "b": "0"},
    "lossless": {"preset": "p3", "tune": "lossless"},
}
_X265_SMALLEST: Final = 16
"""x265 refuses smaller pictures."""
_NVENC_SMALLEST: Final = 160
"""NVENC refuses less than 145x49 (H.264) and 129x33 (HEVC)."""
_H264_TALLEST: Final = 4096
"""Hardware decoders of H.264 stop here."""


@dataclass(frozen=True, slots=True)
class _Encoder:
    codec: str
    options: Mapping[str, str]
    bits: int
    smallest_side: int
    notes: tuple[str, ...] = ()


def hardware_encoders() -> dict[str, str]:
    """NVENC's encoders -> "" where they really work here, else why not. For `doctor`; takes 0.1 s each."""
    return {codec: why_not(codec, "yuv420p", _NVENC["good"]) for codec in ("h264_nvenc", "hevc_nvenc")}


def encoding_for(chosen: Format, content: Content, settings: OutputSettings, info: StreamInfo) -> Encoding:
    """The encoding of an opaque H.264 or HEVC picture; stacked where `settings` say so. SinkError: no NVENC here."""
    is_hevc = chosen.name.startswith("hevc")
    stacked = settings.stacked and content == "straight"
    if content == "straight" and not stacked:
        raise SinkError(f"{chosen.title} carries no alpha; format_for() refuses this combination.")
    name = "HEVC" if is_hevc else "H.264"
    holds_alpha = content in ("alpha", "straight")
    encoder = _encoder(is_hevc, holds_alpha, settings, info)
    color = grey_color(info) if content == "alpha" else yuv_color(info)
    if stacked:
        color = replace(color, color_range="tv")
    tail = "alpha as grey" if content == "alpha" else "stacked alpha" if stacked else "opaque"
    made = Encoding(
        chosen, content, encoder.codec, "yuv420p10le" if encoder.bits > 8 else "yuv420p", color, encoder.options,
        f"{name} ({encoder.codec}), {tail}", even_sides=True, smallest_side=encoder.smallest_side, stacked=stacked,
        codec_tag="hvc1" if is_hevc else "", plane_bits=encoder.bits,
        alpha_bits=encoder.bits if holds_alpha else 8,
    )  # fmt: skip
    notes = (*encoder.notes, *_notes(name, made, settings.encode, info))
    return replace(made, notes=notes, comment=_stacked_comment(made, info) if stacked else "")


def _encoder(is_hevc: bool, holds_alpha: bool, settings: OutputSettings, info: StreamInfo) -> _Encoder:
    """The CPU's encoder, or NVENC by `hardware_encoder`. What was passed over is said."""
    encode = settings.encode
    notes: tuple[str, ...] = ()
    if settings.hardware_encoder != "off":
        codec = "hevc_nvenc" if is_hevc else "h264_nvenc"
        reason = why_not(codec, "yuv420p", _NVENC[encode])
        if not reason:
            return _Encoder(codec, _NVENC[encode], 8, _NVENC_SMALLEST)
        if settings.hardware_encoder == "nvenc":
            raise SinkError(
                f"NVENC was asked for, and {codec} {reason}. It needs an NVIDIA card with an encoder (GeForce, RTX, "
                "L4, L40; A100, H100 and H200 have none) and its driver. Leave --hardware-encoder out, or use "
                "--hardware-encoder auto, which falls back to the CPU."
            )
        notes = (f"The CPU encodes: {codec} {reason}.",)
    if is_hevc:
        options = (_HEVC_ALPHA if holds_alpha else _HEVC)[encode]
        return _Encoder("libx265", options, 10 if info.bits > 8 else 8, _X265_SMALLEST, notes)
    return _Encoder("libx264", (_H264_ALPHA if holds_alpha else _H264)[encode], 8, 1, notes)


def _notes(name: str, made: Encoding, encode: Encode, info: StreamInfo) -> list[str]:
    notes = [] if made.plane_bits > 8 else list(narrowing_notes(f"{name} here", info, made.content, encode))
    if encode == "lossless":
        notes.append(f"Lossless {name} plays in few programs (VLC, mpv, FFmpeg); --encode good plays everywhere.")
    if info.width % 2 or info.height % 2:
        notes.append(
            f"{name} takes even sides only: {info.width}x{info.height} gets one more column or row, a copy of its last."
        )
    width, height = padded_size(made, info.width, info.height)
    if min(info.width, info.height) < made.smallest_side:
        notes.append(f"{made.codec} takes no picture as small as this; it becomes {width}x{height}, its edge repeated.")
    if made.stacked:
        if yuv_color(info).color_range == "pc":
            notes.append("Stacked pictures carry limited range, so the full-range colours of the input are converted.")
        if info.color.is_hdr:
            notes.append("HDR: a player that tone-maps the stacked picture changes its alpha too; read it untouched.")
        if name == "H.264" and 2 * height > _H264_TALLEST:
            notes.append(
                f"The stacked picture is {width}x{2 * height}: hardware decoders of H.264 stop at {_H264_TALLEST}; "
                "--format hevc goes to 8192."
            )
    return notes


def _stacked_comment(made: Encoding, info: StreamInfo) -> str:
    """What the file says about itself, for the program that takes it apart."""
    width, height = padded_size(made, info.width, info.height)
    return (
        f"stacked alpha: straight colours in the upper half, alpha in the lower half as limited-range grey; picture "
        f"{info.width}x{info.height}, from the top left of halves of {width}x{height}"
    )
