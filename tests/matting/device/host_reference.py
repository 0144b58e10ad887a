"""What the device's path must give: the kernels' NumPy references in the same order, with the same network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from livematte.compositing.backgrounds import open_background, parse_colour
from livematte.compositing.canvas import Canvas, flat_values
from livematte.compositing.compositor import parse_blur
from livematte.config import MattingSettings
from livematte.frames import Frame, StreamInfo
from livematte.matting.edges import Edges
from livematte.matting.region import parse_region
from livematte.matting.scene import SceneCuts
from livematte.matting.temporal import STRENGTHS
from livematte.models.load import LoadedModel
from livematte.models.session import Session
from livematte.planes import layout, plane_arrays
from livematte.reporting import ListReporter
from livematte.runtimes.kernels import (
    parameters,
    reference_alpha,
    reference_composite,
    reference_foreground,
    reference_picture,
    reference_smooth,
)
from livematte.runtimes.kernels.ops_picture import PreprocessSpec


@dataclass
class Expected:
    alpha: np.ndarray
    front: list[np.ndarray] | None
    composite: list[np.ndarray] | None


class HostReference:
    """Frames one after another; no slots, no streams, no states but its own."""

    def __init__(
        self,
        loaded: LoadedModel,
        settings: MattingSettings,
        info: StreamInfo,
        *,
        wide: bool,
        foreground: bool,
        background: str | None = None,
    ) -> None:
        self.loaded, self.settings, self.info = loaded, settings, info
        self.dtype = np.uint16 if wide else np.uint8
        self.foreground, self.background = foreground, background
        self.size = Session(loaded).size_for(info.width, info.height)
        self.cuts = SceneCuts()
        self.fresh, self.last_seconds = True, None
        self.state: np.ndarray | None = None
        self.past: object = None
        self.quiet: np.ndarray | None = None
        defaults = loaded.manifest.defaults
        self.smoothing = "none" if settings.smooth == "off" else settings.temporal
        if self.smoothing == "auto":
            self.smoothing = defaults.temporal
        self.refine = defaults.refine if settings.refine == "auto" else settings.refine
        self.behind = (
            None
            if background is None or parse_blur(background)
            else open_background(background, reporter=ListReporter())
        )

    def run(self, frames: list[Frame]) -> list[Expected]:
        return [self.one(frame) for frame in frames]

    def one(self, frame: Frame) -> Expected:
        planes = plane_arrays(frame.picture)
        kind = layout(frame.picture.format.name)
        cut = self.cuts.push_reduced(reference_smooth.cut_luma(planes[0], kind.peak))
        begins = cut or self.fresh
        seconds = float(frame.time.seconds)
        block = self._block(None if begins or self.last_seconds is None else seconds - self.last_seconds, frame)
        self.last_seconds, self.fresh = seconds, False
        small = self._smoothed(self._network(planes, frame, begins), planes[0], kind.peak, block)
        alpha = self._grown(small, planes[0], kind.peak)
        if (
            not Edges(self.settings.shrink, self.settings.feather, *self.settings.levels).is_neutral
            or self.settings.region
        ):
            alpha = reference_alpha.edges(alpha, block[0])
        front = None
        if (self.foreground or self.background) and (not self.settings.keep_background or self.settings.despill):
            front = reference_foreground.clean(
                planes,
                alpha,
                kind.bits,
                keep_background=self.settings.keep_background,
                despill=self.settings.despill or None,
                color=frame.color,
            )
        composite = self._over(planes, front or planes, alpha, block, frame)
        return Expected(alpha, front if self.foreground else None, composite)

    def _block(self, interval: float | None, frame: Frame) -> np.ndarray:
        settings, width, height = self.settings, self.info.width, self.info.height
        block = parameters.neutral(width, height)
        region = None if settings.region is None else parse_region(settings.region, width, height)
        parameters.set_region(block, region, width, height)
        parameters.set_edges(
            block,
            height=height,
            shrink=settings.shrink,
            feather=settings.feather,
            levels=settings.levels,
            despill=settings.despill,
        )
        strength = None if settings.smooth == "off" else STRENGTHS[settings.smooth]
        parameters.set_time(block, self.smoothing, strength, interval)
        if self.background is not None and parse_blur(self.background):
            parameters.set_blur(block, parse_blur(self.background) * height / 1080, width, height)
        elif self.background is not None and parse_colour(self.background):
            canvas = Canvas(width, height, frame.picture.format.name, frame.color)
            parameters.set_colour(block, flat_values(parse_colour(self.background), canvas))
        return block

    def _network(self, planes: list[np.ndarray], frame: Frame, begins: bool) -> np.ndarray:
        contract = self.loaded.contract
        spec = PreprocessSpec.of(contract.graph.input, self.size)
        shapes = contract.shapes(self.size)
        picture = reference_picture.preprocess(
            planes,
            frame.picture.format.name,
            frame.color,
            shapes[contract.image.name],
            spec,
            dtype=contract.image.dtype,
        )
        runs = 1
        if begins:
            self.state = None
            runs += self.loaded.manifest.defaults.warm_runs if contract.states else 0
        engine = self.loaded.engine
        for _ in range(runs):
            feeds = {contract.image.name: picture}
            if contract.states:
                feeds["past"] = np.zeros((1, 1, 1, 1), np.float32) if self.state is None else self.state
            answer = engine.session.run(["matte", *(["next"] if contract.states else [])], feeds)
            self.state = answer[1] if contract.states else None
        left, top, width, height = self.size.content
        return answer[0][0, 0, top : top + height, left : left + width]

    def _smoothed(self, alpha: np.ndarray, luma: np.ndarray, peak: int, block: np.ndarray) -> np.ndarray:
        if self.smoothing == "none":
            return reference_smooth.keep(alpha, block)
        if self.smoothing == "ema":
            self.past = reference_smooth.ema(alpha, self.past, block)
            return self.past
        if self.smoothing == "one-euro":
            self.past = reference_smooth.one_euro(alpha, self.past, block)
            return self.past[0]
        quiet = reference_smooth.quiet_luma(luma, peak, alpha.shape)
        self.past = reference_smooth.adaptive(alpha, self.past, quiet, self.quiet, block)
        self.quiet = quiet
        return self.past

    def _grown(self, small: np.ndarray, luma: np.ndarray, peak: int) -> np.ndarray:
        if self.refine == "guided":
            return reference_alpha.guided(small, luma, peak, self.dtype)
        return reference_alpha.upsample(small, luma.shape, self.dtype)

    def _over(self, planes, front, alpha, block, frame) -> list[np.ndarray] | None:
        if self.background is None:
            return None
        if parse_blur(self.background):
            behind = reference_composite.blurred_room(planes, alpha, block)
        elif parse_colour(self.background):
            behind = reference_composite.colour_planes(front, block)
        else:
            canvas = Canvas(self.info.width, self.info.height, frame.picture.format.name, frame.color)
            behind = self.behind.planes(canvas, float(frame.time.seconds))
        return reference_composite.over(front, alpha, behind)
