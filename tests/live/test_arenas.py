"""The number of malloc arenas, asked of glibc itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_MANY_THREADS = """
import ctypes, sys, threading
from livematte.live.arenas import limit_arenas
if "limited" in sys.argv and not limit_arenas():
    raise SystemExit("no glibc")
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
barrier = threading.Barrier(12)
def body():
    barrier.wait()
    kept = [libc.malloc(ctypes.c_size_t(1000)) for _ in range(200)]
    barrier.wait()
threads = [threading.Thread(target=body) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_stats()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc is on Linux")
def test_threads_share_two_arenas() -> None:
    found = subprocess.run(
        [sys.executable, "-c", _MANY_THREADS, "limited"],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")},
    )
    assert 1 <= found.stderr.count("Arena ") <= 2
