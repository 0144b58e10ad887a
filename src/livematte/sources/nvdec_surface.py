"""Decoded surfaces of the GPU as `DevicePicture`s.

Note [Surfaces]
    FFmpeg's decoder puts its work into the legacy stream and does not wait for it: a surface that it hands out may
    still be written. PyAV gives the surface's addresses by DLPack, but no order (a stream as argument is refused). So
    an event is recorded in the legacy stream right after the picture was handed out; whoever reads the surface lets
    its own stream wait for `DevicePicture.ready`, and keeps the picture until it has read it: dropping it gives the
    surface back, and the decoder writes the next picture there.
    The events are a small ring. An event that was recorded again stands for a later moment of the same stream, so a
    late wait waits longer, and never too short.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final

import av

from livematte.color import ColorSpec
from livematte.frames import AlphaArray, DevicePicture
from livematte.planes import new_picture
from livematte.reporting import Reporter
from livematte.sources.nvdec_errors import NvdecRefused
from livematte.sources.orientation import Orientation, copy_tags
from livematte.sources.pictures import PictureChain, Tags

if TYPE_CHECKING:
    from livematte.runtimes.cuda.base import Driver

SURFACE_FORMATS: Final = ("nv12", "p010le")
"""Surfaces that the kernels read; all others decode on the processor."""
ROTATIONS: Final = {
    Orientation(False, False, False): 0,
    Orientation(True, True, False): 90,
    Orientation(False, True, True): 180,
    Orientation(True, False, True): 270,
}
"""Orientation -> degrees clockwise. Mirrored pictures have no kernel."""
_EVENTS: Final = 16
_ON_CUDA: Final = 2
"""kDLCUDA."""


class _Tensor(ctypes.Structure):
    """DLTensor, the first member of DLPack's DLManagedTensor (version 0)."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_pointer_of: Final = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype = ctypes.c_void_p
_pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]


def plane_address(plane: Any, ordinal: int) -> tuple[int, int, object]:
    """(device pointer, pitch in bytes, what keeps them valid) of a plane of a `cuda` frame.

    The capsule holds a reference to the surface; it is not consumed, so it lets go when it is dropped. NvdecRefused
    where the plane lies on another device than `ordinal`, or in host memory.
    """
    capsule = plane.__dlpack__()
    tensor = _Tensor.from_address(_pointer_of(capsule, b"dltensor"))
    if (tensor.device_type, tensor.device_id) != (_ON_CUDA, ordinal):
        raise NvdecRefused(
            f"its surfaces lie on device {tensor.device_id} (kind {tensor.device_type}), not on {ordinal}"
        )
    pitch = tensor.strides[0] * tensor.bits // 8
    return (tensor.data or 0) + tensor.byte_offset, pitch, capsule


class DeviceChain:
    """What `pictures.PictureChain` is for host pictures, for surfaces: the first one sets format and size of the run.

    Pictures of another size or format than the first are downloaded and go the host's way, and it is said.
    """

    def __init__(
        self, first: av.VideoFrame, *, orientation: Orientation, tags: Tags, driver: Driver, reporter: Reporter
    ) -> None:
        check_surface(first, orientation)
        self._sw_format = surface_format(first)
        self._stored = (first.width, first.height)
        self._rotation = ROTATIONS[orientation]
        self._driver = driver
        self._events = [driver.event() for _ in range(_EVENTS)]
        self._count = 0
        self._host = PictureChain(_twin(first), orientation=orientation, size=None, tags=tags, reporter=reporter)
        self._colors: dict[tuple[int, ...], ColorSpec] = {}
        self.width, self.height = self._host.width, self._host.height
        self.upright_size = self._host.upright_size
        self.pix_fmt, self.layout, self.color = self._host.pix_fmt, self._host.layout, self._host.color
        self.has_alpha = False
        self.sample_aspect_ratio = self._host.sample_aspect_ratio

    def __call__(self, picture: av.VideoFrame) -> tuple[av.VideoFrame | DevicePicture, AlphaArray | None, ColorSpec]:
        """(picture, None, colour) of the next picture that the decoder handed out."""
        if picture.format.name != "cuda":
            return self._host(picture)
        if (picture.width, picture.height) != self._stored or surface_format(picture) != self._sw_format:
            return self._host(downloaded(picture))
        self._driver.make_current()
        event = self._events[self._count % _EVENTS]
        self._count += 1
        event.record(self._driver.legacy_stream)
        ordinal = self._driver.device.ordinal
        parts = [plane_address(plane, ordinal) for plane in picture.planes]
        color = self._color(picture)
        made = DevicePicture(
            planes=tuple((pointer, pitch) for pointer, pitch, _ in parts),
            width=self.width,
            height=self.height,
            sw_format=self._sw_format,
            color=color,
            owner=tuple(keeper for _, _, keeper in parts),
            ready=event,
            rotation=self._rotation,
        )
        return made, None, color

    def close(self) -> None:
        """Give the events back; pictures that were handed out must have been read by then."""
        for event in self._events:
            event.close()

    def _color(self, picture: av.VideoFrame) -> ColorSpec:
        key = (picture.colorspace, picture.color_range, picture.color_primaries, picture.color_trc)
        found = self._colors.get(key)
        if found is None:
            found = self._colors[key] = self._host.color_of(_twin(picture))
        return found


def surface_format(picture: av.VideoFrame) -> str:
    """Format of a surface's memory; empty for pictures in host memory."""
    return "" if picture.sw_format is None else picture.sw_format.name


def check_surface(picture: av.VideoFrame, orientation: Orientation) -> None:
    """NvdecRefused with the reason where the kernels do not read such pictures."""
    if picture.format.name != "cuda":
        raise NvdecRefused(f"FFmpeg decoded it to {picture.format.name} in host memory")
    if surface_format(picture) not in SURFACE_FORMATS:
        raise NvdecRefused(f"its surfaces are {surface_format(picture)}, and the GPU path reads nv12 and p010le")
    if picture.width % 2 or picture.height % 2:
        raise NvdecRefused(f"the GPU path needs even sizes, and it is {picture.width}x{picture.height}")
    if orientation not in ROTATIONS:
        raise NvdecRefused(f"it must be {orientation.words}, which the GPU path does not do")


def downloaded(picture: av.VideoFrame) -> av.VideoFrame:
    """A surface as a picture in host memory, in the surface's own format (`nv12`, `p010le`)."""
    made = picture.reformat(format=surface_format(picture))
    copy_tags(picture, made)
    return made


def _twin(picture: av.VideoFrame) -> av.VideoFrame:
    """A host picture of the surface's format, size and tags, without its samples."""
    made = new_picture(surface_format(picture), picture.width, picture.height)
    copy_tags(picture, made)
    return made
