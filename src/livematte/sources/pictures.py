"""From a decoded picture to a `Frame`'s: working format, upright, one size and format for the whole run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, cast

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from livematte.color import ColorSpec, resolve
from livematte.color_convert import SWS_ACCURATE_RND, SWS_BICUBIC, SWS_MATRICES, SWS_RANGES
from livematte.errors import UsageError
from livematte.frames import AlphaArray
from livematte.planes import PlaneArray, alpha_from_bits, layout, new_picture, plane_arrays
from livematte.reporting import Reporter
from livematte.sources.normalise import Door, door_for
from livematte.sources.orientation import Orientation, copy_tags, turn_alpha, turn_picture, upright_format

_SIZE: Final = re.compile(r"(-1|\d+)\s*[xX*]\s*(-1|\d+)")
_LARGEST_SIDE: Final = 16384
_BICUBIC: Final = SWS_BICUBIC | SWS_ACCURATE_RND


def parse_size(text: str, width: int, height: int) -> tuple[int, int]:
    """`1280x720`, `1280x-1` or `-1x720` for a picture of this size; -1 keeps the aspect, comes out even."""
    found = _SIZE.fullmatch(text.strip())
    usage = f"--size is '{text}'; write WIDTHxHEIGHT (1280x720), or one side with -1 for the other (1280x-1)."
    if found is None:
        raise UsageError(usage)
    wide, high = int(found[1]), int(found[2])
    if wide == high == -1:
        raise UsageError(usage)
    if wide == -1:
        wide = max(2, round(high * width / height / 2) * 2)
    if high == -1:
        high = max(2, round(wide * height / width / 2) * 2)
    if not (0 < wide <= _LARGEST_SIDE and 0 < high <= _LARGEST_SIDE):
        raise UsageError(f"--size is '{text}'; each side may be 1 to {_LARGEST_SIDE} px.")
    return wide, high


@dataclass(frozen=True, slots=True)
class Tags:
    """Colour tags of a decoder, for pictures that carry none of their own; FFmpeg's enum values."""

    colorspace: int = 2
    color_range: int = 0
    color_primaries: int = 2
    color_trc: int = 2

    @classmethod
    def of(cls, context: Any) -> Tags:
        """From a codec context."""
        return cls(
            *(int(getattr(context, name)) for name in ("colorspace", "color_range", "color_primaries", "color_trc"))
        )


