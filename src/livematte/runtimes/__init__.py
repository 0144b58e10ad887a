"""Inference runtimes behind one contract (`base.py`): a table of names, each loaded when it is asked for."""

from __future__ import annotations

from livematte.registry import Backend, Registry
from livematte.runtimes.options import EngineFactory

RUNTIMES: Registry[EngineFactory] = Registry(
    "runtime",
    {
        # Neither names an extra: the modules themselves say what to install, because there are two packages.
        "onnxruntime": Backend("livematte.runtimes.onnxruntime_engine", "OnnxRuntimeEngine"),
        "null": Backend("livematte.runtimes.null_engine", "NullEngine"),
    },
)
"""Every runtime by the name that `--runtime` takes."""
