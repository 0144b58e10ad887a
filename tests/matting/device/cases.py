"""Random cases: a clip, a network and settings for each seed; and the comparison with the reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from host_reference import Expected, HostReference
from rigging import Clip, load, make

from livematte.color import ColorSpec
from livematte.config import MattingSettings
from livematte.frames import MattedFrame
from livematte.matting.device.matting import DeviceMatting
from livematte.models.load import LoadedModel
from livematte.planes import layout, plane_arrays
from livematte.runtimes.cuda.base import Driver
from livematte.runtimes.kernels import KernelLibrary
from livematte.sources.base import Source

SIZES = ((64, 48), (65, 47), (48, 64), (80, 34))
"""Landscape, odd, portrait, and one whose rows need padding."""


@dataclass(frozen=True)
class Case:
    clip: Clip
    network: dict
    settings: dict
    wide: bool
    slots: int
    background: str | None

    def load(self, folder: Path) -> LoadedModel:
        return load(folder, **self.network)

    def expected(self, loaded: LoadedModel) -> list[Expected]:
        settings = MattingSettings(**self.settings)
        reference = HostReference(
            loaded, settings, self.clip.info(), wide=self.wide, foreground=True, background=self.background
        )
        return reference.run(self.clip.frames())

    def matting(
        self, loaded: LoadedModel, driver: Driver, kernels: KernelLibrary, kind: type[DeviceMatting] = DeviceMatting
    ) -> DeviceMatting:
        return make(
            loaded, driver, kernels, self.clip, kind=kind, slots=self.slots, wide=self.wide,
            background=self.background, **self.settings,
        )  # fmt: skip


def case(seed: int, *, count: int = 6) -> Case:
    random = np.random.default_rng(seed)
    pick = lambda *these: these[random.integers(len(these))]  # noqa: E731
    width, height = pick(*SIZES)
    settings: dict = {
        "smooth": pick("normal", "strong", "off"),
        "temporal": pick("ema", "adaptive", "one-euro", "none"),
    }
    settings["refine"] = pick("bicubic", "guided")
    if random.random() < 0.4:
        settings |= {"shrink": float(pick(-20.0, 15.0, 30.0)), "feather": float(pick(0.0, 10.0, 40.0))}
    if random.random() < 0.3:
        settings["levels"] = (0.1, 0.8)
    if random.random() < 0.3:
        settings["region"] = "0.2,0.1,0.7,0.8"
    if random.random() < 0.3:
        settings["despill"] = 0.7
    if random.random() < 0.2:
        settings["keep_background"] = True
    color = pick(ColorSpec("bt709", "tv"), ColorSpec("smpte170m", "pc"), ColorSpec("bt2020nc", "tv"))
    gaps = {3: 40} if random.random() < 0.2 else {}
    clip = Clip(
        seed,
        width,
        height,
        pick("yuv420p", "yuv420p", "yuv420p10le"),
        count,
        (int(random.integers(2, 5)),),
        color,
        gaps,
    )
    network = {
        "recurrent": bool(random.random() < 0.7),
        "capturable": bool(random.random() < 0.7),
        "warm_runs": int(pick(0, 0, 2)),
    }
    background = pick(None, None, "#203040", "blur=400")
    return Case(clip, network, settings, bool(random.random() < 0.3), int(pick(1, 2, 3, 3)), background)


def run(matting: DeviceMatting, clip: Clip | Source) -> list[MattedFrame]:
    frames = clip.frames() if isinstance(clip, Clip) else clip
    matted = [one for frame in frames for one in matting.push([frame])]
    return matted + matting.flush()


def difference(matted: list[MattedFrame], expected: list[Expected]) -> float:
    """The largest difference of any sample of alpha, foreground and composite, of 255; a frame that is missing: 255."""
    if len(matted) != len(expected):
        return 255.0
    worst = 0.0
    for one, right in zip(matted, expected, strict=True):
        matte = one.matte
        worst = max(worst, _apart(matte.alpha, right.alpha, int(np.iinfo(matte.alpha.dtype).max)))
        for picture, planes in ((matte.foreground, right.front), (matte.composite, right.composite)):
            if planes is None:
                continue
            peak = layout(picture.format.name).peak
            worst = max(worst, *(_apart(a, b, peak) for a, b in zip(plane_arrays(picture), planes, strict=True)))
    return worst


def _apart(one: np.ndarray, other: np.ndarray, peak: int) -> float:
    return float(np.abs(one.astype(np.int64) - other.astype(np.int64)).max()) * 255 / peak
