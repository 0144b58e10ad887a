"""What every sink of matted frames owes the pipeline."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

from livematte.frames import AudioPacket, Composite, MattedFrame, StreamInfo

Wants: TypeAlias = Literal["straight", "alpha", "composite"]
"""straight: alpha and the cleaned foreground; alpha: alpha alone; composite: an opaque picture."""


class Sink(Protocol):
    """Takes frames in order, on a thread of its own.

    The pipeline calls `open` once, `write` for each item, then either `close` or `abort`, exactly once and
    nothing after. Every exception is a `LivematteError` (`SinkError` for what the file system says).
    """

    @property
    def name(self) -> str:
        """The target as it was given: for messages, statistics and the summary (`clip.mov`, `null`, `-`)."""

    @property
    def wants(self) -> Wants: ...

    @property
    def wants_audio(self) -> bool:
        """False: audio packets are not handed over."""

    @property
    def alpha_bits(self) -> int:
        """Bits of alpha that the sink carries; where one sink of a run carries more than 8, its alpha is uint16."""

    @property
    def drops(self) -> bool:
        """True: when it is behind, its oldest frame is dropped and counted. False: the pipeline waits for it."""

    @property
    def encoder(self) -> str:
        """For the status line: `ProRes 4444 (prores_ks)`, `VP9 (libvpx-vp9)`."""

    @property
    def bytes_written(self) -> int:
        """Bytes that the encoder has given out so far, at the end the output's size; 0 for sinks that write nothing."""

    def open(self, info: StreamInfo) -> None:
        """Get ready for pictures such as `info` describes. Writes under a `.part` name where it writes a file."""

    def write(self, item: MattedFrame | Composite | AudioPacket) -> None:
        """Take one item: what `wants` names, or an audio packet where `wants_audio`. Items are shared: not changed."""

    def close(self) -> None:
        """Finish: flush, write the trailer, decode back what must be checked, rename to the final name."""

    def abort(self, *, keep: bool) -> None:
        """Stop early. keep: finish what is there, playable, under its `.part` name; else remove it. Never raises."""
