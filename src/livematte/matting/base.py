"""The one outer protocol of matting: frames in, matted frames out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from livematte.frames import Frame, MattedFrame


class Matting(Protocol):
    """Turns frames into matted frames, in order, each with its own matte. Used by one thread."""

    @property
    def delay_frames(self) -> int:
        """How many frames it holds back before the first comes out (OFD: 1)."""

    def push(self, frames: Sequence[Frame]) -> list[MattedFrame]:
        """Take frames; give back those whose mattes are now final, oldest first (maybe none)."""

    def flush(self) -> list[MattedFrame]:
        """The end of the source: everything that is still held back."""

    def reset(self) -> None:
        """Forget the past (a seek, a scene cut, a size change), after giving out or dropping what was held back."""

    def close(self) -> None:
        """Give back buffers and threads. Called once."""
