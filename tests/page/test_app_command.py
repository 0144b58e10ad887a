"""`livematte app`, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from livematte.page.server import Urls
from page.conftest import Client

COMMAND = (sys.executable, "-m", "livematte", "app")


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C to another process is POSIX'")
def test_the_app_serves_until_ctrl_c_and_deletes_what_was_dropped(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    running = subprocess.Popen(
        [*COMMAND, "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(scratch)},
    )
    try:
        assert running.stdout is not None
        said = json.loads(running.stdout.readline())
        assert said["event"] == "page"
        client = Client(Urls(said["url"], None))
        assert client.ask("POST", "/api/uploads?client=a&name=a.mp4", b"12345").status == 200
        assert list(scratch.rglob("a.mp4"))
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 0
    assert errors == ""
    assert not list(scratch.glob("livematte-page-*"))


@pytest.mark.parametrize(("port", "code", "word"), [("taken", 1, "is taken"), ("70000", 2, "is no port")])
def test_ports_that_cannot_be_are_said(tmp_path: Path, port: str, code: int, word: str) -> None:
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = str(other.getsockname()[1]) if port == "taken" else port
        done = subprocess.run(
            [*COMMAND, "--port", number, "--no-open"], capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == code
    assert word in done.stderr
    assert "Traceback" not in done.stderr
