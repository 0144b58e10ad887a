"""Everything on the device that belongs to pictures of one size, format and colour: slots, lanes, kernels, graphs."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np

from livematte.config import MattingSettings
from livematte.errors import DeviceError
from livematte.frames import AlphaArray, DevicePicture
from livematte.matting.device.backdrop import Backdrop
from livematte.matting.device.binding import Bound
from livematte.matting.device.chain import Chain, Steps, write_settings, write_time
from livematte.matting.device.graphs import Direct, Replay, SlotGraphs, record
from livematte.matting.device.lanes import Lanes
from livematte.matting.device.shapes import Shape
from livematte.matting.device.slots import Memory, Resources, Slot, SlotSizes, Twin, make_memory, make_slot
from livematte.matting.device.support import DEVICE_FORMATS, HOST_FORMATS
from livematte.matting.device.transfer import Copies, Recycled, fill_block, picture_from, picture_layout
from livematte.matting.scene import SmallLuma
from livematte.runtimes.cuda.base import Stream
from livematte.runtimes.kernels import KernelLibrary


@dataclass(frozen=True, slots=True)
class Wants:
    """What is made of a frame."""

    is_wide: bool
    """Alpha as uint16, not uint8."""
    cleans: bool
    """Foreground colours are cleaned."""
    sends_front: bool
    """The foreground goes to the host, and not into composites alone."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came down of one frame."""

    alpha: AlphaArray
    front: av.VideoFrame | None
    room: av.VideoFrame | None
    composite: av.VideoFrame | None


