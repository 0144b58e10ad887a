"""The packages that graphs are remade with: optional, imported when one is needed, loud where one is missing."""

from __future__ import annotations

import importlib
from typing import Any

from livematte.errors import DeviceError
from livematte.runtimes.ort_library import load_library

INSTALL = "pip install 'livematte[quantize]'"
"""The command that brings them."""


def require_onnx() -> Any:
    """The `onnx` module, with ONNX Runtime beside it to compute with. DeviceError (5) where either is missing."""
    onnx = _load("onnx", "networks cannot be converted without the package 'onnx'")
    load_library()
    return onnx


def require_quantizer() -> Any:
    """`onnxruntime.quantization`, ONNX Runtime's own quantizer. DeviceError (5) where it cannot be loaded."""
    require_onnx()
    return _load("onnxruntime.quantization", "networks cannot be quantized without ONNX Runtime's quantizer")


def versions() -> dict[str, str]:
    """What a converted graph depends on besides its source: these packages' versions."""
    return {"onnx": str(require_onnx().__version__), "onnxruntime": str(load_library().__version__)}


def _load(name: str, what: str) -> Any:
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise DeviceError(f"{what}: {error}. Install what is missing with: {INSTALL}") from error
