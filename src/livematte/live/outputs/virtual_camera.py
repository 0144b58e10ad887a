"""The virtual camera: what a call shows. Gets composites (or, where it carries alpha, cleaned straight frames) and the
placeholder, and nothing else ever.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Final

import av

from livematte.config import Settings
from livematte.errors import LivematteError, SinkError
from livematte.frames import StreamInfo
from livematte.live.base import LiveFrame, Placeholder
from livematte.live.outputs import camera_backends as backends
from livematte.live.outputs import loopback, video_nodes
from livematte.live.outputs.camera_backends import Found, System
from livematte.live.outputs.camera_pixels import Bytes, CameraPacker, PixelName, even_size, is_same
from livematte.live.outputs.running import is_obs_running
from livematte.reporting import Once, Reporter
from livematte.sinks.base import Wants

_LOOK_SECONDS: Final = 1.0
"""How often `/proc` and the node are looked at: a scan costs 7 ms with 95 processes."""


class VirtualCameraOutput:
    """Writes to v4l2loopback, OBS' virtual camera, Unity Capture, or a back end registered with pyvirtualcam.

    Made, it has found its camera but not opened it. `SinkError`: there is none; the message has the line that helps.
    """

    is_paced = True
    is_vital = True
    keeps_all = False

    def __init__(
        self, target: str, settings: Settings, *, reporter: Reporter, system: System | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """`settings.live.device_name` names the camera; `settings.output.background`, where it is set, is what an
        alpha-carrying camera shows too (opaque)."""
        self.name = target
        self._settings, self._reporter = settings, Once(reporter)
        self._system = system or System()
        self._clock = clock
        self.found: Found = backends.find(settings.live.device_name, self._system)
        """The camera that will be opened."""
        self._straight = self.found.carries_alpha and settings.output.background in (None, "transparent")
        self.wants: Wants = "straight" if self._straight else "composite"
        self.pixel: PixelName = self.found.formats[0]
        """Pixel format that is sent, once it is open."""
        self.size = (0, 0)
        """(width, height) of the camera, once it is open."""
        self.sent = 0
        """Pictures sent, repeats included."""
        self._camera: Any = None
        self._packer: CameraPacker | None = None
        self._last: tuple[LiveFrame | Placeholder, Bytes] | None = None
        self._looked_at_node = self._looked_at_readers = float("-inf")
        self._readers: int | None = None
        self._lock = threading.Lock()

    def open(self, info: StreamInfo, rate: Fraction) -> None:
        """See `LiveOutput.open`."""
        self.size = even_size(info.width, info.height)
        node = self.found.node
        shared = video_nodes.capabilities(node.path) if node is not None else None
        if node is not None and shared is not None and shared.takes and shared.gives:
            self._reporter.warn(loopback.not_listed(node))
        self._camera = self._opened(float(rate))
        self._packer = CameraPacker(self.pixel, *self.size, reporter=self._reporter)
        try:
            self._look_at_node()
        except LivematteError:
            self.close()
            raise

    def _opened(self, fps: float) -> Any:
        """pyvirtualcam's camera, in the first pixel format that it takes."""
        library = backends.library()
        said = ""
        for pixel in self.found.formats:
            try:
                camera = library.Camera(
                    width=self.size[0], height=self.size[1], fps=fps, fmt=backends.pixel_format(pixel),
                    device=self.found.device, backend=self.found.backend,
                )  # fmt: skip
            except Exception as error:  # a back end raises what it likes
                said = str(error).removeprefix(f"'{self.found.backend}' backend: ")
                if "format" in said.lower():
                    continue
                raise SinkError(self._refusal(said)) from error
            self.pixel = pixel
            return camera
        raise SinkError(self._refusal(said))

    def _refusal(self, said: str) -> str:
        if self.found.node is not None:
            return loopback.refusal(self.found.node, self.size, said, self._system.roots)
        if self.found.backend == "obs" and ("could not be started" in said or "Multiple cameras" in said):
            return (
                f"'{self.found.label}' is in use: OBS shows its own picture there, or another livematte does. Click "
                "Stop Virtual Camera in OBS; to use both, show livematte inside OBS: start with --page and add its "
                "/obs address as a Browser Source."
            )
        return (
            f"the virtual camera '{self.found.label}' could not be opened at {self.size[0]}x{self.size[1]}: {said}. "
            f"{backends.how_to_install(self._system)}"
        )

    def send(self, item: LiveFrame | Placeholder) -> None:
        """See `LiveOutput.send`. The same picture again is sent again without being converted again."""
        camera, packer = self._camera, self._packer
        if camera is None or packer is None:
            raise SinkError(f"the virtual camera '{self.found.label}' was written to while it was not open.")
        if self._last is None or not is_same(item, self._last[0]):
            self._last = (item, self._packed(packer, item))
        try:
            camera.send(self._last[1])
        except Exception as error:  # a back end raises what it likes
            raise SinkError(
                f"the virtual camera '{self.found.label}' does not take pictures any more: {error}. Start livematte "
                "again; if that does not help, restart the program that shows it."
            ) from error
        self.sent += 1
        if self._clock() - self._looked_at_node >= _LOOK_SECONDS or self.sent == 1:
            self._look_at_node()

    def _packed(self, packer: CameraPacker, item: LiveFrame | Placeholder) -> Bytes:
        if isinstance(item, Placeholder):
            return packer.pack(item.composite, item.color)
        if not self._straight:
            if item.composite is None:
                raise SinkError("a frame came without its composite, so nothing of it was shown.")
            return packer.pack(item.composite, item.color)
        foreground = None if item.matted is None else item.matted.matte.foreground
        if item.matted is None or not isinstance(foreground, av.VideoFrame):
            raise SinkError("a frame came without its cleaned foreground, so nothing of it was shown.")
        return packer.pack_straight(foreground, item.color, item.matted.matte.alpha)

    def _look_at_node(self) -> None:
        """A picture that v4l2loopback refuses makes no error in pyvirtualcam: so node and size are looked at."""
        self._looked_at_node = self._clock()
        node = self.found.node
        if node is None:
            return
        if not os.path.exists(node.path):
            raise SinkError(
                f"the virtual camera {node.path} ({node.label}) is gone. Make it again: {loopback.LOAD_LINE}."
            )
        present = video_nodes.present_size(node.path, self._system.roots)
        if present is not None and present != self.size:
            raise SinkError(loopback.size_held(node, self.size, self._system.roots, present))

    def watchers(self) -> int | None:
        """See `LiveOutput.watchers`: v4l2loopback: this user's other programs that hold the node open; else None."""
        if self.found.node is None:
            own = backends.watch_function(self.found.backend)
            return None if own is None else own()
        with self._lock:
            if self._clock() - self._looked_at_readers >= _LOOK_SECONDS:
                self._looked_at_readers = self._clock()
                self._readers = len(loopback.readers(self.found.node.path, self._system.roots))
            return self._readers

    def said(self) -> Sequence[str]:
        """See `LiveOutput.said`."""
        lines = [
            f'In the call, choose the camera "{self.found.label}".',
            "The call mirrors only your own view of yourself; the others see you the right way round.",
        ]
        if self.found.node is not None:
            lines.append(
                "If it is not in the list, reload the page or restart the program: it is listed while livematte runs."
            )
        if self._straight:
            lines.append(
                "It carries real transparency: in OBS choose ARGB as the Video Format of the capture source. Programs "
                "without transparency show a flat colour behind you; for those use --background blur."
            )
        if is_obs_running(self._system.platform, self._system.roots.proc):
            port = self._settings.live.page_port
            lines.append(
                "OBS is running. It needs this camera for its own Start Virtual Camera; to be in OBS with real "
                f"transparency, start livematte with --page and add its /obs address (port {port or 'shown there'}) as "
                "a Browser Source."
            )
        return lines

    def close(self) -> None:
        """See `LiveOutput.close`. May be called again."""
        camera, self._camera, self._packer, self._last = self._camera, None, None, None
        if camera is None:
            return
        try:
            camera.close()
        except Exception as error:  # a back end raises what it likes
            raise SinkError(
                f"the virtual camera '{self.found.label}' could not be closed in order: {error}."
            ) from error
