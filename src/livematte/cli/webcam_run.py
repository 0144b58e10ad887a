"""One live run of the command line: outputs, page, supervisor, keys, and what is said of them."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from livematte.cli.console import Console
from livematte.cli.report import write_report
from livematte.cli.webcam_keys import HELP, Keys, reading_keys
from livematte.cli.webcam_line import ShowState, showing
from livematte.cli.webcam_options import WebcamOptions
from livematte.config import Settings

if TYPE_CHECKING:
    from livematte.live.base import LiveOutput, LiveState
    from livematte.live.supervisor import LiveSummary
    from livematte.page.server import PageServer

DEFAULT_BACKGROUND = "blur"
"""What composites get where nothing was chosen; files that carry alpha, and /obs, stay transparent."""
_SETTLED_FRAMES = 150
"""Five seconds of frames: the latency is worth a word."""


class WebcamRun:
    """Used once: `run` gives the exit code.

    Ctrl-C ends a live run as `q` does, with 0: it has no end of its own, so whoever ends it has not interrupted it.
    """

    def __init__(
        self,
        targets: Sequence[str],
        settings: Settings,
        options: WebcamOptions,
        console: Console,
        *,
        report: str | None = None,
    ) -> None:
        self._targets = targets
        self._settings = settings
        self._options = options
        self._console = console
        self._report = report
        self._status = ""
        self._said_offset = False

    def run(self) -> int:
        """Run to the end. Raises what `open_outputs`, the page and the supervisor raise."""
        from livematte.live.changes import check_live_background
        from livematte.live.governed import adapts
        from livematte.live.messages import Wanted, WorkerSpec
        from livematte.live.outputs.choice import open_outputs
        from livematte.live.supervisor import Supervisor

        settings, console = self._allowed_to_replace(), self._console
        background = settings.output.background or DEFAULT_BACKGROUND
        check_live_background(background, allow_raw=settings.live.allow_raw)  # before the camera's light goes on
        with_page = self._options.page or self._options.rotate_token
        with console.status_first() as say_status:
            outputs = open_outputs(self._targets, settings, page=with_page, reporter=console)
            page = self._page_server() if with_page or not outputs else None
            all_outputs = [*outputs, *self._page_output(page)]
            spec = WorkerSpec(
                source=settings.live.input or "0",
                settings=settings,
                background=background,
                wanted=Wanted(),
                generation=1,
                adapts=adapts(settings),
            )
            supervisor = Supervisor(
                spec, all_outputs, settings=settings, reporter=console, duration_seconds=self._options.duration
            )
            try:
                if page is not None:
                    page.attach(supervisor)
                    self._begin_page(page)
                keys = Keys(supervisor, background, console)
                with reading_keys(sys.stdin if console.is_terminal else None) as read, showing(console) as show:

                    def tick(state: LiveState) -> None:
                        self._say_status(state, all_outputs, say_status)
                        keys.press(read())
                        self._say_offset(state)
                        self._show(show, state)

                    summary = supervisor.run(tick)
            finally:
                if page is not None:
                    page.stop()
        return self._end(summary)

    def _allowed_to_replace(self) -> Settings:
        """The settings, with `overwrite` where a recording exists and the person agrees in the terminal."""
        from livematte.cli.convert import allow_replacing

        files = [target for target in self._targets if target not in ("virtual", "null", "-")]
        if files:
            self._settings = allow_replacing(self._settings.live.input or "0", files, self._settings, self._console)
        return self._settings

    # -- the page ----------------------------------------------------------------------------------------------

    def _page_server(self) -> PageServer:
        from livematte.page.server import PageServer

        rotate = self._options.rotate_token
        return PageServer(None, self._settings, reporter=self._console, rotate_token=rotate)

    def _page_output(self, page: PageServer | None) -> list[LiveOutput]:
        if page is None:
            return []
        from livematte.page.output import PageOutput

        return [PageOutput(page)]

    def _begin_page(self, page: PageServer) -> None:
        """Before the camera's light goes on: a missing extra or a busy port ends the run here."""
        urls = page.start()
        self._console.event("page", {"url": urls.page, "obs_url": urls.obs})
        if self._options.open_ and self._console.is_terminal:
            try:
                opened = webbrowser.open(urls.page)
            except (webbrowser.Error, OSError):
                opened = False
            if not opened:
                self._console.note("No browser could be opened here: open the page's address yourself.")

    # -- what is said ------------------------------------------------------------------------------------------

    def _say_status(self, state: LiveState, outputs: Sequence[LiveOutput], say: Callable[[str], None]) -> None:
        """The status line, once camera and engine are known; what was noted before comes after it."""
        if self._status or not (state.engine and state.camera):
            return
        names = ", ".join(output.name for output in outputs)
        self._status = f"{state.engine} | {state.camera} -> {names}"
        say(self._status)
        self._console.event(
            "start", {"status": self._status, "engine": state.engine, "camera": state.camera, "rung": state.rung}
        )
        if self._console.is_terminal:
            self._console.say(HELP)

    def _show(self, show: ShowState, state: LiveState) -> None:
        if self._status or self._console.as_json:
            show(state)

    def _say_offset(self, state: LiveState) -> None:
        if self._said_offset or state.frames < _SETTLED_FRAMES or not state.latency_ms:
            return
        self._said_offset = True
        self._console.note(
            f"{offset_words(state.latency_ms['p50'])}: the picture comes so much later than the sound. In OBS: Edit > "
            "Advanced Audio Properties, at the microphone."
        )

    def _end(self, summary: LiveSummary) -> int:
        values = summary.as_dict()
        self._console.say(summary_words(summary))
        write_report(self._report, values, self._settings, self._console)
        self._console.event("summary", values)
        return 1 if any(state.startswith("failed") for state in summary.outputs.values()) else 0


def offset_words(latency_ms: float) -> str:
    """`Sync Offset: 40 ms`, to the ten: OBS' own field counts whole milliseconds, and nobody hears five of them."""
    return f"Sync Offset: {10 * round(latency_ms / 10)} ms"


def summary_words(summary: LiveSummary) -> str:
    """`1781 frames in 1 min 00 s (29.7 fps), 19 dropped; latency 41 ms (p95 63, p99 80); processor 92 %.`"""
    from livematte.cli.convert_said import readable_seconds

    if summary.frames == 0:
        return "No frame was sent."
    counted = [(summary.dropped, "dropped"), (summary.repeated, "sent again"), (summary.faults, "restarts")]
    extra = "".join(f", {number} {what}" for number, what in counted if number)
    line = f"{summary.frames} frames in {readable_seconds(summary.seconds)} ({summary.fps:.1f} fps){extra}"
    if summary.latency_ms:
        latency = summary.latency_ms
        line += f"; latency {latency['p50']:.0f} ms (p95 {latency['p95']:.0f}, p99 {latency['p99']:.0f})"
        line += f"; {offset_words(latency['p50'])}"
    return f"{line}; processor {summary.cpu_percent:.0f} % of one core."
