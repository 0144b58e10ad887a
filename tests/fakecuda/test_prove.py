"""The proofs of the GPU path run to the end without a GPU, and say for each why it did not run."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fakecuda.build import is_possible
from livematte.config import ModelSettings
from livematte.matting.device.network import DeviceEngine
from livematte.models.load import find_network
from livematte.reporting import ListReporter
from livematte.runtimes.choice import nvidia_gpus
from livematte.runtimes.cuda.choice import open_driver
from livematte.runtimes.options import EngineOptions

REPOSITORY = Path(__file__).resolve().parents[2]


def prove(tmp_path: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """(exit code, what the report says of each proof)."""
    target = tmp_path / "prove.json"
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "gpu" / "prove.py"), "--out", str(target), *arguments]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    done = subprocess.run(command, env=env, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert target.is_file(), done.stderr
    return done.returncode, json.loads(target.read_text())["proofs"]


@pytest.mark.skipif(bool(nvidia_gpus()), reason="there is a GPU here, and the proofs would run")
def test_each_proof_says_why_it_did_not_run(tmp_path: Path) -> None:
    code, proofs = prove(tmp_path)
    assert code == 5
    assert proofs.pop("machine")["state"] == "run"
    assert len(proofs) == 15
    assert {found["state"] for found in proofs.values()} == {"not run: no NVIDIA GPU here"}


@pytest.mark.slow
@pytest.mark.skipif(bool(is_possible()), reason=is_possible())
@pytest.mark.parametrize("name", ["times", "nvdec", "floats"])
def test_the_proofs_themselves_work_over_fakecuda(tmp_path: Path, name: str) -> None:
    pytest.importorskip("cuda.core", reason="cuda-core is not installed")
    code, proofs = prove(tmp_path, "--rehearse", "--only", name)
    assert proofs[name]["state"] == "run", proofs[name]
    assert code in (0, 1)  # a rehearsal's figures mean nothing


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The proofs' module that opens the embedded network in each runtime."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks" / "gpu"))
    return importlib.import_module("proofs.engines")


@pytest.mark.skipif(bool(nvidia_gpus()), reason="there is a GPU here")
def test_each_network_says_why_it_is_not_here(engines: ModuleType) -> None:
    for runtime, precision in engines.WAYS:
        with pytest.raises(engines.NotRun, match=r"\w{3}"), engines.loaded_network(runtime, precision):
            pass
    reasons = r"tensorrt-rtx: .*; tensorrt: .*; onnxruntime: .*CUDA"
    with pytest.raises(engines.NotRun, match=reasons), engines.best_network("fp16"):
        pass


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnxruntimes_way_works_on_the_null_driver(engines: ModuleType, precision: str) -> None:
    found = find_network(ModelSettings(), reporter=ListReporter())
    image = found.contract.graph.input.name
    options = EngineOptions(outputs=(found.contract.alpha.name,), computes_in="" if precision == "fp32" else precision)
    driver = open_driver("null")
    engine = engines.OrtNetwork(found.path, options)
    assert isinstance(engine, DeviceEngine)
    network = engine.open_slots({image: (1, 3, 64, 64)}, 1, driver)
    stream = driver.stream()
    network.input(0).fill(0, stream)
    network.enqueue(0, stream)
    alpha = np.empty(network.alpha(0).shape, network.alpha(0).dtype)
    network.alpha(0).download(alpha, stream)
    assert alpha.shape[-2:] == (64, 64)
    assert 0 <= alpha.min() <= alpha.max() <= 1
    network.close()
    stream.close()
    driver.close()


def test_no_time_is_a_reason_too(tmp_path: Path) -> None:
    _, proofs = prove(tmp_path, "--seconds", "1", "--only", "machine,times")
    assert {found["state"] for found in proofs.values()} == {"not run: the time for all proofs is over"}


def test_an_unknown_proof_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "gpu" / "prove.py"), "--only", "nonsense"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such proof: nonsense" in done.stderr
