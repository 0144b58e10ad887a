"""What every source of pictures owes the pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from livematte.frames import AudioPacket, Frame, StreamInfo


class Source(Protocol):
    """Pictures in order, each with its own time, and the audio packets between them.

    Iterated once, by one thread. `info` is complete before the first frame. An exception out of the iterator is
    a `LivematteError`: `SourceError` where nothing can be read, `EndedEarly` where the source broke off. Damage in
    the middle is skipped and counted in `damaged`. A generator's exhaustion is the end of the source.
    """

    @property
    def name(self) -> str: ...

    @property
    def is_live(self) -> bool:
        """True for cameras and streams that do not wait: the pipeline then drops the oldest frame, else it waits."""

    @property
    def info(self) -> StreamInfo: ...

    @property
    def decoder(self) -> str:
        """For the status line: `h264 (software)`, `png`."""

    @property
    def damaged(self) -> int:
        """Frames skipped because they could not be decoded, so far."""

    def __iter__(self) -> Iterator[Frame | AudioPacket]: ...

    def close(self) -> None:
        """Give back files, devices and threads. Called exactly once, from any thread, also during iteration."""


class SourceAround:
    """What a source around another one hands through; it says itself how frames come (`__iter__`)."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def name(self) -> str:
        """See `Source.name`."""
        return self._source.name

    @property
    def is_live(self) -> bool:
        """See `Source.is_live`."""
        return self._source.is_live

    @property
    def info(self) -> StreamInfo:
        """See `Source.info`."""
        return self._source.info

    @property
    def decoder(self) -> str:
        """See `Source.decoder`."""
        return self._source.decoder

    @property
    def damaged(self) -> int:
        """See `Source.damaged`."""
        return self._source.damaged

    def close(self) -> None:
        """See `Source.close`."""
        self._source.close()
