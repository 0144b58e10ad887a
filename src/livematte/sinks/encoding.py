"""What an encoder is told, decided once when a sink is made. Which formats get what is in `encodings.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from livematte.color import ColorSpec
from livematte.config import Encode
from livematte.frames import StreamInfo
from livematte.planes import layout
from livematte.sinks.base import Wants
from livematte.sinks.formats import Format

Content = Literal["straight", "foreground", "alpha", "composite"]
"""straight: colours and alpha; foreground: colours alone; alpha: grey; composite: person over background."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Everything that an encoder is told, decided once when a sink is made."""

    format: Format
    content: Content
    codec: str
    """FFmpeg's encoder; empty for the null sink."""
    pix_fmt: str
    """What the encoder is given."""
    color: ColorSpec
    """What the encoder's colour planes mean; also the tags of the file."""
    options: Mapping[str, str]
    label: str
    """For the status line: `ProRes 4444 (prores_ks), 8-bit alpha`."""
    notes: tuple[str, ...] = ()
    """Sentences to be said once: what changes on the way into this format."""
    even_sides: bool = False
    """True: the codec takes even sides only, so odd pictures get one more row or column."""
    smallest_side: int = 1
    """Pictures are padded to at least so many px a side."""
    stacked: bool = False
    """True: alpha is the lower half of an opaque picture, as luma (`stacked.py`)."""
    premultiplied: bool = False
    """True: the encoder is given colours times alpha."""
    codec_tag: str = ""
    """The sample entry in MOV and MP4, where FFmpeg's choice is not what players look for (`hvc1`)."""
    comment: str = ""
    """What a file says about itself in its `comment`, where its layout needs words."""
    plane_bits: int = 8
    """Bits of the encoder's alpha plane (or of its grey plane for `alpha`)."""
    alpha_bits: int = 8
    """Bits of alpha that survive in the file."""

    @property
    def wants(self) -> Wants:
        """What the sink asks of the pipeline (`sinks/base.py`)."""
        if self.content == "alpha":
            return "alpha"
        return "composite" if self.content == "composite" else "straight"

    @property
    def has_alpha(self) -> bool:
        """True: the encoder's picture has an alpha plane, and the file must give it back."""
        return self.content == "straight"


def narrowing_notes(what: str, info: StreamInfo, content: Content, encode: Encode) -> tuple[str, ...]:
    """What becomes coarser on the way into 8-bit 4:2:0, as sentences."""
    source = layout(info.pix_fmt)
    if content == "alpha":
        return ()
    if source.bits > 8:
        return (f"{what} has 8 bits; the input has {source.bits}. MOV, MKV and PNG keep them.",)
    if encode == "lossless" and (source.is_rgb or not source.log2_chroma_height):
        return (
            f"{what} is 4:2:0, so colours lose resolution before they are kept exactly; MKV keeps them as they are.",
        )
    return ()


def padded_size(encoding: Encoding, width: int, height: int) -> tuple[int, int]:
    """(width, height) of a picture as its encoder takes it: even and large enough. Of stacked pictures: of one half."""
    extra = 1 if encoding.even_sides else 0
    smallest = encoding.smallest_side
    return max(smallest, width + (width & extra)), max(smallest, height + (height & extra))
