"""What an NVIDIA GPU says of itself through `nvidia-smi`: name, clocks, power, temperature, why it is held back."""

from __future__ import annotations

import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

from livematte.bench.memory import NOT_READABLE

_FIELDS: Final = {
    "name": "name",
    "driver": "driver_version",
    "driver_model": "driver_model.current",
    "p_state": "pstate",
    "sm_clock_mhz": "clocks.sm",
    "sm_clock_max_mhz": "clocks.max.sm",
    "memory_clock_mhz": "clocks.mem",
    "power_watts": "power.draw",
    "power_limit_watts": "power.limit",
    "temperature_c": "temperature.gpu",
    "throttle_reasons": "clocks_throttle_reasons.active",
    "use_percent": "utilization.gpu",
    "memory_used_mib": "memory.used",
    "memory_mib": "memory.total",
}
"""Our name -> nvidia-smi's."""
_WORDS: Final = frozenset({"name", "driver", "driver_model", "p_state", "throttle_reasons"})
_REASONS: Final = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
    0x100: "display clock",
}
"""Bits of NVML's nvmlClocksEventReasons."""
_NOTHING: Final = ("", "n/a", "[n/a]", "not supported", "[not supported]", "[unknown error]", "[gpu requires reset]")

Facts = dict[str, Any]


def read() -> list[Facts]:
    """One table a GPU; empty without a driver. A field that cannot be read is `NOT_READABLE`."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={','.join(_FIELDS.values())}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return parse(answer.stdout)


def parse(text: str) -> list[Facts]:
    """The lines of `nvidia-smi --format=csv,noheader,nounits` for the fields of `_FIELDS`."""
    found = []
    for line in text.splitlines():
        values = [part.strip() for part in line.split(",")]
        if len(values) == len(_FIELDS):
            found.append({name: _value(name, value) for name, value in zip(_FIELDS, values, strict=True)})
    return found


def _value(name: str, text: str) -> float | str | list[str]:
    if text.lower() in _NOTHING:
        return NOT_READABLE
    if name == "throttle_reasons":
        return reasons(text)
    if name in _WORDS:
        return text
    try:
        return float(text)
    except ValueError:
        return NOT_READABLE


def reasons(text: str) -> list[str] | str:
    """`0x0000000000000004` -> `["power cap"]`."""
    try:
        bits = int(text, 16)
    except ValueError:
        return NOT_READABLE
    return [word for bit, word in _REASONS.items() if bits & bit]


@dataclass(slots=True)
class Sampler:
    """Asks the driver every second on a thread of its own while a run goes on; does nothing without a GPU.

    `nvidia-smi` takes 20 to 200 ms of a core a call, so it is not asked more often.
    """

    every_seconds: float = 1.0
    samples: list[list[Facts]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Sampler:
        if shutil.which("nvidia-smi") is not None:
            self._thread = threading.Thread(target=self._work, name="livematte-gpu-sampler", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while True:
            facts = read()
            if facts:
                self.samples.append(facts)
            if self._stop.wait(self.every_seconds):
                return

    def summary(self) -> list[Facts]:
        """Of each GPU: means of clocks, power and use, peaks of temperature and memory, every throttle reason seen."""
        return [summarise([at[number] for at in self.samples if number < len(at)]) for number in range(self._count())]

    def _count(self) -> int:
        return max((len(at) for at in self.samples), default=0)


def summarise(samples: list[Facts]) -> Facts:
    """One GPU's samples as one table."""
    made: Facts = {"name": samples[-1]["name"], "p_state": samples[-1]["p_state"], "samples": len(samples)}
    for name in ("sm_clock_mhz", "memory_clock_mhz", "power_watts", "use_percent"):
        values = [s[name] for s in samples if isinstance(s[name], float)]
        made[name] = round(sum(values) / len(values), 1) if values else NOT_READABLE
    for name in ("temperature_c", "memory_used_mib"):
        values = [s[name] for s in samples if isinstance(s[name], float)]
        made[f"{name}_peak" if name != "temperature_c" else "temperature_c"] = max(values) if values else NOT_READABLE
    lists = [s["throttle_reasons"] for s in samples if isinstance(s["throttle_reasons"], list)]
    made["throttle_reasons"] = sorted({word for words in lists for word in words}) if lists else NOT_READABLE
    return made
