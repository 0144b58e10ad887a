"""The server's life: threads, ports, what is said."""

from __future__ import annotations

import builtins
import socket
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from livematte.config import LiveSettings, Settings
from livematte.errors import SinkError, UsageError
from livematte.page.output import PageOutput
from livematte.page.server import PageServer
from livematte.reporting import ListReporter
from page.conftest import Client
from page.fake_controls import FakeControls, Playing


def _threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith(("livematte", "AnyIO", "asyncio"))]


def test_it_starts_and_stops_again_and_again(controls: FakeControls, reporter: ListReporter, uploads: Path) -> None:
    for _ in range(3):
        server = PageServer(controls, Settings(), port=0, reporter=reporter)
        urls = server.start()
        assert server.start() == urls, "starting twice is starting once"
        assert Client(urls).ask("GET", "/api/info").json["live"] is True
        server.stop()
        server.stop()
        assert not _threads()
        assert not list(uploads.iterdir()), "nothing is left behind"


def test_a_stop_does_not_wait_for_browsers_that_wait(server: PageServer, client: Client) -> None:
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(client.ask("GET", "/api/live/frame?client=a&after=0")))
    asking.start()
    while not server.watchers():
        threading.Event().wait(0.01)
    server.stop()
    asking.join(30)
    assert answers, "the request was answered or refused, not left hanging"


def test_a_busy_port_is_said_with_what_to_do(server: PageServer, client: Client, reporter: ListReporter) -> None:
    second = PageServer(None, Settings(live=LiveSettings(page_port=client.port)), reporter=reporter)
    with pytest.raises(SinkError, match=rf"port {client.port} .* is taken.*--port"):
        second.start()
    assert client.ask("GET", "/api/info").status == 200


def test_the_default_port_is_fixed_because_obs_saves_the_address() -> None:
    assert Settings().live.page_port == 8317


def test_it_listens_on_this_machine_only(server: PageServer, client: Client) -> None:
    for _, _, _, _, address in socket.getaddrinfo(socket.gethostname(), client.port, socket.AF_INET):
        if address[0].startswith("127."):
            continue
        with pytest.raises(OSError, match=r"refused|timed out|unreachable"), socket.create_connection(address, 2):
            pass


def test_a_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch, reporter: ListReporter) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "uvicorn":
            raise ImportError("No module named 'uvicorn'", name="uvicorn")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"uvicorn.*pip install 'livematte\[app\]'"):
        PageServer(None, Settings(), port=0, reporter=reporter).start()


def test_without_a_camera_there_is_no_live_part(reporter: ListReporter, uploads: Path) -> None:
    server = PageServer(None, Settings(), port=0, reporter=reporter)
    client = Client(server.start())
    try:
        assert server.urls.obs is None
        assert client.ask("GET", "/api/info").json["live"] is False
        assert client.ask("GET", "/api/live/state").status == 404
        assert client.ask("GET", "/obs").status == 404
        assert client.ask("GET", "/api/obs/frame").status == 401
        assert server.watchers() == 0
    finally:
        server.stop()


def test_obs_keeps_its_address_over_runs_until_it_is_rotated(controls: FakeControls, reporter: ListReporter) -> None:
    seen = []
    for rotate in (False, False, True, False):
        server = PageServer(controls, Settings(), port=0, reporter=reporter, rotate_token=rotate)
        seen.append(Client(server.start()))
        server.stop()
    tokens = [one.obs_token for one in seen]
    assert tokens[0] == tokens[1] != tokens[2] == tokens[3]
    assert len({one.token for one in seen}) == 4, "the page's token is new in each run"


def test_the_output_counts_watchers_and_says_what_to_type_into_obs(
    controls: FakeControls, reporter: ListReporter, uploads: Path
) -> None:
    output = PageOutput(PageServer(None, Settings(), port=0, reporter=reporter))
    assert (output.name, output.wants, output.is_paced, output.is_vital) == ("page", "composite", False, False)
    output.attach(controls)
    output.open(controls.info, Fraction(30000, 1001))
    try:
        page, obs = output.said()
        client = Client(output._server.urls)
        assert output._server.urls.page in page
        assert "/obs#" in obs
        assert "width 160, height 96" in obs
        assert "30" in obs
        assert client.ask("GET", "/api/info").json["obs_size"] == "160, 96 and 30"
        assert output.watchers() == 0
        with Playing(controls):
            client.ask("GET", "/api/live/frame?client=one&after=0")
            client.ask("GET", "/api/live/frame?client=one&after=0&view=after")
            client.ask("GET", "/api/obs/frame?client=two&after=0", token=client.obs_token)
        assert output.watchers() == 2
    finally:
        output.close()
    assert output.watchers() == 0
