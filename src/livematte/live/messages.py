"""What crosses the pipe between supervisor and worker: small, picklable, one dataclass a message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from livematte.config import MattingSettings, Settings
from livematte.frames import StreamInfo

SILENCE_SECONDS = 5.0
"""A running worker that says nothing, or whose camera gives nothing, for this long is killed and started again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the worker has to put into the ring."""

    composite: bool = True
    straight: bool = False
    before: bool = False
    before_height: int = 360


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """All that a worker needs to start; pickled into the child."""

    source: str
    """A camera (`0`, a name, a path), a clip, a URL, `synthetic:...`."""
    settings: Settings
    background: str
    """`transparent` or what a `Compositor` takes."""
    wanted: Wanted
    generation: int
    adapts: bool = True
    """False: the governor is off (`--quality` or `--network-size` was given, a benchmark)."""
    plugins: tuple[str, ...] = ()
    """`module:function`s called first in the child, with the spec: backends of the user's own, faults in tests."""


# -- worker to supervisor ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """A line of the worker's `Reporter`."""

    level: Literal["note", "warn"]
    text: str


@dataclass(frozen=True, slots=True)
class Entered:
    """The worker goes into a phase, which may be silent for `limit_seconds`."""

    phase: Literal["opening", "loading", "warming", "running", "asleep"]
    limit_seconds: float


@dataclass(frozen=True, slots=True)
class RingWanted:
    """The source is open (or its size has changed): a ring with slots of this size is needed. Answer: `RingAt`."""

    info: StreamInfo
    """Without audio."""
    slot_bytes: int
    camera: str
    engine: str


@dataclass(frozen=True, slots=True)
class Published:
    """A frame lies whole in this slot of the present ring."""

    slot: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Beat:
    """Four times a second while running: what the worker has reached."""

    decoded: int
    """Frames that the source gave, of this worker, over all its sleeps."""
    published: int
    source_age_seconds: float
    """Since the source gave its last frame."""
    matting_age_seconds: float
    """Since matting finished its last frame, while one is in its hands; else 0."""
    cpu_seconds: float
    stages_ms: dict[str, float] = field(default_factory=dict)
    rung: str = ""
    rungs: tuple[str, ...] = ()
    """Each rung that was taken so far, oldest first."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker ends with an error. `is_final`: starting again cannot help (bad usage, no such model)."""

    kind: str
    text: str
    exit_code: int
    is_final: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The source has ended (a clip without `--loop`), all frames are published."""


FromWorker: TypeAlias = Said | Entered | RingWanted | Published | Beat | Failed | Ended


# -- supervisor to worker ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RingAt:
    """Attach to this ring (`ring.Ring.attach`) and let go of the one before."""

    name: str
    slots: int
    slot_bytes: int


@dataclass(frozen=True, slots=True)
class SetBackground:
    """Checked by the supervisor before; a file that cannot be read is `Said` and the old background stays."""

    text: str


@dataclass(frozen=True, slots=True)
class SetMatting:
    """Takes effect between two frames."""

    settings: MattingSettings


@dataclass(frozen=True, slots=True)
class SetWanted:
    """Takes effect between two frames."""

    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Sleep:
    """Close the camera, keep the engine."""


@dataclass(frozen=True, slots=True)
class Wake:
    """Open the camera again."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End in order."""


ToWorker: TypeAlias = RingAt | SetBackground | SetMatting | SetWanted | Sleep | Wake | Stop
