"""Video files and URLs decoded by the GPU (NVDEC, through PyAV), with the pictures left in its memory.

Note [NVDEC through FFmpeg]
    FFmpeg must share our context. Its default asks for the device's primary context with flags of its own, and fails
    with error 95 once another library came first; so our driver layer retains the context, makes it current, and
    FFmpeg is told to take the current one (`primary_ctx=0`, `current_ctx=1`).
    FFmpeg is not allowed to fall back by itself, because it does so in silence, and `is_hwaccel` says only that it
    was asked to use the GPU. What proves it is the first picture: its format is `cuda`. Until then every failure
    (no driver, error 95, a stream that this GPU does not decode) means that the input is opened again, from its start,
    with FFmpeg's own decoder of the same codec, and the reason is said. Later ones are damage, as with every decoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import av.error
from av.codec.hwaccel import HWAccel

from livematte.config import InputSettings
from livematte.errors import SourceError
from livematte.reporting import Once, Reporter
from livematte.sources.nvdec_errors import NvdecRefused, why
from livematte.sources.nvdec_surface import DeviceChain
from livematte.sources.opening import is_live_url
from livematte.sources.orientation import Orientation
from livematte.sources.pictures import Tags
from livematte.sources.reader import Reader
from livematte.sources.video import VideoSource, open_video

if TYPE_CHECKING:
    from livematte.runtimes.cuda.base import Driver


def open_nvdec(spec: str, settings: InputSettings, *, driver: Driver, reporter: Reporter) -> VideoSource:
    """A file or URL decoded on the driver's GPU; on the processor where the GPU does not take it, and then it is said.

    A `Source` in both cases: frames carry a `DevicePicture` or, where decoded on the processor, an `av.VideoFrame`;
    `decoder` says which (`h264 (NVDEC)`, `h264 (software)`). The calling thread gets the driver's context; whoever
    iterates needs no more than that (each picture makes it current). SourceError as for every video source.
    """
    say = Once(reporter)
    try:
        _check_input(spec, settings, driver)
        return NvdecSource(spec, settings, driver=driver, reporter=say)
    except NvdecRefused as refused:
        reason = str(refused)
    except SourceError:
        reason = "the GPU's decoder gave no picture"
    source = open_video(spec, settings, reporter=say)  # its own error, where the input is at fault
    say.note(f"'{source.name}' is decoded on the processor: {reason}.")
    return source


def _check_input(spec: str, settings: InputSettings, driver: Driver) -> None:
    """NvdecRefused where the GPU is not even tried."""
    if driver.name == "null":
        raise NvdecRefused("there is no GPU")
    if spec == "-":
        raise NvdecRefused("a pipe cannot be read again from its start, which a refusal of the GPU would need")
    if is_live_url(spec):
        raise NvdecRefused("it is a live stream")
    if settings.size is not None:
        raise NvdecRefused("--size scales its pictures, and that is done there")


class NvdecReader(Reader):
    """A `Reader` whose decoder is the GPU's. NvdecRefused up to the first decoded picture."""

    how = "NVDEC"

    def __init__(self, spec: str, *, driver: Driver) -> None:
        self._is_proven = False
        driver.make_current()
        accelerator = HWAccel(
            "cuda",
            device=str(driver.device.ordinal),
            allow_software_fallback=False,
            options={"primary_ctx": "0", "current_ctx": "1"},
            is_hw_owned=True,
        )
        try:
            super().__init__(spec, hwaccel=accelerator)
        except (av.error.FFmpegError, NotImplementedError, RuntimeError, ValueError) as error:
            raise NvdecRefused(why(error)) from error
        if not self.decoder.is_hwaccel:
            self.close()
            raise NvdecRefused("its decoder is not one of the GPU's")
        self.decoder.thread_type = "NONE"  # threads would only hold more surfaces
        self.decoder.thread_count = 1

    def _decode(self, packet: av.Packet[Any] | None) -> list[av.VideoFrame]:
        pictures = super()._decode(packet)
        if pictures and not self._is_proven:
            name = pictures[0].format.name
            if name != "cuda":
                raise NvdecRefused(f"FFmpeg decoded it to {name} in host memory")
            self._is_proven = True
        return pictures

    def _count_damage(self, packet: av.Packet[Any] | None, error: BaseException) -> None:
        if not self._is_proven:
            raise NvdecRefused(why(error)) from error
        super()._count_damage(packet, error)


class NvdecSource(VideoSource):
    """`VideoSource` over the GPU's decoder; NvdecRefused from the constructor where it does not take the input."""

    def __init__(self, spec: str, settings: InputSettings, *, driver: Driver, reporter: Reporter) -> None:
        self._driver = driver
        super().__init__(spec, settings, reporter=reporter)

    def close(self) -> None:
        """See `Source.close`. Its pictures must have been read by then."""
        super().close()
        if isinstance(self._chain, DeviceChain):
            self._chain.close()

    def _open(self, spec: str) -> Reader:
        return NvdecReader(spec, driver=self._driver)

    def _make_chain(self, first: av.VideoFrame, orientation: Orientation) -> DeviceChain:
        return DeviceChain(
            first,
            orientation=orientation,
            tags=Tags.of(self._reader.decoder),
            driver=self._driver,
            reporter=self._say,
        )
