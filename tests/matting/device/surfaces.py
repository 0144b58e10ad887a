"""A stand-in for a decoder on the device: pictures that become ready late, in memory that is used again at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np

from livematte.errors import DeviceError
from livematte.frames import DevicePicture, Frame
from livematte.matting.device.transfer import PictureLayout, PlanePlace, picture_layout
from livematte.planes import plane_arrays
from livematte.runtimes.cuda.base import DeviceArray, Driver, Event, Stream

SHIFTS = {"nv12": 0, "p010le": 6}


class Surface:
    """Owns the memory of one picture; given back, the decoder writes something else there, whenever it gets to it."""

    def __init__(self, decoder: Decoder, memory: DeviceArray) -> None:
        self._decoder, self.memory = decoder, memory
        self._is_out = True

    def release(self) -> None:
        if self._is_out:
            self._is_out = False
            self._decoder.take_back(self.memory)

    def __del__(self) -> None:
        with suppress(DeviceError):  # of a test that has failed: its driver is closed
            self.release()


class Decoder:
    """Turns frames of the host into frames whose picture lies on the device, turned as a clip with a `rotation` is."""

    def __init__(self, driver: Driver, sw_format: str, *, rotation: int = 0) -> None:
        self.stream: Stream = driver.stream()
        self._driver, self._sw_format, self._rotation = driver, sw_format, rotation
        self._parts: list = []
        self.released = 0

    def frames(self, frames: list[Frame]) -> Iterator[Frame]:
        for frame in frames:
            yield self._decoded(frame)

    def take_back(self, memory: DeviceArray) -> None:
        self.released += 1
        memory.fill(0xEE, self.stream)

    def close(self) -> None:
        self.stream.synchronize()
        for part in (*self._parts, self.stream):
            part.close()

    def _decoded(self, frame: Frame) -> Frame:
        planes = [np.rot90(plane, self._rotation // 90) for plane in plane_arrays(frame.picture)]
        height, width = planes[0].shape
        at = _with_odd_pitch(picture_layout(self._sw_format, width, height))
        staging = self._driver.pinned((at.nbytes,), np.uint8)
        memory = self._driver.array((at.nbytes,), np.uint8)
        ready: Event = self._driver.event()
        self._parts += [staging, memory, ready]
        luma, pairs = at.arrays(staging.array)
        shift = SHIFTS[self._sw_format]
        luma[:] = planes[0] << shift
        pairs[:, 0::2], pairs[:, 1::2] = planes[1] << shift, planes[2] << shift
        memory.fill(0x55, self.stream)
        memory.upload(staging, self.stream)
        ready.record(self.stream)
        places = tuple((memory.pointer + place.offset, place.pitch) for place in at.planes)
        owner = Surface(self, memory)
        picture = DevicePicture(
            places, frame.width, frame.height, self._sw_format, frame.color, owner, ready, self._rotation
        )
        return replace(frame, picture=picture)


def _with_odd_pitch(at: PictureLayout) -> PictureLayout:
    """Rows further apart than ours: 512 bytes, as decoders like it."""
    luma, pairs = at.planes
    first = PlanePlace(0, 512, luma.width, luma.height, luma.element_bytes)
    second = PlanePlace(512 * luma.height, 512, pairs.width, pairs.height, pairs.element_bytes)
    return replace(at, planes=(first, second), nbytes=512 * (luma.height + pairs.height))
