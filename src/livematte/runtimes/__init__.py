"""Inference runtimes behind one contract (`base.py`): a table of names, each loaded when it is asked for."""

from __future__ import annotations

from livematte.registry import Backend, Registry
from livematte.runtimes.options import EngineFactory

RUNTIMES: Registry[EngineFactory] = Registry(
    "runtime",
    {
        # None names an extra: the modules themselves say what to install; of ONNX Runtime there are two packages.
        "onnxruntime": Backend("livematte.runtimes.ort_slots", "open_onnxruntime"),
        "openvino": Backend("livematte.runtimes.openvino_engine", "OpenVINOEngine"),
        "tensorrt": Backend("livematte.runtimes.tensorrt.engine", "TensorRTEngine"),
        "tensorrt-rtx": Backend("livematte.runtimes.tensorrt.engine", "TensorRTRTXEngine"),
        "null": Backend("livematte.runtimes.null_engine", "NullEngine"),
    },
)
"""Every runtime by the name that `--runtime` takes."""
