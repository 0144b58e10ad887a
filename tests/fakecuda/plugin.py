"""The fixture `fakecuda`: runs code in a child process whose CUDA driver is fakecuda.

In your conftest: `from fakecuda.plugin import fakecuda`, and `__all__ = ["fakecuda"]`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fakecuda.build import build, is_possible

_CHILD = Path(__file__).with_name("child.py")


class FakeCuda:
    """Starts child processes over the library in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def environment(self, env: Mapping[str, str] | None = None, *, seed: int = 0) -> dict[str, str]:
        """The child's: fakecuda is found first; FAKE_* of the outside is not passed on."""
        base = {key: value for key, value in os.environ.items() if not key.startswith("FAKE_")}
        paths = [str(self.folder), base.get("LD_LIBRARY_PATH", "")]
        base["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, paths))
        return {**base, "FAKE_SEED": str(seed), **(env or {})}

    def run(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, seed: int = 0, timeout_seconds: float = 240
    ) -> subprocess.CompletedProcess[str]:
        """Any program over fakecuda; its output as text."""
        return subprocess.run(
            list(argv), env=self.environment(env, seed=seed), capture_output=True, text=True, check=False,
            timeout=timeout_seconds,
        )  # fmt: skip

    def call(
        self,
        function: str,
        *,
        env: Mapping[str, str] | None = None,
        seed: int = 0,
        timeout_seconds: float = 240,
        **arguments: Any,
    ) -> Any:
        """`package.module:function(**arguments)` in a child; its result, both as JSON. Its traceback fails the test."""
        with tempfile.TemporaryDirectory() as folder:
            result = Path(folder) / "result.json"
            argv = [sys.executable, str(_CHILD), function, json.dumps(arguments), str(result)]
            done = self.run(argv, env=env, seed=seed, timeout_seconds=timeout_seconds)
            if done.returncode:
                pytest.fail(f"{function} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-6000:]}")
            return json.loads(result.read_text())


@pytest.fixture(scope="session")
def fakecuda() -> FakeCuda:
    """A CUDA driver over host memory, for child processes; skips where it cannot be built."""
    reason = is_possible()
    if reason:
        pytest.skip(reason)
    return FakeCuda(build())
