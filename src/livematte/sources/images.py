"""Image folders, `%04d` patterns and single pictures as a `Source`: exact times, EXIF turned upright, 16 bits kept.

Note [Reading pictures]
    FFmpeg reads them, because it gives a JPEG's own YUV planes and a PNG's 16 bits as they are; Pillow reads the
    orientation (EXIF), and whole pictures where FFmpeg cannot: HEIC and AVIF, CMYK, and files whose name lies
    about their format. The suffix does not matter to Pillow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import av.error
import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError

from livematte.config import InputSettings
from livematte.errors import SourceError
from livematte.frames import AudioPacket, Frame, StreamInfo, Timestamp
from livematte.reporting import Once, Reporter
from livematte.sources.ffmpeg_errors import reason
from livematte.sources.inputs import PICTURE_SUFFIXES, natural_key
from livematte.sources.orientation import EXIF, Orientation
from livematte.sources.pictures import PictureChain, Tags
from livematte.sources.timing import Window, parse_rate

DEFAULT_RATE: Final = Fraction(24)
_PATTERN: Final = re.compile(r"%0?(\d*)d")
_ORIENTATION_TAG: Final = 0x0112
_PILLOW_SUFFIXES: Final = frozenset((".heic", ".heif", ".avif", ".hdr"))
_PILLOW_ONLY_MODES: Final = frozenset(("CMYK", "YCCK", "LAB", "HSV"))
_Unreadable = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A picture as its file has it."""

    picture: av.VideoFrame
    orientation: Orientation
    decoder: str


class ImageSource:
    """A list of picture files as a clip. A file that cannot be read is skipped, counted, and leaves its time empty."""

    is_live = False

    def __init__(
        self, files: list[Path], name: str, settings: InputSettings, *, reporter: Reporter, is_single: bool = False
    ) -> None:
        self.name = name
        self.damaged = 0
        self._say = Once(reporter)
        self._closed = False
        self._rate = parse_rate(settings.rate) if settings.rate is not None else DEFAULT_RATE
        window = Window.from_settings(settings)
        self._files = [file for i, file in enumerate(files) if window.holds(i / self._rate)]
        if not self._files:
            raise SourceError(
                f"'{name}' has no pictures between --start and --end: {len(files)} pictures at "
                f"{float(self._rate):g} a second last {float(len(files) / self._rate):.2f} s."
            )
        first = self._first_readable()
        self.decoder = first.decoder
        self._chain = PictureChain(
            first.picture, orientation=first.orientation, size=settings.size, tags=Tags(), reporter=self._say
        )
        if settings.rate is None and not is_single:
            self._say.note(f"the pictures are taken to come at {float(self._rate):g} a second; --rate changes it.")
        chain = self._chain
        self.info = StreamInfo(
            name=name,
            width=chain.width,
            height=chain.height,
            pix_fmt=chain.pix_fmt,
            color=chain.color,
            time_base=1 / self._rate,
            frame_rate=self._rate,
            bits=chain.layout.bits,
            duration_seconds=float(len(self._files) / self._rate),
            frame_count=len(self._files),
            has_alpha=chain.has_alpha,
            source_size=chain.upright_size,
        )

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        index = 0
        for number, file in enumerate(self._files):
            if self._closed:
                return
            try:
                stored = _read(file)
            except SourceError as error:
                self.damaged += 1
                self._say.warn(f"{error} It is left out.")
                continue
            self._chain.orientation = self._same_turn(stored.orientation)
            picture, alpha, color = self._chain(stored.picture)
            yield Frame(picture, Timestamp(number, self.info.time_base), 1, index, color, alpha)
            index += 1

    def close(self) -> None:
        self._closed = True

    def _first_readable(self) -> _Stored:
        """The first picture that can be read sets format and size; SourceError where there is none."""
        first_error: SourceError | None = None
        for file in self._files:
            try:
                return _read(file)
            except SourceError as error:
                first_error = first_error or error
        assert first_error is not None
        raise first_error

    def _same_turn(self, orientation: Orientation) -> Orientation:
        """Each picture is turned by its own EXIF tag; one that says otherwise than the first is worth a word."""
        if orientation != self._chain.orientation:
            self._say.note("the pictures are not all stored the same way up; each is turned by its own EXIF tag.")
        return orientation