class PictureChain:
    """Set up by a source's first picture; then brings every picture into that one's format and size.

    Picture by picture: working format (`normalise.py`), upright (`orientation.py`), scaled where `--size` or a
    changed size asks for it. What the person should know is said once.
    """

    def __init__(
        self,
        first: av.VideoFrame,
        *,
        orientation: Orientation,
        size: str | None,
        tags: Tags,
        reporter: Reporter,
    ) -> None:
        self._reporter = reporter
        self._tags = tags
        self._colors: dict[tuple[object, ...], ColorSpec] = {}
        self._doors: dict[str, Door] = {}
        self._scaler = VideoReformatter()
        self.orientation = orientation
        door = self._door(first)
        self.pix_fmt = upright_format(door.target, orientation)
        self.layout = layout(self.pix_fmt)
        self.has_alpha = door.has_alpha
        self.stored_size = (first.width, first.height)
        self.color = self._color(first, door)
        upright = self.stored_size[::-1] if orientation.transpose else self.stored_size
        self.upright_size = upright
        self.width, self.height = parse_size(size, *upright) if size is not None else upright
        keeps_aspect = size is None or "-1" in size  # rounding a side to even is not worth a tag
        self._stretch = Fraction(1 if keeps_aspect else Fraction(upright[0] * self.height, upright[1] * self.width))
        self._say_what_changes(door)

    def sample_aspect_ratio(self, stored: Fraction | None) -> Fraction | None:
        """The shape of a pixel after turning and scaling; None where pixels are square or nothing is known."""
        shape = stored if stored else Fraction(1)
        if self.orientation.transpose:
            shape = 1 / shape
        shape *= self._stretch
        return None if shape == 1 else shape

    def __call__(self, picture: av.VideoFrame) -> tuple[av.VideoFrame, AlphaArray | None, ColorSpec]:
        """(picture, alpha, colour) of the next picture, in the run's format and size."""
        door = self._doors.get(picture.format.name) or self._door(picture)
        color = self._color(picture, door)
        made, alpha = door.convert(picture)
        if not self.orientation.is_identity:
            made = turn_picture(made, self.orientation)
            alpha = None if alpha is None else turn_alpha(alpha, self.orientation)
        if made.format.name != self.pix_fmt:
            self._reporter.warn(
                f"the input changes its pixel format on the way ({made.format.name}, at first {self.pix_fmt}); "
                "its pictures are converted to the first one."
            )
            made, color = self._to_first_format(made, color), self.color
        if (made.width, made.height) != (self.width, self.height):
            if (made.width, made.height) != self.upright_size:
                first = f"{self.upright_size[0]}x{self.upright_size[1]}"
                self._reporter.warn(
                    f"the input changes its size on the way ({made.width}x{made.height}, at first {first}); "
                    "its pictures are scaled to the first one's."
                )
            made = self._scale(made, color)
        return made, self._fit_alpha(alpha), color

    def color_of(self, picture: av.VideoFrame) -> ColorSpec:
        """Colour of a picture, by its own tags and by the decoder's where it has none."""
        return self._color(picture, self._doors.get(picture.format.name) or self._door(picture))

    def _door(self, picture: av.VideoFrame) -> Door:
        door = door_for(picture)
        if picture.format.name != "pal8":  # a palette's alpha may come and go
            self._doors[picture.format.name] = door
        return door

    def _color(self, picture: av.VideoFrame, door: Door) -> ColorSpec:
        key = (picture.colorspace, picture.color_range, picture.color_primaries, picture.color_trc, door.source)
        found = self._colors.get(key)
        if found is None:
            tags = self._tags
            is_rgb = layout(door.target).is_rgb
            found = self._colors[key] = resolve(
                colorspace=picture.colorspace if picture.colorspace != 2 else tags.colorspace,
                color_range=picture.color_range or tags.color_range,
                primaries=picture.color_primaries if picture.color_primaries != 2 else tags.color_primaries,
                trc=picture.color_trc if picture.color_trc != 2 else tags.color_trc,
                is_rgb=is_rgb,
                height=picture.height,
                full_range_name=door.full_range_name,
            )
            if not is_rgb and found.colorspace not in SWS_MATRICES:
                self._reporter.warn(
                    f"the input's colour matrix is {found.colorspace}; it is kept in the output's tags, but the "
                    "network sees its colours as if they were BT.709."
                )
        return found

    def _say_what_changes(self, door: Door) -> None:
        if door.remark:
            self._reporter.note(door.remark)
        if not self.orientation.is_identity:
            self._reporter.note(f"the input is not stored the way it is shown; it is {self.orientation.words}.")
        if self.pix_fmt != door.target:
            self._reporter.note(
                f"turning 4:2:2 pictures by a quarter makes them 4:4:4 ({door.target} becomes {self.pix_fmt})."
            )

    def _to_first_format(self, picture: av.VideoFrame, color: ColorSpec) -> av.VideoFrame:
        return self._scaler.reformat(
            picture,
            format=self.pix_fmt,
            src_colorspace=SWS_MATRICES.get(color.colorspace),
            dst_colorspace=SWS_MATRICES.get(self.color.colorspace),
            src_color_range=SWS_RANGES[color.color_range],
            dst_color_range=SWS_RANGES[self.color.color_range],
            interpolation=_BICUBIC,
            threads=1,
        )

    def _scale(self, picture: av.VideoFrame, color: ColorSpec) -> av.VideoFrame:
        """The picture at the run's size, in its own format, matrix and range."""
        if self.layout.is_rgb:  # swscale would go through YUV
            made = new_picture(self.pix_fmt, self.width, self.height)
            for source, target in zip(plane_arrays(picture), plane_arrays(made), strict=True):
                np.copyto(target, _resize(source, self.width, self.height))
            copy_tags(picture, made)
            return made
        matrix, span = SWS_MATRICES.get(color.colorspace, 1), SWS_RANGES[color.color_range]
        return self._scaler.reformat(
            picture,
            width=self.width,
            height=self.height,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=span,
            dst_color_range=span,
            interpolation=_BICUBIC,
            threads=1,
        )

    def _fit_alpha(self, alpha: AlphaArray | None) -> AlphaArray | None:
        wide = self.layout.bits > 8
        if not self.has_alpha:
            if alpha is not None and int(alpha.min()) < (255 if alpha.dtype == np.uint8 else 65535):
                self._reporter.warn("some pictures of the input carry alpha where the first has none; it is ignored.")
            return None
        if alpha is None:
            opaque = (self.height, self.width)
            return np.full(opaque, 65535, np.uint16) if wide else np.full(opaque, 255, np.uint8)
        if (alpha.dtype == np.uint16) != wide:
            alpha = alpha_from_bits(alpha, 16 if alpha.dtype == np.uint16 else 8, wide=wide)
        return alpha if alpha.shape == (self.height, self.width) else _resize(alpha, self.width, self.height)


def _resize(plane: PlaneArray, width: int, height: int) -> AlphaArray:
    """A plane at another size: the area mean downwards, linear upwards (no overshoot)."""
    smaller = width < plane.shape[1] or height < plane.shape[0]
    way = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cast(AlphaArray, cv2.resize(plane, (width, height), interpolation=way))
