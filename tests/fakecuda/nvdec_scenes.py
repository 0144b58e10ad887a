"""Decoding on the GPU over fakecuda: FFmpeg's CUDA context is real, the surfaces are PyAV's over fakecuda's memory.

libnvcuvid is not faked. `SurfaceReader` stands in for the decoder: it decodes on the processor, sends each picture up
in the legacy stream without waiting, as FFmpeg's decoder does, into one of few surfaces, and hands out
`VideoFrame.from_dlpack`. A surface goes back into use when PyAV has let go of all references to it.
"""

from __future__ import annotations

import ctypes
from collections import deque
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
from av.codec.hwaccel import HWAccel
from av.video.frame import CudaContext, VideoFrame

from fakecuda.driver import Cuda
from livematte.config import InputSettings
from livematte.frames import AudioPacket, DevicePicture
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter
from livematte.sources import nvdec, open_source, video
from livematte.sources.orientation import of_frame
from livematte.sources.reader import Reader
from livematte.sources.video import VideoSource

_DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Managed(ctypes.Structure):
    """DLManagedTensor of DLPack 0."""

    _fields_ = (
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64), ("manager", ctypes.c_void_p), ("deleter", ctypes.c_void_p),
    )  # fmt: skip


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class Exported:
    """Device memory as an object with `__dlpack__`; `released` is called when its consumer is done."""

    def __init__(
        self, pointer: int, shape: tuple[int, ...], strides: tuple[int, ...], bits: int, released: Any
    ) -> None:
        self._shape = (ctypes.c_int64 * len(shape))(*shape)
        self._strides = (ctypes.c_int64 * len(shape))(*strides)
        self._deleter = _DELETER(lambda _: released())
        deleter = ctypes.cast(self._deleter, ctypes.c_void_p)
        self._managed = Managed(pointer, 2, 0, len(shape), 1, bits, 1, self._shape, self._strides, 0, None, deleter)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, **_: Any) -> Any:
        return _new_capsule(ctypes.addressof(self._managed), b"dltensor", None)


