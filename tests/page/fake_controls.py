"""A live run without cameras and processes: serves the synthetic clip's frames with their exact alpha."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import av
import numpy as np

from livematte.color import ColorSpec
from livematte.compositing import Compositor
from livematte.config import InputSettings, MattingSettings
from livematte.errors import UsageError
from livematte.frames import Frame, Matte, MattedFrame
from livematte.live.base import LiveFrame, LiveState, Placeholder
from livematte.live.changes import changed_matting
from livematte.matting.foreground import clean
from livematte.reporting import ListReporter
from livematte.sources import open_source
from livematte.sources.synthetic import SyntheticSource

BT709 = ColorSpec(colorspace="bt709", color_range="tv", color_primaries="bt709", color_trc="bt709")


class FakeControls:
    """`Controls` over a loop of five frames; `step` shows the next one. Thread-safe."""

    def __init__(self, size: str = "160x96", *, frames: int = 5) -> None:
        reporter = ListReporter()
        source = open_source(f"synthetic:{size}@25:{frames}", InputSettings(), reporter=reporter)
        assert isinstance(source, SyntheticSource)
        pictures = [item for item in source if isinstance(item, Frame)]
        self.info = source.info
        self.frames = pictures
        self.alphas = [source.clip.alpha(number) for number in range(frames)]
        self.foregrounds = [
            clean(frame.host_picture(), alpha) for frame, alpha in zip(pictures, self.alphas, strict=True)
        ]
        source.close()
        self.background = "#00ff00"
        self.matting = MattingSettings()
        self.is_off = False
        self.wants: list[dict[str, bool | None]] = []
        self.wanted = {"before": False, "straight": False, "composite": False}
        self.waits = 0
        self._lock = threading.Condition()
        self._number = 0
        self._shown: LiveFrame | Placeholder | None = None

    # -- what a test does ------------------------------------------------------------------------------------------

    def step(self) -> int:
        """Show the next frame, with what is wanted now; its number."""
        with self._lock:
            self._number += 1
            number = (self._number - 1) % len(self.frames)
            self._shown = self._frame(number)
            self._lock.notify_all()
            return number

    def _frame(self, number: int) -> LiveFrame:
        frame = replace(self.frames[number], index=self._number)
        matted = MattedFrame(frame, Matte(self.alphas[number], self.foregrounds[number]))
        composite: av.VideoFrame | None = None
        if self.wanted["composite"] and self.background != "transparent":
            compositor = Compositor(self.background, self.info, reporter=ListReporter())
            composite = compositor.composite(matted).picture
            compositor.close()
        return LiveFrame(
            number=self._number,
            generation=1,
            time=frame.time,
            captured_ns=time.monotonic_ns(),
            color=frame.color,
            width=frame.width,
            height=frame.height,
            composite=composite,
            matted=matted if self.wanted["straight"] else None,
            before=frame.rgb() if self.wanted["before"] else None,
        )

    # -- Controls --------------------------------------------------------------------------------------------------

    def state(self) -> LiveState:
        return LiveState(
            state="off" if self.is_off else "running",
            reason="You switched it off." if self.is_off else "",
            camera="Synthetic camera, 1280x720 at 30, MJPEG",
            engine="livematte-s fp32 on ONNX Runtime, CPU, 1 thread",
            rung="livematte-s 224x384, every frame",
            background=self.background,
            matting=self.matting.model_dump(),
            frames=self._number,
            decoded=self._number,
            dropped=3,
            fps=29.9,
            latency_ms={
                "p50": 42.0 + 6 * np.sin(self._number / 9),
                "p95": 61.0 + 9 * np.sin(self._number / 5),
                "p99": 70.0,
            },
            stages_ms={"decode": 2.2, "network": 18.4, "upsample": 1.3, "foreground": 6.1, "compose": 2.0},
            cpu_percent=88.0,
            outputs={"page": "open"},
        )

    def frame(self) -> LiveFrame | Placeholder | None:
        with self._lock:
            return self._shown

    def wait_for_frame(self, after: object, timeout_seconds: float) -> LiveFrame | Placeholder | None:
        with self._lock:
            self.waits += 1
            self._lock.wait_for(lambda: self._shown is not after, timeout_seconds)
            return self._shown

    def set_background(self, text: str) -> None:
        if text == "nonsense":
            raise UsageError("--background 'nonsense' is not known. It can be a colour.")
        self.background = text

    def set_matting(self, changes: dict[str, Any]) -> None:
        self.matting = changed_matting(self.matting, changes, None)

    def set_camera_off(self, off: bool) -> None:
        self.is_off = off
        with self._lock:
            if off:
                card = av.VideoFrame.from_ndarray(np.full((96, 160, 3), 90, np.uint8), format="rgb24")
                self._shown = Placeholder(
                    card.reformat(format="yuv420p", dst_colorspace=1), BT709, "The camera is off."
                )
            self._lock.notify_all()

    def want(self, *, before: bool | None = None, straight: bool | None = None, composite: bool | None = None) -> None:
        asked = {"before": before, "straight": straight, "composite": composite}
        self.wants.append(asked)
        self.wanted |= {name: value for name, value in asked.items() if value is not None}

    def stop(self) -> None:
        """Nothing to end."""


class Playing:
    """Steps the fake about 25 times a second on a thread of its own, while the block runs."""

    def __init__(self, controls: FakeControls) -> None:
        self._controls = controls
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.04):
            if not self._controls.is_off:
                self._controls.step()

    def __enter__(self) -> Playing:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
