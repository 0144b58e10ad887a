"""Single pictures in and out: PIL pictures, encoded bytes and arrays as frames, and cut-outs back again.

Note [Sixteen bits]
    Pillow opens RGB PNGs of 16 bits a channel as 8 bits without a word. So PNG and TIFF files of 16 bits are decoded
    by OpenCV instead, which keeps them; what else a file says (profile, EXIF) still comes from Pillow. PNGs of 16
    bits are written by OpenCV too, with profile and EXIF put in as chunks of our own.

Note [What EXIF may tell]
    What EXIF says about the picture is kept: camera, exposure, time, author, description. Orientation is applied. The
    position (GPS) is dropped unless it is asked for. All else is dropped always: thumbnails, maker notes, and what
    editors leave in a TIFF (Photoshop's layers and previews, XMP) can hold a copy of the whole picture, the room
    included, or the position once more; and a TIFF's own layout (strips, bits) is not true of another file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from livematte.color import ColorSpec
from livematte.config import MattingSettings
from livematte.errors import SourceError
from livematte.frames import AlphaArray, Frame, MattedFrame, StreamInfo, Timestamp
from livematte.matting.host import HostMatting
from livematte.models.load import LoadedModel
from livematte.models.session import Session, second_sessions
from livematte.planes import alpha_to_bits, layout, new_picture, plane_arrays
from livematte.reporting import Reporter

PixelArray = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

RGB = ColorSpec(colorspace="rgb", color_range="pc", color_primaries="bt709", color_trc="iec61966-2-1")
"""What a picture's numbers are taken for; its own profile travels beside it."""

_DESCRIPTION = frozenset(
    int(tag)
    for tag in (
        ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.XResolution,
        ExifTags.Base.YResolution, ExifTags.Base.ResolutionUnit, ExifTags.Base.Software, ExifTags.Base.DateTime,
        ExifTags.Base.Artist, ExifTags.Base.HostComputer, ExifTags.Base.Copyright, ExifTags.Base.Rating,
        ExifTags.Base.RatingPercent, ExifTags.Base.XPTitle, ExifTags.Base.XPComment, ExifTags.Base.XPAuthor,
        ExifTags.Base.XPKeywords, ExifTags.Base.XPSubject,
    )
)  # fmt: skip
"""Tags of the first directory that describe the picture (Note [What EXIF may tell])."""
MAKER_NOTE = 0x927C
_HEIC_SUFFIXES = (".heic", ".heif", ".hif")


@dataclass(slots=True)
class Still:
    """One upright picture."""

    pixels: PixelArray
    """(h, w, 3) RGB, straight, full range; uint8, or uint16 with 65535 as white."""
    alpha: AlphaArray | None = None
    """(h, w), the picture's own; None: opaque."""
    icc_profile: bytes | None = None
    """Of an RGB picture; None: sRGB."""
    exif: Image.Exif | None = None
    """Without orientation, thumbnail and maker notes (Note [What EXIF may tell])."""

    @property
    def is_wide(self) -> bool:
        """True for 16 bits a channel."""
        return self.pixels.dtype == np.uint16


def read_still(data: bytes, name: str, *, remark: Callable[[str], None] = lambda _: None) -> Still:
    """A still from an encoded file. SourceError says what the file is not; `remark` gets what was lost or chosen."""
    if not data:
        raise SourceError(f"{name} is empty (0 bytes). The copy or download that made it has failed.")
    register_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                if getattr(image, "n_frames", 1) > 1:
                    remark(f"{name} holds {getattr(image, 'n_frames', 1)} pictures; the first is used.")
                still = from_pil(image, remark=lambda text: remark(f"{name}: {text}"))
                orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except UnidentifiedImageError as error:
        hint = " Check that another program opens it."
        if Path(name).suffix.lower() in _HEIC_SUFFIXES or data[4:12] in (b"ftypheic", b"ftypmif1", b"ftypheix"):
            hint = " It is a HEIC picture; reading those needs: pip install 'livematte[heic]'."
        raise SourceError(f"{name} is not a picture that can be read ({len(data)} bytes).{hint}") from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise SourceError(f"{name} has too many pixels; at most {most:,} are read. Make it smaller first.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{name} is damaged or cannot be read as a picture: {error}.") from error
    return _widened(still, data, int(orientation))


def register_heif() -> bool:
    """Let Pillow read HEIC where `pillow-heif` is installed; False where it is not."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def from_pil(image: Image.Image, *, remark: Callable[[str], None] = lambda _: None) -> Still:
    """A still from a PIL picture: upright by its EXIF orientation, RGB, its own alpha split off."""
    exif = image.getexif()
    icc = image.info.get("icc_profile")
    upright = ImageOps.exif_transpose(image)
    has_alpha = "A" in upright.getbands() or "transparency" in upright.info
    if upright.mode.startswith("I;16") or upright.mode in ("I", "F"):
        upright = _grey_of_many_bits(upright)
    if upright.mode == "CMYK":
        remark("its CMYK colours are converted to sRGB by the simple rule, and its profile is dropped.")
    converted = upright.convert("RGBA" if has_alpha else "RGB")
    array = np.asarray(converted)
    alpha = np.ascontiguousarray(array[..., 3]) if has_alpha else None
    if alpha is not None and int(alpha.min()) == 255:
        alpha = None
    kept = icc if isinstance(icc, bytes) and icc[16:20] == b"RGB " else None
    return Still(np.ascontiguousarray(array[..., :3]), alpha, kept, _clean_exif(exif))


def _grey_of_many_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits (or 32, or floats) as 8 bits: Pillow's own conversion clips instead of scaling."""
    values = np.asarray(image).astype(np.float64)
    top = 1.0 if values.max() <= 1.0 else (255.0 if values.max() <= 255.0 and image.mode == "F" else 65535.0)
    return Image.fromarray(np.rint(np.clip(values / top, 0, 1) * 255).astype(np.uint8))


