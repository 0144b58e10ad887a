"""Left and right changed over, plane by plane, without a change to any luma sample.

Note [Mirrored chroma]
    A subsampled chroma sample stands for the two pixels that it covers. Where the width is even, so do the pairs
    that come out of the mirror, and the plane is simply turned over. Where it is odd, the pairs fall between the old
    ones: each new sample is the mean of two old ones (rounded half up), and the last covers the first column alone.
"""

from __future__ import annotations

import dataclasses
from typing import cast

import av
import cv2
import numpy as np

from livematte.frames import AlphaArray, Frame
from livematte.planes import PlaneArray, layout, new_picture, plane_arrays
from livematte.sources.orientation import copy_tags


def mirrored(frame: Frame) -> Frame:
    """The frame with picture and alpha mirrored left to right; a new picture, the old one is not touched."""
    alpha = None if frame.alpha is None else cast(AlphaArray, np.ascontiguousarray(frame.alpha[:, ::-1]))
    return dataclasses.replace(frame, picture=mirror_picture(frame.host_picture()), alpha=alpha)


def mirror_picture(picture: av.VideoFrame) -> av.VideoFrame:
    """A working-format picture mirrored left to right (Note [Mirrored chroma])."""
    shape = layout(picture.format.name)
    made = new_picture(picture.format.name, picture.width, picture.height)
    is_between = bool(shape.log2_chroma_width) and picture.width % 2 == 1
    for number, (source, target) in enumerate(zip(plane_arrays(picture), plane_arrays(made), strict=True)):
        cv2.flip(source, 1, target)
        if is_between and number in (1, 2):
            _average_neighbours(target)
    copy_tags(picture, made)
    return made


def _average_neighbours(plane: PlaneArray) -> None:
    """In place: each sample becomes the mean of itself and the one to its right; the last stays."""
    wide = plane.astype(np.uint32)
    plane[:, :-1] = (wide[:, :-1] + wide[:, 1:] + 1) >> 1
