"""The virtual camera as a sink, so that a benchmark writes to it as to a file."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Literal

from livematte.config import Settings
from livematte.errors import UsageError
from livematte.frames import AudioPacket, Composite, MattedFrame, StreamInfo
from livematte.live.base import LiveFrame, LiveOutput
from livematte.reporting import Reporter
from livematte.sinks.base import Sink


def stand_in(info: StreamInfo, settings: Settings, reporter: Reporter) -> Sink:
    """A sink for the machine's virtual camera. Raises what opening one raises, with the lines that install one."""
    from livematte.live.outputs.choice import open_outputs

    outputs = open_outputs(["virtual"], settings, page=False, reporter=reporter)
    return VirtualCameraSink(outputs[0])


class VirtualCameraSink:
    """Hands composites to a `LiveOutput`, each once; its pace is the source's."""

    name = "virtual"
    wants: Literal["composite"] = "composite"
    wants_audio = False
    alpha_bits = 8
    drops = True
    bytes_written = 0

    def __init__(self, output: LiveOutput) -> None:
        self._output = output
        self.encoder = output.name

    def open(self, info: StreamInfo) -> None:
        """See `Sink.open`."""
        self._output.open(info, info.frame_rate or Fraction(30))

    def write(self, item: MattedFrame | Composite | AudioPacket) -> None:
        """See `Sink.write`."""
        if not isinstance(item, Composite):
            raise UsageError("the virtual camera takes composites; give the case a background.")
        frame = item.matted.frame
        self._output.send(
            LiveFrame(
                number=frame.index,
                generation=1,
                time=frame.time,
                captured_ns=frame.captured_ns or time.monotonic_ns(),
                color=frame.color,
                width=item.picture.width,
                height=item.picture.height,
                composite=item.picture,
                matted=None,
            )
        )

    def close(self) -> None:
        """See `Sink.close`."""
        self._output.close()

    def abort(self, *, keep: bool) -> None:
        """See `Sink.abort`."""
        self._output.close()
