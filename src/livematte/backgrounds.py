"""What can stand behind the person, as planes of the source's own format: colours, pictures, looping videos."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from livematte import color
from livematte.color import ColorSpec
from livematte.color_convert import SWS_MATRICES, SWS_RANGES, to_rgb
from livematte.errors import SourceError, UsageError
from livematte.matting.despill import LUMA_WEIGHTS
from livematte.planes import Layout, PlaneArray, layout, plane_arrays
from livematte.reporting import Reporter

cv: Any = cv2  # OpenCV's own stubs know neither dtypes nor scalars as operands

RgbImage = npt.NDArray[np.uint8]

GREEN_SCREEN: Final = (120, 255, 155)
"""What `green` means here: the green of RVM's demos (Lin et al. 2022), which keys well, not CSS's dark (0, 128, 0)."""
KINDS: Final = (
    "a colour (green for a green screen, any CSS name, #78ff9b or 120,255,155), the path of a picture or a video, "
    "or blur (blur=PX sets its radius)"
)
_SDR_WHITE_NITS: Final = 203.0
"""Where SDR white lies in an HDR signal: Rep. ITU-R BT.2408, https://www.itu.int/pub/R-REP-BT.2408."""

_SAME_MOMENT_SECONDS: Final = 5e-4
"""Two clocks' moments that lie this close are the same one, rounded differently."""

_SMOOTH: Final = int(Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP)


@dataclass(frozen=True, slots=True)
class Canvas:
    """The pictures that a background has to match; a key for what was converted before."""

    width: int
    height: int
    pix_fmt: str
    color: ColorSpec

    @property
    def kind(self) -> Layout:
        """Memory layout of the format."""
        return layout(self.pix_fmt)


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
            raise SourceError(f"the background '{self._path}' broke off while it was read: {error}.") from error

    def close(self) -> None:
        """See `Background.close`."""
        self._container.close()


