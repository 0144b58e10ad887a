"""What can stand behind the person, as planes of the source's own format: colours, pictures, looping videos."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import av
import cv2
import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from livematte.compositing.canvas import Canvas, RgbImage, flat_values, picture_planes, rgb_planes
from livematte.errors import SourceError, UsageError
from livematte.planes import PlaneArray, plane_arrays
from livematte.reporting import Reporter
from livematte.sources.ffmpeg_errors import reason

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

GREEN_SCREEN: Final = (120, 255, 155)
"""What `green` means here: the green of RVM's demos (Lin et al. 2022), which keys well, not CSS's dark (0, 128, 0)."""
KINDS: Final = (
    "a colour (green for a green screen, any CSS name, #78ff9b or 120,255,155), the path of a picture or a video, "
    "or blur (blur=PX sets its radius)"
)
_SAME_MOMENT_SECONDS: Final = 5e-4
"""Two clocks' moments that lie this close are the same one, rounded differently."""


class Background(Protocol):
    """Gives planes for a moment. Used by one thread."""

    def planes(self, canvas: Canvas, seconds: float) -> Sequence[PlaneArray]:
        """Planes of `canvas`'s format and size for this moment of the source; not to be written to."""

    def close(self) -> None:
        """Give files back. Called once."""


class Still:
    """A colour or a picture: converted once for each canvas."""

    def __init__(self, rgb: RgbImage) -> None:
        """rgb: (h, w, 3) uint8 full range sRGB; (1, 1, 3) is one colour."""
        self._rgb = rgb
        self._known: tuple[Canvas, Sequence[PlaneArray]] | None = None

    def planes(self, canvas: Canvas, seconds: float) -> Sequence[PlaneArray]:
        """See `Background.planes`."""
        if self._known is None or self._known[0] != canvas:
            self._known = (canvas, self._converted(canvas))
        return self._known[1]

    def _converted(self, canvas: Canvas) -> Sequence[PlaneArray]:
        if self._rgb.shape[:2] != (1, 1):
            return rgb_planes(self._rgb, canvas)
        empty = plane_arrays(av.VideoFrame(canvas.width, canvas.height, canvas.pix_fmt))
        values = flat_values((self._rgb[0, 0, 0], self._rgb[0, 0, 1], self._rgb[0, 0, 2]), canvas)
        return [np.full(plane.shape, value, plane.dtype) for plane, value in zip(empty, values, strict=True)]

    def close(self) -> None:
        """See `Background.close`."""


class Loop:
    """A video that runs beside the source, by both clips' own timestamps, and begins again at its end."""

    def __init__(self, path: Path) -> None:
        """Opens the file. SourceError where it cannot be read or has no pictures."""
        self._path = path
        self._container = _open_video(path)
        self._pictures = self._decode()
        self._began: float | None = None
        self._offset = 0.0  # seconds of all earlier rounds
        self._current = self._next_picture()
        if self._current is None:
            self._container.close()
            raise SourceError(f"the background '{path}' holds no pictures that can be decoded; use another file.")
        self._first_seconds = self._current[0]
        self._ahead = self._next_picture()
        self._shown: tuple[Canvas, float, Sequence[PlaneArray]] | None = None

    def planes(self, canvas: Canvas, seconds: float) -> Sequence[PlaneArray]:
        """See `Background.planes`. SourceError where the file breaks while it is read."""
        if self._began is None:
            self._began = seconds
        wanted = seconds - self._began + self._first_seconds
        while self._ahead is None or self._ahead[0] + self._offset <= wanted + _SAME_MOMENT_SECONDS:
            self._advance()
        assert self._current is not None
        moment = self._current[0] + self._offset
        if self._shown is None or self._shown[:2] != (canvas, moment):
            self._shown = (canvas, moment, picture_planes(self._current[1], canvas))
        return self._shown[2]

    def _advance(self) -> None:
        assert self._current is not None
        if self._ahead is not None:
            last_step = self._ahead[0] - self._current[0]
            self._current, self._ahead = self._ahead, self._next_picture()
            if self._ahead is None:
                self._restart(max(last_step, 1e-3))
        else:
            self._restart(1.0)  # a video of one picture: any length will do

    def _restart(self, last_step: float) -> None:
        """Begin the next round: the first picture follows the last one by one step."""
        assert self._current is not None
        end = self._current[0] + last_step
        self._container.seek(0)
        self._pictures = self._decode()
        self._ahead = self._next_picture()
        if self._ahead is None:
            raise SourceError(f"the background '{self._path}' could not be read a second time; is it still there?")
        gone = end - self._ahead[0]
        self._offset += gone
        # `_current` belongs to the round before: in the new round's time it lies before the first picture.
        self._current = (self._current[0] - gone, self._current[1])

    def _next_picture(self) -> tuple[float, av.VideoFrame] | None:
        return next(self._pictures, None)

    def _decode(self) -> Iterator[tuple[float, av.VideoFrame]]:
        stream = self._container.streams.video[0]
        base = stream.time_base
        assert base is not None
        unit = base.numerator / base.denominator
        try:
            for number, picture in enumerate(self._container.decode(stream)):
                yield (picture.pts * unit if picture.pts is not None else number / 25), picture
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"the background '{self._path}' broke off while it was read: {reason(error)}.") from error

    def close(self) -> None:
        """See `Background.close`."""
        self._container.close()


