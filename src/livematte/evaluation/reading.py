"""Files as alpha: the alpha plane where there is one, else the picture itself, grey, as alpha.

Note [Range of grey files]
    A file that says it is limited range (16..235) is stretched to 0..1, one that says full is taken as it is. Where a
    file says nothing, YUV is limited, as players take it, and grey formats (`gray`, `gray10le`...) are full, as FFmpeg
    takes them: FFV1 and PNG mattes come so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import av
import cv2
import numpy as np
import numpy.typing as npt

from livematte.config import InputSettings
from livematte.errors import SourceError, UsageError
from livematte.frames import AlphaArray, Frame
from livematte.planes import PlaneArray, alpha_to_bits, layout, plane_arrays
from livematte.reporting import Once, Reporter
from livematte.sources import kind_of, open_source
from livematte.sources.base import Source

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

_COLOURFUL: Final = 0.04
"""Of the full scale: a mean chroma above it is a colour picture, not a matte. Codecs leave less than 0.01."""


_NO_ALPHA: Final[npt.NDArray[np.uint8]] = np.zeros((0, 0), np.uint8)


@dataclass(frozen=True, slots=True)
class AlphaFrame:
    """One frame of alpha, with the picture it belongs to where the file has one."""

    alpha: AlphaArray
    """(H, W) uint8 or uint16; empty where only colours are read."""
    seconds: float
    index: int
    colours: Frame | None
    """The file's own picture; None where the picture was the alpha."""


class AlphaReader:
    """Reads one file, folder or pattern as alpha, frame by frame; a context manager."""

    def __init__(self, spec: str, *, reporter: Reporter, only_colours: bool = False) -> None:
        """SourceError where it cannot be read. `reporter` is told, once, what was taken as alpha.

        only_colours: it is the clip that the mattes were made of; its alpha is nobody's concern.
        """
        self.spec = spec
        self._say = Once(reporter)
        self._source: Source = open_source(spec, InputSettings(), reporter=_Silent(reporter))
        self.info = self._source.info
        self._only_colours = only_colours
        self._is_grey = not self.info.has_alpha and not only_colours
        self._is_full = self.info.color.color_range == "pc" or (
            "color_range" in self.info.color.guessed and _is_stored_grey(spec)
        )
        if self._is_grey:
            known = "full range" if self._is_full else "limited range (16..235)"
            self._say.note(f"{self.info.name} has no alpha plane: the picture itself is read as alpha, {known}.")

    @property
    def is_timed(self) -> bool:
        """False for pictures, whose times are made up from their order."""
        return kind_of(self.spec) not in ("images", "picture")

    @property
    def frame_seconds(self) -> float:
        """Nominal length of a frame; 1/30 where the file does not say."""
        return 1 / float(self.info.frame_rate or 30)

    def __enter__(self) -> AlphaReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def __iter__(self) -> Iterator[AlphaFrame]:
        """The frames in order. SourceError where the file breaks off, UsageError where it is a colour picture."""
        for item in self._source:
            if not isinstance(item, Frame):
                continue
            alpha: AlphaArray
            colours: Frame | None
            if self._only_colours:
                alpha, colours = _NO_ALPHA, item
            elif self._is_grey:
                alpha, colours = self._from_grey(item), None
            elif item.alpha is not None:
                alpha, colours = item.alpha, item
            else:
                raise SourceError(f"{self.info.name}: frame {item.index} has no alpha, and those before it have.")
            yield AlphaFrame(alpha, float(item.time.seconds), item.index, colours)

    def _from_grey(self, frame: Frame) -> AlphaArray:
        picture = frame.host_picture()
        planes, kind = plane_arrays(picture), layout(picture.format.name)
        if frame.index == 0 and _is_colourful(planes, kind.is_rgb, kind.peak):
            raise UsageError(
                f"{self.info.name} is a colour picture without an alpha plane. PREDICTED and TRUE are mattes: files "
                "with alpha (.mov, .webm, .png) or grey ones (--alpha-only writes them)."
            )
        plane = planes[0]
        is_full = kind.is_rgb or self._is_full
        table = _to_alpha(kind.bits, is_full=is_full)
        return plane if table is None else table[plane]


class _Silent:
    """Passes warnings on; what a conversion would want to know (rates, HDR) does not matter to a measurement."""

    def __init__(self, target: Reporter) -> None:
        self.warn = target.warn

    def note(self, message: str) -> None:
        """Said to nobody."""


def luma_of(frame: Frame) -> npt.NDArray[np.uint8]:
    """(H, W) uint8: brightness of a picture, for finding motion and for nothing else."""
    picture = frame.host_picture()
    plane, kind = plane_arrays(picture)[0], layout(picture.format.name)
    return plane if kind.bits == 8 else (plane >> (kind.bits - 8)).astype(np.uint8)  # type: ignore[return-value]


def byte_alpha(alpha: AlphaArray) -> npt.NDArray[np.uint8]:
    """Alpha as uint8."""
    return alpha_to_bits(alpha, 8)  # type: ignore[return-value]


def _is_colourful(planes: list[PlaneArray], is_rgb: bool, peak: int) -> bool:
    if is_rgb:
        away = [cv2.norm(planes[0], other, cv2.NORM_L1) for other in planes[1:]]
    else:
        middle = (peak + 1) // 2
        away = [cv2.norm(plane, np.full_like(plane, middle), cv2.NORM_L1) for plane in planes[1:]]
    return max(away) / planes[1].size > _COLOURFUL * peak


@cache
def _to_alpha(bits: int, *, is_full: bool) -> npt.NDArray[Any] | None:
    """Table from samples to alpha's scale (`frames.py`, Note [Alpha scale]); None where they are that already."""
    if is_full and bits in (8, 16):
        return None
    peak = (1 << bits) - 1
    low, high = (0, peak) if is_full else (16 << (bits - 8), 235 << (bits - 8))
    unit = np.clip((np.arange(peak + 1) - low) / (high - low), 0, 1)
    target = np.uint8 if bits == 8 else np.uint16
    return np.rint(unit * np.iinfo(target).max).astype(target)


def _is_stored_grey(spec: str) -> bool:
    """True where a video file's own pixel format is grey; at the door it becomes YUV, and its name is lost."""
    if kind_of(spec) not in ("video", "images", "picture"):
        return False
    with contextlib.suppress(av.FFmpegError, OSError, IndexError), av.open(spec) as container:
        return bool((container.streams.video[0].pix_fmt or "").startswith("gray"))
    return False  # a folder, say: pictures state their range
