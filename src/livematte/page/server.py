"""The page's server: uvicorn on a thread of ours, started and stopped in order.

Note [uvicorn on our thread]
    uvicorn takes over signals only in the main thread, so on ours Ctrl-C stays the program's. The socket is bound
    before the thread starts: a busy port is the caller's error, and port 0 is known by then. Long polls last a second
    at most and are let go when the feed stops, so a stop does not wait for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livematte.config import Settings
from livematte.errors import SinkError, UsageError
from livematte.live.base import Controls
from livematte.page.guard import Access
from livematte.page.tokens import new_token, obs_token
from livematte.reporting import Reporter

if TYPE_CHECKING:
    import uvicorn

    from livematte.page.feed import FrameFeed
    from livematte.page.file_routes import FileRoutes
    from livematte.page.jobs import Jobs
    from livematte.page.store import Store

_HOST = "127.0.0.1"
_START_SECONDS = 30.0
_SWEEP_SECONDS = 5.0
_MOST_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the pages are; each ends in its token."""

    page: str
    obs: str | None
    """None: no live picture here."""


@dataclass(slots=True)
class _Running:
    """What a started server holds."""

    store: Store
    jobs: Jobs
    files: FileRoutes
    server: uvicorn.Server
    feed: FrameFeed | None
    thread: threading.Thread | None = None


class PageServer:
    """Serves the page, and `/obs` where there is a live run. `start` and `stop` are called by one thread."""

    def __init__(
        self,
        controls: Controls | None,
        settings: Settings,
        *,
        port: int | None = None,
        reporter: Reporter,
        rotate_token: bool = False,
    ) -> None:
        """controls: the live run; None: files only. port: default `settings.live.page_port`; 0: any free one.

        rotate_token: `/obs` gets a new address, and the saved one is refused from now on.
        """
        self._controls = controls
        self._settings = settings
        self._port = settings.live.page_port if port is None else port
        self._reporter = reporter
        self._rotate_token = rotate_token
        self._running: _Running | None = None
        self._urls: Urls | None = None
        self._failure: list[BaseException] = []
        self._facts: dict[str, object] = {"allow_raw": settings.live.allow_raw}

    def attach(self, controls: Controls) -> None:
        """The live run, where it is made after the server; before `start`."""
        assert self._running is None, "attach() comes before start()"
        self._controls = controls

    @property
    def urls(self) -> Urls:
        """Where the pages are; after `start`."""
        assert self._urls is not None, "start() comes first"
        return self._urls

    def start(self) -> Urls:
        """Begin to answer. UsageError: the extra is not installed; SinkError: the port is taken, no folder to use."""
        if self._running is not None:
            return self.urls
        _check_installed()
        live = self._controls is not None
        saved = obs_token(renew=self._rotate_token, reporter=self._reporter) if live else None
        listener = _listen(self._port)
        try:
            access = Access(listener.getsockname()[1], new_token(), saved)
            here = f"http://{_HOST}:{access.port}"
            self._urls = Urls(f"{here}/#{access.page_token}", f"{here}/obs#{saved}" if saved else None)
            self._running = self._make(access)
            self._begin(self._running, listener)
        except BaseException:
            listener.close()
            self.stop()
            raise
        return self._urls

    def stop(self) -> None:
        """Answer no more, stop the jobs, delete what was dropped. Stopping twice is allowed."""
        running, self._running = self._running, None
        if running is None:
            return
        if running.feed is not None:
            running.feed.stop()
        running.server.should_exit = True
        if running.thread is not None:
            running.thread.join()
        running.jobs.close()
        running.store.close(self._reporter)

    def describe(self, width: int, height: int, rate: float) -> None:
        """What to type into OBS, which the page shows: px, px, frames a second."""
        self._facts["obs_size"] = f"{width}, {height} and {round(rate)}"

    def watchers(self) -> int:
        """How many pages and OBS sources show the live picture: those that asked within the last two seconds."""
        feed = self._running.feed if self._running is not None else None
        return feed.watchers() if feed is not None else 0

    def _make(self, access: Access) -> _Running:
        import uvicorn

        from livematte.page.feed import FrameFeed
        from livematte.page.file_routes import FileRoutes
        from livematte.page.jobs import Jobs
        from livematte.page.live_routes import LiveRoutes
        from livematte.page.site import build_site
        from livematte.page.store import Store

        store = Store()
        jobs = Jobs(store, reporter=self._reporter)
        files = FileRoutes(store, jobs, self._settings.model)
        feed, live = None, None
        if self._controls is not None:
            feed = FrameFeed(self._controls, reporter=self._reporter)
            live = LiveRoutes(self._controls, feed, store, allow_raw=self._settings.live.allow_raw)
        self._facts["obs_url"] = self.urls.obs
        config = uvicorn.Config(
            build_site(access, files, live, self._facts),
            log_config=None, access_log=False, log_level="warning", lifespan="off", ws="none", http="h11",
            loop="asyncio",
            server_header=False, proxy_headers=False, limit_concurrency=_MOST_CONNECTIONS, timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
        )  # fmt: skip
        server = uvicorn.Server(config)
        return _Running(store, jobs, files, server, feed)

    def _begin(self, running: _Running, listener: socket.socket) -> None:
        ready = threading.Event()
        thread = threading.Thread(
            target=self._serve, args=(running, listener, ready), name="livematte-page-server", daemon=True
        )
        running.jobs.start()
        if running.feed is not None:
            running.feed.start()
        thread.start()
        running.thread = thread
        if not ready.wait(_START_SECONDS) or self._failure:
            raise SinkError(f"the page's server did not start: {self._failure or 'it was silent for too long'}.")

    def _serve(self, running: _Running, listener: socket.socket, ready: threading.Event) -> None:
        """The thread."""
        try:
            asyncio.run(_serve_and_sweep(running, listener, ready))
        except BaseException as error:  # said by whoever waits for `ready`
            self._failure.append(error)
        finally:
            listener.close()
            ready.set()


async def _serve_and_sweep(running: _Running, listener: socket.socket, ready: threading.Event) -> None:
    async def sweep() -> None:
        while not running.server.started and not running.server.should_exit:
            await asyncio.sleep(0.01)
        ready.set()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            running.files.sweep()

    sweeping = asyncio.create_task(sweep())
    try:
        await running.server.serve(sockets=[listener])
    finally:
        sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping


def _check_installed() -> None:
    try:
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"the page needs {error.name}, which is not installed: pip install 'livematte[app]' (or "
            "'livematte[webcam]', which brings the virtual camera too)."
        ) from error


def _listen(port: int) -> socket.socket:
    """A bound socket on this machine's own address. SinkError where the port is taken or not allowed."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            # There SO_REUSEADDR would let another program take the port over while we listen.
            made.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE", -5), 1)
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((_HOST, port))
        made.listen(128)
        made.set_inheritable(False)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE or getattr(error, "winerror", None) in (10048, 10013):
            raise SinkError(
                f"port {port} on this machine is taken: another livematte runs, or another program uses it. End that "
                "one, or choose a port with --page-port (with --port in 'livematte app'; 0 takes any free one). "
                "OBS' saved address then needs the new number."
            ) from error
        raise SinkError(
            f"the page cannot listen on port {port}: {error.strerror or error}. Ports from 1024 to 65535 need no "
            "rights; choose one with --page-port (with --port in 'livematte app')."
        ) from error
    return made
