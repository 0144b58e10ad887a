"""What the device's matting needs of a network: buffers a slot, and work that is enqueued rather than done.

Note [States of slots]
    A recurrent network's past lies in the slots: the network of slot k reads the states that slot k - 1 wrote (slot 0
    those of the last one) and writes its own. Captured graphs hold addresses, so this never changes. With one slot,
    slot 0 is its own predecessor; what it writes is then copied over what it read, behind the network and on the same
    stream, as part of `enqueue`.

    A scene begins with `reset(slot)`: zeros into what that slot reads. Its first frame may have to go through the
    network several times before it counts (`warm_runs` of the manifest): reset, enqueue, carry, enqueue, carry, ...,
    enqueue, where `carry(slot)` copies what the slot wrote into what it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from livematte.runtimes.cuda.base import DeviceArray, Driver, Stream


class DeviceNetwork(Protocol):
    """A network bound to the buffers of S slots on one device. Used by one thread, and only on streams in frame order.

    Every method but `input`, `alpha` and `close` enqueues and returns; errors are `DeviceError`.
    """

    @property
    def slots(self) -> int:
        """How many slots it was opened for."""

    @property
    def is_recurrent(self) -> bool:
        """True where it has states; else `reset` and `carry` do nothing."""

    @property
    def is_capturable(self) -> bool:
        """True where `enqueue` may be captured into a graph: it allocates nothing and waits for nothing then."""

    def input(self, slot: int) -> DeviceArray:
        """The picture tensor of this slot, (1, 3, h, w) or (1, h, w, 3), float32 or float16; ours to write."""

    def alpha(self, slot: int) -> DeviceArray:
        """What `enqueue` writes for this slot, in the network's own shape and dtype; ours until the next run."""

    def reset(self, slot: int, stream: Stream) -> None:
        """Zeros into the states that this slot reads (Note [States of slots])."""

    def carry(self, slot: int, stream: Stream) -> None:
        """Copy the states that this slot wrote into those that it reads (Note [States of slots])."""

    def enqueue(self, slot: int, stream: Stream) -> None:
        """One step: reads `input(slot)` and the states before, writes `alpha(slot)` and the states of the slot."""

    def close(self) -> None:
        """Give the buffers back. Called once, after the streams have come to rest or the device is lost."""


@runtime_checkable
class WarmingNetwork(Protocol):
    """A `DeviceNetwork` that has to run before it counts (ONNX Runtime captures its own graphs then)."""

    def warm(self, stream: Stream) -> None:
        """Do it, on the very stream that every `enqueue` will get. The host waits; states are anything afterwards."""


@runtime_checkable
class DeviceEngine(Protocol):
    """A loaded network that runs on device memory (TensorRT; in tests ONNX Runtime on the CPU)."""

    def open_slots(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        slots: int,
        driver: Driver,
        *,
        extra: Mapping[str, npt.NDArray[Any]] = ...,
    ) -> DeviceNetwork:
        """Buffers for `slots` frames in flight.

        `shapes`: of every input, as `models.contract.Contract.shapes` gives them (states may be given as (1, 1, 1, 1)
        zeros that the network broadcasts). `extra`: values of inputs that stay the same for the whole clip
        (`downsample_ratio`). DeviceError: no memory, another device than the driver's. ModelError: shapes that the
        network cannot take.
        """


@runtime_checkable
class DrivingEngine(Protocol):
    """A `DeviceEngine` that has opened its device itself."""

    @property
    def driver(self) -> Driver:
        """The device; closed with the engine."""
