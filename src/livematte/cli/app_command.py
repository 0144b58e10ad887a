"""`livematte app`: the page without a camera."""

from __future__ import annotations

import threading
import webbrowser
from typing import Annotated

from cyclopts import Parameter

from livematte.cli.conflicts import warn_of_conflicts
from livematte.cli.console import Console
from livematte.cli.options import MessageArgument, MessageOptions
from livematte.config import LiveSettings, Settings
from livematte.presets import load_settings

_never = threading.Event()


def app(
    *,
    port: int | None = None,
    open_browser: Annotated[bool, Parameter(name="--open", negative="--no-open")] = True,
    messages: MessageArgument = MessageOptions(),  # noqa: B008  frozen, never changed
) -> int:
    """Drop photos and clips on a page, see them, save them. Nothing leaves this machine.

    The page runs until Ctrl-C. Needs: pip install 'livematte[app]'

    Parameters
    ----------
    port
        Port on this machine; 0: any free one. Default: 8317.
    open_browser
        Open the page in the browser.
    """
    from livematte.page.server import PageServer

    console = Console.for_run(quiet=False, as_json=messages.json, stdout_taken=False)
    warn_of_conflicts(console)
    server = PageServer(None, _settings(port), reporter=console)
    urls = server.start()
    try:
        console.say(f"The page: {urls.page}")
        console.say("Ctrl-C ends it, and deletes what was dropped there.")
        console.event("page", {"url": urls.page})
        if open_browser and not messages.json:
            _open(urls.page, console)
        while not _never.wait(1.0):  # with a limit, because on Windows Ctrl-C does not end a wait without one
            pass
    except KeyboardInterrupt:
        console.say("Ended.")
    finally:
        server.stop()
    return 0


def _settings(port: int | None) -> Settings:
    """The defaults with the port; UsageError where it is none."""
    from pydantic import ValidationError

    from livematte.errors import UsageError

    if port is None:
        return load_settings()
    try:
        live = LiveSettings(page_port=port)
    except ValidationError as error:
        raise UsageError(f"--port {port} is no port: 0 (any free one) to 65535 are allowed.") from error
    return Settings(live=live)


def _open(url: str, console: Console) -> None:
    """In the browser, where there is one; a machine without a screen has none, and the address is printed already."""
    try:
        if not webbrowser.open(url):
            console.note("No browser could be opened here: open the address above yourself.")
    except (webbrowser.Error, OSError) as error:
        console.note(f"No browser could be opened here ({error}): open the address above yourself.")
