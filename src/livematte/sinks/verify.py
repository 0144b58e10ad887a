"""Is what was written what was meant? Three frames are decoded back before a file gets its final name.

Note [Verification]
    Alpha gets lost in silence: an encoder that takes yuva420p and drops the fourth plane, a decoder that never looks
    for it (FFmpeg's own VP9 decoder gives opaque pictures). So the first, the last and the frame with the most edge
    are read back by the decoder that knows alpha, and compared with the alpha that was handed to the encoder.
    Opaque where the matte is not, or off by a mean of more than 8/255: `AlphaLost`, no file. Less is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, cast

import av
import numpy as np

from livematte.errors import AlphaLost, SinkError
from livematte.frames import AlphaArray
from livematte.planes import PlaneArray, alpha_from_bits, alpha_to_bits, plane_arrays
from livematte.sinks.encodings import Encoding
from livematte.sinks.pixels import first_plane, packed_array
from livematte.sinks.stacked import halves

MEAN_LIMIT: Final = 8.0
"""Largest mean difference of alpha, in 1/255, that is still the same matte."""
_GRID: Final = 8
"""Edges are counted on every eighth row and column: 0.05 ms a 1080p frame, and ample to rank frames."""


@dataclass(slots=True)
class Meant:
    """An alpha that was handed to the encoder, and when."""

    seconds: Fraction
    alpha: AlphaArray
    edge: int
    """Samples of the grid that are neither 0 nor 1."""


@dataclass(frozen=True, slots=True)
class AlphaError:
    """How far alpha came back from what was meant, in 1/255, over the frames that were checked."""

    frames: int
    mean: float
    largest: float

    def __str__(self) -> str:
        if self.largest == 0:
            return f"alpha came back exactly in {self.frames} frames that were decoded again"
        return (
            f"alpha came back within {self.mean:.2f}/255 on average and {self.largest:.0f}/255 at most, in "
            f"{self.frames} frames that were decoded again"
        )


class Witness:
    """Remembers the first, the last and the most-edged alpha of a run."""

    def __init__(self) -> None:
        self._first: Meant | None = None
        self._edged: Meant | None = None
        self._last: tuple[Fraction, AlphaArray | None] | None = None

    def see(self, seconds: Fraction, alpha: AlphaArray | None) -> None:
        """Take note of one frame (None: it has no alpha, only its time counts). Copies the rare ones it keeps."""
        self._last = (seconds, alpha)
        if alpha is None:
            return
        grid = alpha[::_GRID, ::_GRID]
        full = np.iinfo(alpha.dtype).max
        edge = int(np.count_nonzero((grid > full // 25) & (grid < full - full // 25)))
        if self._first is None:
            self._first = Meant(seconds, alpha.copy(), edge)
            self._edged = self._first
        elif self._edged is not None and edge > self._edged.edge:
            self._edged = Meant(seconds, alpha.copy(), edge)

    def frames(self) -> list[Meant]:
        """What is to be checked: up to three frames, in order of time, each once."""
        last = self._last
        found = [meant for meant in (self._first, self._edged) if meant is not None]
        if last is not None and last[1] is not None:
            found.append(Meant(last[0], last[1], 0))
        return sorted({meant.seconds: meant for meant in found}.values(), key=lambda meant: meant.seconds)

    @property
    def end(self) -> Fraction | None:
        """Time of the last frame."""
        return None if self._last is None else self._last[0]


def verify_file(path: str, name: str, encoding: Encoding, witness: Witness) -> AlphaError | None:
    """Decode `path` back and compare (Note [Verification]); None where the file has no alpha to compare.

    Raises `AlphaLost` where alpha is not what was meant, `SinkError` where the file cannot be read at all.
    """
    if encoding.has_alpha or encoding.content == "alpha":
        wanted = witness.frames()
        found = {meant.seconds: _alpha_at(path, name, encoding, meant) for meant in wanted}
        return compare(name, encoding, [(meant.alpha, found[meant.seconds]) for meant in wanted])
    if witness.end is not None and decode_at(path, encoding.codec, witness.end) is None:
        raise SinkError(_unreadable(name))
    return None


def compare(name: str, encoding: Encoding, pairs: list[tuple[AlphaArray, AlphaArray]]) -> AlphaError:
    """Judge (meant, found) pairs; raises `AlphaLost`."""
    means: list[float] = []
    largest = 0.0
    for meant, found in pairs:
        wide = meant.dtype == np.uint16 or found.dtype == np.uint16
        scale = 65535.0 / 255.0 if wide else 1.0
        bits = encoding.plane_bits
        expected, got = _through(meant, bits, wide), _through(found, bits, wide)
        height, width = min(expected.shape[0], got.shape[0]), min(expected.shape[1], got.shape[1])
        difference = np.abs(got[:height, :width].astype(np.int32) - expected[:height, :width].astype(np.int32))
        means.append(float(difference.mean()) / scale)
        largest = max(largest, float(difference.max()) / scale)
        top = 65535 if wide else 255
        if bool((got == top).all()) and float(expected.min()) < top - MEAN_LIMIT * scale:
            raise AlphaLost(_lost(name, encoding, "opaque everywhere, where the matte is not"))
        if means[-1] > MEAN_LIMIT:
            raise AlphaLost(_lost(name, encoding, f"different from the matte by {means[-1]:.1f}/255 on average"))
    return AlphaError(len(pairs), float(np.mean(means)) if means else 0.0, largest)


def _lost(name: str, encoding: Encoding, how: str) -> str:
    return (
        f"{name} was decoded again and its alpha came back {how}, so the file was not kept: the encoder "
        f"{encoding.label} of this installation does not carry it. Choose another format (--format mov, webm, mkv, "
        "png); 'livematte doctor' shows which ones carry alpha on this machine."
    )


def _unreadable(name: str) -> str:
    return (
        f"{name} was written, but cannot be decoded again, so it was not kept. The disk may be full or failing; try "
        "another place with -o or another format, and 'livematte doctor'."
    )


def _through(alpha: AlphaArray, bits: int, wide: bool) -> AlphaArray:
    """Alpha at the encoder's own depth: what could come back at best."""
    return alpha_from_bits(alpha_to_bits(alpha, bits), bits, wide=wide)


