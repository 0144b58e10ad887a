"""Back ends of virtual cameras that live in this process, and machines in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_outputs_making import FakeCamera, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    folder = tmp_path / "machine"
    folder.mkdir()
    return Machine(folder)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give pyvirtualcam these back ends and no others, for one test: `register(v4l2loopback=FakeLoopback)`."""
    library = pytest.importorskip("pyvirtualcam", reason="the extra 'webcam' is not installed")
    monkeypatch.setattr(library.camera, "BACKENDS", {})
    FakeCamera.made.clear()

    def register(**backends: Any) -> None:
        library.camera.BACKENDS.clear()
        for name, maker in backends.items():
            library.register_backend(name, maker)

    return register