def _open_video(path: Path) -> Any:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(
            f"the background '{path}' is neither a picture nor a video that can be read: {error}. Use another file."
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


# --- conversion into the canvas's format ---


def flat_values(rgb: Sequence[int], canvas: Canvas) -> tuple[int, ...]:
    """One sRGB colour as sample values in the canvas's plane order, exact to rounding."""
    kind, spec = canvas.kind, canvas.color
    signal = _hdr_signal(np.array(rgb, np.uint8).reshape(1, 1, 3), spec).reshape(3)
    red, green, blue = (float(value) for value in signal)
    steps = 1 << (kind.bits - 8)
    full = spec.color_range == "pc"
    scale, zero = (float(kind.peak), 0.0) if full else (219.0 * steps, 16.0 * steps)
    if kind.is_rgb:
        return tuple(round(zero + scale * value) for value in (green, blue, red))
    share_red, share_blue = LUMA_WEIGHTS.get(spec.colorspace, LUMA_WEIGHTS["bt709"])
    luma = share_red * red + (1 - share_red - share_blue) * green + share_blue * blue
    chroma_scale, middle = (float(kind.peak) if full else 224.0 * steps), float(1 << (kind.bits - 1))
    blue_difference = (blue - luma) / (2 * (1 - share_blue))
    red_difference = (red - luma) / (2 * (1 - share_red))
    chroma = (min(round(middle + chroma_scale * value), kind.peak) for value in (blue_difference, red_difference))
    return (round(zero + scale * luma), *chroma)


def rgb_planes(rgb: RgbImage, canvas: Canvas) -> list[PlaneArray]:
    """An sRGB picture (h, w, 3) uint8, scaled to cover the canvas and cropped to its middle, in its format."""
    kind = canvas.kind
    if kind.is_rgb or canvas.color.is_hdr:
        rgb = _cover_rgb(rgb, canvas)
    if kind.is_rgb:
        signal = _hdr_signal(rgb, canvas.color)
        limited = canvas.color.color_range == "tv"
        steps = 1 << (kind.bits - 8)
        stored = signal * (219.0 * steps) + 16.0 * steps if limited else signal * float(kind.peak)
        rounded = np.rint(stored).astype(kind.dtype)
        return [np.ascontiguousarray(rounded[..., channel]) for channel in (1, 2, 0)]
    if canvas.color.is_hdr:
        # swscale's 16-bit RGB has white at 65280 (color_convert.py, Note [Colour conversion]).
        wide = np.rint(_hdr_signal(rgb, canvas.color) * 65280).astype(np.uint16)
        picture = av.VideoFrame.from_ndarray(wide, "rgb48le")
    else:
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
    return _reformatted(picture, canvas, None, "pc")


def picture_planes(picture: av.VideoFrame, canvas: Canvas) -> list[PlaneArray]:
    """A decoded picture in any format, upright, scaled to cover the canvas and cropped, in its format and colours."""
    known = picture.format
    is_rgb = known.is_rgb or known.name == "pal8"
    spec = color.resolve(
        colorspace=int(picture.colorspace),
        color_range=int(picture.color_range),
        primaries=int(picture.color_primaries),
        trc=int(picture.color_trc),
        is_rgb=is_rgb,
        height=picture.height,
        full_range_name=known.name.startswith("yuvj"),
    )
    turns = round(picture.rotation / 90) % 4
    if turns or canvas.kind.is_rgb or spec.is_hdr != canvas.color.is_hdr:
        working = picture.reformat(format="gbrp" if is_rgb else "yuv444p10le", dst_color_range=_same_range(spec))
        upright = np.rot90(to_rgb(working, spec, picture.width, picture.height), turns)
        return rgb_planes(np.ascontiguousarray(upright), canvas)
    return _reformatted(picture, canvas, None if is_rgb else spec.colorspace, spec.color_range)


def _same_range(spec: ColorSpec) -> int:
    return SWS_RANGES[spec.color_range]


def _reformatted(picture: av.VideoFrame, canvas: Canvas, matrix: str | None, span: str) -> list[PlaneArray]:
    """One swscale pass to the size that covers the canvas, then the middle of its planes."""
    kind = canvas.kind
    width, height = _cover_size(picture.width, picture.height, canvas)
    shrinks = width < picture.width
    converted = VideoReformatter().reformat(
        picture,
        width=width,
        height=height,
        format=canvas.pix_fmt,
        src_colorspace=None if matrix is None else SWS_MATRICES.get(matrix, SWS_MATRICES["bt709"]),
        dst_colorspace=SWS_MATRICES.get(canvas.color.colorspace, SWS_MATRICES["bt709"]),
        src_color_range=SWS_RANGES[span],
        dst_color_range=SWS_RANGES[canvas.color.color_range],
        interpolation=_SMOOTH | int(Interpolation.AREA if shrinks else Interpolation.BICUBIC),
    )
    across, down = 1 << kind.log2_chroma_width, 1 << kind.log2_chroma_height
    left, top = (width - canvas.width) // 2 // across, (height - canvas.height) // 2 // down  # in chroma samples
    cropped: list[PlaneArray] = []
    for number, plane in enumerate(plane_arrays(converted)):
        x, y = (left, top) if number else (left * across, top * down)
        columns = -(-canvas.width // across) if number else canvas.width
        rows = -(-canvas.height // down) if number else canvas.height
        part: PlaneArray = plane[y : y + rows, x : x + columns].copy()
        cropped.append(part)
    return cropped


def _cover_size(width: int, height: int, canvas: Canvas) -> tuple[int, int]:
    scale = max(canvas.width / width, canvas.height / height)
    return max(canvas.width, round(width * scale)), max(canvas.height, round(height * scale))


def _cover_rgb(rgb: RgbImage, canvas: Canvas) -> RgbImage:
    width, height = _cover_size(rgb.shape[1], rgb.shape[0], canvas)
    way = cv2.INTER_AREA if width < rgb.shape[1] else cv2.INTER_CUBIC
    scaled = cv.resize(rgb, (width, height), interpolation=way)
    top, left = (height - canvas.height) // 2, (width - canvas.width) // 2
    cropped: RgbImage = scaled[top : top + canvas.height, left : left + canvas.width]
    return cropped


def _hdr_signal(rgb: RgbImage, spec: ColorSpec) -> npt.NDArray[np.float32]:
    """sRGB as the signal 0..1 of the canvas's transfer: the same numbers for SDR; in HDR white lies at 203 nit.

    PQ and HLG by Rec. ITU-R BT.2100, https://www.itu.int/rec/R-REC-BT.2100 (HLG with a 1000 nit display's OOTF).
    """
    if not spec.is_hdr:
        return rgb.astype(np.float32) * np.float32(1 / 255)
    codes = np.arange(256) / 255
    linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    light = linear.astype(np.float32)[rgb]
    if spec.color_primaries == "bt2020":
        to_bt2020 = ((0.6274, 0.3293, 0.0433), (0.0691, 0.9195, 0.0114), (0.0164, 0.0880, 0.8956))  # BT.2087
        light = light @ np.array(to_bt2020, np.float32).T
    if spec.color_trc == "smpte2084":
        share = (light * (_SDR_WHITE_NITS / 10000)) ** 0.1593017578125
        return np.asarray(((0.8359375 + 18.8515625 * share) / (1 + 18.6875 * share)) ** 78.84375, np.float32)
    # Display light to scene light with the inverse OOTF (gamma 1.2), a channel each, then the OETF.
    scene = (light * (_SDR_WHITE_NITS / 1000)) ** (1 / 1.2)
    root = np.sqrt(3 * scene)
    log = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-6)) + 0.55991073
    return np.asarray(np.where(scene <= 1 / 12, root, log), np.float32)
