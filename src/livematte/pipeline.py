"""Threads and channels: decode, matting, compositing and each sink overlap; memory stays bounded.

Note [How a run ends]
    The source's end travels through the channels behind the last frame, so every stage finishes its work. An error
    in any stage stops all of them at once; the first one is raised, and every sink is aborted. Two things end a
    run early but in order: Ctrl-C (or `stop`) and a source that broke off. Then what was read is matted and
    written, and the sinks keep it, playable, under its `.part` name. A second Ctrl-C drops what lies between the
    stages, and waits `_PATIENCE_SECONDS` for each to come back from its present frame; a third does not wait.

    A thread that hangs in native code (a server that is silent, a pipe that nobody empties) cannot be ended. It is
    left behind, a daemon, with all that it may be using: memory freed under a running encoder crashes.

Note [Latency]
    What a live frame waits for is added to what the person sees of it. So the channel before matting holds one frame,
    the newest: an older one is dropped and counted. Matting takes it only once the channel behind is empty again: a
    frame that is matted while another one waits there would wait in its turn. The stages still overlap.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from livematte.channel import Channel, ChannelStopped
from livematte.errors import EndedEarly, Interrupted, LivematteError
from livematte.frames import AudioPacket, Composite, Frame, MattedFrame, StreamInfo
from livematte.matting.base import Matting
from livematte.rate import ConstantRate
from livematte.sinks.base import Sink
from livematte.sources.base import Source
from livematte.stats import Stats

Item: TypeAlias = Frame | MattedFrame | Composite | AudioPacket

_FRAMES_DECODED = 3
_FRAMES_MATTED = 1
_FRAMES_BEFORE_SINK = 2
"""Frames that the channels hold: enough to ride out a stage's jitter. A decoded 1080p frame is 3 MB; a matted one, with
alpha and foreground, 8 MB, and where a sink is late they fill up: with 3 everywhere the peak depended on such luck."""
_FRAMES_LIVE = 1
"""Live every channel holds one frame; before matting the newest wins (Note [Latency])."""

EMPTY_MEAN_ALPHA = 0.005
"""A frame whose mean alpha is below this shows nobody."""

_PATIENCE_SECONDS = 5.0
"""How long a run that is being stopped waits for a stage that does not come back."""


@dataclass(slots=True)
class Counters:
    """What happened to the frames of a run."""

    decoded: int = 0
    matted: int = 0
    dropped: int = 0
    """Dropped for a constant rate, by a live source's channel, or by a sink that may drop."""
    repeated: int = 0
    empty_frames: int = 0
    """Frames with nobody in them."""
    leading_empty: int = 0
    """Those of them before the first frame with somebody."""
    written: dict[str, int] = field(default_factory=dict)
    """Frames that each sink has taken."""


class Compositing(Protocol):
    """Lays a matted frame over a background (`compositing.Compositor`)."""

    def composite(self, matted: MattedFrame) -> Composite | None:
        """None: nobody wants one just now (`live.live_compositor`)."""

    def close(self) -> None: ...


