"""Drives a real headless Chromium over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from websockets.sync.client import ClientConnection, connect

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
    "--remote-allow-origins=*", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars",
)  # fmt: skip
PATIENCE_SECONDS = 60.0


class Tab:
    """One page of the browser."""

    def __init__(self, address: str) -> None:
        self._open = contextlib.ExitStack()
        self._connection: ClientConnection = self._open.enter_context(connect(address, max_size=None))
        self._numbers = itertools.count(1)
        self.logged: list[str] = []
        """Errors and warnings of the page's console, CSP's among them."""
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": arguments}))
        while True:
            message = json.loads(self._connection.recv(timeout=PATIENCE_SECONDS))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]
            self._heard(message)

    def _heard(self, message: dict[str, Any]) -> None:
        values = message.get("params", {})
        if message.get("method") == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.logged.append(values["entry"]["text"])
        if message.get("method") == "Runtime.exceptionThrown":
            details = values["exceptionDetails"]
            self.logged.append(details.get("exception", {}).get("description", details["text"]))

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def run(self, script: str) -> Any:
        """The value of an expression; promises are waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> Any:
        """Until an expression is true; its value."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not (value := self.run(condition)):
            assert time.monotonic() < end, f"never true: {condition}; the page said {self.logged}"
            time.sleep(0.05)
        return value

    def screen(self, width: int, height: int, *, dark: bool = False) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)

    def screenshot(
        self,
        background: tuple[int, int, int] | None = None,
        *,
        whole: bool = False,
        clip: dict[str, float] | None = None,
    ) -> np.ndarray:
        """(h, w, 3) uint8 RGB; `background`: what lies under a page that paints none of its own."""
        if background is not None:
            colour = dict(zip("rgb", background, strict=True)) | {"a": 1}
            self.call("Emulation.setDefaultBackgroundColorOverride", color=colour)
        extra = {} if clip is None else {"clip": clip}
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **extra)
        data = np.frombuffer(base64.b64decode(answer["data"]), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return np.ascontiguousarray(picture[..., ::-1])

    def choose_files(self, selector: str, *paths: Path) -> None:
        """Put files into a file input, as choosing or dropping them there does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def close(self) -> None:
        self._open.close()


class Browser:
    """A Chromium with a profile of its own."""

    def __init__(self, program: str, profile: Path) -> None:
        self._profile = profile
        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._tabs: list[Tab] = []
        self._port = self._wait_for_port()

    def _wait_for_port(self) -> int:
        end = time.monotonic() + PATIENCE_SECONDS
        found = self._profile / "DevToolsActivePort"
        while True:
            lines = found.read_text().splitlines() if found.exists() else []
            if len(lines) >= 2:
                return int(lines[0])
            assert self._process.poll() is None, "Chromium ended"
            assert time.monotonic() < end, "Chromium did not open its port"
            time.sleep(0.05)

    def tab(self) -> Tab:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            address = json.load(answer)["webSocketDebuggerUrl"]
        made = Tab(address)
        self._tabs.append(made)
        return made

    def close(self) -> None:
        for tab in self._tabs:
            tab.close()
        self._process.terminate()
        self._process.wait(30)


def find_chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
