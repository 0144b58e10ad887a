"""Which path a run takes: the device's where it can do everything that is asked for, else the host's, and why."""

from __future__ import annotations

from livematte.config import Settings
from livematte.frames import StreamInfo
from livematte.matting.device.matting import DeviceMatting
from livematte.matting.device.network import DeviceEngine, DrivingEngine
from livematte.matting.device.slots import Closing
from livematte.matting.device.support import unsupported
from livematte.matting.host import Timer
from livematte.models.load import LoadedModel
from livematte.reporting import Reporter
from livematte.runtimes.base import Engine
from livematte.runtimes.cuda.base import Driver
from livematte.runtimes.cuda.choice import open_driver
from livematte.runtimes.kernels import KernelLibrary
from livematte.runtimes.kernels.compile import library


def runs_on_device(
    loaded: LoadedModel, settings: Settings, info: StreamInfo, *, is_live: bool, reporter: Reporter
) -> bool:  # fmt: skip
    """Whether the whole of matting runs on the network's GPU; where it does not although it could, it is said why."""
    if not isinstance(loaded.engine, DeviceEngine):
        return False
    reasons = unsupported(settings, info, loaded.manifest, is_live=is_live)
    if reasons:
        reporter.note(f"Only the network runs on the GPU, the rest of matting on the processor. {' '.join(reasons)}")
    return not reasons


def open_device_matting(
    loaded: LoadedModel,
    settings: Settings,
    info: StreamInfo,
    *,
    wide_alpha: bool,
    wants_foreground: bool,
    wants_composite: bool,
    reporter: Reporter,
    timer: Timer | None = None,
    is_live: bool = False,
    kernels: KernelLibrary | None = None,
) -> DeviceMatting:
    """Matting on the network's GPU, where `runs_on_device` has said yes; its errors are those of `DeviceMatting`.

    `wants_composite`: pictures over `settings.output.background` are made there too; `backdrop.ReadyCompositor` hands
    them on. `kernels`: None: compiled for this GPU (a few seconds at the first start), and unloaded by `close`. Where
    the engine has no driver of its own, one is opened, and closed with the matting.
    """
    owns: list[Closing] = []
    try:
        driver = _driver_of(loaded.engine, owns)
        if kernels is None:
            kernels = library(driver, reporter=reporter)
            owns.insert(0, kernels)
        return DeviceMatting(
            loaded,
            driver,
            kernels,
            settings.matting,
            info=info,
            wide_alpha=wide_alpha,
            wants_foreground=wants_foreground,
            background=settings.output.background if wants_composite else None,
            reporter=reporter,
            timer=timer,
            is_live=is_live,
            owns=owns,
        )
    except BaseException:
        for part in owns:
            part.close()
        raise


def _driver_of(engine: Engine, owns: list[Closing]) -> Driver:
    """The engine's own driver, else one for its device, which is added to `owns`."""
    if isinstance(engine, DrivingEngine):
        engine.driver.make_current()
        return engine.driver
    driver = open_driver("auto", int(engine.device.partition(":")[2] or 0))
    owns.append(driver)
    return driver
