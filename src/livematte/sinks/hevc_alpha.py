"""HEVC with an alpha layer, which Safari and Apple's devices show. Only encoders that prove it here are used.

Note [HEVC alpha]
    HEVC carries alpha as a second layer with an SEI message that says whether colours are straight. macOS's
    VideoToolbox takes them premultiplied unless told otherwise (kVTCompressionPropertyKey_AlphaChannelMode), and FFmpeg
    does not tell it, so it is given premultiplied RGB; libx265 writes "straight" and gets straight colours. x265 4 has
    alpha only where it was built with ENABLE_ALPHA: PyAV's wheels are not ("Loaded libx265 does not support alpha layer
    encoding"), and NVENC's alpha layer is not reachable through FFmpeg. So each encoder is tried (`encoders.py`), and
    where none gives alpha back, that is said with every reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from livematte.config import OutputSettings
from livematte.errors import SinkError
from livematte.frames import StreamInfo
from livematte.sinks import h26x
from livematte.sinks.encoders import why_not
from livematte.sinks.encoding import Content, Encoding, narrowing_notes
from livematte.sinks.formats import Format
from livematte.sinks.tags import yuv_color

_CRF: Final = {"fast": "23", "good": "18", "lossless": "4"}
_ALPHA_QUALITY: Final = {"fast": "0.8", "good": "0.95", "lossless": "1"}
_BITS_A_PIXEL: Final = {"fast": 0.08, "good": 0.2, "lossless": 0.8}
"""VideoToolbox has constant quality on Apple silicon only; a rate works everywhere."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    codec: Literal["hevc_videotoolbox", "libx265"]
    pix_fmt: str
    premultiplied: bool
    missing: str
    """What it takes, for the error."""


CANDIDATES: Final = (
    _Candidate("hevc_videotoolbox", "bgra", True, "it needs macOS"),
    _Candidate("libx265", "yuva420p", False, "it needs x265 built with ENABLE_ALPHA, which PyAV's wheels are not"),
)
"""In the order in which they are tried."""


def encoding_for(chosen: Format, content: Content, settings: OutputSettings, info: StreamInfo) -> Encoding:
    """The first candidate that gives alpha back here; plain HEVC in MOV for what has no alpha. `SinkError`: none."""
    if content != "straight":
        return h26x.encoding_for(chosen, content, settings, info)
    reasons: list[str] = []
    for candidate in CANDIDATES:
        options = _options(candidate, settings, info)
        reason = why_not(candidate.codec, candidate.pix_fmt, options)
        if not reason:
            return _encoding(chosen, candidate, options, settings, info, tuple(reasons))
        reasons.append(f"{candidate.codec} {reason} ({candidate.missing})")
    raise SinkError(
        f"HEVC with alpha cannot be written on this machine: {'; '.join(reasons)}. Write --format mov (ProRes 4444) "
        "and turn it into HEVC on a Mac: in the Finder, right-click the file > Services or Quick Actions > Encode "
        "Selected Video Files, with 'Preserve Transparency' ticked. For browsers other than Safari, --format webm "
        "carries alpha; 'livematte doctor' shows which formats carry it here."
    )


def _options(candidate: _Candidate, settings: OutputSettings, info: StreamInfo) -> dict[str, str]:
    if candidate.codec == "libx265":
        return {"preset": "veryfast", "crf": _CRF[settings.encode], "x265-params": "log-level=none"}
    rate = float(info.frame_rate or 30)
    bits = round(info.width * info.height * rate * _BITS_A_PIXEL[settings.encode])
    return {"b": str(bits), "alpha_quality": _ALPHA_QUALITY[settings.encode], "allow_sw": "1"}


def _encoding(
    chosen: Format, candidate: _Candidate, options: dict[str, str], settings: OutputSettings, info: StreamInfo,
    passed_over: tuple[str, ...],
) -> Encoding:  # fmt: skip
    notes = list(narrowing_notes("HEVC with alpha", info, "straight", settings.encode))
    notes += [f"Passed over: {reason}." for reason in passed_over]
    if settings.encode == "lossless":
        notes.append("HEVC with alpha is never lossless; --format mkv and --format png-mov are.")
    if info.width % 2 or info.height % 2:
        notes.append(
            f"HEVC takes even sides only: {info.width}x{info.height} gets one more column or row, a copy of its last."
        )
    # VideoToolbox makes limited-range YUV of the RGB it is given, so that is what the file states.
    color = replace(yuv_color(info), color_range="tv") if candidate.premultiplied else yuv_color(info)
    return Encoding(
        chosen, "straight", candidate.codec, candidate.pix_fmt, color, options,
        f"HEVC with alpha ({candidate.codec})", tuple(notes), even_sides=True, smallest_side=16, codec_tag="hvc1",
        premultiplied=candidate.premultiplied,
    )  # fmt: skip
