"""A machine with TensorRT, with TensorRT-RTX, with a GPU, or without, for the tests of `livematte engine`."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from livematte.errors import DeviceError
from livematte.runtimes.cuda import choice
from livematte.runtimes.cuda.base import DeviceFacts
from livematte.runtimes.tensorrt import opening
from livematte.runtimes.tensorrt.request import BuildRequest, Built, Progress

VERSIONS = {"tensorrt": "11.4.0.106", "tensorrt_rtx": "1.7.1.116"}
PLAN = b"a plan " * 1000


class World:
    """Which libraries and GPUs there are, and what was built. The plans are not real; everything around them is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.requests: list[BuildRequest] = []
        self.error: BaseException | None = None
        self.facts: dict[str, Any] = {"types": {"fp16": 50, "fp32": 2}, "warnings": []}
        self.closed = 0
        for name, version in VERSIONS.items():
            self.install(name, version)
        self.gpu(None)
        monkeypatch.setattr(opening, "build_plan", self._build)

    def install(self, name: str, version: str | None) -> None:
        """A library of this version; None: not installed."""
        if version is None:
            self._monkeypatch.setitem(sys.modules, name, None)
            return
        module: Any = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.__version__ = version
        module.Builder = object
        members = {"NONE": 0, "SM86": 86, "SM89": 89, "SM120": 120, "CURRENT": 1}
        module.ComputeCapability = SimpleNamespace(__members__=members)
        self._monkeypatch.setitem(sys.modules, name, module)

    def gpu(self, name: str | None, capability: tuple[int, int] = (9, 0)) -> None:
        """The only GPU; None: no driver."""

        def open_driver(_name: str = "auto", ordinal: int = 0) -> Any:
            if name is None or ordinal:
                raise DeviceError("there is no NVIDIA driver here. Install one.")
            facts = DeviceFacts(
                ordinal=ordinal, name=name, capability=capability, total_bytes=80 << 30, driver_version=13000
            )
            return SimpleNamespace(device=facts, close=self._close)

        self._monkeypatch.setattr(choice, "open_driver", open_driver)

    def _close(self) -> None:
        self.closed += 1

    def _build(self, request: BuildRequest, *, progress: Progress) -> Built:
        self.requests.append(request)
        progress("optimising", 0.5)
        if self.error is not None:
            raise self.error
        progress("done", 1.0)
        return Built(PLAN, 2.0, dict(self.facts))
