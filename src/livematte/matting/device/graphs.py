"""Work that is captured once and launched for every frame.

Note [Three graphs a slot]
    A slot's kernels run on the same addresses for every frame, and what changes lies in its parameter block, so they
    are captured once: the network's input, the network, and everything behind it. One launch then takes the place of
    a dozen calls of 5 microseconds each. Copies and the zeroing of states at a cut stay outside: they do not happen
    for every frame, or go elsewhere each time. A network that cannot be captured (ONNX Runtime waits inside) is
    enqueued call by call between the two other graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from livematte.runtimes.cuda.base import Driver, Stream
from livematte.runtimes.cuda.graphs import capture

Work: TypeAlias = Callable[[Stream], None]
"""Enqueues on the stream it is given, and does nothing else."""


class Replay(Protocol):
    """Work that is enqueued again and again."""

    def launch(self, stream: Stream) -> None:
        """Enqueue it once."""

    def close(self) -> None:
        """Give it back."""


class Direct:
    """Work that is enqueued anew each time."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def launch(self, stream: Stream) -> None:
        """See `Replay.launch`."""
        self._work(stream)

    def close(self) -> None:
        """Nothing is held."""


def record(driver: Driver, stream: Stream, work: Work) -> Replay:
    """Capture `work` on `stream`, which must be idle. Nothing runs yet."""
    with capture(driver, stream) as recording:
        work(stream)
    return recording.finish()


@dataclass(frozen=True, slots=True)
class SlotGraphs:
    """What one slot launches for a frame (Note [Three graphs a slot])."""

    before: Replay
    network: Replay
    after: Replay
