"""A slot: everything that one frame in flight needs for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from livematte.color import ColorSpec
from livematte.errors import DeviceError
from livematte.matting.device.lanes import Marks
from livematte.matting.device.transfer import PictureLayout
from livematte.runtimes.cuda.base import DeviceArray, Driver, PinnedArray, Stream
from livematte.runtimes.kernels.ops_smooth import gate_shape
from livematte.runtimes.kernels.parameters import PARAMETERS, Block, neutral
from livematte.runtimes.kernels.planes import Plane, PlaneSet

Behind: TypeAlias = Literal["nothing", "colour", "planes", "blur"]
"""What stands behind the person in composites: `planes` are a picture's or a video's; `nothing`: no composites."""


class Closing(Protocol):
    """Something that is given back once."""

    def close(self) -> None: ...


Part = TypeVar("Part", bound=Closing)


class Resources:
    """What has been taken from the driver, given back in reverse order."""

    def __init__(self) -> None:
        self._parts: list[Closing] = []

    def keep(self, part: Part) -> Part:
        """Take charge of this one."""
        self._parts.append(part)
        return part

    def close(self) -> None:
        """Give all of it back, whatever some of it says; the first DeviceError is raised at the end."""
        first: DeviceError | None = None
        while self._parts:
            try:
                self._parts.pop().close()
            except DeviceError as error:
                first = first or error
        if first is not None:
            raise first


@dataclass(frozen=True, slots=True)
class SlotSizes:
    """What decides which buffers a slot has, and how large they are."""

    picture: PictureLayout
    """As it lies in the slot, upright."""
    planar: PictureLayout
    """Of the pictures that leave: the same, or its planar twin."""
    color: ColorSpec
    alpha: tuple[int, int]
    """(h, w) of the network's alpha, a letterbox's borders left out."""
    is_wide: bool
    """The picture's alpha is uint16, not uint8."""
    cleans: bool
    """Foreground colours are cleaned."""
    sends_front: bool
    """They go to the host."""
    sends_room: bool
    """The raw picture goes to the host."""
    behind: Behind

    @property
    def statistics(self) -> tuple[int, int]:
        """(rows, columns) of the reduced luma that tells cuts; `matting/scene.py`."""
        return (36, 64) if self.picture.width >= self.picture.height else (64, 36)


@dataclass(frozen=True, slots=True)
class Memory:
    """What smoothing keeps of a frame for the next one; all float32."""

    states: tuple[DeviceArray, DeviceArray, DeviceArray]
    """(h, w) each: the smoothed alpha, and what else the algorithm remembers."""
    quiet: DeviceArray
    """Luma at the network's size (`gate_shape`), by which `adaptive` tells what stands still."""

    def copy_from(self, other: Memory, smoothing: str, stream: Stream) -> None:
        """Take over what this algorithm reads of the past."""
        used = {"none": 0, "ema": 1, "adaptive": 1, "one-euro": 3}[smoothing]
        for mine, theirs in zip(self.states[:used], other.states[:used], strict=True):
            mine.copy_from(theirs, stream)
        if smoothing == "adaptive":
            self.quiet.copy_from(other.quiet, stream)


@dataclass(frozen=True, slots=True)
class Twin:
    """A buffer on the device and pinned memory of the same shape and dtype for its copies."""

    device: DeviceArray
    host: PinnedArray


@dataclass(slots=True)
class Slot:
    """Buffers of one frame in flight."""

    number: int
    marks: Marks
    picture: Twin
    """(n,) uint8: the planes of the picture, one block."""
    planes: PlaneSet
    parameters: Twin
    """(944,) uint8: `runtimes.kernels.parameters.PARAMETERS`."""
    statistics: Twin
    """(36, 64) or (64, 36) float32."""
    memory: Memory
    alpha: Twin
    """(H, W) uint8 or uint16."""
    front: Twin | None = None
    """(n,) uint8: the cleaned foreground's planes, one block."""
    front_planes: PlaneSet | None = None
    room: PinnedArray | None = None
    """(n,) uint8: where the raw picture goes on the host."""
    behind: Twin | None = None
    """(n,) uint8: planes of the background."""
    behind_planes: PlaneSet | None = None
    behind_now: object = None
    """What is in `behind`: the very object that the background gave."""
    composite: Twin | None = None
    composite_planes: PlaneSet | None = None

    @property
    def block(self) -> Block:
        """(1,) view of the pinned parameters, to be written before they are uploaded."""
        block: Block = self.parameters.host.array.view(PARAMETERS)
        return block


class _Maker:
    """Takes buffers from a driver into `resources`."""

    def __init__(self, driver: Driver, resources: Resources) -> None:
        self._driver, self._resources = driver, resources

    def array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        return self._resources.keep(self._driver.array(shape, dtype))

    def pinned(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> PinnedArray:
        return self._resources.keep(self._driver.pinned(shape, dtype))

    def twin(self, shape: tuple[int, ...], dtype: npt.DTypeLike = np.uint8) -> Twin:
        return Twin(self.array(shape, dtype), self.pinned(shape, dtype))


def make_slot(number: int, driver: Driver, sizes: SlotSizes, resources: Resources) -> Slot:
    """A slot with buffers for these sizes; `resources` gives them back. DeviceError where they do not fit."""
    make = _Maker(driver, resources)
    at, planar = sizes.picture, sizes.planar
    picture = make.twin((at.nbytes,))
    slot = Slot(
        number=number,
        marks=resources.keep(Marks(driver)),
        picture=picture,
        planes=plane_set(at, picture.device.pointer, sizes.color),
        parameters=make.twin((PARAMETERS.itemsize,)),
        statistics=make.twin(sizes.statistics, np.float32),
        memory=make_memory(driver, sizes, resources),
        alpha=make.twin((at.height, at.width), np.uint16 if sizes.is_wide else np.uint8),
    )
    if sizes.cleans:
        slot.front = make.twin((planar.nbytes,))
        slot.front_planes = plane_set(planar, slot.front.device.pointer, sizes.color)
    if sizes.sends_room:
        slot.room = make.pinned((at.nbytes,), np.uint8)
    if sizes.behind == "planes":
        slot.behind = make.twin((planar.nbytes,))
        slot.behind_planes = plane_set(planar, slot.behind.device.pointer, sizes.color)
    if sizes.behind != "nothing":
        slot.composite = make.twin((planar.nbytes,))
        slot.composite_planes = plane_set(planar, slot.composite.device.pointer, sizes.color)
    for twin in (slot.picture, slot.behind):
        if twin is not None:
            twin.host.array[:] = 0  # the bytes between rows are copied as well
    slot.block[:] = neutral(at.width, at.height)
    return slot


def make_memory(driver: Driver, sizes: SlotSizes, resources: Resources) -> Memory:
    """Memory of one frame for the smoothing; `resources` gives it back."""
    make = _Maker(driver, resources)
    one, two, three = (make.array(sizes.alpha, np.float32) for _ in range(3))
    return Memory((one, two, three), make.array(gate_shape(*sizes.alpha), np.float32))


def plane_set(at: PictureLayout, pointer: int, color: ColorSpec) -> PlaneSet:
    """The planes of a picture whose block lies at `pointer` on the device."""
    planes = tuple(
        Plane(pointer + one.offset, one.pitch, one.width, one.height, one.element_bytes) for one in at.planes
    )
    return PlaneSet(at.sw_format, at.width, at.height, planes, color)
