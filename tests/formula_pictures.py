"""Pictures and alphas from formulas, in any working format, with the true foreground known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np

from livematte.color import ColorSpec
from livematte.frames import Frame, StreamInfo, Timestamp
from livematte.planes import layout, new_picture, plane_arrays

SPEC = ColorSpec("bt709", "tv")
FORMATS = ("yuv420p", "yuv422p", "yuv444p", "gbrp", "yuv420p10le", "yuv422p10le", "yuv444p12le", "gbrp10le")


def disc(height: int, width: int, *, radius: float | None = None, soft_px: float = 6.0, dtype=np.uint8) -> np.ndarray:
    """Alpha of a disc in the middle whose edge is a ramp of `soft_px` pixels."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2)
    reach = min(height, width) / 3 if radius is None else radius
    unit = np.clip((reach - distance) / soft_px + 0.5, 0, 1)
    return np.rint(unit * np.iinfo(dtype).max).astype(dtype)


def plane_shapes(pix_fmt: str, height: int, width: int) -> list[tuple[int, int]]:
    return [plane.shape for plane in plane_arrays(new_picture(pix_fmt, width, height))]


def picture_of(pix_fmt: str, planes: Sequence[np.ndarray]) -> av.VideoFrame:
    """A picture with these planes (rounded); the first has the picture's size."""
    height, width = planes[0].shape
    picture = new_picture(pix_fmt, width, height)
    for target, values in zip(plane_arrays(picture), planes, strict=True):
        target[:] = np.rint(values)
    return picture


def noise(pix_fmt: str, height: int, width: int, seed: int = 0) -> list[np.ndarray]:
    """Independent uniform samples in every plane."""
    random, peak = np.random.default_rng(seed), layout(pix_fmt).peak
    return [random.integers(0, peak + 1, shape).astype(np.float64) for shape in plane_shapes(pix_fmt, height, width)]


def smooth(pix_fmt: str, height: int, width: int, phase: float = 0.0) -> list[np.ndarray]:
    """Slow waves, a little different in every plane: what a face or a coat looks like to an estimator."""
    peak = layout(pix_fmt).peak
    waves = []
    for number, (rows, columns) in enumerate(plane_shapes(pix_fmt, height, width)):
        y, x = np.mgrid[:rows, :columns]
        wave = np.sin(phase + number + 4 * y / rows) * np.cos(phase + 5 * x / columns)
        waves.append(peak * (0.5 + 0.3 * wave))
    return waves


def mean_alphas(pix_fmt: str, alpha: np.ndarray) -> list[np.ndarray]:
    """Alpha 0..1 for each plane: the mean over the pixels that a sample covers (a short last block repeats its end)."""
    unit = alpha / np.iinfo(alpha.dtype).max
    means = []
    for rows, columns in plane_shapes(pix_fmt, *alpha.shape):
        down, across = -(-alpha.shape[0] // rows), -(-alpha.shape[1] // columns)
        below, right = rows * down - alpha.shape[0], columns * across - alpha.shape[1]
        padded = np.pad(unit, ((0, below), (0, right)), mode="edge")
        means.append(padded.reshape(rows, down, columns, across).mean(axis=(1, 3)))
    return means


def over(front: Sequence[np.ndarray], behind: Sequence[np.ndarray], alphas: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [a * f + (1 - a) * b for f, b, a in zip(front, behind, alphas, strict=True)]


def frame_of(picture: av.VideoFrame, index: int = 0, *, rate: int = 30, color: ColorSpec = SPEC, alpha=None) -> Frame:
    return Frame(picture, Timestamp(index, Fraction(1, rate)), 1, index, color, alpha)


def info_for(picture: av.VideoFrame, color: ColorSpec = SPEC) -> StreamInfo:
    kind = layout(picture.format.name)
    return StreamInfo(
        "formula", picture.width, picture.height, kind.pix_fmt, color, Fraction(1, 30), Fraction(30), bits=kind.bits
    )


@dataclass
class FormulaSession:
    """Stands in for a network: alpha at its own size from a function of the frame's index. Records its calls."""

    formula: object
    is_recurrent: bool = False
    temporal: str = "none"
    refine: str = "bicubic"
    calls: list[str] = field(default_factory=list)

    @property
    def manifest(self):
        return SimpleNamespace(defaults=SimpleNamespace(refine=self.refine, temporal=self.temporal, smooth="normal"))

    def estimate(self, frame: Frame):
        self.calls.append(f"estimate {frame.index}")
        alpha = self.formula(frame.index)
        if not hasattr(self, "_buffer") or self._buffer.shape != alpha.shape:
            self._buffer = np.empty(alpha.shape, np.float32)
        self._buffer[:] = alpha  # the next call overwrites it, as a real session does
        return SimpleNamespace(alpha=self._buffer)

    def warm(self, frame: Frame) -> None:
        self.calls.append(f"warm {frame.index}")

    def reset(self) -> None:
        self.calls.append("reset")

    def close(self) -> None:
        self.calls.append("close")