def open_images(spec: str, settings: InputSettings, *, reporter: Reporter) -> ImageSource:
    """A folder (its pictures in natural order), a `%04d` pattern (gaps are said), or one picture file."""
    path = Path(spec)
    if path.is_dir():
        files = sorted(
            (p for p in path.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith(".")),
            key=natural_key,
        )
        if not files:
            raise SourceError(f"the folder '{spec}' holds no pictures that are known by their suffix.")
        return ImageSource(files, path.resolve().name, settings, reporter=reporter)
    if _PATTERN.search(path.name) and not path.exists():
        return ImageSource(_matching(path, reporter), path.name, settings, reporter=reporter)
    if not path.is_file():
        raise SourceError(f"there is no file '{spec}'. Check the spelling and the folder.")
    return ImageSource([path], path.name, settings, reporter=reporter, is_single=True)


def _matching(pattern: Path, reporter: Reporter) -> list[Path]:
    """The files that a `%04d` pattern names, by their numbers."""
    found = _PATTERN.search(pattern.name)
    assert found is not None
    before, after = pattern.name[: found.start()], pattern.name[found.end() :]
    digits = rf"(\d{{{found[1]},}})" if found[1] else r"(\d+)"
    wanted = re.compile(re.escape(before) + digits + re.escape(after))
    try:
        names = [(wanted.fullmatch(path.name), path) for path in pattern.parent.iterdir()]
    except OSError as error:
        raise SourceError(f"the folder of '{pattern}' cannot be read: {reason(error)}.") from error
    numbered = sorted((int(match[1]), path) for match, path in names if match is not None)
    if not numbered:
        raise SourceError(f"no file matches '{pattern}'. Check the folder, the name and the number of digits.")
    missing = numbered[-1][0] - numbered[0][0] + 1 - len(numbered)
    if missing > 0:
        reporter.warn(f"'{pattern.name}' has {missing} gaps in its numbers; the pictures are joined without them.")
    return [path for _, path in numbered]


def _read(file: Path) -> _Stored:
    """One picture file (Note [Reading pictures]); SourceError with the reason."""
    orientation, mode = _look(file)
    if file.suffix.lower() not in _PILLOW_SUFFIXES and mode not in _PILLOW_ONLY_MODES:
        try:
            return _read_with_ffmpeg(file, orientation)
        except (av.error.FFmpegError, OSError, ValueError, LookupError) as error:
            if mode is None:
                raise SourceError(f"'{file.name}' cannot be read as a picture: {reason(error)}.") from error
    return _read_with_pillow(file)


def _look(file: Path) -> tuple[Orientation, str | None]:
    """(orientation, Pillow's mode) from the header; identity and None where Pillow does not know the format."""
    if file.suffix.lower() in (".heic", ".heif"):
        _register_heif()
    try:
        with Image.open(file) as image:
            tag = image.getexif().get(_ORIENTATION_TAG, 1)
            return EXIF.get(int(tag), EXIF[1]), image.mode
    except FileNotFoundError:
        raise SourceError(f"there is no file '{file}'. Check the spelling and the folder.") from None
    except UnidentifiedImageError:
        return EXIF[1], None
    except (*_Unreadable, TypeError):
        return EXIF[1], None


def _read_with_ffmpeg(file: Path, orientation: Orientation) -> _Stored:
    with av.open(f"file:{file}", format="image2", options={"pattern_type": "none"}) as container:
        stream = container.streams.video[0]
        picture = next(container.decode(stream))
        if not 0 < picture.width <= 65535 or not 0 < picture.height <= 65535:
            raise ValueError(f"its size is {picture.width}x{picture.height}")
        return _Stored(picture, orientation, stream.codec_context.name)


def _read_with_pillow(file: Path) -> _Stored:
    try:
        with Image.open(file) as image:
            image.load()
            orientation = EXIF.get(int(image.getexif().get(_ORIENTATION_TAG, 1)), EXIF[1])
            has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            pixels = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
            decoder = f"{(image.format or file.suffix[1:]).lower()} (Pillow {PIL.__version__})"
    except _Unreadable as error:
        hint = " HEIC needs: pip install 'livematte[heic]'." if file.suffix.lower() in (".heic", ".heif") else ""
        raise SourceError(f"'{file.name}' cannot be read as a picture: {reason(error)}.{hint}") from error
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgba" if has_alpha else "rgb24")
    return _Stored(picture, orientation, decoder)


def _register_heif() -> None:
    """Teach Pillow HEIC where the extra is installed; without it the file's error names the extra."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()
