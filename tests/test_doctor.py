"""`livematte doctor`: it says what is, and runs on the sickest machine."""

from __future__ import annotations

import json
import sys

import pytest

from livematte.cli.app import run
from livematte.doctor import checks as doctor
from livematte.doctor.devices import Gpu, parse_gpus


def test_a_healthy_machine(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["event"] == "summary"
    problems = [one for section in report["sections"].values() for one in section if one["state"] == "problem"]
    assert (code, problems) == (0, [])
    names = {one["name"] for section in report["sections"].values() for one in section}
    assert {"livematte", "Python", "av", "ONNX Runtime", "--device cpu", "livematte-s", "cache"} <= names


def test_every_missing_thing_has_a_way_to_get_it() -> None:
    for section in doctor.examine().sections:
        for one in section.findings:
            if one.state == "problem":
                assert one.fix
            if one.state == "missing" and section.title in ("Inference", "Networks", "Pictures"):
                assert "pip install" in one.fix or "model fetch" in one.fix


def test_no_runtime_is_a_problem_with_its_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    report = doctor.examine()
    (problem,) = [one for one in report.problems if one.name == "ONNX Runtime"]
    assert problem.fix == "pip install 'livematte[cpu]'"


def test_a_check_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> list[doctor.Finding]:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(doctor, "_cameras", fail)
    (problem,) = doctor.examine().problems
    assert "no such thing" in problem.detail


def test_gpus_of_nvidia_smi() -> None:
    text = "NVIDIA GeForce RTX 4090, 581.29, 8.9, 24564\nTesla V100-SXM2-16GB, 550.54.15, 7.0, 16384\nbroken line\n"
    assert parse_gpus(text) == [
        Gpu("NVIDIA GeForce RTX 4090", "581.29", 8.9, 24564),
        Gpu("Tesla V100-SXM2-16GB", "550.54.15", 7.0, 16384),
    ]
    assert parse_gpus("GPU, [N/A], [N/A], [N/A]\n") == [Gpu("GPU", "[N/A]", 0.0, 0)]


def test_an_old_driver_and_an_old_gpu_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "nvidia", lambda: [Gpu("Tesla V100", "550.54.15", 7.0, 16384)])
    (problem,) = [one for one in doctor.examine().problems if one.name == "Tesla V100"]
    assert "driver to 580" in problem.fix
    assert "too old for CUDA 13" in problem.fix
    monkeypatch.setattr(doctor, "nvidia", lambda: [Gpu("RTX 4090", "581.29", 8.9, 24564)])
    assert [one for one in doctor.examine().problems if one.name == "RTX 4090"] == []
