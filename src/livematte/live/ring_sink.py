"""The worker's sink: writes into the ring what the outputs want, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from livematte.frames import AudioPacket, Composite, DevicePicture, Frame, MattedFrame, StreamInfo
from livematte.live.messages import Published, RingAt, RingWanted, Wanted
from livematte.live.ring import Ring, slot_bytes_for
from livematte.live.ring_slot import SlotPayload, before_size
from livematte.sinks.base import Wants


class RingLink(Protocol):
    """The way to the supervisor (`control_inbox.ControlInbox`)."""

    def ask_for_ring(self, wanted: RingWanted) -> None:
        """Send the question."""

    def wait_for_ring(self) -> RingAt:
        """The answer to the last question. `WorkerStopped` where the run is being stopped meanwhile."""

    def publish(self, published: Published) -> None: ...


@dataclass(slots=True)
class RingSink:
    """`sinks.base.Sink` over shared memory.

    Of the raw picture it writes the small `before` alone, and only where that is wanted: the straight part is the
    cleaned foreground and its alpha, and a frame without a cleaned foreground goes without a straight part.
    """

    link: RingLink
    wanted: Callable[[], Wanted]
    """What the outputs want now; asked for each frame."""
    generation: int
    camera: str
    engine: str

    name: str = "ring"
    wants: Wants = "composite"
    """A `Composite` carries the matted frame too; without a composite the frame comes as it is."""
    wants_audio: bool = False
    alpha_bits: int = 8
    drops: bool = False
    encoder: str = "shared memory"
    bytes_written: int = 0

    _info: StreamInfo | None = None
    _asked: tuple[StreamInfo, int] | None = None
    """Description and slot size that the last question was for."""
    _ring: Ring | None = field(default=None, repr=False)

    def ask(self, info: StreamInfo) -> None:
        """Ask for the ring early, so that outputs are opened while the network warms."""
        self._info = replace(info, audio=())
        size = slot_bytes_for(self._info, self.wanted(), alpha_bits=self.alpha_bits)
        self._asked = (self._info, size)
        self.link.ask_for_ring(RingWanted(self._info, size, self.camera, self.engine))

    def open(self, info: StreamInfo) -> None:
        """Wait for the ring. SinkError where it cannot be opened."""
        if self._asked is None or self._asked[0] != replace(info, audio=()):
            self.ask(info)
        self._attach()

    def write(self, item: MattedFrame | Composite | AudioPacket) -> None:
        """Write one frame into the next slot and tell the supervisor."""
        if isinstance(item, AudioPacket):
            return
        matted = item.matted if isinstance(item, Composite) else item
        wanted = self.wanted()
        self._renew_where_needed(matted.frame, wanted)
        assert self._ring is not None  # open() comes first
        payload = self._payload(matted, item if isinstance(item, Composite) else None, wanted)
        self.link.publish(self._ring.write(payload))

    def close(self) -> None:
        """Let go of the ring; the supervisor reads what is in it."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def abort(self, *, keep: bool) -> None:
        """See `close`."""
        self.close()

    def _renew_where_needed(self, frame: Frame, wanted: Wanted) -> None:
        """Another size or format, or parts that the slots have no room for: another ring."""
        assert self._info is not None
        assert self._asked is not None
        picture = frame.host_picture()
        shape = (picture.width, picture.height, picture.format.name)
        if shape != (self._info.width, self._info.height, self._info.pix_fmt):
            self.ask(replace(self._info, width=shape[0], height=shape[1], pix_fmt=shape[2], color=frame.color))
            self._attach()
        elif slot_bytes_for(self._info, wanted, alpha_bits=self.alpha_bits) > self._asked[1]:
            self.ask(self._info)
            self._attach()

    def _attach(self) -> None:
        """Wait for the answer first: the old ring's last frame may still be read."""
        at = self.link.wait_for_ring()
        self.close()
        self._ring = Ring.attach(at.name)

    def _payload(self, matted: MattedFrame, composite: Composite | None, wanted: Wanted) -> SlotPayload:
        frame, matte = matted.frame, matted.matte
        picture = frame.host_picture()
        foreground = matte.foreground if wanted.straight else None
        if isinstance(foreground, DevicePicture):
            raise TypeError("this foreground lives on a device; download it before it goes into the ring")
        before = None
        if wanted.before:
            width, height = before_size(picture.width, picture.height, wanted.before_height)
            before = frame.rgb(width=width, height=height)
        return SlotPayload(
            number=frame.index,
            generation=self.generation,
            time=frame.time,
            duration=frame.duration,
            captured_ns=time.monotonic_ns() if frame.captured_ns is None else frame.captured_ns,
            color=frame.color,
            pix_fmt=picture.format.name,
            width=picture.width,
            height=picture.height,
            composite=composite.picture if composite is not None and wanted.composite else None,
            foreground=foreground,
            alpha=None if foreground is None else matte.alpha,
            before=before,
        )