class Pipeline:
    """One run from a source through matting into sinks. Used once.

    `info` is what the sinks are opened with, where it differs from the source's own (a constant rate).
    """

    def __init__(
        self,
        source: Source,
        matting: Matting,
        sinks: Sequence[Sink],
        *,
        info: StreamInfo | None = None,
        compositor: Compositing | None = None,
        rate: ConstantRate | None = None,
        stats: Stats | None = None,
    ) -> None:
        self.source = source
        self.matting = matting
        self.sinks = tuple(sinks)
        self.info = info or source.info
        self.compositor = compositor
        self.rate = rate
        self.stats = stats or Stats()
        self.counters = Counters(written=dict.fromkeys(self._sink_stages(), 0))
        live = source.is_live
        decoded = _FRAMES_LIVE if live else _FRAMES_DECODED
        before_sink = _FRAMES_LIVE if live else _FRAMES_BEFORE_SINK
        self._frames: Channel[Item] = Channel(decoded, _is_frame, drop_oldest=live)
        self._matted: Channel[Item] = Channel(_FRAMES_MATTED, _is_frame)
        self._inboxes = [Channel[Item](before_sink, _is_frame, drop_oldest=s.drops) for s in self.sinks]
        self._error: BaseException | None = None
        self._early: LivematteError | None = None
        self._lock = threading.Lock()
        self._stop_reading = threading.Event()
        self._deadline: float | None = None
        self._opened: list[Sink] = []
        self._closed: set[int] = set()

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that have a thread of their own, in `stats`."""
        compositing = ("composite",) if self.compositor else ()
        return ("decode", "matting", *compositing, *self._sink_stages())

    def waiting(self) -> dict[str, int]:
        """Items that wait before each stage at this moment."""
        before = {"matting": len(self._frames), "fan-out": len(self._matted)}
        return before | {name: len(inbox) for name, inbox in zip(self._sink_stages(), self._inboxes, strict=True)}

    def run(self, tick: Callable[[], None], stop: threading.Event | None = None) -> Counters:
        """Run to the end. `tick` is called about five times a second on the caller's thread.

        Raises the first error of any stage, `EndedEarly` or `Interrupted`. When this returns, all threads have ended,
        and the source, the matting and each sink are closed or aborted, except those that hang (Note [How a run ends]).
        """
        threads = [threading.Thread(target=t, name=f"livematte-{n}", daemon=True) for n, t in self._targets()]
        running: list[threading.Thread] = []
        try:
            self._open_sinks()
            for thread in threads:
                thread.start()
                running.append(thread)
            self._watch(running, tick, stop)
        except BaseException as error:
            self._fail(error)
            self._watch(running, tick, None)
        finally:
            self._end({thread.name.removeprefix("livematte-") for thread in running if thread.is_alive()})
        if self._error is not None:
            raise self._error
        if self._early is not None and len(self._closed) < len(self.sinks):
            raise self._early
        return self.counters

    # -- the caller's thread ------------------------------------------------------------------------------------

    def _open_sinks(self) -> None:
        for sink in self.sinks:
            self._opened.append(sink)
            sink.open(self.info)

    def _watch(self, threads: list[threading.Thread], tick: Callable[[], None], stop: threading.Event | None) -> None:
        """Tick until all threads have ended, or those that are left are overdue."""
        while alive := [thread for thread in threads if thread.is_alive()]:
            try:
                if stop is not None and stop.is_set():
                    self._interrupt()
                if self._is_overdue(alive):
                    return
                alive[0].join(0.2)
                if self._error is None:
                    tick()
            except KeyboardInterrupt:
                self._interrupt_or_hurry()

    def _interrupt_or_hurry(self) -> None:
        if not self._stop_reading.is_set():
            self._interrupt()
            return
        self._stop_channels()
        patience = _PATIENCE_SECONDS if self._deadline is None else 0.0
        self._deadline = time.monotonic() + patience

    def _interrupt(self) -> None:
        """End in order: what was read is still written. A decoder that hangs is not waited for."""
        with self._lock:
            if self._early is None:
                self._early = Interrupted("interrupted; what was written so far is kept under its .part name.")
        self._stop_reading.set()
        self._frames.finish()

    def _is_overdue(self, alive: list[threading.Thread]) -> bool:
        only_decoding = all(thread.name == "livematte-decode" for thread in alive)
        if self._deadline is None and only_decoding and self._stop_reading.is_set():
            self._deadline = time.monotonic() + _PATIENCE_SECONDS
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _end(self, hanging: set[str]) -> None:
        """Sinks first: up to PyAV 18, a stream that an audio track refers to must not outlive its container."""
        keep = self._error is None and self._early is not None
        for number, (stage, sink) in enumerate(zip(self._sink_stages(), self._opened, strict=False)):
            if number not in self._closed and stage not in hanging:
                with self._cleaning():
                    sink.abort(keep=keep)
        hanging.discard("decode")  # sources know how to be closed under a read
        if hanging:
            names = " and ".join(sorted(hanging))
            self._early = Interrupted(
                f"interrupted, and '{names}' did not come back within {_PATIENCE_SECONDS:.0f} seconds; what was "
                "written so far may not play to its end."
            )
            self._closed.clear()
            return
        for part in (self.source, self.matting, self.compositor):
            if part is not None:
                with self._cleaning():
                    part.close()
        self.counters.dropped += self._frames.dropped + sum(inbox.dropped for inbox in self._inboxes)

    @contextmanager
    def _cleaning(self) -> Iterator[None]:
        """An error while closing is the run's error only where there was none before."""
        try:
            yield
        except Exception as error:
            self._fail(error)

    # -- stages -------------------------------------------------------------------------------------------------

    def _targets(self) -> list[tuple[str, Callable[[], None]]]:
        targets: list[tuple[str, Callable[[], None]]] = [
            ("decode", self._stage(self._read, self._frames)),
            ("matting", self._stage(self._matte, self._matted)),
            ("fan-out", self._stage(self._fan_out, *self._inboxes)),
        ]
        for number, name in enumerate(self._sink_stages()):
            targets.append((name, self._stage(lambda n=number: self._write(n))))  # type: ignore[misc]
        return targets

    def _stage(self, work: Callable[[], None], *outlets: Channel[Item]) -> Callable[[], None]:
        def body() -> None:
            try:
                work()
                for outlet in outlets:
                    outlet.finish()
            except ChannelStopped:
                return
            except BaseException as error:
                self._fail(error)

        return body

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._error is None:
                self._error = error
        self._stop_reading.set()
        self._stop_channels()

    def _stop_channels(self) -> None:
        for channel in (self._frames, self._matted, *self._inboxes):
            channel.stop()

    def _read(self) -> None:
        items = iter(self.source)
        while not self._stop_reading.is_set():
            begin = time.perf_counter()
            try:
                item = next(items, None)
            except EndedEarly as error:
                with self._lock:
                    self._early = self._early or error
                return
            if item is None:
                return
            if isinstance(item, Frame) and not self.source.is_live:  # a live source waits for its next picture in there
                self.stats.add("decode", time.perf_counter() - begin)
            self._frames.put(item)
            self.counters.decoded += isinstance(item, Frame)

    def _matte(self) -> None:
        for item in self._newest() if self.source.is_live else self._frames:
            if isinstance(item, Frame):
                with self.stats.measure("matting"):
                    matted = self.matting.push([item])
                self._hand_on(matted)
            else:
                self._matted.put(item)
        self._hand_on(self.matting.flush())
        if self.rate is not None:
            self._put_matted(self.rate.flush())

    def _newest(self) -> Iterator[Item]:
        """Each frame at the last moment at which it can be taken without a wait behind matting (Note [Latency])."""
        items = iter(self._frames)
        while True:
            self._matted.wait_for_room()
            item = next(items, None)
            if item is None:
                return
            yield item
            del item

    def _hand_on(self, matted: Sequence[MattedFrame]) -> None:
        for one in matted:
            if _shows_nobody(one):
                self.counters.leading_empty += self.counters.empty_frames == self.counters.matted
                self.counters.empty_frames += 1
            self.counters.matted += 1
            self._put_matted([one] if self.rate is None else self.rate.push(one))

    def _put_matted(self, matted: Sequence[MattedFrame]) -> None:
        for one in matted:
            self._matted.put(one)
        if self.rate is not None:
            self.counters.repeated = self.rate.repeated
            self.counters.dropped = self.rate.dropped

    def _fan_out(self) -> None:
        for item in self._matted:
            composite: Composite | None = None
            if isinstance(item, MattedFrame) and self.compositor is not None:
                with self.stats.measure("composite"):
                    composite = self.compositor.composite(item)
            for sink, inbox in zip(self.sinks, self._inboxes, strict=True):
                if isinstance(item, AudioPacket):
                    if sink.wants_audio:
                        inbox.put(item)
                else:
                    inbox.put(composite if sink.wants == "composite" and composite is not None else item)

    def _write(self, number: int) -> None:
        sink, stage = self.sinks[number], self._sink_stages()[number]
        for item in self._inboxes[number]:
            with self.stats.measure(stage) if _is_frame(item) else nullcontext():
                sink.write(item)  # type: ignore[arg-type]
            self.counters.written[stage] += _is_frame(item)
        if self._early is None:
            self._closed.add(number)
            sink.close()

    def _sink_stages(self) -> tuple[str, ...]:
        return tuple(f"encode {n}: {s.name}" if len(self.sinks) > 1 else "encode" for n, s in enumerate(self.sinks, 1))


def _is_frame(item: Item) -> bool:
    return not isinstance(item, AudioPacket)


def _shows_nobody(matted: MattedFrame) -> bool:
    """By every eighth pixel of every eighth row: 0.05 ms at 1080p, and a person is larger than that."""
    alpha = matted.matte.alpha
    peak = 255 if alpha.dtype.itemsize == 1 else 65535
    return float(alpha[::8, ::8].mean()) < EMPTY_MEAN_ALPHA * peak
