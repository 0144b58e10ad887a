"""Peak memory of this process, without a further dependency.

psutil would give the same figure; a small system call is less than a package with a compiled part, and where
it fails the answer is `NOT_READABLE` rather than a number that looks real.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any, Final

_SYSTEM: Final[str] = sys.platform
NOT_READABLE: Final = "not readable"
"""Stands where a figure cannot be had on this machine. It is a value: nothing is guessed in its place."""


def peak_resident_mib() -> float | str:
    """Most resident memory that this process has had, in MiB."""
    try:
        if _SYSTEM == "win32":
            return _windows_peak()
        if _SYSTEM == "linux":
            return _linux_peak()
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
    except (OSError, AttributeError, ValueError, StopIteration):
        return NOT_READABLE


def _linux_peak() -> float:
    """VmHWM: `ru_maxrss` of a spawned child begins with its parent's peak, because it outlives `exec`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _windows_peak() -> float:
    class Counters(ctypes.Structure):
        """PROCESS_MEMORY_COUNTERS of psapi.h."""

        _fields_ = (
            ("cb", ctypes.c_uint32),
            ("PageFaultCount", ctypes.c_uint32),
            *((name, ctypes.c_size_t) for name in (
                "PeakWorkingSetSize", "WorkingSetSize", "QuotaPeakPagedPoolUsage", "QuotaPagedPoolUsage",
                "QuotaPeakNonPagedPoolUsage", "QuotaNonPagedPoolUsage", "PagefileUsage", "PeakPagefileUsage",
            )),
        )  # fmt: skip

    windll: Any = ctypes.windll  # type: ignore[attr-defined,unused-ignore]
    kernel = windll.kernel32
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    counters = Counters(cb=ctypes.sizeof(Counters))
    ask = kernel.K32GetProcessMemoryInfo
    ask.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)
    if not ask(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
        raise OSError("GetProcessMemoryInfo failed")
    return float(counters.PeakWorkingSetSize) / 2**20
