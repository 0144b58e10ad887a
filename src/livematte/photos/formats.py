"""Writing stills: PNG, WebP, TIFF and AVIF with alpha, JPEG without; each alpha decoded back before it counts."""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, features

from livematte.errors import AlphaLost, SinkError, UsageError
from livematte.photos.stills import PixelArray, read_still

_EXIF_PARTS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_LARGEST_MEAN_ERROR = 8.0
"""Of 255: a decoded alpha that is further off on average is lost, not compressed."""


@dataclass(frozen=True, slots=True)
class StillFormat:
    """One kind of file."""

    name: str
    suffixes: tuple[str, ...]
    pillow: str
    has_alpha: bool
    options: dict[str, Any]
    """For Pillow's encoder."""


FORMATS = {
    one.name: one
    for one in (
        # zlib 6 on photos: a tenth larger than 9 in a third of the time.
        StillFormat("png", (".png",), "PNG", True, {"compress_level": 6}),
        StillFormat("webp", (".webp",), "WEBP", True, {"quality": 92, "alpha_quality": 100, "method": 4}),
        StillFormat("tiff", (".tif", ".tiff"), "TIFF", True, {"compression": "tiff_adobe_deflate"}),
        StillFormat("avif", (".avif",), "AVIF", True, {"quality": 85}),
        StillFormat("jpeg", (".jpg", ".jpeg"), "JPEG", False, {"quality": 92, "subsampling": 0}),
    )
}
"""Every format by the name that `--format` takes."""


@dataclass(frozen=True, slots=True)
class StillImage:
    """What is written."""

    pixels: PixelArray
    """(h, w, 3) RGB, (h, w, 4) RGBA or (h, w) grey; uint8 or uint16."""
    icc_profile: bytes | None = None
    exif: Image.Exif | None = None


def format_named(name: str) -> StillFormat:
    """By `--format`: a name or a suffix. UsageError lists them."""
    wanted = name.lower().lstrip(".")
    for one in FORMATS.values():
        if wanted == one.name or f".{wanted}" in one.suffixes:
            return one
    raise UsageError(f"there is no picture format '{name}'; there are {', '.join(FORMATS)}.")


def format_of(path: Path, otherwise: StillFormat | None = None) -> StillFormat:
    """By a file's name; `otherwise` where it has no suffix that is known. UsageError lists the suffixes."""
    for one in FORMATS.values():
        if path.suffix.lower() in one.suffixes:
            return one
    if otherwise is not None:
        return otherwise
    known = ", ".join(suffix for one in FORMATS.values() for suffix in one.suffixes)
    raise UsageError(f"'{path.name}' has no suffix of a picture that can be written; there are {known}.")


def check_available(kind: StillFormat) -> None:
    """SinkError where this Pillow was built without the encoder."""
    feature = {"webp": "webp", "avif": "avif", "jpeg": "jpg"}.get(kind.name)
    if feature is not None and not features.check(feature):
        raise SinkError(
            f"this Pillow was built without {kind.name.upper()}, so it cannot be written. Choose --format png, or "
            "reinstall Pillow: pip install --force-reinstall Pillow"
        )


def encode(image: StillImage, kind: StillFormat) -> bytes:
    """The file's bytes. Alpha is decoded back: AlphaLost where it did not survive. SinkError: the encoder failed."""
    check_available(kind)
    has_alpha = image.pixels.ndim == 3 and image.pixels.shape[2] == 4
    if has_alpha and not kind.has_alpha:
        raise UsageError(
            f"{kind.name.upper()} has no transparency. Give --background with it, or write PNG, WebP, TIFF or AVIF."
        )
    try:
        is_wide_png = image.pixels.dtype == np.uint16 and kind.name == "png"
        data = _png16(image) if is_wide_png else _through_pillow(image, kind)
    except (OSError, ValueError, SystemError) as error:
        raise SinkError(f"{kind.name.upper()} cannot hold this picture: {error}. Choose --format png.") from error
    if has_alpha:
        _check_alpha(image.pixels[..., 3], data, kind)
    return data


def _through_pillow(image: StillImage, kind: StillFormat) -> bytes:
    pixels = image.pixels if image.pixels.dtype == np.uint8 else ((image.pixels.astype(np.uint32) + 128) // 257)
    picture = Image.fromarray(np.ascontiguousarray(pixels.astype(np.uint8, copy=False)))
    extras: dict[str, Any] = {}
    # An RGB profile does not describe a grey picture: a matte is linear coverage and goes without.
    if image.icc_profile is not None and pixels.ndim == 3:
        extras["icc_profile"] = image.icc_profile
    if image.exif is not None:
        extras["exif"] = image.exif.tobytes()
        if kind.name == "tiff" and any(image.exif.get_ifd(part) for part in _EXIF_PARTS):
            # Pillow hands compressed TIFF to libtiff, which refuses the parts of EXIF that hold camera and position.
            extras["compression"] = None
    buffer = io.BytesIO()
    picture.save(buffer, kind.pillow, **{**kind.options, **extras})
    return buffer.getvalue()


def _png16(image: StillImage) -> bytes:
    """A PNG of 16 bits a channel, with profile and EXIF as chunks (`stills.py`, Note [Sixteen bits])."""
    pixels: npt.NDArray[Any] = image.pixels
    if pixels.ndim == 3:
        order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
        pixels = cv2.cvtColor(pixels, order)
    done, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    if not done:
        raise ValueError("the PNG encoder refused it")
    data = encoded.tobytes()
    chunks = b""
    if image.icc_profile is not None and image.pixels.ndim == 3:
        chunks += _chunk(b"iCCP", b"ICC\0\0" + zlib.compress(image.icc_profile))
    if image.exif is not None:
        chunks += _chunk(b"eXIf", image.exif.tobytes().removeprefix(b"Exif\0\0"))
    after_header = 8 + 4 + 4 + 13 + 4  # signature, then IHDR: length, type, 13 bytes, checksum
    return data[:after_header] + chunks + data[after_header:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return len(content).to_bytes(4, "big") + kind + content + checksum.to_bytes(4, "big")


def _check_alpha(alpha: npt.NDArray[Any], data: bytes, kind: StillFormat) -> None:
    decoded = read_still(data, f"the {kind.name.upper()} just written")
    shape = alpha.shape
    back: npt.NDArray[Any] = np.full(shape, 255, np.uint8) if decoded.alpha is None else decoded.alpha
    meant, got = (one.astype(np.float32) * (255.0 / np.iinfo(one.dtype).max) for one in (alpha, back))
    if back.shape != shape or float(np.abs(meant - got).mean()) > _LARGEST_MEAN_ERROR:
        raise AlphaLost(
            f"the {kind.name.upper()} encoder of this machine did not keep the transparency: what it wrote decodes "
            "with another alpha. Nothing was written; choose --format png."
        )
