"""Mistakes that the tests must notice: each switches one thing off, or exchanges it, in a subclass."""

from __future__ import annotations

from cpu_network import CpuNetwork

from livematte.frames import DevicePicture
from livematte.matting.device.flights import Flights
from livematte.matting.device.lanes import Lanes
from livematte.matting.device.matting import DeviceMatting
from livematte.matting.device.rig import Rig
from livematte.matting.device.slots import Slot

JOINS = (("network", "prepared"), ("after", "inferred"), ("down", "finished"))
ARRIVALS = ("uploaded", "delivered")


class DeafLanes(Lanes):
    """Does not wait where it should: (lane, mark), or ("host", mark)."""

    skipped: tuple[str, str] = ("", "")

    def join(self, lane, marks, mark) -> None:
        if (lane, mark) != self.skipped:
            super().join(lane, marks, mark)

    def arrive(self, marks, mark) -> None:
        if ("host", mark) != self.skipped:
            super().arrive(marks, mark)


def with_rig(rig: type[Rig], **more: object) -> type[DeviceMatting]:
    class Mutant(DeviceMatting):
        def _make_rig(self, bound, sizes) -> Rig:
            return rig(self._lanes, self._kernels, bound, sizes, backdrop=self._backdrop, copies=self.copies)

    for name, value in more.items():
        setattr(Mutant, name, value)
    return Mutant


def without_wait(lane: str, mark: str) -> type[DeviceMatting]:
    lanes = type("Deaf", (DeafLanes,), {"skipped": (lane, mark)})

    class Mutant(DeviceMatting):
        def _make_lanes(self) -> Lanes:
            return lanes(self._driver)

    return Mutant


class SwappedMemory(Rig):
    """The smoothing looks back two frames."""

    def _past_of(self, slot: Slot):
        return self.slots[slot.number - 2].memory


class SwappedBlock(Rig):
    """A frame is computed with the values of the frame before."""

    def launch(self, slot: Slot, seconds: float, *, begins_scene: bool, interval_seconds: float | None) -> None:
        held = getattr(self, "_held", (True, None))
        self._held = (begins_scene, interval_seconds)
        super().launch(slot, seconds, begins_scene=begins_scene, interval_seconds=held[1])


class ForgetfulRig(Rig):
    """The network is not reset at a cut."""

    def _begin_scene(self, slot: Slot, network_graph) -> None:
        if getattr(self, "_has_begun", False):
            return
        self._has_begun = True
        super()._begin_scene(slot, network_graph)


class HastyFlights(Flights):
    """A slot is taken for the next frame while its last one is under way."""

    def _slot_for(self, rig: Rig, number: int) -> Slot:
        return rig.slots[number % (len(rig.slots) - 1)]


class HastyMatting(DeviceMatting):
    def _make_flights(self, timer) -> Flights:
        return HastyFlights(self._slots, timer)


class EarlyRelease(Rig):
    """A decoder gets its surface back as soon as the copy has been queued."""

    def send(self, slot: Slot, picture) -> None:
        super().send(slot, picture)
        if isinstance(picture, DevicePicture):
            picture.owner.release()


class ImpatientRig(Rig):
    """A surface is copied before the decoder has filled it."""

    def send(self, slot: Slot, picture) -> None:
        if isinstance(picture, DevicePicture):
            picture.ready = None
        super().send(slot, picture)


class SwappedNetwork(CpuNetwork):
    """The network of slot k reads the states of slot k - 2."""

    def read_by(self, slot: int):
        return self._written[slot - 2] if self.slots > 2 else super().read_by(slot)
