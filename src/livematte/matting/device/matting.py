"""Matting on a GPU as one object: pictures go up (or are there already), alpha and colours come down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from livematte.config import MattingSettings
from livematte.errors import DeviceError, UsageError
from livematte.frames import DevicePicture, Frame, Matte, MattedFrame, StreamInfo
from livematte.matting.device.backdrop import Backdrop
from livematte.matting.device.binding import Bound, bind
from livematte.matting.device.chain import Steps, steps_for
from livematte.matting.device.flights import Flights, Landed
from livematte.matting.device.lanes import Lanes
from livematte.matting.device.network import WarmingNetwork
from livematte.matting.device.rig import Rig, Wants, sizes_for
from livematte.matting.device.shapes import Shape, is_same_scene, shape_of
from livematte.matting.device.slots import Closing, SlotSizes
from livematte.matting.device.support import matting_reasons
from livematte.matting.device.transfer import Copies
from livematte.matting.host import Timer
from livematte.models.load import LoadedModel
from livematte.models.session import Session
from livematte.reporting import LogReporter, Reporter
from livematte.runtimes.cuda.base import Driver
from livematte.runtimes.kernels import KernelLibrary
from livematte.stats import Stats

FILE_SLOTS = 3
LIVE_SLOTS = 1


class DeviceMatting:
    """`matting.base.Matting` on a GPU. Takes frames in host memory and frames whose picture is a `DevicePicture`.

    Each frame: scene cut? → network → region → smoothing → up to the picture's size → edge controls → foreground
    colours → composite; what `support.unsupported` names is refused. Alpha, foreground and composite leave as ordinary
    arrays and pictures of the host. Where the frame's picture was on the device, the frame that leaves has the
    foreground, or else the composite, in its place; without either an empty `DevicePicture` that tells the size.

    An error of the device is raised once as `DeviceError`; the object is then lost: it raises the same again, and
    `close` waits for nothing and says nothing more.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        driver: Driver,
        kernels: KernelLibrary,
        settings: MattingSettings,
        *,
        info: StreamInfo,
        wide_alpha: bool,
        wants_foreground: bool,
        background: str | None = None,
        reporter: Reporter | None = None,
        timer: Timer | None = None,
        is_live: bool = False,
        slots: int | None = None,
        owns: Sequence[Closing] = (),
    ) -> None:
        """`loaded`: its engine is a `DeviceEngine`. `wide_alpha`: uint16, not uint8. `background`: what composites
        are made over (`Matte.composite`); None: none are made. `timer`: gets upload, scene, launch, wait and download,
        as the host's thread spends them. `slots`: None: 3, live 1. Engine, driver and kernels stay the caller's, but
        for what is named in `owns`, which `close` closes last, in this order.

        UsageError: settings that have no kernels, a `region` or a background that is none. DeviceError: no memory.
        ModelError: a network whose answer the kernels cannot read. SourceError: a background that cannot be read.
        """
        self._loaded = loaded
        self._driver = driver
        self._kernels = kernels
        self._owns = tuple(owns)
        self._info = info
        self._is_live = is_live
        self._slots = slots or (LIVE_SLOTS if is_live else FILE_SLOTS)
        self._wants_foreground = wants_foreground
        self._wide = wide_alpha
        self._sizing = Session(loaded)
        self._steps = self._checked(settings)
        self._settings = self._next_settings = settings
        self._bound: Bound | None = None
        self._rig: Rig | None = None
        self._shape: Shape | None = None
        self._flights = self._make_flights(timer or Stats())
        self._lost: DeviceError | None = None
        self.delay_frames = self._slots - 1
        self.copies = Copies()
        self._lanes: Lanes | None = None
        self._backdrop = Backdrop(background, reporter=reporter or LogReporter())
        try:
            with self._watched():
                self._lanes = self._make_lanes()
                self._bind(info.width, info.height)
        except BaseException:
            self._backdrop.close()
            self._give_back(self._lanes)
            raise

    @property
    def cuts(self) -> int:
        """Scene cuts found so far."""
        return self._flights.cuts

    @property
    def rung(self) -> str:
        """How it runs, for persons."""
        size = self._sizing.size_for(self._info.width, self._info.height)
        return f"{self._loaded.manifest.name} at {size.width}x{size.height} on the GPU"

    @property
    def rungs(self) -> tuple[str, ...]:
        """The same: nothing is stepped down here."""
        return (self.rung,)

    def push(self, frames: Sequence[Frame]) -> list[MattedFrame]:
        """See `Matting.push`. DeviceError: the device is lost (no memory, a dead context, a launch that failed)."""
        with self._watched():
            matted = self._changed()
            for frame in frames:
                matted += self._push_one(frame)
            return matted

    def flush(self) -> list[MattedFrame]:
        """See `Matting.flush`."""
        with self._watched():
            matted = self._drained()
            if self._rig is not None:
                self._rig.rest()  # nothing is under way; a function of the host that failed in a stream is heard here
            return matted

    def reset(self) -> None:
        """See `Matting.reset`; drops what is held back (`flush` first to keep it)."""
        with self._watched():
            if self._rig is not None:
                self._rig.rest()  # slots, and pictures of the decoder, are read until then
            self._flights.drop()
            self._flights.begin_scene()

    def change(self, settings: MattingSettings) -> None:
        """Other settings from the next frame on; any thread. The network keeps what it remembers of the clip.

        Another smoothing begins anew. UsageError: what cannot be done on the device, `levels` out of order, a `region`
        that is none; nothing is changed then.
        """
        self._checked(settings)
        self._next_settings = settings

    def close(self) -> None:
        """See `Matting.close`. Gives back what it can; a device that is lost is not heard again."""
        rig, bound, lanes = self._rig, self._bound, self._lanes
        self._rig = self._bound = self._lanes = None
        try:
            self._driver.make_current()
            if rig is not None and self._lost is None:
                rig.rest()  # the decoder gets its pictures back behind this, and no sooner
        except DeviceError as error:
            if self._lost is None:
                self._lost = error
                raise
        finally:
            self._flights.drop()
            self._backdrop.close()
            for part in (rig, bound, lanes, *self._owns):
                self._give_back(part)

    def _give_back(self, part: Closing | None) -> None:
        try:
            if part is not None:
                part.close()
        except DeviceError:
            if self._lost is None:
                raise

    # -- settings ----------------------------------------------------------------------------------------------------

    def _checked(self, settings: MattingSettings) -> Steps:
        reasons = matting_reasons(settings, self._loaded.manifest, is_live=self._is_live)
        if reasons:
            raise UsageError(" ".join(reasons))
        source_size = self._info.source_size or (self._info.width, self._info.height)
        return steps_for(settings, self._loaded.manifest, source_size, is_live=self._is_live)

    def _changed(self) -> list[MattedFrame]:
        """Take over what `change` left; what is under way leaves under the old settings."""
        new = self._next_settings
        if new is self._settings:
            return []
        matted = self._drained()
        steps, cleaned = self._checked(new), self._cleans
        if steps.smoothing != self._steps.smoothing:
            self._flights.restart_smoothing()
        self._steps, self._settings = steps, new
        if self._rig is not None and cleaned != self._cleans:
            self._drop_rig()
        elif self._rig is not None:
            self._rig.set_up(new, steps)
        return matted

    @property
    def _cleans(self) -> bool:
        """Whether colours are cleaned; kept as they are, they are the picture itself."""
        wanted = self._wants_foreground or self._backdrop.kind != "nothing"
        return wanted and (not self._steps.keep_background or self._steps.despills)

    # -- frames ------------------------------------------------------------------------------------------------------

    def _push_one(self, frame: Frame) -> list[MattedFrame]:
        if frame.alpha is not None:
            raise UsageError("the frame has alpha of its own, which is multiplied in on the processor: --device cpu")
        matted: list[MattedFrame] = []
        shape = shape_of(frame)
        if self._rig is None or shape != self._shape:
            matted = self._drained()
            self._rig = self._reshaped(shape)
        return matted + [self._finished(landed) for landed in self._flights.take(self._rig, frame)]

    def _drained(self) -> list[MattedFrame]:
        """Everything that is under way, oldest first."""
        if self._rig is None:
            return []
        return [self._finished(landed) for landed in self._flights.drain(self._rig)]

    def _finished(self, landed: Landed) -> MattedFrame:
        frame, fetched = landed.frame, landed.fetched
        own = None if isinstance(frame.picture, DevicePicture) else frame.picture
        foreground = fetched.front
        if self._wants_foreground and not self._cleans:
            foreground = own or fetched.room
        if own is None and (left := foreground or fetched.composite) is not None:
            frame = replace(frame, picture=left)
        return MattedFrame(frame, Matte(fetched.alpha, foreground, composite=fetched.composite))

    # -- buffers -----------------------------------------------------------------------------------------------------

    def _reshaped(self, shape: Shape) -> Rig:
        """A rig for pictures of this shape in place of the present one, which has nothing under way."""
        self._drop_rig()
        if self._shape is not None and not is_same_scene(shape, self._shape):
            self._flights.begin_scene()
        self._flights.restart_smoothing()
        self._shape = shape
        bound = self._bind(shape.width, shape.height)
        wants = Wants(self._wide, self._cleans, self._wants_foreground)
        rig = self._make_rig(bound, sizes_for(shape, wants, bound, self._backdrop))
        try:
            rig.set_up(self._settings, self._steps)
        except BaseException:
            self._give_back(rig)
            raise
        return rig

    def _make_rig(self, bound: Bound, sizes: SlotSizes) -> Rig:
        assert self._lanes is not None
        return Rig(self._lanes, self._kernels, bound, sizes, backdrop=self._backdrop, copies=self.copies)

    def _make_lanes(self) -> Lanes:
        return Lanes(self._driver)

    def _make_flights(self, timer: Timer) -> Flights:
        return Flights(self._slots, timer)

    def _drop_rig(self) -> None:
        rig, self._rig = self._rig, None
        if rig is not None:
            rig.close()

    def _bind(self, width: int, height: int) -> Bound:
        """The network with buffers for pictures of this size; the present one where its input's size is the same."""
        size = self._sizing.size_for(width, height)
        if self._bound is not None and self._bound.size == size:
            return self._bound
        bound, self._bound = self._bound, None
        if bound is not None:
            bound.close()
        self._flights.restart_network()
        self._bound = bind(self._loaded, size, self._slots, self._driver)
        if isinstance(self._bound.network, WarmingNetwork):
            assert self._lanes is not None
            self._bound.network.warm(self._lanes["network"])
        return self._bound

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """This thread may use the driver; the first error of the device ends all further use of it."""
        if self._lost is not None:
            raise self._lost
        try:
            self._driver.make_current()
            yield
        except DeviceError as error:
            self._lost = error
            self._flights.drop()
            raise
