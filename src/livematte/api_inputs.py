"""Whatever people call a picture, as frames."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from livematte.errors import SourceError, UsageError
from livematte.frames import Frame, Timestamp
from livematte.photos.stills import Still, from_pil, read_still, to_frame
from livematte.reporting import Reporter
from livematte.sources.orientation import Orientation
from livematte.sources.pictures import PictureChain, Tags
from livematte.sources.timing import fraction

Picture: TypeAlias = "bytes | str | os.PathLike[str] | Image.Image | npt.NDArray[Any] | av.VideoFrame"
"""Encoded bytes, a path, a PIL picture, an RGB or RGBA array, a decoded frame."""


class FrameTaker:
    """Turns whatever people have into frames; keeps what a clip's decoded frames share."""

    def __init__(self, reporter: Reporter, rate: Fraction) -> None:
        self._reporter = reporter
        self._rate = rate
        self._index = 0
        self._chains: dict[tuple[str, int, int], PictureChain] = {}

    def __call__(self, image: Picture) -> tuple[Frame, Still | None]:
        """The frame, and the still it came from (None for decoded frames). UsageError for other kinds of things."""
        index = self._index
        self._index += 1
        if isinstance(image, av.VideoFrame):
            return self._decoded(image, index), None
        if isinstance(image, bytes | bytearray | memoryview):
            still = read_still(bytes(image), "the picture", remark=self._reporter.note)
        elif isinstance(image, str | os.PathLike):
            still = _read_file(Path(image), self._reporter)
        elif isinstance(image, Image.Image):
            still = from_pil(image, remark=self._reporter.note)
        elif isinstance(image, np.ndarray):
            still = _from_array(image)
        else:
            raise UsageError(
                f"a picture can be bytes, a path, a PIL picture, an RGB or RGBA array or an av.VideoFrame, and this is "
                f"a {type(image).__name__}."
            )
        return to_frame(still, index=index, seconds=index / self._rate), still

    def _decoded(self, picture: av.VideoFrame, index: int) -> Frame:
        """As it is stored: the display matrix of a phone's clip is not applied, so that alpha fits the frame given."""
        key = (picture.format.name, picture.width, picture.height)
        chain = self._chains.get(key)
        if chain is None:
            chain = self._chains[key] = PictureChain(
                picture, orientation=Orientation(), size=None, tags=Tags(), reporter=self._reporter
            )
        made, alpha, color = chain(picture)
        base = fraction(picture.time_base) or 1 / self._rate
        pts = picture.pts if picture.pts is not None else round(index / self._rate / base)
        return Frame(made, Timestamp(pts, base), None, index, color, alpha)


def _read_file(path: Path, reporter: Reporter) -> Still:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}. Check the name.") from error
    return read_still(data, str(path), remark=reporter.note)


def _from_array(array: npt.NDArray[Any]) -> Still:
    if array.dtype not in (np.uint8, np.uint16) or array.ndim != 3 or array.shape[2] not in (3, 4) or not array.size:
        raise UsageError(
            f"an array must be (h, w, 3) RGB or (h, w, 4) RGBA in uint8 or uint16, and this one is {array.dtype} "
            f"{array.shape}. Floats from 0 to 1: multiply by 255 and convert. OpenCV's BGR: turn it with "
            "cv2.cvtColor(array, cv2.COLOR_BGR2RGB) first."
        )
    alpha = np.ascontiguousarray(array[..., 3]) if array.shape[2] == 4 else None
    return Still(np.ascontiguousarray(array[..., :3]), alpha)
