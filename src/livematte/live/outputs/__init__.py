"""Where live pictures go: a virtual camera, recordings and pipes, nowhere. One registry and one contract for all."""

from __future__ import annotations

from typing import Final, Protocol

from livematte.config import Settings
from livematte.errors import SinkError
from livematte.live.base import LiveOutput
from livematte.registry import Backend, Registry
from livematte.reporting import Reporter


class OutputMaker(Protocol):
    """Makes an output: checked, not opened. `SinkError` where it cannot be had, `UsageError` where it cannot be."""

    def __call__(self, target: str, settings: Settings, *, reporter: Reporter) -> LiveOutput: ...


OUTPUTS: Final[Registry[OutputMaker]] = Registry(
    "live output",
    {
        "virtual": Backend("livematte.live.outputs.virtual_camera", "VirtualCameraOutput", "webcam"),
        "null": Backend("livematte.live.outputs.null", "NullOutput"),
        "recording": Backend("livematte.live.outputs.recording", "RecordingOutput"),
    },
    unavailable=SinkError,
)
"""`choice.open_outputs` finds out which of them a target means."""
