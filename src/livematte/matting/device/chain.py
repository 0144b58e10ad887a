"""The kernels of one frame, in order: what `HostMatting` does, as calls that only enqueue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from livematte.config import MattingSettings
from livematte.errors import ModelError
from livematte.frames import DevicePicture
from livematte.matting.device.slots import Memory, Resources, Slot, SlotSizes
from livematte.matting.device.support import refinement_for, smoothing_for
from livematte.matting.device.transfer import peak_and_shift
from livematte.matting.edges import Edges
from livematte.matting.region import Region, parse_region
from livematte.matting.temporal import STRENGTHS, Strength
from livematte.models.contract import Contract
from livematte.models.manifest import Manifest
from livematte.models.sizes import NetworkSize
from livematte.runtimes.cuda.base import DeviceArray, Driver, Event, Stream
from livematte.runtimes.kernels import KernelLibrary
from livematte.runtimes.kernels.ops_alpha import AlphaOps, EdgeKinds, edges_scratch, guided_scratch
from livematte.runtimes.kernels.ops_composite import CompositeOps, blur_scratch
from livematte.runtimes.kernels.ops_foreground import ForegroundOps, foreground_scratch
from livematte.runtimes.kernels.ops_picture import PictureOps, PreprocessSpec
from livematte.runtimes.kernels.ops_smooth import SmoothOps
from livematte.runtimes.kernels.parameters import Block, Mode, set_edges, set_region, set_time
from livematte.runtimes.kernels.planes import Plane, PlaneSet


@dataclass(frozen=True, slots=True)
class Steps:
    """Which kernels a frame goes through; another choice is another graph."""

    smoothing: Mode
    strength: Strength | None
    refinement: str
    edges: Edges
    region: Region | None
    keep_background: bool
    despills: bool

    @property
    def changes_edges(self) -> bool:
        """Whether anything happens to alpha at the picture's size."""
        return not self.edges.is_neutral or self.region is not None


def steps_for(
    settings: MattingSettings, manifest: Manifest, source_size: tuple[int, int], *, is_live: bool
) -> Steps:  # fmt: skip
    """The steps that these settings mean. `source_size`: what a region in pixels belongs to.

    UsageError: a region that is none, levels out of order.
    """
    smoothing: Mode = smoothing_for(settings, manifest, is_live=is_live)  # type: ignore[assignment]
    return Steps(
        smoothing=smoothing,
        strength=None if smoothing == "none" else STRENGTHS[settings.smooth],
        refinement=refinement_for(settings, manifest),
        edges=Edges(settings.shrink, settings.feather, *settings.levels),
        region=None if settings.region is None else parse_region(settings.region, *source_size),
        keep_background=settings.keep_background,
        despills=settings.despill > 0,
    )


def write_settings(block: Block, settings: MattingSettings, steps: Steps, size: tuple[int, int]) -> None:
    """The values of the settings that do not change from frame to frame; `size`: (width, height) of the picture."""
    width, height = size
    set_region(block, steps.region, width, height)
    set_edges(
        block,
        height=height,
        shrink=settings.shrink,
        feather=settings.feather,
        levels=settings.levels,
        despill=settings.despill,
    )


def write_time(block: Block, steps: Steps, interval_seconds: float | None) -> None:
    """The values of one frame: seconds since the frame before, None where there is no past."""
    set_time(block, steps.smoothing, steps.strength, interval_seconds)


