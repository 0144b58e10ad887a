"""`livematte engine` over the real TensorRT-RTX, which builds plans without a GPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from outcome import Command

from livematte.runtimes.plans import PlanStore

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'livematte[rtx]'")
pytest.importorskip("onnx", reason="plans are built from graphs that onnx makes")

BUILD = ("engine", "build", "auto", "--target", "sm_89", "--precision", "fp16", "--json")
LONG_SECONDS = 240


def the_plan(done: Any) -> dict[str, Any]:
    assert done.code == 0, done.err
    (one,) = done.events[-1]["plans"]
    return dict(one)


@pytest.mark.slow
def test_built_listed_inspected_damaged_and_built_again(command: Command) -> None:
    first = the_plan(command(*BUILD))
    assert first["runtime"] == "tensorrt-rtx"
    assert first["bytes"] > 1_000_000
    assert first["notes"]["types"]["fp16"] > 10
    stages = command("engine", "inspect", first["id"])
    assert stages.code == 0
    assert "stays in higher precision" in stages.out
    assert the_plan(command(*BUILD))["from_cache"]
    path = Path(first["path"])
    path.write_bytes(path.read_bytes()[:-1000])
    done = command(*BUILD)
    again = the_plan(done)
    assert not again["from_cache"]
    assert again["id"] == first["id"]
    assert any("is cut short" in event.get("message", "") for event in done.events)
    (row,) = command("engine", "list", "--json").events[-1]["plans"]
    assert row["problem"] == ""
    assert command("engine", "prune", "--json").events[-1]["removed"] == []


@pytest.mark.slow
def test_two_programs_build_one_plan(tmp_path: Path) -> None:
    there = [
        subprocess.Popen([sys.executable, "-m", "livematte", *BUILD], stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=LONG_SECONDS)[0] for process in there]
    assert [process.returncode for process in there] == [0, 0], answers
    rows = [json.loads(answer.splitlines()[-1])["plans"][0] for answer in answers]
    assert sorted(row["from_cache"] for row in rows) == [False, True]
    assert rows[0]["id"] == rows[1]["id"]
    assert len(PlanStore().entries()) == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_ctrl_c_ends_a_build_with_130_and_leaves_no_half(tmp_path: Path) -> None:
    """Ctrl-C at the moment when the builder is at work."""
    process = subprocess.Popen(
        [sys.executable, "-m", "livematte", *BUILD], stdout=subprocess.PIPE, text=True, cwd=tmp_path, bufsize=1
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "progress":
            os.kill(process.pid, signal.SIGINT)
            break
    rest = process.stdout.read()
    process.stdout.close()
    code = process.wait(LONG_SECONDS)
    if code == 0:
        pytest.skip(f"the build was done before the signal came: {rest[-200:]}")
    assert code == 130
    assert PlanStore().entries() == []
    assert not list(PlanStore().folder.glob("*.part"))
