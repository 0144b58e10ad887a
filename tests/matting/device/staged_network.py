"""A network on the CPU for devices whose memory the host cannot see: its input comes down and its answer goes up.

Slow, and it makes the host wait; but it runs on any driver, so that the device's path can be proved on a GPU without
any runtime for GPUs.
"""

from __future__ import annotations

import numpy as np
from cpu_network import CpuEngine, CpuNetwork

from livematte.runtimes.cuda.base import Stream


class StagedEngine(CpuEngine):
    """A `DeviceEngine`; its networks cannot be captured."""

    def open_slots(self, shapes, slots, driver, *, extra=None):
        self.capturable = False
        return StagedNetwork(self, shapes, slots, driver, extra or {})


class StagedNetwork(CpuNetwork):
    """A `DeviceNetwork`."""

    def enqueue(self, slot: int, stream: Stream) -> None:
        read = self.read_by(slot)
        feeds = {self._picture: _down(self._inputs[slot], stream)} | self._extra
        feeds |= {name: _down(state, stream) for (name, _), state in zip(self._engine.states, read, strict=True)}
        results = self._engine.session.run(self._names, feeds)
        for target, value in zip([self._alphas[slot], *self._written[slot]], results, strict=True):
            target.upload(np.ascontiguousarray(value), stream)
        if self.slots == 1:
            for before, written in zip(read, self._written[0], strict=True):
                before.copy_from(written, stream)


def _down(array, stream: Stream) -> np.ndarray:
    into = np.empty(array.shape, array.dtype)
    array.download(into, stream)
    return into
