"""Fixtures that every test has: the shared material, and a watch over threads and logged errors."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Shells start background jobs with Ctrl-C ignored, and children inherit that: the tests of Ctrl-C would hang."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _required(what: str) -> bool:
    return what in os.environ.get("LIVEMATTE_REQUIRE", "").split(",")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real clips, networks and composites; skips where it is absent (LIVEMATTE_SHARED names another)."""
    folder = Path(os.environ.get("LIVEMATTE_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "clips").is_dir():
        message = f"no shared material at {folder}; LIVEMATTE_SHARED names another place"
        if _required("shared"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture(autouse=True)
def _no_leaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A test that leaves one of our threads running, or logs an error nobody looked at, fails."""
    before = set(threading.enumerate())
    yield
    left = [t.name for t in threading.enumerate() if t not in before and t.name.startswith("livematte")]
    assert not left, f"threads left running: {left}"
    errors = [r.getMessage() for r in caplog.get_records("call") if r.levelno >= logging.ERROR]
    assert not errors, f"errors were logged: {errors}"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache or home folder of networks."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("LIVEMATTE_CACHE", str(folder / "cache"))
    monkeypatch.setenv("U2NET_HOME", str(folder / "u2net"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
