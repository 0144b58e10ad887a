"""The whole of training on generated pictures: the same code as a real run, in under a minute."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'livematte[training,cpu]'")
pytest.importorskip("onnx", reason="onnx is not installed: pip install 'livematte[training,cpu]'")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed: pip install 'livematte[training,cpu]'")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot remove the cache that PyTorch still maps")
def test_a_run_trains_stops_resumes_exports_and_starts_again_from_its_export(tmp_path: Path) -> None:
    from training.rehearsal import SAMPLES, rehearse

    figures = rehearse(tmp_path)
    assert figures["samples"] == SAMPLES, "the second run did not take up where the first stopped"
    assert figures["validations"] >= 2
    assert figures["export_difference"] < 1e-4
    assert figures["nodes"] < 140, "the exported graph is no longer tidied"
    assert figures["probes"] == 8
    assert abs(figures["clips_MAD"] - figures["clips_MAD_fp16"]) < 2
    assert abs(figures["validation_MAD"] - figures["validation_MAD_resumed"]) < 20
