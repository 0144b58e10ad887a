"""Recordings and pipes: the file sinks of `livematte convert`, fed live.

Note [Recorded time]
    A recording begins at 0 and keeps the distances that the source's own timestamps have, exactly. Where they cannot
    be believed, the distance is the one between the moments of capture (`captured_ns`) instead, and that is said: at
    the first frame of another worker, and where timestamps fall back or are more than a second away from the capture
    clock (a camera that was opened again, a clock that was set). So times rise strictly over a whole run, and where
    nothing was shown (the placeholder) the recording has a gap of that length, which players show as a still picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final, Literal

import av
import numpy as np

from livematte.config import OutputSettings, Settings
from livematte.errors import LivematteError, SinkError
from livematte.frames import Composite, Frame, Matte, MattedFrame, StreamInfo, Timestamp
from livematte.live.base import HOLD_SECONDS, LiveFrame, Placeholder
from livematte.planes import layout
from livematte.reporting import Once, Reporter
from livematte.sinks import format_for, open_sink
from livematte.sinks.base import Sink, Wants
from livematte.sinks.encodings import content_of
from livematte.sinks.formats import STDOUT, advice_for

_BELIEVED_SECONDS: Final = 1
"""How far a step of the timestamps may be from the same step of the capture clock."""
_FINE: Final = 1000
"""A time base of at least so many units a second keeps a re-based time within half a millisecond."""
_FINER: Final = 90_000

Outcome = Literal["open", "whole", "part", "nothing"]


def recording_settings(target: str, settings: OutputSettings) -> OutputSettings:
    """What a live recording's sink is told: alpha where the format has it, whatever lies behind the person in the
    call, else the composite. `UsageError`: a name that does not say what to write.
    """
    opaque = settings.background or "blur"
    if settings.alpha_only or settings.foreground_only or settings.stacked:
        format_for(target, settings)
        return settings
    chosen = format_for(target, settings.model_copy(update={"background": opaque}))
    return settings.model_copy(update={"background": None if chosen.carries_alpha else opaque})


class RecordingOutput:
    """A file, a folder of pictures, or `-` for NUT on stdout. Straight foreground and alpha, or the composite."""

    is_paced = False
    is_vital = False
    keeps_all = True

    def __init__(self, target: str, settings: Settings, *, reporter: Reporter) -> None:
        """`UsageError`: the name does not say what to write."""
        self.name = target
        self._settings = recording_settings(target, settings.output)
        content = content_of(self._settings)
        self._wants: Wants = "straight" if content == "foreground" else content
        self._reporter = Once(reporter)
        self._sink: Sink | None = None
        self._clock: RecordedTime | None = None
        self._is_rgb = False
        self._has_failed = False
        self.frames = 0
        """Frames written."""
        self.outcome: Outcome = "open"
        """After `close`: whole under its final name, kept under its `.part` name, or nothing."""

    @property
    def wants(self) -> Wants:
        """See `LiveOutput.wants`. A sink of alpha alone takes straight frames too: they carry it."""
        return "straight" if self._wants == "alpha" else self._wants

    def open(self, info: StreamInfo, rate: Fraction) -> None:
        """See `LiveOutput.open`. Writes under a `.part` name."""
        clock = RecordedTime(info.time_base, rate=rate, reporter=self._reporter)
        described = replace(
            info, time_base=clock.time_base, frame_rate=rate, is_variable_rate=True, duration_seconds=None,
            frame_count=None, audio=(), start_timecode=None, has_alpha=False,
        )  # fmt: skip
        sink = open_sink(self.name, settings=self._settings, info=described, reporter=self._reporter)
        sink.open(described)
        self._sink, self._clock, self._is_rgb = sink, clock, layout(info.pix_fmt).is_rgb

    def send(self, item: LiveFrame | Placeholder) -> None:
        """See `LiveOutput.send`. Of the placeholder nothing is recorded but the time that it took."""
        if self._sink is None or self._clock is None:
            raise SinkError(f"{self.name} was written to while it was not open.")
        if isinstance(item, Placeholder):
            self._clock.interrupt()
            return
        try:
            self._sink.write(self._sink_item(item, self._clock.at(item)))
        except LivematteError:
            self._has_failed = True
            raise
        self.frames += 1

    def _sink_item(self, item: LiveFrame, time: Timestamp) -> MattedFrame | Composite:
        if self._wants == "composite":
            picture = self._shown(item.composite)
            frame = Frame(picture, time, None, item.number, item.color, captured_ns=item.captured_ns)
            return Composite(picture, MattedFrame(frame, Matte(np.empty((0, 0), np.uint8))))
        matted = item.matted
        if matted is None:
            raise SinkError(f"a frame came without its matte, so nothing of it was written to {self.name}.")
        if self._wants == "straight":
            foreground = matted.matte.foreground
            self._shown(foreground if isinstance(foreground, av.VideoFrame) else None)
        return MattedFrame(replace(matted.frame, time=time, duration=None, color=item.color), matted.matte)

    def _shown(self, picture: av.VideoFrame | None) -> av.VideoFrame:
        """The picture, where there is one and it is of the kind that the file was opened for."""
        if picture is None:
            raise SinkError(f"a frame came without its picture, so nothing of it was written to {self.name}.")
        if layout(picture.format.name).is_rgb != self._is_rgb:
            raise SinkError(
                f"the camera changed to {picture.format.name} pictures, which do not fit into {self.name} as it was "
                "begun. Start the recording again."
            )
        return picture

    def watchers(self) -> int | None:
        """See `LiveOutput.watchers`: an open recording wants each frame, so it counts as one."""
        return None if self._sink is None else 1

    def said(self) -> Sequence[str]:
        """See `LiveOutput.said`."""
        if self._sink is None:
            return ()
        where = "to stdout" if self.name == STDOUT else f"to {self.name}"
        lines = [f"Recording {where}: {self._sink.encoder}."]
        advice = advice_for(format_for(self.name, self._settings), self._settings)
        return [*lines, *(text for text in (advice.shows, advice.click) if text and self.name != STDOUT)]

    def close(self) -> None:
        """See `LiveOutput.close`: the file becomes whole, is checked, and gets its name; after a failure it is finished
        under its `.part` name. However the run ends, by Ctrl-C or `--duration` too, that is a normal end."""
        sink, self._sink = self._sink, None
        if sink is None:
            return
        if self._has_failed:
            sink.abort(keep=True)
            self.outcome = "part" if self.frames else "nothing"
            part = getattr(sink, "part", None)
            if part is not None and self.frames:
                self._reporter.warn(f"What was recorded until then, {self.frames} frames, is kept in {part}.")
            return
        if not self.frames:
            sink.abort(keep=False)
            self.outcome = "nothing"
            self._reporter.warn(f"no picture arrived for {self.name}, so nothing was recorded.")
            return
        self.outcome = "nothing"
        sink.close()
        self.outcome = "whole"
        self._say_gaps()

    def _say_gaps(self) -> None:
        clock = self._clock
        if clock is not None and clock.gaps:
            times = "once" if clock.gaps == 1 else f"{clock.gaps} times"
            self._reporter.note(
                f"{self.name}: no picture came {times}, {clock.gap_seconds:.1f} s in all; the recording stands still "
                "there."
            )


class RecordedTime:
    """Gives each frame its time in the recording (Note [Recorded time])."""

    def __init__(self, time_base: Fraction, *, rate: Fraction, reporter: Reporter) -> None:
        """`time_base` of the source; the recording's is the same, or finer by a whole factor."""
        base = Fraction(time_base)
        coarse = base.denominator < _FINE * base.numerator
        self.time_base = base / -(-_FINER * base.numerator // base.denominator) if coarse else base
        """Seconds a unit of what `at` returns."""
        self._longest_step = max(Fraction(HOLD_SECONDS), 3 / Fraction(rate))
        self._reporter = reporter
        self._offset = Fraction(0)
        self._last: LiveFrame | None = None
        self._last_pts = -1
        self._is_interrupted = False
        self.gaps = 0
        """How often no frame came for so long that the placeholder was up."""
        self.gap_seconds = 0.0

    def interrupt(self) -> None:
        """Nothing is shown until the next frame."""
        self._is_interrupted = self._last is not None

    def at(self, item: LiveFrame) -> Timestamp:
        """The frame's time, later than the one before."""
        stated, last = Fraction(item.time.seconds), self._last
        if last is None:
            self._offset = -stated
        else:
            self._follow(item, last, stated)
        pts = max(self._last_pts + 1, round((stated + self._offset) / self.time_base))
        # What rounding or falling timestamps took is not lost: the next step starts from what was written.
        self._last, self._last_pts, self._is_interrupted = item, pts, False
        return Timestamp(pts, self.time_base)

    def _follow(self, item: LiveFrame, last: LiveFrame, stated: Fraction) -> None:
        step = stated - Fraction(last.time.seconds)
        passed = Fraction(item.captured_ns - last.captured_ns, 1_000_000_000)
        is_new = item.generation != last.generation
        if is_new or step <= 0 or abs(step - passed) > _BELIEVED_SECONDS:
            self._offset = self._last_pts * self.time_base + max(passed, Fraction(0)) - stated
            was_away = is_new or passed > self._longest_step  # ended, switched off, or asleep
            why = "The camera was started again" if was_away else "The camera's clock jumped"
            self._reporter.note(f"{why}; the recording goes on by the time that has passed.")
        if self._is_interrupted or is_new or passed > self._longest_step:
            self.gaps += 1
            self.gap_seconds += float(max(passed, Fraction(0)))