def _open_video(path: Path) -> Any:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(
            f"the background '{path}' is neither a picture nor a video that can be read: {reason(error)}. Use another "
            "file."
        ) from error
    if not container.streams.video:
        container.close()
        raise SourceError(f"the background '{path}' has no video track; use a picture or a video.")
    container.streams.video[0].thread_type = "AUTO"
    return container


def open_background(text: str, *, reporter: Reporter) -> Background:
    """The background that `--background` names, blur apart. UsageError: no such kind; SourceError: unreadable file."""
    colour = parse_colour(text)
    if colour is not None:
        return Still(np.array(colour, np.uint8).reshape(1, 1, 3))
    path = Path(text).expanduser()
    if not path.exists():
        if not re.search(r"[\\/]|\.\w{2,5}$", text):
            raise UsageError(f"--background '{text}' is not known. It can be {KINDS}.")
        raise SourceError(f"the background '{text}' does not exist. --background can be {KINDS}.")
    if path.is_dir():
        raise UsageError(f"--background '{text}' is a folder. It can be {KINDS}.")
    picture = _read_picture(path)
    if picture is not None:
        return Still(picture)
    loop = Loop(path)
    reporter.note(
        f"The background {path.name} runs beside the clip and begins again at its end; its sound is left out."
    )
    return loop


def parse_colour(text: str) -> tuple[int, int, int] | None:
    """Full-range sRGB of `green` (the screen's), a CSS name, #hex, rgb(...) or `r,g,b`; None: not a colour.

    UsageError for three numbers that are no colour.
    """
    text = text.strip()
    if text.lower() == "green":
        return GREEN_SCREEN
    numbers = re.fullmatch(r"(-?\d+)\s*,\s*(-?\d+)\s*,\s*(-?\d+)", text)
    if numbers:
        red, green, blue = (int(part) for part in numbers.groups())
        if not all(0 <= value <= 255 for value in (red, green, blue)):
            raise UsageError(f"--background {text}: a colour's three numbers go from 0 to 255, such as 120,255,155.")
        return red, green, blue
    try:
        found = ImageColor.getrgb(text)
    except ValueError:
        return None
    return found[0], found[1], found[2]


def _read_picture(path: Path) -> RgbImage | None:
    """(h, w, 3) uint8 sRGB, upright by its EXIF orientation; alpha over black; None: not a picture, or a moving one."""
    try:
        with Image.open(path) as opened:
            if getattr(opened, "n_frames", 1) > 1:
                return None
            upright = ImageOps.exif_transpose(opened)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                layered = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", layered.size, (0, 0, 0, 255)), layered)
            return np.array(upright.convert("RGB"))
    except UnidentifiedImageError:
        return None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise SourceError(f"the background '{path}' cannot be read: {error}. Use another file.") from error
