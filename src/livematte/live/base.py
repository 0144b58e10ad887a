"""What the supervisor's parts owe each other: live frames, the placeholder, outputs, and the controls.

Note [Two processes]
    The worker (`worker.py`, a spawned child) owns camera, decoder and engine, and hands over what the outputs want
    through shared memory (`ring.py`). The supervisor (`supervisor.py`) owns the outputs, and shows the newest
    composite, else for half a second the last one, else a placeholder, whatever the worker does. Threads that hang in
    native code cannot be ended; processes can. The raw picture never leaves the worker, save for the page's "before"
    pane (`LiveFrame.before`), which only a page that was opened with its token asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, Literal, Protocol

import av
import numpy as np
import numpy.typing as npt

from livematte.color import ColorSpec
from livematte.frames import MattedFrame, StreamInfo, Timestamp
from livematte.sinks.base import Wants

TRANSPARENT: Final = "transparent"
"""The background that is none."""
HOLD_SECONDS = 0.5
"""How long the last good composite stands in for a missing one before the placeholder is shown."""


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """One frame as it came out of the worker, copied out of shared memory. Shared by all outputs, never written to."""

    number: int
    """Number of the frame in its source (`Frame.index`), rising; a restarted worker begins anew."""
    generation: int
    """Which worker made it: 1, 2, ... (number, generation) names a frame of a run."""
    time: Timestamp
    """The source's own time."""
    captured_ns: int
    """`time.monotonic_ns()` when the camera handed it over."""
    color: ColorSpec
    width: int
    height: int
    composite: av.VideoFrame | None
    """Opaque, in a working format (`frames.py`), where an output wants composites."""
    matted: MattedFrame | None
    """STRAIGHT foreground and its alpha, where an output wants them; `matted.frame.picture` is the foreground too:
    the raw picture is not here."""
    before: npt.NDArray[np.uint8] | None = None
    """(h, w, 3) uint8 full-range RGB, small, the raw picture for the page's own pane; None unless it was asked for."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """What is shown where there is no frame to show."""

    composite: av.VideoFrame
    """`yuv420p`, BT.709 limited, at the stream's size: the background, or a card that says what is the matter."""
    color: ColorSpec
    reason: str
    """One short sentence for persons: "The camera is off."."""


class LiveOutput(Protocol):
    """Takes live frames. `open`, `send`..., `close` are called by one thread of the output's own.

    An exception out of `open` or `send` is a `LivematteError` and ends this output; where `is_vital`, the program.
    A slow output misses frames (the newest wins), unless `keeps_all`.
    """

    @property
    def name(self) -> str:
        """As the person gave it: `virtual`, `null`, `out.mov`, `page`."""

    @property
    def wants(self) -> Wants: ...

    @property
    def is_paced(self) -> bool:
        """True: something is sent at least once a frame time, the last picture or the placeholder where nothing new
        came (a virtual camera). False: only new frames, each once (a recording)."""

    @property
    def is_vital(self) -> bool:
        """True: its failure ends the program (the virtual camera)."""

    @property
    def keeps_all(self) -> bool:
        """True: frames queue up for it, 8 at most, and beyond that are dropped and counted (a recording)."""

    def open(self, info: StreamInfo, rate: Fraction) -> None:
        """Get ready. `info` is what the worker's frames look like (no audio); it keeps the size it is opened with."""

    def send(self, item: LiveFrame | Placeholder) -> None:
        """Show one picture. A picture of another size is scaled to the size that `open` was given, and it is said."""

    def watchers(self) -> int | None:
        """How many programs or pages watch just now; None: this output cannot tell. Called from another thread."""

    def said(self) -> Sequence[str]:
        """Lines for the person, once it is open: the name to pick in the call, an address, what to click."""

    def close(self) -> None:
        """Finish; files become whole and are renamed. Called once, also after a failure."""


State = Literal["starting", "running", "holding", "placeholder", "off", "idle", "ended"]
"""starting: no frame yet; running; holding: the last good composite is shown; placeholder: after a fault; off: the
person switched the camera off; idle: nobody watches, the camera is closed; ended."""


@dataclass(frozen=True, slots=True)
class LiveState:
    """A snapshot of a live run, for the status line, the page and the summary. Plain values: goes into JSON."""

    state: State
    reason: str
    """Why it is not `running`, for persons; else empty."""
    camera: str
    """What was got: `Logitech C920, 1280x720 at 30, MJPEG`."""
    engine: str
    """The worker's status line: device, runtime, model, precision."""
    rung: str
    """The governor's present rung, for persons: `livematte-s 224x384, every frame`."""
    background: str
    matting: dict[str, Any]
    """The present `MattingSettings`."""
    frames: int = 0
    """Distinct source frames that were matted and sent."""
    decoded: int = 0
    dropped: int = 0
    """Every other source frame, those that the governor skipped included."""
    repeated: int = 0
    faults: int = 0
    """How often the worker had to be started again."""
    fps: float = 0.0
    """Over the last two seconds."""
    latency_ms: dict[str, float] = field(default_factory=dict)
    """Capture to sent: `p50`, `p95`, `p99` of the newest 512 frames."""
    stages_ms: dict[str, float] = field(default_factory=dict)
    """Median milliseconds a frame of each stage."""
    cpu_percent: float = 0.0
    """Both processes together; 100 is one core."""
    outputs: dict[str, str] = field(default_factory=dict)
    """Name -> `open`, `failed: ...`, `closed`."""


class Controls(Protocol):
    """What keys and the page may do to a live run; `live.supervisor.Supervisor` is one. Thread-safe, never blocks long.

    `UsageError` where a value is not allowed; nothing is changed then.
    """

    def state(self) -> LiveState: ...

    def frame(self) -> LiveFrame | Placeholder | None:
        """What is shown now; None before the first. Placeholder also while the camera is off."""

    def wait_for_frame(self, after: object, timeout_seconds: float) -> LiveFrame | Placeholder | None:
        """Like `frame`, but waits until that is another object than `after`, or the time is over."""

    def set_background(self, text: str) -> None:
        """Another background (`compositing.backgrounds.KINDS`, or `transparent`)."""

    def set_matting(self, changes: dict[str, Any]) -> None:
        """Change some of the `MattingSettings` (shrink, feather, levels, despill, smooth, subject, region)."""

    def set_camera_off(self, off: bool) -> None:
        """The person's own switch: the camera is closed and the placeholder shown."""

    def want(self, *, before: bool | None = None, straight: bool | None = None, composite: bool | None = None) -> None:
        """What pages need besides what the outputs want; None leaves it as it is."""

    def stop(self) -> None:
        """End the run in order."""
