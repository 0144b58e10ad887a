"""A clip that stands in for a camera: each frame comes when it is due, over and over, and nobody waits for the reader.

Note [Pacing]
    A frame is due when as much time has passed since the first as its timestamp says. It is decoded before that, and
    handed out then. A camera does not wait: where the reader comes back late, the frames that are past (the next one
    is due already) are skipped and counted, and the one that is due now is handed out. Where decoding itself is too
    slow to catch up, skipping does not help: after a second of it the clip's clock is set back, and the clip plays
    slower, said once. `captured_ns` is the moment at which the frame was due, so that lateness counts as latency.

Note [The seam]
    Opening a file and decoding its first picture takes up to half a second. So the next pass is opened, by a thread of
    its own, while the present one still plays. Times go on rising over the seam: a pass begins where the last picture
    of the one before ends.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from livematte.errors import EndedEarly, SourceError
from livematte.frames import AudioPacket, Frame, StreamInfo, Timestamp
from livematte.reporting import Once, Reporter
from livematte.sources.base import Source
from livematte.sources.mirror import mirrored

_LEAD_SECONDS: Final = 2.0
"""How long before its end the next pass is opened."""
_LONGEST_GAP_NS: Final = 2_000_000_000
"""Longer gaps between two frames are shortened to this: the supervisor holds a camera for dead after 5 s of silence."""
_PATIENCE_NS: Final = 1_000_000_000
"""How long frames are skipped before it is asked whether that helps."""
_HOPELESS_NS: Final = 30_000_000_000
"""So late that catching up by decoding would show nothing for seconds (a computer that slept)."""
_JOIN_SECONDS: Final = 2.0

Wait = Callable[[threading.Event, float], bool]
"""Waits so many seconds, or until the event is set: then True."""


def _wait(event: threading.Event, seconds: float) -> bool:
    return event.wait(seconds)


@dataclass(slots=True)
class Schedule:
    """When each frame is due, and whether it is past (Note [Pacing]). Pure: it is told the time."""

    epoch_ns: int | None = None
    """The clip's time 0 on the monotonic clock."""
    is_slow: bool = False
    """Decoding does not keep up: late frames are shown late."""
    shortened: int = 0
    """Gaps that were shortened, so far."""
    _run: tuple[int, int] | None = None
    """(now, lateness) at the beginning of the present run of skipped frames."""
    _slow_until_ns: int = 0

    def __call__(self, start: Fraction, length: Fraction, now_ns: int) -> int | None:
        """When the frame that starts at `start` seconds and lasts `length` is due, in ns; None: it is past, skip it."""
        start_ns = int(start * 1_000_000_000)
        if self.epoch_ns is None:
            self.epoch_ns = now_ns - start_ns
        late = now_ns - (self.epoch_ns + start_ns)
        if -late > _LONGEST_GAP_NS:
            self.epoch_ns -= -late - _LONGEST_GAP_NS
            self.shortened += 1
            return now_ns + _LONGEST_GAP_NS
        if self.is_slow and now_ns > self._slow_until_ns:
            self.is_slow = False
        if late <= int(length * 1_000_000_000):
            self._run = None
            return now_ns - late
        if self.is_slow or late > _HOPELESS_NS:
            return self._set_back(late, now_ns)
        if self._run is None:
            self._run = (now_ns, late)
        elif now_ns - self._run[0] > _PATIENCE_NS:
            if late > self._run[1] * 0.8:
                self.is_slow = True
                return self._set_back(late, now_ns)
            self._run = (now_ns, late)
        return None

    def _set_back(self, late: int, now_ns: int) -> int:
        assert self.epoch_ns is not None
        self.epoch_ns += late
        self._run = None
        self._slow_until_ns = now_ns + 5 * _PATIENCE_NS
        return now_ns


