"""What flows through the pipeline: frames, mattes, audio packets, and what a source says about itself.

Note [Working formats]
    A source's pictures come in dozens of pixel formats. At the door each is brought, without loss, into one of
    the planar formats that the rest of the program knows: planar YUV 4:2:0, 4:2:2 or 4:4:4 with 8 to 16 bits
    little-endian (`yuv420p`, `yuv422p10le`...), or planar RGB (`gbrp`, `gbrp10le`...). The layout is then in the
    format's name, and `planes.py` reads it from there. Range is never in the name: `yuvj420p` becomes `yuv420p`
    with `color_range = "pc"`. Alpha is never in the picture: a source's own is split off into `Frame.alpha`.

Note [Alpha scale]
    Alpha is linear coverage. As uint8 it is 0..255, as uint16 0..65535 whatever the depth of the picture;
    `planes.py` converts it to a codec's own depth. One run uses one of the two throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np
import numpy.typing as npt

from livematte.color import ColorSpec
from livematte.planes import AlphaArray as AlphaArray


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A moment on a stream's own clock; exact, never `index / fps`."""

    pts: int
    """Presentation time in units of `time_base`."""
    time_base: Fraction
    """Seconds a unit."""

    @property
    def seconds(self) -> Fraction:
        """The same moment in seconds, exact."""
        return self.pts * self.time_base


class ReadyEvent(Protocol):
    """A device's promise that a buffer has been written."""

    def synchronize(self) -> None:
        """Block the caller until the work before the event is done."""


@dataclass(slots=True)
class DevicePicture:
    """A picture in a device's memory: the GPU form of the planes of an `av.VideoFrame`.

    Whoever reads it keeps it until the device has done reading: dropping it gives the memory back to its pool, and the
    decoder writes its next picture there.
    """

    planes: tuple[tuple[int, int], ...]
    """(device pointer, pitch in bytes) a plane, as the picture lies in memory."""
    width: int
    height: int
    """Upright: of the picture after `rotation`."""
    sw_format: str
    """Pixel format of the memory, as FFmpeg spells it (`nv12`, `p010le`)."""
    color: ColorSpec
    owner: object
    """Whatever keeps the memory alive; dropping the picture gives it back to its pool."""
    ready: ReadyEvent | None = None
    """Set where the writer may still be at work, and then an event of the driver layer (`runtimes.cuda.base.Event`), so
    that a stream can wait for it; None: the planes may be read now."""
    rotation: int = 0
    """Degrees clockwise that bring what lies in memory upright: 0, 90, 180 or 270."""

    @property
    def stored_size(self) -> tuple[int, int]:
        """(width, height) as it lies in memory."""
        return (self.height, self.width) if self.rotation in (90, 270) else (self.width, self.height)


@dataclass(slots=True)
class Frame:
    """One decoded picture with its own time. The picture is shared and never written to."""

    picture: av.VideoFrame | DevicePicture
    """Upright, in a working format (Note [Working formats]), without alpha."""
    time: Timestamp
    duration: int | None
    """In units of `time.time_base`; None: unknown."""
    index: int
    """Number of the frame in its source, from 0."""
    color: ColorSpec
    alpha: AlphaArray | None = None
    """The source's own alpha, where it carries one."""
    captured_ns: int | None = None
    """`time.monotonic_ns()` when a live source handed it over; None for files."""

    @property
    def width(self) -> int:
        return self.picture.width

    @property
    def height(self) -> int:
        return self.picture.height

    def host_picture(self) -> av.VideoFrame:
        """The picture where it is in host memory; a device picture is an error of the caller's (TypeError)."""
        if isinstance(self.picture, DevicePicture):
            raise TypeError("this frame lives on a device; download it before it is read on the host")
        return self.picture

    def rgb(self, *, width: int | None = None, height: int | None = None) -> npt.NDArray[np.uint8]:
        """(height, width, 3) uint8 full-range RGB by the frame's own `ColorSpec`, scaled by exact area.

        HDR (PQ, HLG) is tone-mapped to BT.709 SDR, because the networks were trained on that
        (`color.py`, Note [Tone mapping]).
        """
        from livematte.color_convert import to_rgb

        return to_rgb(self.host_picture(), self.color, width or self.width, height or self.height)


@dataclass(slots=True)
class Matte:
    """A frame's alpha and, where a sink wants colours, the cleaned foreground."""

    alpha: AlphaArray
    """(H, W) at picture size, linear coverage, uint8 or uint16 (Note [Alpha scale])."""
    foreground: av.VideoFrame | DevicePicture | None = None
    """STRAIGHT colours in the picture's own pixel format and size: the picture's own samples where alpha is 1,
    decontaminated where 0 < alpha < 1, filled outward a few px, one flat colour beyond. None: not computed."""
    ready: ReadyEvent | None = None
    composite: av.VideoFrame | None = None
    """The foreground over the run's background, opaque, where matting has made it already (on a GPU)."""


@dataclass(slots=True)
class MattedFrame:
    """A frame and its own matte, never another frame's."""

    frame: Frame
    matte: Matte


@dataclass(slots=True)
class Composite:
    """An opaque picture: the foreground over a background, in the source's working format."""

    picture: av.VideoFrame
    matted: MattedFrame
    """What it was made from; carries the time."""


@dataclass(slots=True)
class AudioPacket:
    """One encoded audio packet of the source, in stream order with the frames, times already shifted."""

    track: int
    """Index into `StreamInfo.audio`."""
    packet: av.Packet[Any]
    """Shared by all sinks and never changed: a sink that muxes it makes its own copy."""


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """An audio track of a source, as its container describes it."""

    stream: Any
    """The `av.AudioStream` it comes from (a template for copying; parameters for decoding)."""
    codec: str
    """FFmpeg's decoder name, such as `aac` or `opus`."""
    sample_rate: int
    channels: int
    language: str | None = None


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a source says about its pictures, after rotation and `--size`; the same for a whole run."""

    name: str
    """For messages: a file's name, a URL without credentials, `camera 0`."""
    width: int
    height: int
    pix_fmt: str
    """A working format (Note [Working formats])."""
    color: ColorSpec
    time_base: Fraction
    frame_rate: Fraction | None
    """Nominal; None where the source has none. Never used for a timestamp."""
    bits: int = 8
    """Bits a sample of the picture."""
    is_variable_rate: bool = False
    duration_seconds: float | None = None
    """Expected, for progress only."""
    frame_count: int | None = None
    """Expected, for progress only."""
    sample_aspect_ratio: Fraction | None = None
    has_alpha: bool = False
    """The source carries alpha of its own; each `Frame.alpha` is set."""
    start_timecode: str | None = None
    """SMPTE timecode of the first frame that is delivered (`01:00:00:00`, `;` for drop-frame)."""
    audio: tuple[AudioTrack, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    """`creation_time`, `location` (kept only with `--keep-location`), `title`... as FFmpeg names them."""
    source_size: tuple[int, int] | None = None
    """Width and height, upright, before `--size`; None: the same as `width` and `height`."""