def _clean_exif(exif: Image.Exif) -> Image.Exif | None:
    """A copy with what describes the picture, and no more; the position is still in it."""
    kept = Image.Exif()
    for tag, value in exif.items():
        if tag in _DESCRIPTION:
            kept[tag] = value
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        content = {tag: value for tag, value in exif.get_ifd(ifd).items() if tag != MAKER_NOTE}
        if content:
            kept.get_ifd(ifd).update(content)
    return kept if len(kept) or any(kept.get_ifd(ifd) for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)) else None


def without_position(exif: Image.Exif | None) -> Image.Exif | None:
    """The same EXIF without GPS."""
    if exif is None or not exif.get_ifd(ExifTags.IFD.GPSInfo):
        return exif
    kept = Image.Exif()
    for tag, value in exif.items():
        if tag not in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            kept[tag] = value
    content = dict(exif.get_ifd(ExifTags.IFD.Exif))
    if content:
        kept.get_ifd(ExifTags.IFD.Exif).update(content)
    return kept


def _widened(still: Still, data: bytes, orientation: int) -> Still:
    """The same still with 16 bits a channel where the file has them (Note [Sixteen bits])."""
    is_png16 = data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 25 and data[24] == 16
    if not is_png16 and data[:4] not in (b"II*\x00", b"MM\x00*"):
        return still
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16:
        return still
    wide = cast(npt.NDArray[np.uint16], decoded)
    if wide.ndim == 2:
        wide = np.repeat(wide[..., None], 3, axis=2)
    if wide.shape[2] not in (3, 4):
        return still
    turned = _turn(wide, orientation)
    still.pixels = np.ascontiguousarray(turned[..., 2::-1])
    still.alpha = np.ascontiguousarray(turned[..., 3]) if wide.shape[2] == 4 else None
    return still


def _turn(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """EXIF orientations 1 to 8 as flips and transposes."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def to_frame(still: Still, *, index: int = 0, seconds: Fraction | None = None) -> Frame:
    """A frame in `gbrp` (or `gbrp16le`): the picture's own numbers, without a way through YUV."""
    height, width = still.pixels.shape[:2]
    picture = new_picture("gbrp16le" if still.is_wide else "gbrp", width, height)
    for plane, channel in zip(plane_arrays(picture), (1, 2, 0), strict=True):
        plane[...] = still.pixels[..., channel]
    time_base = Fraction(1, 90000)
    pts = index if seconds is None else round(seconds / time_base)
    return Frame(picture, Timestamp(pts, time_base), None, index, RGB, still.alpha)


def info_of(frame: Frame, name: str = "picture") -> StreamInfo:
    """A stream of one picture."""
    pix_fmt = frame.host_picture().format.name
    return StreamInfo(
        name=name,
        width=frame.width,
        height=frame.height,
        pix_fmt=pix_fmt,
        color=frame.color,
        time_base=frame.time.time_base,
        frame_rate=None,
        bits=16 if pix_fmt == "gbrp16le" else 8,
        has_alpha=frame.alpha is not None,
    )


def to_pixels(picture: av.VideoFrame) -> PixelArray:
    """(h, w, 3) RGB from a picture in `gbrp` or `gbrp16le`."""
    green, blue, red = plane_arrays(picture)
    return cast(PixelArray, np.ascontiguousarray(np.dstack((red, green, blue))))


def to_rgba(pixels: PixelArray, alpha: AlphaArray) -> PixelArray:
    """(h, w, 4) of one dtype; alpha is brought to the pixels' own scale."""
    own = alpha_to_bits(alpha, 8 * pixels.dtype.itemsize)
    return cast(PixelArray, np.dstack((pixels, own)))


class StillMatting:
    """Mattes single pictures, each without a past; used by one thread.

    The same matting as for clips (`HostMatting`), so the edge controls and the cleaned colours are the same too;
    smoothing is off. A recurrent network is warmed on each picture.
    """

    def __init__(
        self, loaded: LoadedModel, settings: MattingSettings, *, wants_foreground: bool, reporter: Reporter
    ) -> None:
        """The loaded network stays the caller's. UsageError: settings that cannot be."""
        self._loaded = loaded
        self._settings = settings.model_copy(update={"smooth": "off"})
        self._wants_foreground = wants_foreground
        self._reporter = reporter
        self._by_depth: dict[bool, HostMatting] = {}
        self._sizes: dict[bool, tuple[int, int]] = {}

    def __call__(self, frame: Frame) -> MattedFrame:
        """The frame with its matte: uint16 alpha for 16-bit pictures, else uint8."""
        is_wide = layout(frame.host_picture().format.name).bits > 8
        size = frame.width, frame.height
        matting = self._by_depth.get(is_wide)
        if matting is not None and self._settings.region is not None and self._sizes[is_wide] != size:
            matting.close()  # a region in px belongs to one size of picture
            del self._by_depth[is_wide]
            matting = None
        self._sizes[is_wide] = size
        if matting is None:
            matting = self._by_depth[is_wide] = HostMatting(
                Session(self._loaded, is_file=True),
                self._settings,
                info=info_of(frame),
                wide_alpha=is_wide,
                wants_foreground=self._wants_foreground,
                reporter=self._reporter,
                second=second_sessions(self._loaded, is_file=True),
            )
        matting.reset()
        return matting.push([frame])[0]

    def close(self) -> None:
        """Give the buffers back."""
        for matting in self._by_depth.values():
            matting.close()
        self._by_depth.clear()
