"""Video files: encoded under `clip.part.mov`, decoded back, and only then given their final name."""

from __future__ import annotations

import os
from pathlib import Path

import av

from livematte.errors import SinkError
from livematte.frames import AlphaArray, Frame, StreamInfo
from livematte.reporting import Reporter
from livematte.sinks.encoded import EncodedSink
from livematte.sinks.encodings import Encoding
from livematte.sinks.faults import check_file, explain, explained
from livematte.sinks.verify import Witness, verify_file


class VideoFileSink(EncodedSink):
    """MOV, WebM, MKV, MP4, and NUT or raw video in a file."""

    def __init__(self, target: str, encoding: Encoding, *, wants_audio: bool, reporter: Reporter) -> None:
        super().__init__(target, encoding, wants_audio=wants_audio, reporter=reporter)
        self.path = Path(target)
        self.part = part_path(self.path)
        """Where the file lies until it is whole."""
        self._witness = Witness()
        self._size_at_end: int | None = None

    def open(self, info: StreamInfo) -> None:
        """See `Sink.open`."""
        with explained(self.name):
            check_file(str(self.path))
            if self.part.exists():
                self._reporter.note(f"{self.part.name} is left over from a run that was stopped; it is replaced.")
                self.part.unlink()
            try:
                self._start(str(self.part), info)
            except BaseException:
                self.remove()
                raise

    @property
    def bytes_written(self) -> int:
        """See `Sink.bytes_written`."""
        if self._size_at_end is not None:
            return self._size_at_end
        encoded = self._writer.bytes_encoded if self._writer is not None else 0
        try:
            return max(encoded, self.part.stat().st_size)
        except OSError:
            return encoded

    def _before_encode(self, frame: Frame, packed: av.VideoFrame, alpha: AlphaArray | None) -> None:
        self._witness.see(frame.time.seconds, alpha)

    def close(self) -> None:
        """See `Sink.close`."""
        self.complete()
        self.settle()

    def complete(self) -> None:
        """The first half of `close`: the file is whole and checked under its `.part` name. On an error it is gone."""
        try:
            with explained(self.name):
                if not self.frames:
                    raise SinkError(f"no picture arrived for {self.name}, so no file was written.")
                self._opened().finish()
                self._check()
                self._size_at_end = self.part.stat().st_size
        except BaseException:
            self.remove()
            raise

    def settle(self) -> None:
        """Give the file its name. Where that fails (on Windows a player may hold the old one), nothing is deleted."""
        try:
            os.replace(self.part, self.path)
        except OSError as error:
            raise SinkError(
                f"{explain(self.name, error)} What was to be written is whole and checked, and lies in {self.part}: "
                f"close the program that may be using {self.path.name}, and rename it."
            ) from error

    def _check(self) -> None:
        """Decode back what must be right before the file gets its name."""
        if self.encoding.format.name == "rawvideo":
            self._reporter.note("Raw video cannot be checked by reading it back: it does not say what it holds.")
            return
        error = verify_file(str(self.part), self.name, self.encoding, self._witness)
        if error is not None:
            self._reporter.note(f"{self.name}: {error}.")

    def abort(self, *, keep: bool) -> None:
        """See `Sink.abort`."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if not keep or not self.frames:
            writer.discard()
            self.remove()
            return
        try:
            writer.finish()
        except (OSError, av.error.FFmpegError, ValueError) as error:
            self._reporter.warn(f"{self.part.name} could not be finished ({error}); it may not play to its end.")

    def remove(self) -> None:
        """Close and delete what was written; an error here would hide the one that led to it."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.discard()
        try:
            self.part.unlink(missing_ok=True)
        except OSError as error:
            self._reporter.warn(f"{self.part} could not be deleted ({error}).")


def part_path(path: Path) -> Path:
    """`clip.mov` -> `clip.part.mov`: scratch until the file is whole, with a suffix that players still know."""
    return path.with_name(f"{path.stem}.part{path.suffix}")
