"""An output that shows nothing, paced as a virtual camera and with its work: for measuring and for tests."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from livematte.config import Settings
from livematte.errors import SinkError
from livematte.frames import StreamInfo
from livematte.live.base import LiveFrame, Placeholder
from livematte.live.outputs.camera_pixels import Bytes, CameraPacker, even_size, is_same
from livematte.reporting import Once, Reporter
from livematte.sinks.base import Wants


@dataclass(frozen=True, slots=True)
class Received:
    """One picture as it was sent."""

    item: LiveFrame | Placeholder
    sent_ns: int
    """`time.monotonic_ns()` when its pixels were ready for the camera."""
    is_repeat: bool
    """The same picture as the one before."""


class NullOutput:
    """Makes the YUYV pixels that v4l2loopback would be given, and drops them."""

    is_paced = True
    is_vital = False
    keeps_all = False
    wants: Wants = "composite"

    def __init__(
        self, target: str, settings: Settings, *, reporter: Reporter, kept: int = 0,
        receive: Callable[[Received, Bytes], None] | None = None,
    ) -> None:  # fmt: skip
        """`kept`: how many of the newest pictures `received` holds (a frame is 1.4 MB at 720p); `receive` is called
        with each picture and its flat YUYV bytes, which the next picture overwrites."""
        self.name = target
        self.received: deque[Received] = deque(maxlen=kept)
        self.frames = self.repeats = self.placeholders = 0
        """Distinct frames; pictures sent again (frames and placeholders); distinct placeholders."""
        self.watched: int | None = None
        """What `watchers` says; None: it cannot tell. For tests of idling."""
        self.size = (0, 0)
        self._receive = receive
        self._reporter = Once(reporter)
        self._packer: CameraPacker | None = None
        self._last: tuple[LiveFrame | Placeholder, Bytes] | None = None

    def open(self, info: StreamInfo, rate: Fraction) -> None:
        """See `LiveOutput.open`."""
        self.size = even_size(info.width, info.height)
        self._packer = CameraPacker("YUYV", *self.size, reporter=self._reporter)

    def send(self, item: LiveFrame | Placeholder) -> None:
        """See `LiveOutput.send`."""
        if self._packer is None:
            raise SinkError("the null output was written to while it was not open.")
        is_repeat = self._last is not None and is_same(item, self._last[0])
        if not is_repeat:
            if item.composite is None:
                raise SinkError("a frame came without its composite, so nothing of it was shown.")
            self._last = (item, self._packer.pack(item.composite, item.color))
        assert self._last is not None
        received = Received(item, time.monotonic_ns(), is_repeat)
        if is_repeat:
            self.repeats += 1
        elif isinstance(item, LiveFrame):
            self.frames += 1
        else:
            self.placeholders += 1
        self.received.append(received)
        if self._receive is not None:
            self._receive(received, self._last[1])

    def watchers(self) -> int | None:
        """See `LiveOutput.watchers`."""
        return self.watched

    def said(self) -> Sequence[str]:
        """See `LiveOutput.said`."""
        return ("Nothing is shown or written: this output measures.",)

    def close(self) -> None:
        """See `LiveOutput.close`."""
        self._packer = self._last = None
