"""EXR sequences: `name/0000.exr`, or a pattern such as `shots/frame_%05d.exr`; premultiplied, linear light, half float.

Note [EXR]
    Written by the OpenEXR library (extra `exr`): FFmpeg's encoder writes no chromaticities. Numbering, scratch folder
    and checks are those of the PNG sequences (`images.py`). ZIP compression always: it is without loss, every program
    reads it, and mattes of people on two cores (1080p) take 35 ms and 2.2 MB a picture, where PIZ takes 51 ms and 2.6
    MB, ZIPS 58 and 2.4, DWAA 54 ms and 0.6 MB with errors up to 0.012. HTJ2K (19 ms, 1.5 MB) is too new for most.
    Opaque and empty pixels go through a table of half floats, so that only the edge (0 < alpha < 1) is multiplied
    (Porter & Duff 1984, https://doi.org/10.1145/800031.808606), in float32 and rounded once.
"""

from __future__ import annotations

import importlib
import io
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from livematte.color import ColorSpec
from livematte.errors import SinkError, UsageError
from livematte.frames import AlphaArray, AudioPacket, Composite, Frame, MattedFrame, StreamInfo
from livematte.planes import PlaneArray
from livematte.reporting import Reporter
from livematte.sinks.encoded import parts
from livematte.sinks.encodings import Encoding
from livematte.sinks.exr_light import (
    CHROMATICITIES,
    PQ_WHITE_NITS,
    half_alpha_table,
    half_bits,
    half_light_table,
    light_table,
    primaries_of,
    timecode_parts,
    transfer_of,
)
from livematte.sinks.faults import explained
from livematte.sinks.images import ImageSequenceSink
from livematte.sinks.pixels import Packer

HalfBits = npt.NDArray[np.uint16]
_INT32 = (1 << 31) - 1


class ExrSequenceSink(ImageSequenceSink):
    """One EXR file a frame, numbered from 0 (Note [EXR])."""

    def __init__(self, target: str, encoding: Encoding, *, reporter: Reporter) -> None:
        """`UsageError` where the OpenEXR package is not installed."""
        super().__init__(target, encoding, reporter=reporter)
        self._exr = openexr()
        self._info: StreamInfo | None = None
        self._began: Fraction | None = None

    def _start(self, info: StreamInfo) -> None:
        self._info = info
        self._packer = Packer(self.encoding, info.width, info.height, reporter=self._reporter)
        if info.start_timecode is not None and timecode_parts(info.start_timecode, Fraction(0), _rate(info)) is None:
            self._reporter.note(
                f"The start timecode {info.start_timecode} does not fit into EXR headers; it is left out."
            )

    def write(self, item: MattedFrame | Composite | AudioPacket) -> None:
        """See `Sink.write`."""
        if isinstance(item, AudioPacket):
            return
        if self._packer is None or self._info is None:
            raise SinkError(f"{self.name} was written to before it was opened.")
        with explained(self.name):
            frame, picture, alpha = parts(item, self.encoding)
            alpha = self._packer.fit_alpha(alpha)
            coded = None if picture is None else self._packer.wide_rgb(picture, frame.color)
            pixels = exr_pixels(coded, frame.color, alpha)
            self._witness.see(Fraction(self.frames), alpha)
            self.frames += 1
            self._save([self._encoded(pixels, self._header(frame, self._info))])

    def _encoded(self, pixels: HalfBits, header: dict[str, Any]) -> bytes:
        """The file's bytes. In memory first, so that a full disk is an `OSError` with its number."""
        memory = io.BytesIO()
        halves = pixels.view(np.float16)
        if halves.ndim == 2:
            channels: dict[str, Any] = {"Y": halves}
        else:
            channels = {"RGBA" if halves.shape[2] == 4 else "RGB": halves}
        try:
            self._exr.File(header, channels).write(memory)
        except RuntimeError as error:
            raise SinkError(f"{self.name}: OpenEXR could not write a picture ({error}).") from error
        return memory.getvalue()

    def _header(self, frame: Frame, info: StreamInfo) -> dict[str, Any]:
        """Attributes of one picture: what its numbers mean, and when it is shown."""
        exr, color = self._exr, frame.color
        when = frame.time.seconds
        self._began = when if self._began is None else self._began
        header: dict[str, Any] = {
            "compression": exr.ZIP_COMPRESSION,
            "type": exr.scanlineimage,
            "software": "livematte",
        }
        if self.encoding.content != "alpha":
            header["chromaticities"] = CHROMATICITIES[primaries_of(color)]
            if transfer_of(color) == "smpte2084":
                header["whiteLuminance"] = PQ_WHITE_NITS
        if info.sample_aspect_ratio is not None:
            header["pixelAspectRatio"] = float(info.sample_aspect_ratio)
        if info.frame_rate is not None and max(info.frame_rate.as_integer_ratio()) <= _INT32:
            header["framesPerSecond"] = Fraction(info.frame_rate)
        # Not one of OpenEXR's own attributes: the exact time, which a variable rate cannot be told from.
        header["presentationTime"] = f"{when} s"
        if info.start_timecode is not None and info.frame_rate is not None:
            code = timecode_parts(info.start_timecode, when - self._began, info.frame_rate)
            if code is not None:
                *clock, drop, field = code
                header["timeCode"] = exr.TimeCode(*clock, drop, 0, field, *([0] * 11))
        return header

    def _finish(self) -> None:
        """Nothing is held back: each picture is a file when `write` returns."""

    def _alpha_in(self, path: Path, *, wide: bool) -> AlphaArray:
        """The alpha that a picture on the disk carries; opaque where it has none."""
        try:
            with path.open("rb") as file:
                channels = self._exr.File(file).parts[0].channels
                found = _alpha_channel({name: channel.pixels for name, channel in channels.items()})
        except (RuntimeError, OSError, TypeError, LookupError) as error:
            raise SinkError(
                f"{path.name} was written, but cannot be decoded again, so the pictures were not kept. The disk may be "
                "full or failing; try another place with -o."
            ) from error
        top = 65535 if wide else 255
        share = np.rint(np.clip(found.astype(np.float32), 0.0, 1.0) * top)
        return cast(AlphaArray, share.astype(np.uint16 if wide else np.uint8))