class PacedSource:
    """Another source's frames, each at its own time (Note [Pacing]). Audio is left out.

    `again` opens the same clip anew for the next pass; None: it is played once. With it, the source never ends.
    `skipped` counts the frames that were past when their turn came: source frames that nobody got. `Frame.index` goes
    on over all passes and counts them, so that a gap in it is a frame that was dropped, as `live.latency` reads it.
    """

    is_live = True

    def __init__(
        self,
        first: Source,
        again: Callable[[], Source] | None,
        *,
        mirror: bool,
        reporter: Reporter,
        now_ns: Callable[[], int] = time.monotonic_ns,
        wait: Wait = _wait,
    ) -> None:
        self._again = again
        self._mirror = mirror
        self._say = Once(reporter)
        self._now_ns = now_ns
        self._wait = wait
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._present: Source | None = first
        self._opening: _Opening | None = None
        self._schedule = Schedule()
        self._damaged = 0
        self._given = 0
        self._offset = 0
        self._end = 0
        self._last: int | None = None
        self._step = _nominal_step(first.info)
        self._pass_seconds = first.info.duration_seconds
        self.skipped = 0
        self.name = first.name
        self.decoder = first.decoder
        self.info = _live_info(first.info, endless=again is not None)

    @property
    def damaged(self) -> int:
        """Frames skipped because they could not be decoded, over all passes so far."""
        present = self._present
        return self._damaged + (present.damaged if present is not None else 0)

    def __iter__(self) -> Iterator[Frame | AudioPacket]:
        while (source := self._present) is not None and not self._closed.is_set():
            before = self._given + self.skipped
            try:
                yield from self._one_pass(source)
            except EndedEarly as error:
                if self._again is None:
                    raise
                self._say.warn(f"{error} It begins again from there.")
            if self._closed.is_set():
                return
            if self._given + self.skipped == before:
                raise SourceError(f"'{self.name}' gave no picture in a whole pass. Check that it plays elsewhere.")
            self._go_on(source)

    def close(self) -> None:
        """Ends a wait at once, from any thread."""
        self._closed.set()
        with self._lock:
            present, self._present = self._present, None
            opening, self._opening = self._opening, None
        if opening is not None:
            opening.abandon()
        if present is not None:
            present.close()

    def _one_pass(self, source: Source) -> Iterator[Frame]:
        for item in source:
            if self._closed.is_set():
                return
            if not isinstance(item, Frame):
                continue
            frame = self._retimed(item)
            length = self._step * self.info.time_base
            self._open_ahead(item, length)
            due = self._due(frame, length)
            if due is None:
                self.skipped += 1
                continue
            if self._sleeps_until(due):
                return
            frame.index = self._given + self.skipped
            frame.captured_ns = due
            self._given += 1
            yield mirrored(frame) if self._mirror else frame
            del frame, item  # a picture must not outlive its turn here

    def _retimed(self, frame: Frame) -> Frame:
        """The frame on the clock that goes on over all passes."""
        pts = self._offset + round(frame.time.seconds / self.info.time_base)
        if self._last is not None:
            pts = max(pts, self._last + 1)
            self._step = pts - self._last if self._end <= self._last else self._step
        if frame.duration:
            self._step = max(1, round(frame.duration * frame.time.time_base / self.info.time_base))
        self._last, self._end = pts, pts + self._step
        return dataclasses.replace(frame, time=Timestamp(pts, self.info.time_base))

    def _due(self, frame: Frame, length: Fraction) -> int | None:
        shortened = self._schedule.shortened
        due = self._schedule(frame.time.seconds, length, self._now_ns())
        if self._schedule.is_slow:
            self._say.warn(f"'{self.name}' cannot be decoded as fast as it plays on this machine; it is shown slower.")
        if self._schedule.shortened > shortened:
            self._say.note(f"'{self.name}' has gaps of more than {_LONGEST_GAP_NS // 10**9} s; they are shortened.")
        return due

    def _sleeps_until(self, due_ns: int) -> bool:
        """True where the source was closed meanwhile."""
        while (left := due_ns - self._now_ns()) > 0:
            if self._wait(self._closed, left / 1e9):
                return True
        return self._closed.is_set()

    # -- from one pass to the next --

    def _open_ahead(self, frame: Frame, length: Fraction) -> None:
        if self._again is None or self._opening is not None:
            return
        rest = None if self._pass_seconds is None else self._pass_seconds - float(frame.time.seconds + length)
        if rest is not None and rest > _LEAD_SECONDS:
            return
        self._begin_opening(self._again)

    def _begin_opening(self, again: Callable[[], Source]) -> _Opening | None:
        with self._lock:
            if self._opening is None and not self._closed.is_set():
                self._opening = _Opening(again)
            return self._opening

    def _go_on(self, source: Source) -> None:
        """The next pass becomes the present one; without one, wait until the last picture has had its time."""
        following: Source | None = None
        if self._again is None:
            if self._schedule.epoch_ns is not None:
                end = int(self._end * self.info.time_base * 1_000_000_000)
                self._sleeps_until(min(self._schedule.epoch_ns + end, self._now_ns() + _LONGEST_GAP_NS))
        else:
            opening = self._begin_opening(self._again)
            following = opening.result(self._closed) if opening is not None else None
        with self._lock:
            mine = self._present is source
            if mine:
                self._damaged += source.damaged
                self._present, self._opening = following, None
        if mine:
            source.close()
        elif following is not None:
            following.close()
        self._offset = self._end


class _Opening:
    """The next pass, being opened by a thread of its own."""

    def __init__(self, again: Callable[[], Source]) -> None:
        self._again = again
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._abandoned = False
        self._source: Source | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="livematte-next-pass", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            source = self._again()
        except BaseException as error:
            self._error = error
        else:
            with self._lock:
                if not self._abandoned:
                    self._source = source
            if self._source is None:
                source.close()
        self._done.set()

    def result(self, closed: threading.Event) -> Source | None:
        """The opened source, waited for; None where `closed` is set meanwhile. Raises what opening raised."""
        while not self._done.wait(0.1):
            if closed.is_set():
                return None
        self._thread.join()
        if self._error is not None:
            raise self._error
        with self._lock:
            source, self._source = self._source, None
        return source

    def abandon(self) -> None:
        """Nobody wants it any more. A server that does not answer is waited for by the thread alone."""
        with self._lock:
            self._abandoned = True
            source, self._source = self._source, None
        if source is not None:
            source.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=_JOIN_SECONDS)


def _nominal_step(info: StreamInfo) -> int:
    """Ticks a frame at the nominal rate; at 25 a second where the source names none."""
    return max(1, round(1 / (info.frame_rate or Fraction(25)) / info.time_base))


def _live_info(info: StreamInfo, *, endless: bool) -> StreamInfo:
    """What the clip says about itself once it plays live: no sound, no timecode, and no end where it loops."""
    return dataclasses.replace(
        info,
        audio=(),
        start_timecode=None,
        duration_seconds=None if endless else info.duration_seconds,
        frame_count=None if endless else info.frame_count,
    )
