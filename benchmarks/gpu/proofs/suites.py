"""The project's own test suites on the GPU, and compute-sanitizer around the kernels' one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from proofs import REPOSITORY, NotRun, Result, is_rehearsal
from proofs.machine import find_tool

BUILD_SECONDS = 45
"""How long the proof of pycuda waits for its build."""


def drivers() -> Result:
    """The driver contract over cuda-core and over what stands below it."""
    _need("cuda", "cuda-core and cuda-bindings")
    if is_rehearsal():
        return _suite(["tests/runtimes/cuda/test_cuda_contract.py"], {"LIVEMATTE_TEST_CUDA": "cuda-core"})
    return _suite(["tests/runtimes/cuda", "-m", "gpu", "-k", "not pycuda"], {})


def pycuda() -> Result:
    """The driver contract over pycuda, once prove.sh has built it."""
    build = os.environ.get("LIVEMATTE_PYCUDA_BUILD")
    end = time.monotonic() + BUILD_SECONDS
    while build and not (Path(build) / "done").exists() and time.monotonic() < end:
        time.sleep(1)
    importlib.invalidate_caches()
    _need("pycuda", "pycuda")
    return _suite(["tests/runtimes/cuda", "-m", "gpu", "-k", "pycuda"], {})


def kernels() -> Result:
    """Every kernel against its reference, on the device."""
    _need("cuda", "cuda-bindings")
    return _suite(["tests/kernels", "-m", "not slow"], {"LIVEMATTE_TEST_CUDA": "cuda-core"})


def device() -> Result:
    """The device path against the references, on the device."""
    _need("cuda", "cuda-core and cuda-bindings")
    return _suite(["tests/matting/device/test_device_gpu.py"], {"LIVEMATTE_TEST_CUDA": "cuda-core"})


def tensorrt() -> Result:
    """Plans of whichever TensorRT is installed and knows the chip."""
    if not any(importlib.util.find_spec(name) for name in ("tensorrt", "tensorrt_rtx")):
        raise NotRun("neither tensorrt nor tensorrt-rtx is installed")
    found = _suite(["tests/runtimes/test_tensorrt_gpu.py"], {})
    if not found["counts"].get("passed"):
        raise NotRun(f"no TensorRT took this chip: {'; '.join(found['skipped'])}")
    return found


def sanitizer() -> Result:
    """memcheck over the kernels' suite: no finding in a kernel of ours."""
    tool = find_tool("compute-sanitizer")
    if tool is None:
        raise NotRun("no compute-sanitizer on this machine or among the wheels")
    if is_rehearsal():
        raise NotRun("this is a rehearsal")
    prefix = [tool, "--tool", "memcheck", "--error-exitcode", "99", "--target-processes", "all"]
    return _suite(
        ["tests/kernels", "-m", "not slow", "-x", "--timeout", "80"],
        {"LIVEMATTE_TEST_CUDA": "cuda-core"},
        prefix=prefix,
    )


def _need(module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise NotRun(f"{package} is not installed")


def _suite(arguments: Sequence[str], environment: dict[str, str], *, prefix: Sequence[str] = ()) -> Result:
    """Run pytest; what passed, what failed with its first line, and why the rest was left out."""
    if importlib.util.find_spec("pytest") is None:
        raise NotRun("pytest is not installed")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [*prefix, sys.executable, "-m", "pytest", *arguments, "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*command, f"--junitxml={report}"], cwd=REPOSITORY, text=True, errors="replace", check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "LIVEMATTE_REQUIRE": "gpu", **environment},
        )  # fmt: skip
        if not report.is_file():
            return {"met": False, "code": done.returncode, "output": done.stdout[-3000:]}
        found = _read(report)
    is_met = done.returncode == 0 and found["counts"].get("passed", 0) > 0
    return {"met": is_met, "code": done.returncode, **found, **({} if is_met else {"output": done.stdout[-3000:]})}


def _read(report: Path) -> Result:
    counts: Counter[str] = Counter()
    failed: list[str] = []
    skipped: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        left_out = case.find("skipped")
        if problem is not None:
            counts["failed"] += 1
            failed.append(
                f"{name}: {(problem.get('message') or '').splitlines()[0][:200] if problem.get('message') else ''}"
            )
        elif left_out is not None:
            counts["skipped"] += 1
            skipped[(left_out.get("message") or "").strip()[:200]] += 1
        else:
            counts["passed"] += 1
    return {
        "counts": dict(counts),
        "failed": failed[:40],
        "skipped": [f"{n} times: {why}" for why, n in skipped.items()],
    }