def exr_pixels(coded: PlaneArray | None, color: ColorSpec, alpha: AlphaArray | None) -> HalfBits:
    """The samples of an EXR picture as the bits of half floats: RGBA premultiplied, RGB, or alpha alone.

    Args:
        coded: (H, W, 3) uint16, full-range RGB in the source's own transfer; None: alpha alone.
        color: Says the transfer (Note [Linear light] in `exr_light.py`).
        alpha: (H, W) uint8 or uint16; None: opaque.

    Returns:
        (H, W, 4), (H, W, 3) or (H, W) uint16, contiguous; exactly 0 in all channels where alpha is 0.
    """
    if alpha is None and coded is None:
        raise TypeError("an EXR picture needs colours or alpha")
    if alpha is None:
        return np.take(half_light_table(transfer_of(color)), cast(PlaneArray, coded), mode="clip")
    wide = alpha.dtype == np.uint16
    coverage = np.take(half_alpha_table(wide), alpha, mode="clip")
    if coded is None:
        return coverage
    trc = transfer_of(color)
    light = np.take(half_light_table(trc), coded, mode="clip")
    solid = cast(HalfBits, cv2.copyTo(light, np.minimum(alpha, 1).astype(np.uint8)))
    top = 65535 if wide else 255
    edge = np.flatnonzero((alpha > 0) & (alpha < top))
    if edge.size:
        share = alpha.reshape(-1)[edge].astype(np.float32) / np.float32(top)
        bright = light_table(trc)[coded.reshape(-1, 3)[edge]]
        solid.reshape(-1, 3)[edge] = half_bits(bright * share[:, None])
    # The alpha plane joins last: cv2 has no half floats, but their bits are 16-bit integers like any other.
    return cast(HalfBits, cv2.merge([*cv2.split(solid), coverage]))


def _alpha_channel(channels: dict[str, Any]) -> npt.NDArray[np.float16]:
    """(H, W) of the channels that OpenEXR read."""
    for name in ("A", "Y"):
        if name in channels:
            return cast(npt.NDArray[np.float16], channels[name])
    if "RGBA" in channels:
        return cast(npt.NDArray[np.float16], channels["RGBA"][..., 3])
    return np.ones(channels["RGB"].shape[:2], np.float16)


def _rate(info: StreamInfo) -> Fraction:
    return info.frame_rate or Fraction(25)


def openexr() -> Any:
    """The OpenEXR package. `UsageError` with the line that installs it where it is missing."""
    try:
        return importlib.import_module("OpenEXR")
    except ImportError as error:
        raise UsageError(
            "writing EXR pictures needs the OpenEXR package, which is not installed. Install it with: pip install "
            "'livematte[exr]'; or write --format png, which needs nothing more."
        ) from error
