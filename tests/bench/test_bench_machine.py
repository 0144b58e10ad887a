"""What a machine says of itself, and "not readable" where it does not."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from livematte.bench import gpu, machine, memory
from livematte.bench.alone import settle
from livematte.bench.memory import NOT_READABLE

_LINE = (
    "NVIDIA GeForce RTX 4060, 580.65.06, [N/A], P2, 2460, 3105, 8251, 88.31, 115.00, 61, 0x0000000000000004, 97, "
    "2311, 8188"
)


def test_facts_go_into_json_and_hold_what_is_promised() -> None:
    facts = machine.facts()
    json.dumps(facts, allow_nan=False)
    assert isinstance(facts["cpu"], str)
    assert facts["cpu"]
    assert facts["power_source"] in ("mains", "battery", NOT_READABLE)
    assert facts["packages"]["av"]
    assert facts["livematte"]


def test_peak_memory_is_this_process_own() -> None:
    before = memory.peak_resident_mib()
    held = bytearray(64 << 20)
    for at in range(0, len(held), 4096):
        held[at] = 1
    after = memory.peak_resident_mib()
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert after >= before
    assert 30 < after < 20000


def test_a_gpu_line_is_read_field_by_field() -> None:
    (found,) = gpu.parse(_LINE + "\n")
    assert found["name"] == "NVIDIA GeForce RTX 4060"
    assert found["driver_model"] == NOT_READABLE
    assert (found["p_state"], found["sm_clock_mhz"], found["power_limit_watts"]) == ("P2", 2460.0, 115.0)
    assert found["throttle_reasons"] == ["power cap"]
    assert gpu.parse("half, a line\n") == []


def test_throttle_reasons() -> None:
    assert gpu.reasons("0x0000000000000000") == []
    assert gpu.reasons("0x0000000000000041") == ["idle", "hardware thermal"]
    assert gpu.reasons("[Insufficient Permissions]") == NOT_READABLE


def test_samples_become_means_and_peaks() -> None:
    (one,) = gpu.parse(_LINE)
    other = {**one, "sm_clock_mhz": 2400.0, "temperature_c": 70.0, "throttle_reasons": ["software thermal"]}
    blind = {**one, "sm_clock_mhz": NOT_READABLE, "temperature_c": NOT_READABLE, "throttle_reasons": NOT_READABLE}
    found = gpu.summarise([one, other, blind])
    assert found["sm_clock_mhz"] == 2430.0
    assert found["temperature_c"] == 70.0
    assert found["memory_used_mib_peak"] == 2311.0
    assert found["throttle_reasons"] == ["power cap", "software thermal"]
    assert gpu.summarise([blind])["sm_clock_mhz"] == NOT_READABLE


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for nvidia-smi is a shell script")
def test_the_sampler_asks_the_driver_while_it_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{_LINE}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.environ["PATH"])
    assert machine.facts()["gpus"][0]["name"] == "NVIDIA GeForce RTX 4060"
    with gpu.Sampler(every_seconds=0.01) as sampler:
        for _ in range(2000):
            if len(sampler.samples) >= 2:
                break
            sampler._stop.wait(0.01)
    assert sampler.summary()[0]["samples"] >= 2


def test_no_driver_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu.read() == []
    with gpu.Sampler() as sampler:
        pass
    assert sampler.summary() == []


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ({}, "mains"),
        ({"AC": ("Mains", "1"), "BAT0": ("Battery", None)}, "mains"),
        ({"AC": ("Mains", "0"), "BAT0": ("Battery", None)}, "battery"),
        ({"mouse": ("Battery", "Device")}, "mains"),
    ],
)
def test_power_by_the_kernels_list(supplies: dict[str, tuple[str, str | None]], expected: str, tmp_path: Path) -> None:
    for name, (kind, more) in supplies.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(kind + "\n")
        if more is not None:
            (tmp_path / name / ("scope" if kind == "Battery" else "online")).write_text(more + "\n")
    assert machine.linux_power(tmp_path) == expected


def test_no_list_of_supplies_is_not_readable(tmp_path: Path) -> None:
    assert machine.linux_power(tmp_path / "none") == NOT_READABLE


def test_saturated_until_the_clock_is_steady() -> None:
    clocks = iter([1200.0, 1800.0, 2400.0, 2410.0, 2405.0, 9999.0])
    steps = []
    found = settle(lambda: steps.append(1), lambda: next(clocks), every_seconds=0.002)
    assert found.is_steady
    assert found.clock_mhz == 2405.0
    assert len(steps) > 5


def test_a_clock_that_never_settles_is_said() -> None:
    clocks = iter(range(1000, 100000, 300))
    found = settle(lambda: None, lambda: float(next(clocks)), every_seconds=0.002, limit_seconds=0.03)
    assert not found.is_steady
