"""Animated pictures, APNG and WebP: one file, written under `clip.part.webp`, decoded back before it gets its name."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction

import av
from PIL import Image

from livematte.errors import SinkError
from livematte.frames import AlphaArray, Frame, StreamInfo
from livematte.planes import alpha_from_bits
from livematte.reporting import Reporter
from livematte.sinks import animated_apng, animated_webp
from livematte.sinks.animated_time import Steps, nominal_seconds
from livematte.sinks.container import encoder_threads
from livematte.sinks.encoded import PictureWriter
from livematte.sinks.encodings import Encoding
from livematte.sinks.verify import alpha_of, compare
from livematte.sinks.video import VideoFileSink

ReadAlpha = Callable[[int, bool], AlphaArray]
"""(number of a picture, wide) -> its alpha as it lies in the file."""


class AnimatedFileSink(VideoFileSink):
    """APNG and animated WebP; the first picture is at 0, sound is left out."""

    def __init__(self, target: str, encoding: Encoding, *, loop_count: int, reporter: Reporter) -> None:
        """`loop_count`: how often it plays; 0 is without end."""
        super().__init__(target, encoding, wants_audio=False, reporter=reporter)
        self._loop_count = loop_count

    def _open_writer(self, path: str, info: StreamInfo, size: tuple[int, int]) -> PictureWriter:
        steps = Steps(nominal_seconds(info), reporter=self._reporter)
        if self.encoding.format.name == "apng":
            return animated_apng.ApngWriter(path, self.encoding, size=size, steps=steps, loop_count=self._loop_count)
        return animated_webp.WebpWriter(
            path, self.encoding, size=size, steps=steps, loop_count=self._loop_count, threads=encoder_threads()
        )

    def _before_encode(self, frame: Frame, packed: av.VideoFrame, alpha: AlphaArray | None) -> None:
        self._witness.see(Fraction(self.frames), alpha)

    def _check(self) -> None:
        """Walk the whole file, and decode three pictures of it again (`verify.py`, Note [Verification])."""
        try:
            read = self._reader()
            wanted = self._witness.frames()
            pairs = [(one.alpha, read(int(one.seconds), one.alpha.dtype == "uint16")) for one in wanted]
            if not pairs:
                read(self.frames - 1, False)
        except (
            OSError,
            av.error.FFmpegError,
            ValueError,
            StopIteration,
            struct.error,
            Image.DecompressionBombError,
        ) as error:
            raise self._unreadable(str(error)) from error
        if pairs:
            self._reporter.note(f"{self.name}: {compare(self.name, self.encoding, pairs)}.")

    def _reader(self) -> ReadAlpha:
        """What reads a picture's alpha back. `SinkError` where the file does not hold what was written into it."""
        if self.encoding.format.name == "apng":
            apng = animated_apng.index_of(self.part)
            if not apng.is_whole or not len(apng.pictures) == apng.stated == self.frames:
                raise SinkError(f"it holds {len(apng.pictures)} pictures of {self.frames}")
            return lambda number, wide: alpha_of(
                animated_apng.picture_at(self.part, apng, number), self.encoding, wide=wide
            )
        webp = animated_webp.index_of(self.part)
        if not webp.is_whole or len(webp.pictures) != self.frames:
            raise SinkError(f"it holds {len(webp.pictures)} pictures of {self.frames}")
        channel = 0 if self.encoding.content == "alpha" else 3
        return lambda number, wide: alpha_from_bits(
            animated_webp.picture_at(self.part, webp, number)[..., channel], 8, wide=wide
        )

    def _unreadable(self, why: str) -> SinkError:
        return SinkError(
            f"{self.name} was written, but cannot be decoded again ({why.rstrip('.')}), so it was not kept. The disk "
            "may be full or failing; try another place with -o or another format, and 'livematte doctor'."
        )
