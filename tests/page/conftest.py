"""A page server over fake controls, and a plain HTTP client that can lie about any header."""

from __future__ import annotations

import http.client
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from livematte.config import LiveSettings, ModelSettings, Settings
from livematte.page.server import PageServer, Urls
from livematte.reporting import ListReporter
from page.chromium import Browser, find_chromium
from page.fake_controls import FakeControls


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """Asks one server, with the page's token unless told otherwise."""

    urls: Urls
    token: str = field(init=False)
    obs_token: str = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.urls.page)
        assert parts.port is not None
        self.port, self.token = parts.port, parts.fragment
        self.obs_token = urlsplit(self.urls.obs or "").fragment

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Any = None,
        *,
        token: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """`token`: "" is the page's own, None sends none. A body that is not bytes goes as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {} if token is None else {"Authorization": f"Bearer {token or self.token}"}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        try:
            connection.request(method, path, body, sent | (headers or {}))
            answer = connection.getresponse()
            known = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, known, answer.read())
        finally:
            connection.close()


@pytest.fixture
def controls() -> FakeControls:
    return FakeControls()


@pytest.fixture
def reporter() -> ListReporter:
    return ListReporter()


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the server makes its private folder."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def server(controls: FakeControls, reporter: ListReporter, uploads: Path) -> Iterator[PageServer]:
    # The null network: alpha is 1, or the source's own.
    settings = Settings(live=LiveSettings(allow_raw=True), model=ModelSettings(runtime="null"))
    made = PageServer(controls, settings, port=0, reporter=reporter)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def client(server: PageServer) -> Client:
    return Client(server.urls)


@pytest.fixture
def portrait() -> bytes:
    """A PNG of 320x240 whose own alpha is 1 in a box and 0 outside: with the null network, that is the result's too."""
    pixels = np.full((240, 320, 4), (60, 120, 200, 0), np.uint8)
    pixels[60:220, 110:210, 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        if "browser" in os.environ.get("LIVEMATTE_REQUIRE", "").split(","):
            pytest.fail("no Chromium on PATH, and LIVEMATTE_REQUIRE asks for one")
        pytest.skip("no Chromium on PATH")
    made = Browser(program, tmp_path_factory.mktemp("profile"))
    yield made
    made.close()