class Surfaces:
    """Few surfaces of one format and size, given out as `cuda` frames and used again."""

    def __init__(self, cuda: Cuda, sw_format: str, width: int, height: int, *, count: int) -> None:
        self._cuda, self._format, self._size = cuda, sw_format, (width, height)
        self._context = CudaContext(0, primary_ctx=False, current_ctx=True)
        self._pitch = 512 + -(-width * (1 if sw_format == "nv12" else 2) // 512) * 512
        self._bytes = self._pitch * height * 3 // 2
        self._free = deque(cuda.alloc(self._bytes) for _ in range(count))
        self._staging = [cuda.pinned(bytes(self._bytes)) for _ in range(64)]
        self._sent = 0
        self._kept: list[Any] = []

    def frame(self, picture: VideoFrame) -> VideoFrame:
        """A surface whose samples are on their way."""
        width, height = self._size
        host = picture.reformat(format=self._format)
        pointer = self._free.popleft()
        staging = self._staging[self._sent % len(self._staging)]
        self._sent += 1
        block = np.ctypeslib.as_array((ctypes.c_uint8 * self._bytes).from_address(staging)).reshape(-1, self._pitch)
        top = 0
        for plane in host.planes:
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
            used = rows[:, : width * (1 if self._format == "nv12" else 2)]
            block[top : top + plane.height, : used.shape[1]] = used
            top += plane.height
        self._cuda.upload(pointer, staging, self._bytes, 0)
        made = self._wrap(pointer, width, height)
        made.pts = picture.pts
        if picture.time_base is not None:
            made.time_base = picture.time_base
        made.colorspace, made.color_range = picture.colorspace, picture.color_range
        return made

    def _wrap(self, pointer: int, width: int, height: int) -> VideoFrame:
        item = 1 if self._format == "nv12" else 2
        left = [2]

        def released() -> None:
            left[0] -= 1
            if left[0] == 0:
                self._free.append(pointer)

        pitch = self._pitch // item
        luma = Exported(pointer, (height, width), (pitch, 1), 8 * item, released)
        chroma = Exported(
            pointer + self._pitch * height, (height // 2, width // 2, 2), (pitch, 2, 1), 8 * item, released
        )
        self._kept += [luma, chroma]
        return VideoFrame.from_dlpack(
            (luma, chroma),
            format=self._format,
            width=width,
            height=height,
            cuda_context=self._context,
            current_ctx=True,
            primary_ctx=False,
        )


class FakeEvent:
    """An event of a stub driver."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda, self.handle = cuda, cuda.event()

    def record(self, stream: int) -> None:
        self._cuda.check("cuEventRecord", self.handle, stream)

    def close(self) -> None:
        self._cuda.check("cuEventDestroy_v2", self.handle)


def stub_driver(cuda: Cuda) -> Any:
    """What the source needs of a driver, over fakecuda."""
    return SimpleNamespace(
        name="stub",
        device=SimpleNamespace(ordinal=0),
        legacy_stream=0,
        event=lambda: FakeEvent(cuda),
        make_current=lambda: cuda.check("cuCtxSetCurrent", cuda.context),
    )


def surface_reader(cuda: Cuda, sw_format: str, count: int) -> type[Reader]:
    """A `Reader` class that hands out surfaces."""

    class SurfaceReader(Reader):
        how = "NVDEC"

        def __init__(self, spec: str, *, driver: Any) -> None:
            driver.make_current()
            super().__init__(spec)
            self.decoder.thread_type, self.decoder.thread_count = "NONE", 1
            self._pools: dict[tuple[int, int], Surfaces] = {}
            self._orientations: dict[int | None, Any] = {}
            video.of_frame = lambda picture: self._orientations[picture.pts]  # PyAV cannot give a frame side data

        def _decode(self, packet: Any) -> list[VideoFrame]:
            frames = []
            for picture in super()._decode(packet):
                size = (picture.width, picture.height)
                if size not in self._pools:
                    self._pools[size] = Surfaces(cuda, sw_format, *size, count=count)
                self._orientations[picture.pts] = of_frame(picture)
                frames.append(self._pools[size].frame(picture))
            return frames

    return SurfaceReader


def _open(cuda: Cuda, path: str, sw_format: str, reporter: ListReporter, count: int = 24) -> VideoSource:
    nvdec.NvdecReader = surface_reader(cuda, sw_format, count)  # type: ignore[assignment, misc]
    return nvdec.open_nvdec(path, InputSettings(), driver=stub_driver(cuda), reporter=reporter)


def _wanted(path: str, sw_format: str) -> list[bytes]:
    """The packed planes of each picture as the processor decodes them, in the surfaces' format."""
    packed = []
    with av.open(path) as container:
        for picture in container.decode(video=0):
            host = picture.reformat(format=sw_format)
            used = picture.width * (1 if sw_format == "nv12" else 2)
            rows = [
                np.frombuffer(memoryview(p), np.uint8).reshape(p.height, p.line_size)[:, :used] for p in host.planes
            ]
            packed.append(b"".join(row.tobytes() for row in rows))
    return packed


class Taker:
    """Copies surfaces into memory of its own, in a stream of its own, as the device path does."""

    def __init__(self, cuda: Cuda, *, waits: bool, holds: bool) -> None:
        self._cuda, self._waits, self._holds = cuda, waits, holds
        self._stream = cuda.stream()
        self._held: list[Any] = []

    def take(self, picture: DevicePicture) -> tuple[int, int]:
        """(pointer, bytes) of the packed copy; the surface is held until `sync` where the taker holds."""
        cuda = self._cuda
        if self._waits:
            assert isinstance(picture.ready, FakeEvent)
            cuda.wait(self._stream, picture.ready.handle)
        width, height = picture.stored_size
        used = width * (1 if picture.sw_format == "nv12" else 2)
        target = cuda.alloc(used * height * 3 // 2)
        at = target
        for (pointer, pitch), rows in zip(picture.planes, (height, height // 2), strict=True):
            for row in range(rows):
                cuda.copy(at, pointer + row * pitch, used, self._stream)
                at += used
        if self._holds:
            self._held.append(picture)
        return target, used * height * 3 // 2

    def sync(self) -> None:
        self._cuda.check("cuStreamSynchronize", self._stream)
        self._held.clear()


def unrecorded(path: str, sw_format: str, seeds: int) -> dict[str, Any]:
    """`surfaces` where the source does not record its events: a mutant."""
    FakeEvent.record = lambda self, stream: None  # type: ignore[method-assign]
    return surfaces(path, sw_format, seeds)


def surfaces(path: str, sw_format: str, seeds: int, *, waits: bool = True, holds: bool = True) -> dict[str, Any]:
    """Reads the clip as surfaces under each seed; how many seeds gave every picture bit for bit, and what was said."""
    right, wanted, facts = 0, _wanted(path, sw_format), {}
    for seed in range(seeds):
        cuda, reporter = Cuda(seed=seed), ListReporter()
        source = _open(cuda, path, sw_format, reporter, count=24 if holds else 4)
        taker, taken = Taker(cuda, waits=waits, holds=holds), []
        frames = []
        for frame in source:
            assert not isinstance(frame, AudioPacket)
            assert isinstance(frame.picture, DevicePicture)
            frames.append((frame.time.pts, frame.index, frame.width, frame.height, frame.picture.rotation))
            taken.append(taker.take(frame.picture))
            frame.picture.owner = frame.picture.owner if holds else None
        taker.sync()
        right += [cuda.control.peek(*one) for one in taken] == wanted
        assert cuda.control.damage() == []
        facts = {"decoder": source.decoder, "pix_fmt": source.info.pix_fmt, "bits": source.info.bits, "frames": frames}
        source.close()
    return {"right": right, **facts, "said": reporter.notes + reporter.warnings}


def kinds(path: str, sw_format: str) -> dict[str, Any]:
    """What each picture is (`device` or its pixel format), its size, and what was said."""
    cuda, reporter = Cuda(), ListReporter()
    source = _open(cuda, path, sw_format, reporter)
    seen, first_rows = [], []
    for frame in source:
        assert not isinstance(frame, AudioPacket)
        picture = frame.picture
        seen.append(
            ["device" if isinstance(picture, DevicePicture) else picture.format.name, frame.width, frame.height]
        )
        if not isinstance(picture, DevicePicture):
            first_rows.append(int(plane_arrays(picture)[0].mean()))
    source.close()
    return {"seen": seen, "means": first_rows, "decoder": source.decoder, "said": reporter.notes + reporter.warnings}


def real_context(path: str, options: dict[str, str] | None) -> dict[str, Any]:
    """PyAV's own hardware decoding over fakecuda, which has no libnvcuvid: how far it comes."""
    Cuda(flags=0)
    accelerator = HWAccel("cuda", device="0", is_hw_owned=True, allow_software_fallback=False, options=options)
    try:
        container = av.open(path, hwaccel=accelerator)
    except (OSError, ValueError) as error:
        return {"open": type(error).__name__, "errno": error.errno}  # type: ignore[union-attr]
    try:
        next(container.decode(video=0))
    except Exception as error:
        return {"open": "ok", "decode": type(error).__name__}
    return {"open": "ok", "decode": "ok"}


def whole_fall_back(path: str) -> dict[str, Any]:
    """`open_nvdec` with the real reader over fakecuda: FFmpeg gets its context, and finds no NVDEC."""
    cuda, reporter = Cuda(flags=0), ListReporter()
    source = nvdec.open_nvdec(path, InputSettings(), driver=stub_driver(cuda), reporter=reporter)
    count = sum(1 for _ in source)
    source.close()
    again = open_source(path, InputSettings(), reporter=ListReporter())
    same = again.decoder == source.decoder
    again.close()
    return {"frames": count, "decoder": source.decoder, "same": same, "said": reporter.notes}
