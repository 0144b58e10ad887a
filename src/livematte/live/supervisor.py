"""The supervisor: owns what people see, and keeps a worker going (`live/base.py`, Note [Two processes]).

Note [Threads of a live run]
    The caller's thread watches: over the worker (`keeper.py`), over who watches, over the time. A reader takes frames
    out of the ring and hands them on (`child.py`). Each output has a thread (`fanout.py`), which by itself sends the
    newest frame, the last one, or the card (`clock.py`): whatever the other threads do, or the worker.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from livematte.config import Settings
from livematte.errors import LivematteError, UsageError
from livematte.frames import StreamInfo
from livematte.live import reasons
from livematte.live.base import LiveFrame, LiveOutput, LiveState, Placeholder
from livematte.live.changes import allow_background, changed_matting
from livematte.live.child import Entry, real_worker
from livematte.live.fanout import Fanout, Lane
from livematte.live.interrupts import interrupts_into
from livematte.live.keeper import Fault, Keeper
from livematte.live.latency import LiveSummary as LiveSummary
from livematte.live.latency import Tally
from livematte.live.messages import (
    Beat,
    FromWorker,
    RingWanted,
    Said,
    SetBackground,
    SetMatting,
    SetWanted,
    Wanted,
    WorkerSpec,
)
from livematte.live.placeholder import CARD_COLOR
from livematte.live.stage import Mode, Stage
from livematte.reporting import Once, Reporter
from livematte.sources.live import is_camera
from livematte.sources.pictures import parse_size
from livematte.sources.timing import parse_rate

_STEP_SECONDS = 0.05
_TICK_SECONDS = 0.2
_LOOK_SECONDS = 0.25
"""Between two looks at who watches."""
_WORKER_PATIENCE_SECONDS = 5.0
"""For a worker to end in order before it is killed."""
_OUTPUT_PATIENCE_SECONDS = 30.0
"""For outputs to close: a recording's last frames, its index, and a look at what was written."""


