"""PNG sequences: `name/0000.png`, or a pattern such as `shots/frame_%05d.png`.

Pictures are written into a scratch folder (`part_folder`) and moved to their place when the sequence is whole and
three of them have been decoded again. FFmpeg's PNG encoder is used with a thread a core: 16 ms a 720p picture where
OpenCV's takes 34 for the same size of file, and it writes the colour tags.
"""

from __future__ import annotations

import os
import re
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from livematte.errors import SinkError
from livematte.frames import AlphaArray, AudioPacket, Composite, MattedFrame, StreamInfo
from livematte.reporting import Once, Reporter
from livematte.sinks.container import encoder_threads
from livematte.sinks.encoded import parts
from livematte.sinks.encodings import Encoding
from livematte.sinks.faults import check_folder, explain, explained
from livematte.sinks.formats import is_pattern
from livematte.sinks.pixels import Packer
from livematte.sinks.tags import tag
from livematte.sinks.verify import Witness, alpha_of, compare

_DEFAULT_STEM = "%04d"


class ImageSequenceSink:
    """One PNG file a frame, numbered from 0."""

    drops = False
    wants_audio = False

    def __init__(self, target: str, encoding: Encoding, *, reporter: Reporter) -> None:
        self.folder, self.pattern = split_target(target, ending=encoding.format.suffixes[0])
        self.name = target
        self.part = part_folder(target)
        self.encoding = encoding
        self.wants = encoding.wants
        self.alpha_bits = encoding.alpha_bits
        self.encoder = encoding.label
        self.frames = 0
        self.bytes_written = 0
        self._reporter = Once(reporter)
        self._packer: Packer | None = None
        self._codec: Any = None
        self._written = 0
        self._witness = Witness()

    def open(self, info: StreamInfo) -> None:
        """See `Sink.open`."""
        with explained(self.name):
            check_folder(str(self.part))
            if self.part.exists():
                self._reporter.note(f"{self.part.name} is left over from a run that was stopped; it is replaced.")
                shutil.rmtree(self.part)
            self.part.mkdir()
            for note in self.encoding.notes:
                self._reporter.note(note)
            self._start(info)

    def _start(self, info: StreamInfo) -> None:
        """Get the encoder ready."""
        threads = encoder_threads()
        self._packer = Packer(self.encoding, info.width, info.height, reporter=self._reporter, held=threads)
        codec: Any = av.CodecContext.create(self.encoding.codec, "w")
        codec.width, codec.height = self._packer.size
        codec.pix_fmt = self.encoding.pix_fmt
        codec.time_base = Fraction(1, 25)
        codec.options = dict(self.encoding.options)
        codec.thread_count, codec.thread_type = threads, "FRAME"
        tag(codec, self.encoding.color)
        self._codec = codec

    def write(self, item: MattedFrame | Composite | AudioPacket) -> None:
        """See `Sink.write`."""
        if isinstance(item, AudioPacket):
            return
        if self._packer is None:
            raise SinkError(f"{self.name} was written to before it was opened.")
        with explained(self.name):
            frame, picture, alpha = parts(item, self.encoding)
            alpha = self._packer.fit_alpha(alpha)
            packed = self._packer.pack(picture, frame.color, alpha)
            self._witness.see(Fraction(self.frames), alpha)
            packed.pts, packed.time_base = self.frames, Fraction(1, 25)
            self.frames += 1
            self._save(self._codec.encode(packed))

    def _save(self, packets: list[Any]) -> None:
        for packet in packets:
            self.bytes_written += (self.part / (self.pattern % self._written)).write_bytes(packet)
            self._written += 1

    def close(self) -> None:
        """See `Sink.close`."""
        try:
            with explained(self.name):
                if not self.frames:
                    raise SinkError(f"no picture arrived for {self.name}, so nothing was written.")
                self._finish()
                self._check()
        except BaseException:
            self._remove()
            raise
        try:
            self._settle()
        except OSError as error:
            raise SinkError(
                f"{explain(self.name, error)} The pictures are whole and checked; those that could not be moved lie "
                f"in {self.part}: close the program that may be using {self.folder.name}, and move them."
            ) from error

    def _finish(self) -> None:
        codec, self._codec = self._codec, None
        if codec is not None and self.frames:
            self._save(codec.encode(None))

    def _check(self) -> None:
        """The first, the last and the most-edged picture are decoded again (`verify.py`, Note [Verification])."""
        pairs: list[tuple[AlphaArray, AlphaArray]] = []
        for meant in self._witness.frames():
            wide = meant.alpha.dtype == "uint16"
            pairs.append((meant.alpha, self._alpha_in(self.part / (self.pattern % int(meant.seconds)), wide=wide)))
        if not pairs and self._written:
            self._alpha_in(self.part / (self.pattern % (self._written - 1)), wide=False)
        if pairs:
            self._reporter.note(f"{self.name}: {compare(self.name, self.encoding, pairs)}.")

    def _alpha_in(self, path: Path, *, wide: bool) -> AlphaArray:
        """The alpha that a written picture carries. `SinkError` where it cannot be read."""
        return alpha_of(_read(path), self.encoding, wide=wide)

    def _settle(self) -> None:
        """Give the pictures their place: the whole folder where there was none, else one by one."""
        if not self.folder.exists():
            os.replace(self.part, self.folder)
            return
        stale = re.compile(re.sub(r"%0?\d*d", r"\\d+", re.escape(self.pattern).replace(r"\%", "%")))
        made = {entry.name for entry in self.part.iterdir()}
        for entry in list(self.folder.iterdir()):
            if stale.fullmatch(entry.name) and entry.name not in made:
                entry.unlink()
        for entry in sorted(self.part.iterdir()):
            os.replace(entry, self.folder / entry.name)
        self.part.rmdir()

    def abort(self, *, keep: bool) -> None:
        """See `Sink.abort`."""
        try:
            if keep and self.frames:
                self._finish()
                self._reporter.note(f"{self._written} pictures are kept in {self.part}.")
                return
        except (OSError, av.error.FFmpegError, ValueError) as error:
            self._reporter.warn(f"the last pictures of {self.part.name} could not be written ({error}).")
            return
        self._remove()

    def _remove(self) -> None:
        self._codec = None
        try:
            if self.part.exists():
                shutil.rmtree(self.part)
        except OSError as error:
            self._reporter.warn(f"{self.part} could not be deleted ({error}).")


def split_target(target: str, *, ending: str = ".png") -> tuple[Path, str]:
    """(folder, pattern) of a target: a pattern in its own folder, or a folder's name."""
    path = Path(target)
    return (path.parent, path.name) if is_pattern(target) else (path, f"{_DEFAULT_STEM}{ending}")


def part_folder(target: str) -> Path:
    """Scratch until all pictures are there: `shots/` -> `shots.part` beside it, or within it where it exists already.

    Within, because the folder around it may be another disk's, or not writable (`-o %04d.png` in one's home).
    """
    folder = split_target(target)[0]
    name = f"{folder.resolve().name or 'pictures'}.part"
    return folder / name if folder.is_dir() else folder.parent / name


def _read(path: Path) -> av.VideoFrame:
    try:
        with av.open(str(path)) as container:
            return next(container.decode(video=0))
    except (av.error.FFmpegError, OSError, StopIteration) as error:
        raise SinkError(
            f"{path.name} was written, but cannot be decoded again, so the pictures were not kept. The disk may be "
            "full or failing; try another place with -o."
        ) from error
