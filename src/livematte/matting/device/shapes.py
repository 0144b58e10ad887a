"""What pictures have in common that go through the same buffers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from livematte.color import ColorSpec
from livematte.frames import DevicePicture, Frame


@dataclass(frozen=True, slots=True)
class Shape:
    """Pictures of one shape need the same buffers and graphs."""

    width: int
    height: int
    """Upright."""
    sw_format: str
    color: ColorSpec
    is_on_device: bool
    """They come from the decoder's memory; else they are uploaded."""


def shape_of(frame: Frame) -> Shape:
    """The shape of this frame's picture."""
    picture = frame.picture
    if isinstance(picture, DevicePicture):
        return Shape(picture.width, picture.height, picture.sw_format, frame.color, True)
    return Shape(picture.width, picture.height, picture.format.name, frame.color, False)


def is_same_scene(one: Shape, other: Shape) -> bool:
    """Whether a clip may go on with the other shape: the decoder that takes over from the GPU's changes it too."""
    return (one.width, one.height) == (other.width, other.height)


def emptied(picture: DevicePicture) -> DevicePicture:
    """What is left of a picture whose memory has been given back: it tells its size."""
    return replace(picture, planes=(), owner=None, ready=None)