class Supervisor:
    """One live run. `Controls` of `live.base`; used once."""

    def __init__(
        self,
        spec: WorkerSpec,
        outputs: Sequence[LiveOutput],
        *,
        settings: Settings,
        reporter: Reporter,
        duration_seconds: float | None = None,
        entry: Entry = real_worker,
    ) -> None:
        """`outputs` are not open yet; the supervisor opens and closes them. `spec.wanted` is taken from the outputs.

        `entry`: what runs in the child, a function of a module. `duration_seconds` counts from the first frame; such
        a run does not go to sleep when nobody watches.
        """
        self._settings = settings
        self._reporter = reporter
        self._worker_reporter = Once(reporter)  # a worker that is started again says the same again
        self._duration_ns = None if duration_seconds is None else round(duration_seconds * 1e9)
        self._last_capture_ns: int | None = None
        self._idle_seconds = settings.live.idle_seconds if duration_seconds is None else 0.0
        self._noun = "camera" if is_camera(spec.source) else "source"
        self._tally, self._stage = Tally(), Stage(spec.background)
        self._fanout = Fanout(
            outputs, shown=self._stage.shown, tally=self._tally, reporter=reporter, on_failure=self._output_failed
        )
        self._page_wants = Wanted(composite=False, before_height=spec.wanted.before_height)
        spec = replace(spec, settings=settings, wanted=self._wanted())
        self._keeper = Keeper(spec, entry, self, restarts_after_final=self._noun == "camera")
        self._lock = threading.RLock()
        self._fault_count: dict[str, int] = {}
        self._camera = self._engine = ""
        self._beat: Beat | None = None
        self._unwatched_since: float | None = None
        self._looked = self._ticked = 0.0
        self._stop = threading.Event()
        self._is_closed = False
        self._interrupts = 0
        self._error: BaseException | None = None

    def run(self, tick: Callable[[LiveState], None]) -> LiveSummary:
        """Run until the source ends, `stop`, Ctrl-C or the duration. `tick` comes five times a second, on this thread.

        What outputs say once they are open (`LiveOutput.said`) and what the worker says goes to the reporter. On the
        main thread, Ctrl-C and SIGTERM end the run in order; a second Ctrl-C does not wait for outputs.
        Raises the `LivematteError` of a first start that cannot work, of a vital output, or of the last output left;
        `summary()` has the counters then.
        """
        with interrupts_into(self._interrupted, self.stop):
            try:
                while not self._stop.is_set():
                    self._step(tick)
            except BaseException as error:
                self._fail(error)
            finally:
                self._end()
        if self._error is not None:
            raise self._error
        return self.summary()

    # -- the caller's thread ------------------------------------------------------------------------------------

    def _step(self, tick: Callable[[LiveState], None]) -> None:
        try:
            self._keeper.step(_STEP_SECONDS)
            now = time.monotonic()
            if now - self._looked >= _LOOK_SECONDS:
                self._looked = now
                self._look(now)
            if now - self._ticked >= _TICK_SECONDS:
                self._ticked = now
                self._tally.sample(now)
                tick(self.state())
        except KeyboardInterrupt:  # not the main thread's handler: raised by `tick`, or we run on another thread
            self._interrupted()

    def _look(self, now: float) -> None:
        """Whether pictures come, and who watches."""
        if self._stage.is_live(now):
            self._stage.runs(reasons.waiting(self._noun))
        nobody = self._idle_seconds > 0 and self._fanout.nobody_watches()
        with self._lock:
            mode = self._stage.mode
            self._unwatched_since = (self._unwatched_since or now) if nobody else None
            if mode == "on" and nobody and now - (self._unwatched_since or now) >= self._idle_seconds:
                self._set_mode("idle", reasons.IDLE)
                self._reporter.note("Nobody watches; the camera is closed until somebody does.")
            elif mode == "idle" and not nobody:
                self._set_mode("on", reasons.STARTING)

    def _interrupted(self) -> None:
        self._interrupts += 1
        self.stop()

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error
        self.stop()

    def _end(self) -> None:
        """Close everything in order: outputs and worker at the same time, for neither needs the other any more."""
        self._stop.set()
        self._stage.finish()
        self._fanout.finish()
        self._keeper.begin_end()
        begin, already = time.monotonic(), self._interrupts
        while not (self._keeper.is_gone() and self._fanout.is_finished()):
            waited, hurry = time.monotonic() - begin, self._interrupts > already
            if waited > _WORKER_PATIENCE_SECONDS or hurry or self._error or not self._keeper.is_running:
                self._keeper.kill()
            if waited > _OUTPUT_PATIENCE_SECONDS or (hurry and waited > _WORKER_PATIENCE_SECONDS):
                break
            try:
                time.sleep(0.01)
            except KeyboardInterrupt:
                self._interrupts += 1
        for name in self._fanout.hanging():
            self._reporter.warn(f"'{name}' did not close in time; what was written there may not be whole.")
        for number in self._keeper.left():
            self._reporter.warn(f"the system could not end process {number} yet; a driver holds it.")
        self._is_closed = True

    # -- the keeper's listener ----------------------------------------------------------------------------------

    def came(self, frame: LiveFrame) -> None:
        """See `keeper.Listener`; on the reader's thread."""
        if self._duration_ns is not None:
            self._last_capture_ns = self._last_capture_ns or frame.captured_ns + self._duration_ns
            if frame.captured_ns >= self._last_capture_ns:
                self._tally.skipped(frame)
                self.stop()
                return
        now = time.monotonic()
        self._tally.came(frame, now)  # before an output may have sent it
        if self._stage.shown.put(frame, now):
            self._fanout.put(frame)
        else:
            self._tally.taken_back(frame)

    def heard(self, generation: int, message: FromWorker) -> None:
        """See `keeper.Listener`."""
        if isinstance(message, Said):
            say = self._worker_reporter.warn if message.level == "warn" else self._worker_reporter.note
            say(message.text)
        elif isinstance(message, RingWanted):
            self._camera, self._engine = message.camera, message.engine
            self._stage.set_info(message.info)
            self._fanout.open(message.info, message.info.frame_rate or Fraction(30))
        elif isinstance(message, Beat):
            self._beat = message
            self._tally.beat(generation, message)

    def faulted(self, generation: int, fault: Fault, pause_seconds: float) -> None:
        """See `keeper.Listener`."""
        self._tally.lost(generation)
        reason = reasons.card_reason(fault, self._noun)
        count = self._fault_count[reason] = self._fault_count.get(reason, 0) + 1
        if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th time: a camera may stay unplugged for days
            self._reporter.warn(reasons.fault_sentence(fault, self._noun, pause_seconds))
        if self._stage.info is None:  # nothing is known of the picture yet, and a card has to be shown
            expected = _expected(self._settings, self._noun)
            self._stage.set_info(expected)
            self._fanout.open(expected, expected.frame_rate or Fraction(30), only_paced=True)
        self._stage.faulted(reason)

    def gave_up(self, fault: Fault) -> None:
        """See `keeper.Listener`."""
        self._fail(reasons.final_error(fault, self._noun))

    def ended(self) -> None:
        """See `keeper.Listener`."""
        self.stop()

    def _output_failed(self, lane: Lane, error: LivematteError) -> None:
        """On the output's own thread."""
        if lane.output.is_vital or self._fanout.have_all_failed():
            self._fail(error)
        else:
            self._reporter.warn(str(error) if self._stop.is_set() else f"{error} The other outputs go on.")

    def _set_mode(self, mode: Mode, reason: str) -> None:
        self._stage.set_mode(mode, reason)
        self._unwatched_since = None
        self._fanout.set_idle(mode == "idle")
        self._keeper.set_asleep(mode != "on")

    def _wanted(self) -> Wanted:
        wants = {lane.output.wants for lane in self._fanout.lanes}
        page = self._page_wants
        straight = page.straight or bool(wants & {"straight", "alpha"})
        return replace(page, composite=page.composite or "composite" in wants, straight=straight)

    # -- Controls -----------------------------------------------------------------------------------------------

    def state(self) -> LiveState:
        """See `Controls`."""
        state, reason = self._stage.state(time.monotonic())
        spec, beat, tally = self._keeper.spec, self._beat, self._tally
        return LiveState(
            state=state,
            reason=reason,
            camera=self._camera,
            engine=self._engine,
            rung=beat.rung if beat else "",
            background=spec.background,
            matting=spec.settings.matting.model_dump(mode="json"),
            frames=tally.frames,
            decoded=tally.decoded,
            dropped=tally.dropped(is_over=self._is_closed),
            repeated=self._fanout.repeated(),
            faults=self._keeper.faults,
            fps=tally.now_fps(),
            latency_ms=self._fanout.latency_ms(),
            stages_ms=dict(beat.stages_ms) if beat else {},
            cpu_percent=tally.now_cpu_percent(),
            outputs=self._fanout.states(),
        )

    def summary(self) -> LiveSummary:
        """The counters so far."""
        tally, seconds = self._tally, self._tally.seconds
        return LiveSummary(
            frames=tally.frames,
            dropped=tally.dropped(is_over=self._is_closed),
            repeated=self._fanout.repeated(),
            fps=round(tally.frames / seconds, 2) if seconds > 0 else 0.0,
            latency_ms=self._fanout.latency_ms(),
            cpu_percent=tally.cpu_percent(),
            rungs=tally.rungs,
            faults=self._keeper.faults,
            seconds=round(seconds, 2),
            outputs=self._fanout.states(),
            interrupted=self._interrupts > 0,
        )

    def frame(self) -> LiveFrame | Placeholder | None:
        """See `Controls`."""
        return self._stage.shown.current(time.monotonic())

    def wait_for_frame(self, after: object, timeout_seconds: float) -> LiveFrame | Placeholder | None:
        """See `Controls`."""
        return self._stage.shown.wait_for_other(after, timeout_seconds)

    def set_background(self, text: str) -> None:
        """See `Controls`."""
        allow_background(text, allow_raw=self._settings.live.allow_raw)
        with self._lock:
            self._keeper.tell(SetBackground(text))
            self._stage.set_background(text)

    def set_matting(self, changes: dict[str, Any]) -> None:
        """See `Controls`."""
        with self._lock:
            now = self._keeper.spec.settings.matting
            self._keeper.tell(SetMatting(changed_matting(now, changes, self._stage.info)))

    def set_camera_off(self, off: bool) -> None:
        """See `Controls`."""
        with self._lock:
            if off != (self._stage.mode == "off"):
                self._set_mode("off" if off else "on", reasons.OFF if off else reasons.STARTING)

    def want(self, *, before: bool | None = None, straight: bool | None = None, composite: bool | None = None) -> None:
        """See `Controls`. UsageError: the raw picture was asked for and not allowed at the start."""
        if before and not self._settings.live.allow_raw:
            raise UsageError("the picture before matting shows the room; it is shown only where --allow-raw was given.")
        with self._lock:
            page = self._page_wants
            self._page_wants = replace(
                page,
                before=page.before if before is None else before,
                straight=page.straight if straight is None else straight,
                composite=page.composite if composite is None else composite,
            )
            self._keeper.tell(SetWanted(self._wanted()))

    def stop(self) -> None:
        """See `Controls`."""
        self._stop.set()
        self._keeper.wake_up()


def _expected(settings: Settings, noun: str) -> StreamInfo:
    """What a camera will most likely give, for outputs that have to show a card before it does."""
    width, height = parse_size(settings.live.camera_size or "1280x720", 1280, 720)
    rate = parse_rate(settings.live.camera_rate or "30")
    return StreamInfo(noun, width, height, "yuv420p", CARD_COLOR, 1 / rate, rate)