def _alpha_at(path: str, name: str, encoding: Encoding, meant: Meant) -> AlphaArray:
    """The alpha that stands at that time; of several pictures within the container's rounding, the one that fits best.

    A damaged source can leave pictures a single tick apart, which Matroska's milliseconds cannot tell from each other.
    """
    best: tuple[float, AlphaArray] | None = None
    for picture in pictures_at(path, encoding.codec, meant.seconds):
        alpha = alpha_of(picture, encoding, wide=meant.alpha.dtype == np.uint16)
        rows, columns = (min(a, b) for a, b in zip(alpha.shape, meant.alpha.shape, strict=True))
        found, wanted = (one[:rows:_GRID, :columns:_GRID].astype(np.int32) for one in (alpha, meant.alpha))
        distance = float(np.abs(found - wanted).mean())
        if best is None or distance < best[0]:
            best = (distance, alpha)
    if best is None:
        raise SinkError(_unreadable(name))
    return best[1]


def alpha_of(picture: av.VideoFrame, encoding: Encoding, *, wide: bool) -> AlphaArray:
    """Alpha as a decoded picture carries it: plane 3, the fourth channel, or luma where alpha was written as grey.

    A picture without alpha gives an opaque one: that is what every player would show.
    """
    name = picture.format.name
    if encoding.content == "alpha":
        return _from_luma(*_luma(picture), encoding.color.color_range, wide=wide)
    if encoding.stacked:
        lower = halves(picture)[1][0]
        return _from_luma(lower, _bits(picture), encoding.color.color_range, wide=wide)
    if name in ("bgra", "rgba", "rgba64be", "rgba64le"):
        channel = packed_array(picture)[..., 3]
        return alpha_from_bits(channel.byteswap() if name.endswith("be") else channel, _bits(picture), wide=wide)
    if len(picture.format.components) < 4:
        return _opaque(picture, wide)
    return alpha_from_bits(plane_arrays(picture)[3], _bits(picture), wide=wide)


def _from_luma(luma: PlaneArray, bits: int, spread: str, *, wide: bool) -> AlphaArray:
    """Alpha that was written as luma of that range."""
    if spread == "pc":
        return alpha_from_bits(luma, bits, wide=wide)
    scale = float(1 << (bits - 8))
    share = np.clip((luma.astype(np.float32) - 16.0 * scale) / (219.0 * scale), 0.0, 1.0)
    return cast(AlphaArray, np.rint(share * (65535 if wide else 255)).astype(np.uint16 if wide else np.uint8))


def _opaque(picture: av.VideoFrame, wide: bool) -> AlphaArray:
    shape = (picture.height, picture.width)
    return np.full(shape, 65535, np.uint16) if wide else np.full(shape, 255, np.uint8)


def _luma(picture: av.VideoFrame) -> tuple[PlaneArray, int]:
    """(first plane, its bits) of a YUV or grey picture."""
    return first_plane(picture), _bits(picture)


def _bits(picture: av.VideoFrame) -> int:
    return int(picture.format.components[0].bits)


_ALPHA_DECODERS: Final = {"libvpx-vp9": "libvpx-vp9", "libvpx": "libvpx"}
"""Encoders whose alpha FFmpeg's default decoder drops -> the decoder that gives it back."""


def decode_at(path: str, codec: str, seconds: Fraction) -> av.VideoFrame | None:
    """The first of `pictures_at`; None where there is none (broken or cut short)."""
    return next(pictures_at(path, codec, seconds), None)


def pictures_at(path: str, codec: str, seconds: Fraction) -> Iterator[av.VideoFrame]:
    """The pictures of `path` that are shown at `seconds`, within the container's rounding; none where it is broken.

    `codec` is the encoder's name: it decides which decoder gives alpha back.
    """
    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            base = Fraction(stream.time_base or 1)
            # A container's own rounding: Matroska has 1 ms.
            slack = max(base, Fraction(1, 1000))
            if seconds > 1:
                container.seek(int(seconds / base), stream=stream, backward=True)
            for picture in _decoded(container, stream, codec):
                when = None if picture.pts is None else picture.pts * base
                if when is None or abs(when - seconds) <= slack:
                    yield picture
                elif when > seconds + slack:
                    return
    except (av.error.FFmpegError, OSError, IndexError):
        return


def _decoded(container: Any, stream: Any, codec: str) -> Iterator[av.VideoFrame]:
    decoder = stream.codec_context
    if codec in _ALPHA_DECODERS:
        decoder = av.CodecContext.create(_ALPHA_DECODERS[codec], "r")
        decoder.extradata = stream.codec_context.extradata
    else:
        stream.thread_type = "AUTO"
    for packet in container.demux(stream):
        yield from decoder.decode(packet if packet.size else None)