class Chain:
    """Enqueues the kernels of one frame. Allocates when it is made, and then nothing."""

    def __init__(
        self, driver: Driver, kernels: KernelLibrary, sizes: SlotSizes, contract: Contract, size: NetworkSize,
        resources: Resources,
    ) -> None:  # fmt: skip
        """`size`: of the network's input. Scratch memory is shared by all slots: their lane runs in order."""
        picture = contract.graph.input
        assert picture is not None  # tie() made sure
        self._sizes = sizes
        self._content = size.content if size.is_padded else None
        self._spec = PreprocessSpec.of(picture, size)
        self._picture, self._alpha = PictureOps(kernels), AlphaOps(kernels)
        self._smooth, self._foreground, self._composite = (
            SmoothOps(kernels),
            ForegroundOps(kernels),
            CompositeOps(kernels),
        )
        at = sizes.picture
        dtype = np.uint16 if sizes.is_wide else np.uint8
        self._guided = _scratch(driver, resources, guided_scratch(*sizes.alpha))
        self._edges = _scratch(driver, resources, edges_scratch(at.height, at.width, dtype))
        self._room = self._blur = None
        if sizes.cleans:
            self._room = _scratch(driver, resources, foreground_scratch(at.width, at.height, despill=True))
        if sizes.behind == "blur":
            self._blur = _scratch(driver, resources, blur_scratch(at.width, at.height))

    def statistics(self, slot: Slot, stream: Stream) -> None:
        """What the host tells a cut by."""
        self._smooth.cut_statistics(slot.planes, slot.statistics.device, stream)

    def bring(self, slot: Slot, picture: DevicePicture, stream: Stream) -> int:
        """Copy a decoded picture into the slot, turned upright, once it is ready; how many planes that were."""
        if picture.ready is not None:
            stream.wait(cast(Event, picture.ready))
        turned = picture.rotation in (90, 270)
        for (pointer, pitch), target in zip(picture.planes, slot.planes.planes, strict=True):
            stored = (target.height, target.width) if turned else (target.width, target.height)
            source = Plane(pointer, pitch, *stored, target.element_bytes)
            self._picture.transpose(source, target, picture.rotation, stream)
        return len(picture.planes)

    def before(self, slot: Slot, network_input: DeviceArray, steps: Steps, stream: Stream) -> None:
        """The network's input, and what smoothing needs of the picture."""
        self._picture.preprocess(slot.planes, network_input, stream, spec=self._spec)
        if steps.smoothing == "adaptive":
            self._smooth.quiet_luma(slot.planes, slot.memory.quiet, stream)

    def after(self, slot: Slot, past: Memory, alpha: DeviceArray, steps: Steps, stream: Stream) -> None:
        """Everything behind the network. `alpha`: (h, w) view of its answer; `past`: what the frame before left."""
        self._enlarge(slot, self._smoothed(slot, past, alpha, steps, stream), steps, stream)
        if steps.changes_edges:
            whole, has = slot.alpha.device, EdgeKinds.of(steps.edges, self._sizes.picture.height)
            self._alpha.edges(whole, whole, self._edges, slot.parameters.device, stream, has=has)
        if slot.front_planes is not None and self._room is not None:
            self._foreground.clean(
                slot.planes,
                slot.alpha.device,
                slot.front_planes,
                self._room,
                slot.parameters.device,
                stream,
                keep_background=steps.keep_background,
                despill=steps.despills,
            )
        if slot.composite_planes is not None:
            self._compose(slot, slot.composite_planes, stream)

    def _enlarge(self, slot: Slot, small: DeviceArray, steps: Steps, stream: Stream) -> None:
        # Smoothing has left out a letterbox's borders; the network's own answer still has them.
        content = self._content if small.shape != self._sizes.alpha else None
        if steps.refinement != "guided":
            self._alpha.upsample(small, slot.alpha.device, stream, content=content)
            return
        peak, shift = peak_and_shift(self._sizes.picture.sw_format)
        luma = slot.planes.planes[0]
        self._alpha.guided(small, luma, peak, slot.alpha.device, self._guided, stream, content=content, shift=shift)

    def _compose(self, slot: Slot, out: PlaneSet, stream: Stream) -> None:
        front = slot.front_planes or slot.planes
        alpha, block = slot.alpha.device, slot.parameters.device
        if slot.behind_planes is not None:
            self._composite.over_image(front, alpha, slot.behind_planes, out, stream)
        elif self._blur is not None:
            self._composite.over_blur(front, alpha, slot.planes, out, self._blur, block, stream)
        else:
            self._composite.over_colour(front, alpha, out, block, stream)

    def _smoothed(self, slot: Slot, past: Memory, alpha: DeviceArray, steps: Steps, stream: Stream) -> DeviceArray:
        now, block, content = slot.memory, slot.parameters.device, self._content
        old, new = past.states[0], now.states[0]
        if steps.smoothing == "ema":
            self._smooth.ema(alpha, old, new, block, stream, content=content)
        elif steps.smoothing == "adaptive":
            quiet = (now.quiet, past.quiet)
            self._smooth.adaptive(alpha, old, quiet, new, block, stream, content=content)
        elif steps.smoothing == "one-euro":
            self._smooth.one_euro(alpha, past.states, now.states, block, stream, content=content)
        elif steps.region is not None:
            self._smooth.keep(alpha, new, block, stream, content=content)
        else:
            return alpha
        return new


def alpha_view(driver: Driver, alpha: DeviceArray, contract: Contract, origin: str) -> DeviceArray:
    """(h, w) view of the channel of a network's output that is its alpha. ModelError: another form."""
    spec = contract.graph.alpha
    assert spec is not None  # tie() made sure
    shape = _planar_shape(alpha.shape, is_nhwc=contract.is_nhwc)
    if shape is None or spec.channel >= shape[0]:
        raise ModelError(
            f"the network '{origin}' gives a matte of shape {tuple(alpha.shape)}; the manifest wants channel "
            f"{spec.channel} of one picture, plane by plane. On the processor it runs: --device cpu"
        )
    _, height, width = shape
    offset = spec.channel * height * width * alpha.dtype.itemsize
    return driver.view(alpha.pointer + offset, (height, width), alpha.dtype, alpha)


def _planar_shape(shape: Sequence[int], *, is_nhwc: bool) -> tuple[int, int, int] | None:
    """(channels, h, w) of one picture whose channels lie one behind the other; None where they do not."""
    if len(shape) == 2:
        return (1, shape[0], shape[1])
    if len(shape) == 4 and shape[0] == 1 and is_nhwc:
        return (1, shape[1], shape[2]) if shape[3] == 1 else None
    if len(shape) == 4 and shape[0] == 1:
        return (shape[1], shape[2], shape[3])
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None


def _scratch(driver: Driver, resources: Resources, nbytes: int) -> DeviceArray:
    return resources.keep(driver.array((max(nbytes, 1),), np.uint8))
