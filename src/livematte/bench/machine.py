"""Facts about this machine that a speed depends on. What cannot be read is `NOT_READABLE`, never left out."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from livematte import __version__
from livematte.bench import gpu
from livematte.bench.memory import NOT_READABLE
from livematte.runtimes.threads import cpu_name, default_threads

_PACKAGES = ("av", "opencv-python-headless", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "tensorrt")


def facts() -> dict[str, Any]:
    """Processor, load, clock, power source, memory, versions, GPUs: plain values for JSON. Takes up to a second."""
    return {
        "cpu": processor(),
        "cores": os.cpu_count() or NOT_READABLE,
        "usable_cores": default_threads(),
        "cpu_mhz": cpu_mhz(),
        "cpu_governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "load": load(),
        "memory_mib": memory_mib(),
        "power_source": power_source(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "livematte": __version__,
        "packages": versions(),
        "ffmpeg": ffmpeg(),
        "gpus": gpu.read(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def processor() -> str:
    """The processor's name; what the platform calls its kind where it has none."""
    name = cpu_name()
    if name != "CPU":
        return name
    if sys.platform == "darwin":
        name = _command("sysctl", "-n", "machdep.cpu.brand_string")
        return name if name != NOT_READABLE else platform.machine()
    return os.environ.get("PROCESSOR_IDENTIFIER") or platform.processor() or platform.machine() or NOT_READABLE


def cpu_mhz() -> float | str:
    """The present clock, mean over the cores, in MHz."""
    found = []
    for path in Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"):
        with contextlib.suppress(OSError, ValueError):
            found.append(int(path.read_text()) / 1000)
    if not found:
        with contextlib.suppress(OSError):
            found = [float(m) for m in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", _proc("cpuinfo"), re.MULTILINE)]
    return round(sum(found) / len(found), 0) if found else NOT_READABLE


def load() -> list[float] | str:
    """Load averages over 1, 5 and 15 minutes."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (OSError, AttributeError):
        return NOT_READABLE


def memory_mib() -> int | str:
    """Memory of the machine in MiB."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (OSError, ValueError, AttributeError):
        return NOT_READABLE


def power_source() -> str:
    """`mains`, `battery`, or `NOT_READABLE`. A machine without a battery is on mains."""
    try:
        if sys.platform == "win32":
            return _windows_power()
        if sys.platform == "darwin":
            said = _command("pmset", "-g", "batt")
            return "battery" if "Battery Power" in said else "mains" if "AC Power" in said else NOT_READABLE
        return linux_power(Path("/sys/class/power_supply"))
    except OSError:
        return NOT_READABLE


def linux_power(folder: Path) -> str:
    """By the kernel's list of power supplies. OSError where a file of it cannot be read."""
    if not folder.is_dir():
        return NOT_READABLE
    batteries = False
    for supply in sorted(folder.iterdir()):
        kind = (supply / "type").read_text().strip()
        if kind in ("Mains", "USB") and (supply / "online").is_file():
            if (supply / "online").read_text().strip() == "1":
                return "mains"
        elif kind == "Battery" and not _is_of_a_device(supply):
            batteries = True
    return "battery" if batteries else "mains"


def _is_of_a_device(supply: Path) -> bool:
    """A mouse's or a headset's battery says nothing about the machine."""
    scope = supply / "scope"
    return scope.is_file() and scope.read_text().strip() == "Device"


def _windows_power() -> str:
    class Status(ctypes.Structure):
        """SYSTEM_POWER_STATUS of winbase.h."""

        _fields_ = (
            ("ACLineStatus", ctypes.c_uint8),
            ("BatteryFlag", ctypes.c_uint8),
            ("BatteryLifePercent", ctypes.c_uint8),
            ("SystemStatusFlag", ctypes.c_uint8),
            ("BatteryLifeTime", ctypes.c_uint32),
            ("BatteryFullLifeTime", ctypes.c_uint32),
        )

    windll: Any = ctypes.windll  # type: ignore[attr-defined,unused-ignore]
    status = Status()
    if not windll.kernel32.GetSystemPowerStatus(ctypes.byref(status)):
        return NOT_READABLE
    return {0: "battery", 1: "mains"}.get(status.ACLineStatus, NOT_READABLE)


def versions() -> dict[str, str]:
    """Versions of the packages that do the work, those that are installed."""
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def ffmpeg() -> dict[str, str]:
    """Versions of the FFmpeg libraries inside PyAV."""
    import av

    return {name: ".".join(map(str, version)) for name, version in sorted(av.library_versions.items())}


def _proc(name: str) -> str:
    return Path("/proc", name).read_text()


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return NOT_READABLE


def _command(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return NOT_READABLE
    return done.stdout.strip()
