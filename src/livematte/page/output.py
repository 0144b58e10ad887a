"""The page as one of a live run's outputs: it is watched, or it is not; its frames it fetches by itself."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from livematte.frames import StreamInfo
from livematte.live.base import Controls, LiveFrame, Placeholder
from livematte.page.server import PageServer
from livematte.sinks.base import Wants


class PageOutput:
    """`LiveOutput` around a `PageServer`: starts and stops it with the run.

    Composites are wanted as long as the page is served; cut-outs for `/obs` and the picture before are asked for by
    the server (`Controls.want`) while somebody looks at them.
    """

    def __init__(self, server: PageServer) -> None:
        self._server = server
        self._said: list[str] = []

    @property
    def name(self) -> str:
        """See `LiveOutput`."""
        return "page"

    @property
    def wants(self) -> Wants:
        """See `LiveOutput`."""
        return "composite"

    @property
    def is_paced(self) -> bool:
        """False: browsers keep showing what they have."""
        return False

    @property
    def is_vital(self) -> bool:
        """False: the virtual camera goes on without a page."""
        return False

    @property
    def keeps_all(self) -> bool:
        """False: the newest wins."""
        return False

    def attach(self, controls: Controls) -> None:
        """The run that the page shows; before `open`."""
        self._server.attach(controls)

    def open(self, info: StreamInfo, rate: Fraction) -> None:
        """Start the server. SinkError: the port is taken."""
        urls = self._server.start()
        self._server.describe(info.width, info.height, float(rate))
        self._said = [f"The page: {urls.page}"]
        if urls.obs is not None:
            self._said.append(
                f"OBS Studio: Sources > + > Browser, URL {urls.obs}, width {info.width}, height {info.height}, tick "
                f"'Use custom frame rate' and set {round(float(rate))}. OBS keeps this address; it stays valid."
            )

    def send(self, item: LiveFrame | Placeholder) -> None:
        """Nothing to do: the server takes the newest frame when a browser asks."""

    def watchers(self) -> int | None:
        """Pages and OBS sources that show the picture now."""
        return self._server.watchers()

    def said(self) -> Sequence[str]:
        """Where the page is, and what to type into OBS."""
        return list(self._said)

    def close(self) -> None:
        """Stop the server."""
        self._server.stop()