class Rig:
    """Enqueues a frame's work in steps: `send`, `cut_luma`, `launch`, `wait`, `fetch`. Used by one thread."""

    def __init__(
        self, lanes: Lanes, kernels: KernelLibrary, bound: Bound, sizes: SlotSizes, *, backdrop: Backdrop,
        copies: Copies,
    ) -> None:  # fmt: skip
        """Allocates all of it. DeviceError: it does not fit. What it is given stays open when it is closed."""
        self._lanes = lanes
        self._driver = driver = lanes.driver
        self._bound = bound
        self._backdrop = backdrop
        self._copies = copies
        self._resources = resources = Resources()
        self._graphs: list[SlotGraphs] = []
        self.sizes = sizes
        try:
            kernels.load()  # none may be loaded while a graph is captured
            self._alphas = bound.alphas
            self.slots = [make_slot(number, driver, sizes, resources) for number in range(bound.network.slots)]
            # The only slot of one is its own predecessor, and no kernel writes what it reads of the past.
            self._past = make_memory(driver, sizes, resources) if bound.network.slots == 1 else None
            self._chain = Chain(driver, kernels, sizes, bound.loaded.contract, bound.size, resources)
        except BaseException:
            resources.close()
            raise
        self._host_alphas = Recycled((sizes.picture.height, sizes.picture.width), self.slots[0].alpha.device.dtype)
        self._steps: Steps | None = None

    def set_up(self, settings: MattingSettings, steps: Steps) -> None:
        """Write these settings into the blocks and capture the graphs for them. No frame may be under way."""
        self._lanes.rest()
        self._drop_graphs()
        self._steps = steps
        size = (self.sizes.picture.width, self.sizes.picture.height)
        for slot in self.slots:
            write_settings(slot.block, settings, steps, size)
            self._backdrop.write(slot, self.sizes.planar, self.sizes.color)
            self._graphs.append(self._capture(slot, steps))

    def send(self, slot: Slot, picture: av.VideoFrame | DevicePicture) -> None:
        """Bring a picture into its slot, and down what a cut is told by. A DevicePicture must live until `cut_luma`."""
        ahead = self._lanes["ahead"]
        if isinstance(picture, DevicePicture):
            self._copies.across += self._chain.bring(slot, picture, ahead)
        else:
            fill_block(slot.picture.host.array, self.sizes.picture, picture)
            self._up(slot.picture, ahead)
        self._chain.statistics(slot, ahead)
        self._down(slot.statistics, ahead)
        self._lanes.record("ahead", slot.marks, "uploaded")

    def cut_luma(self, slot: Slot) -> SmallLuma:
        """The frame's reduced luma, for `scene.SceneCuts`; waits until the picture is in the slot."""
        self._lanes.arrive(slot.marks, "uploaded")
        luma: SmallLuma = slot.statistics.host.array.copy()
        return luma

    def launch(self, slot: Slot, seconds: float, *, begins_scene: bool, interval_seconds: float | None) -> None:
        """Enqueue the frame's network and kernels and the copies down.

        `seconds`: the frame's time, for a background that moves. `begins_scene`: the network forgets, and sees this
        frame `warm_runs` times first. `interval_seconds`: since the frame before; None: smoothing begins anew.
        """
        assert self._steps is not None, "set_up() comes first"
        lanes, marks, graphs = self._lanes, slot.marks, self._graphs[slot.number]
        write_time(slot.block, self._steps, interval_seconds)
        self._up(slot.parameters, lanes["before"])
        self._bring_behind(slot, seconds, lanes["before"])
        graphs.before.launch(lanes["before"])
        lanes.record("before", marks, "prepared")
        lanes.join("network", marks, "prepared")
        if begins_scene:
            self._begin_scene(slot, graphs.network)
        graphs.network.launch(lanes["network"])
        lanes.record("network", marks, "inferred")
        lanes.join("after", marks, "inferred")
        graphs.after.launch(lanes["after"])
        lanes.record("after", marks, "finished")
        lanes.join("down", marks, "finished")
        self._send_down(slot, lanes["down"])
        lanes.record("down", marks, "delivered")

    def wait(self, slot: Slot) -> None:
        """Wait until all of the slot's frame is down."""
        self._lanes.arrive(slot.marks, "delivered")

    def fetch(self, slot: Slot, model: av.VideoFrame | None) -> Fetched:
        """What came down of the slot's frame, after `wait`; then the slot is free. `model` lends pictures its tags."""
        at, color = self.sizes.planar, self.sizes.color
        front = composite = room = None
        if slot.front is not None and self.sizes.sends_front:
            front = picture_from(slot.front.host.array, at, color, model)
        if slot.composite is not None:
            composite = picture_from(slot.composite.host.array, at, color, model)
        if slot.room is not None:
            room = picture_from(slot.room.array, self.sizes.picture, color, None)
        return Fetched(self._host_alphas.copy_of(slot.alpha.host.array), front, room, composite)

    def rest(self) -> None:
        """Wait until nothing is under way."""
        self._lanes.rest()

    def close(self) -> None:
        """Give all of it back but the network. DeviceError where the device says so; all is given back then too."""
        try:
            self._drop_graphs()
        finally:
            self._resources.close()

    def _begin_scene(self, slot: Slot, network_graph: Replay) -> None:
        network, stream = self._bound.network, self._lanes["network"]
        if not network.is_recurrent:
            return
        network.reset(slot.number, stream)
        for _ in range(self._bound.loaded.manifest.defaults.warm_runs):
            network_graph.launch(stream)
            network.carry(slot.number, stream)

    def _bring_behind(self, slot: Slot, seconds: float, stream: Stream) -> None:
        """The background's planes into the slot, where they are others than those that lie there."""
        if slot.behind is None:
            return
        planes = self._backdrop.planes(self.sizes.planar, self.sizes.color, seconds)
        if planes is None or planes is slot.behind_now:
            return
        for target, source in zip(self.sizes.planar.arrays(slot.behind.host.array), planes, strict=True):
            np.copyto(target, source)
        self._up(slot.behind, stream)
        slot.behind_now = planes

    def _send_down(self, slot: Slot, stream: Stream) -> None:
        self._down(slot.alpha, stream)
        if slot.front is not None and self.sizes.sends_front:
            self._down(slot.front, stream)
        if slot.composite is not None:
            self._down(slot.composite, stream)
        if slot.room is not None:
            self._down(Twin(slot.picture.device, slot.room), stream)

    def _up(self, twin: Twin, stream: Stream) -> None:
        twin.device.upload(twin.host, stream)
        self._copies.sent(twin.device.nbytes)

    def _down(self, twin: Twin, stream: Stream) -> None:
        twin.device.download(twin.host, stream)
        self._copies.fetched(twin.device.nbytes)

    def _past_of(self, slot: Slot) -> Memory:
        """What the frame before left for the smoothing."""
        return self._past or self.slots[slot.number - 1].memory

    def _capture(self, slot: Slot, steps: Steps) -> SlotGraphs:
        network, chain, number, past = self._bound.network, self._chain, slot.number, self._past_of(slot)

        def before(stream: Stream) -> None:
            chain.before(slot, network.input(number), steps, stream)

        def infer(stream: Stream) -> None:
            network.enqueue(number, stream)

        def after(stream: Stream) -> None:
            chain.after(slot, past, self._alphas[number], steps, stream)
            if self._past is not None:
                self._past.copy_from(slot.memory, steps.smoothing, stream)

        driver, lanes = self._driver, self._lanes
        captured: list[Replay] = []
        try:
            captured.append(record(driver, lanes["before"], before))
            captured.append(record(driver, lanes["network"], infer) if network.is_capturable else Direct(infer))
            captured.append(record(driver, lanes["after"], after))
        except BaseException:
            for graph in captured:
                graph.close()
            raise
        return SlotGraphs(*captured)

    def _drop_graphs(self) -> None:
        while self._graphs:
            graphs = self._graphs.pop()
            for one in (graphs.before, graphs.network, graphs.after):
                one.close()


def sizes_for(shape: Shape, wants: Wants, bound: Bound, backdrop: Backdrop) -> SlotSizes:
    """What the slots need for pictures such as these. DeviceError: they have no kernels."""
    known = DEVICE_FORMATS if shape.is_on_device else HOST_FORMATS
    if shape.sw_format not in known:
        raise DeviceError(
            f"the pictures are {shape.sw_format} now, which has no kernels on the GPU; {', '.join(known)} have. Run "
            "on the processor: --device cpu"
        )
    planar = DEVICE_FORMATS.get(shape.sw_format, shape.sw_format)
    return SlotSizes(
        picture=picture_layout(shape.sw_format, shape.width, shape.height),
        planar=picture_layout(planar, shape.width, shape.height),
        color=shape.color,
        alpha=bound.content_shape,
        is_wide=wants.is_wide,
        cleans=wants.cleans,
        sends_front=wants.cleans and wants.sends_front,
        # Colours that are kept as they are: the host has the picture already, unless it was decoded on the device.
        sends_room=wants.sends_front and not wants.cleans and shape.is_on_device,
        behind=backdrop.kind,
    )
