"""The device's path over fakecuda: what child processes run (`test_device_fakecuda.py`)."""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[1] / "kernels"), str(_HERE.parents[1])]

import numpy as np  # noqa: E402
from cases import case, difference, run  # noqa: E402
from host_reference import HostReference  # noqa: E402
from rigging import Clip, load, make  # noqa: E402
from shim.build import shim_library  # noqa: E402
from surfaces import Decoder  # noqa: E402

from fakecuda.control import Control  # noqa: E402
from livematte.config import InputSettings, MattingSettings  # noqa: E402
from livematte.errors import DeviceError  # noqa: E402
from livematte.frames import Frame  # noqa: E402
from livematte.reporting import ListReporter  # noqa: E402
from livematte.runtimes.cuda.choice import open_driver  # noqa: E402


def many(seeds: list[int], driver: str) -> dict:
    """Each seed's largest difference from the reference, what was damaged, and what was left alive at the end."""
    control, worst, damage, live = Control(), {}, [], {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            control.reset(seed)
            given = case(seed)
            loaded = given.load(Path(folder))
            opened = open_driver(driver)
            kernels = shim_library(opened)
            matting = given.matting(loaded, opened, kernels)
            worst[seed] = difference(run(matting, given.clip), given.expected(loaded))
            damage += control.damage()
            pageable = control.copies()["pageable"]
            matting.close()
            kernels.close()
            opened.close()
            live = {name: left for name, left in control.live().items() if left}
            if pageable or live:
                break
    return {"worst": worst, "damage": damage, "live": live, "pageable": pageable, "seeds": len(worst)}


def from_surfaces(first: int, driver: str, early: bool = False) -> dict:
    """Pictures that lie on the device already; `early`: the mutant that gives surfaces back too soon."""
    import mutants

    control = Control()
    worst = 0.0
    for round_ in range(6 if early else 2):
        control.reset(first + round_)
        with tempfile.TemporaryDirectory() as folder:
            loaded = load(Path(folder))
            opened = open_driver(driver)
            kernels = shim_library(opened)
            clip = Clip(first, 64, 48, count=5, cuts=(3,))
            more = {"kind": mutants.with_rig(mutants.EarlyRelease)} if early else {}
            matting = make(loaded, opened, kernels, clip, **more)
            decoder = Decoder(opened, "nv12", rotation=90 * (round_ % 4))
            matted = [m for frame in decoder.frames(clip.frames()) for m in matting.push([frame])] + matting.flush()
            reference = HostReference(loaded, MattingSettings(), clip.info(), wide=False, foreground=True)
            worst = max(worst, difference(matted, reference.run(clip.frames())))
            matting.close()
            gc.collect()
            decoder.close()
            kernels.close()
            opened.close()
    return {"worst": worst, "damage": control.damage()}


def from_the_decoder(path: str, seeds: list[int], driver: str, surfaces: int) -> dict:
    """A clip by `sources.nvdec` (its surfaces are PyAV's, made by DLPack) through matting, with few surfaces to use."""
    from fakecuda import nvdec_scenes
    from fakecuda.driver import Cuda
    from livematte.sources import nvdec, open_source

    with tempfile.TemporaryDirectory() as folder:
        loaded = load(Path(folder))
        decoded = open_source(path, InputSettings(), reporter=ListReporter())
        info = decoded.info
        reference = HostReference(loaded, MattingSettings(), info, wide=False, foreground=True)
        right = reference.run([frame for frame in decoded if isinstance(frame, Frame)])
        decoded.close()
        worst = 0.0
        for seed in seeds:
            cuda = Cuda(seed=seed)
            opened = open_driver(driver)
            nvdec.NvdecReader = nvdec_scenes.surface_reader(cuda, "nv12", surfaces)
            source = nvdec.open_nvdec(path, InputSettings(), driver=opened, reporter=ListReporter())
            kernels = shim_library(opened)
            matting = make(loaded, opened, kernels, source)
            matted = run(matting, source)
            how, across = source.decoder, matting.copies.across
            worst = max(worst, difference(matted, right))
            pts = [one.frame.time.pts for one in matted]
            matting.close()
            source.close()
            kernels.close()
    return {"worst": worst, "damage": cuda.control.damage(), "decoder": how, "across": across, "pts": pts}


def mutant(lane: str, mark: str, driver: str, seeds: list[int]) -> float:
    """The largest difference that the removal of one wait makes."""
    import mutants

    control, worst = Control(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        loaded = load(Path(folder))
        clip = Clip(21, 64, 48, count=6, cuts=(4,))
        right = HostReference(loaded, MattingSettings(), clip.info(), wide=False, foreground=True).run(clip.frames())
        for seed in seeds:
            control.reset(seed)
            opened = open_driver(driver)
            kernels = shim_library(opened)
            matting = make(loaded, opened, kernels, clip, kind=mutants.without_wait(lane, mark))
            try:
                with np.errstate(all="ignore"):
                    worst = max(worst, difference(run(matting, clip), right))
            except (DeviceError, ValueError):
                worst = 255.0
            matting.close()
            kernels.close()
            opened.close()
            if worst > 1:
                break
    return worst


def dead_context(call: str, code: int, driver: str) -> dict:
    """One call fails for good in the middle of a clip: what is raised, by whom, and how often."""
    control = Control()
    control.reset(1)
    with tempfile.TemporaryDirectory() as folder:
        loaded = load(Path(folder))
        opened = open_driver(driver)
        kernels = shim_library(opened)
        clip = Clip(3, 64, 48, count=6)
        matting = make(loaded, opened, kernels, clip)
        frames = clip.frames()
        matting.push(frames[:3])
        control.fail(call, nth=1, code=code)
        said: list[str] = []
        for step in (lambda: matting.push(frames[3:]), matting.flush, matting.close, matting.close):
            try:
                step()
                said.append("")
            except DeviceError as error:
                said.append(str(error))
        kernels.close()
        opened.close()
    return {"said": said}
