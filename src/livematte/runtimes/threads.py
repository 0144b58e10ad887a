"""How many CPU threads a network gets on this machine."""

from __future__ import annotations

import contextlib
import os
import re
from functools import cache
from pathlib import Path


@cache
def usable_cores() -> float:
    """CPUs that this process may keep busy, hyper-threads counted, bounded by affinity and the cgroup's quota."""
    count = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota = _cgroup_quota()
    return count if quota is None else min(count, quota)


@cache
def default_threads() -> int:
    """Physical cores that this process may use: hyper-threads share the units that convolutions are made of.

    Bounded by the process's affinity and, in a container, by the cgroup's CPU quota (rounded up), which the
    operating system's core count does not show: 64 threads on a quota of 2 spend their time waiting.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = os.sched_getaffinity(0)
        count = _physical(allowed) or len(allowed)
    else:
        count = os.cpu_count() or 1
    quota = _cgroup_quota()
    if quota is not None:
        count = min(count, max(int(-(-quota // 1)), 1))
    return max(count, 1)


def _physical(allowed: set[int]) -> int | None:
    """Distinct (package, core) pairs among the CPUs that this process may use; None where Linux does not say."""
    cores = set()
    for cpu in allowed:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        try:
            core = (topology / "core_id").read_text().strip()
            package = (topology / "physical_package_id").read_text().strip()
        except OSError:
            return None
        cores.add((package, core))
    return len(cores) or None


def _cgroup_quota() -> float | None:
    """CPUs that the cgroup grants (version 2, then version 1); None: no limit, or not Linux."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    try:
        folder = Path("/sys/fs/cgroup/cpu")
        granted = int((folder / "cpu.cfs_quota_us").read_text())
        return granted / int((folder / "cpu.cfs_period_us").read_text()) if granted > 0 else None
    except (OSError, ValueError):
        return None


def cpu_name() -> str:
    """The processor's name for the status line; `CPU` where the system does not tell."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        return "CPU"
    return found[1].strip() if found else "CPU"
