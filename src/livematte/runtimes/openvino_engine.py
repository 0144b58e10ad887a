"""OpenVINO as an engine: processors, and by name Intel's GPUs and NPUs.

Note [Precision is asked for]
    OpenVINO computes in bfloat16 by itself where a processor has it, although the file is float32; in mattes of guided
    filters that shows as black specks. So the precision is always stated: float32, unless bf16 was asked for.

Note [Compiled for one shape]
    A graph with free sides is compiled once for each set of shapes, with all sides fixed: fixed graphs run faster and
    their outputs can be bound. Where a recurrent state grows after the first run (it starts as 1x1x1x1 zeros), states
    keep their free sides, and what the network wrote is copied instead of changing places.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from livematte import resources
from livematte.errors import DeviceError, LivematteError, ModelError
from livematte.runtimes.base import DeviceStream, Tensor
from livematte.runtimes.feeds import InputBuffers, check_shapes
from livematte.runtimes.onnx_header import read_header
from livematte.runtimes.options import EngineOptions
from livematte.runtimes.ort_library import run_failed
from livematte.runtimes.threads import default_threads

INSTALL = "pip install 'livematte[openvino]'"
"""The command that brings OpenVINO."""
DEVICES = {"cpu": "CPU", "gpu": "GPU", "npu": "NPU"}
"""What `--device` names (before a colon and a number) -> OpenVINO's name."""
_HINTS = {"fp32": "f32", "int8": "f32", "mixed": "f32", "bf16": "bf16", "fp16": "f16"}


class OpenVINOEngine:
    """A graph read by OpenVINO (see `EngineFactory` for the errors)."""

    name = "openvino"

    def __init__(self, path: Path, options: EngineOptions) -> None:
        self._library = _load_library()
        self._path = path
        self.options = options
        header = read_header(path)
        self.inputs = header.inputs
        self.outputs = header.outputs
        self._core = self._library.Core()
        self._device = _device_of(options.device, tuple(self._core.available_devices))
        self.device = options.device
        self.threads = (options.threads or default_threads()) if options.device == "cpu" else 0
        self.precision = options.computes_in or options.precision
        self.version: str = self._library.__version__.partition("-")[0]
        try:
            self._model = self._core.read_model(str(path))
        except Exception as error:  # the library raises RuntimeError for everything
            raise _load_failed(error, path) from error
        self._compiled: dict[tuple[tuple[str, tuple[int, ...]], ...], Any] = {}

    def bind(self, shapes: Mapping[str, tuple[int, ...]]) -> OpenVINOBinding:
        """Buffers for these input shapes. ValueError where they do not fit the graph."""
        check_shapes(self.inputs, shapes)
        return OpenVINOBinding(self, shapes)

    def compiled(self, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        """The graph compiled for these shapes; kept for the next clip of the same size."""
        key = tuple(sorted(shapes.items()))
        if key not in self._compiled:
            try:
                self._compiled[key] = self._core.compile_model(self._shaped(shapes), self._device, self._settings())
            except Exception as error:
                if self.device != "cpu":
                    raise DeviceError(
                        f"{self.device} cannot run {self._path.name}: {_words(error)}. Update the graphics driver, or "
                        "run on the processor: --device cpu"
                    ) from error
                raise _load_failed(error, self._path) from error
        return self._compiled[key]

    def tensor(self, array: Tensor) -> Any:
        """A tensor over an array's own memory."""
        return self._library.Tensor(array, shared_memory=True)

    def close(self) -> None:
        """Give the weights back."""
        self._compiled.clear()
        self._model = None

    def _shaped(self, shapes: Mapping[str, tuple[int, ...]]) -> Any:
        """The graph with its sides fixed; see Note [Compiled for one shape]."""
        model = self._model.clone()
        model.reshape({name: list(shape) for name, shape in shapes.items()})
        for source, output in self.options.states:
            written = model.output(output).get_partial_shape()
            if not written.is_static or tuple(written.to_shape()) != tuple(shapes[source]):
                break
        else:
            return model
        states = {source for source, _ in self.options.states}
        model = self._model.clone()
        model.reshape({name: list(shape) for name, shape in shapes.items() if name not in states})
        return model

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if self._device != "NPU":  # its precision is its own
            settings["INFERENCE_PRECISION_HINT"] = _HINTS[self._hinted()]
        if self.device == "cpu":
            settings["INFERENCE_NUM_THREADS"] = self.threads
            settings["NUM_STREAMS"] = 1
        else:
            settings["CACHE_DIR"] = str(resources.cache_dir() / "openvino")
        return settings

    def _hinted(self) -> str:
        """A processor computes a float16 file in float32: the storage is half, the arithmetic is not faster."""
        return "fp32" if self.precision == "fp16" and self.device == "cpu" else self.precision


class OpenVINOBinding:
    """One inference request with bound buffers and two state sets."""

    def __init__(self, engine: OpenVINOEngine, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._engine = engine
        self._pairs = engine.options.states
        sources = frozenset(source for source, _ in self._pairs)
        taken = {output for _, output in self._pairs}
        self._buffers = InputBuffers(engine.inputs, shapes, sources)
        self._wanted = engine.options.outputs or tuple(s.name for s in engine.outputs if s.name not in taken)
        compiled = engine.compiled(shapes)
        self._request: Any = compiled.create_infer_request()
        dtypes = {spec.name: np.dtype(spec.dtype) for spec in engine.inputs}
        self._kept = [engine.tensor(array) for array in self._buffers.arrays.values()]
        for name, tensor in zip(self._buffers.arrays, self._kept, strict=True):
            self._request.set_tensor(name, tensor)
        self._zeros = {name: engine.tensor(np.zeros(shapes[name], dtypes[name])) for name in sources}
        self._results: dict[str, Tensor] = {}
        self._free = tuple(name for name in self._wanted if not self._bind_output(compiled, name))
        self._swaps = all(compiled.output(output).get_partial_shape().is_static for output in taken)
        self._sets = [
            {source: engine.tensor(np.zeros(shapes[source], dtypes[source])) for source in sources} for _ in range(2)
        ]
        self._is_first = True

    def buffer(self, name: str) -> Tensor:
        """The host buffer of an input; what is written there is read by the next run, without a copy."""
        return self._buffers.get(name)

    def run(self, feeds: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """One step; the arrays that come back are overwritten by the next one."""
        self._buffers.fill(feeds)
        read = self._zeros if self._is_first else self._sets[0]
        for source, output in self._pairs:
            self._request.set_tensor(source, read[source])
            if self._swaps:
                self._request.set_tensor(output, self._sets[1][source])
        try:
            self._request.infer()
        except Exception as error:
            raise run_failed(error, self._engine) from error
        self._is_first = False
        if self._swaps:
            self._sets.reverse()
        else:
            self._sets[0] = {
                source: self._engine.tensor(self._request.get_tensor(output).data.copy())
                for source, output in self._pairs
            }
        for name in self._free:
            self._results[name] = self._request.get_tensor(name).data
        return self._results

    def enqueue(self, stream: DeviceStream) -> None:
        """One step, at once: this binding's buffers are the host's."""
        self.run({})

    def reset(self) -> None:
        """The next run starts from zeros."""
        self._is_first = True

    def close(self) -> None:
        """Give the buffers back."""
        self._request, self._results, self._kept, self._zeros, self._sets = None, {}, [], {}, []

    def _bind_output(self, compiled: Any, name: str) -> bool:
        """Give an output memory of ours; False where its shape is known only after a run."""
        port = compiled.output(name)
        if not port.get_partial_shape().is_static:
            return False
        spec = next(spec for spec in self._engine.outputs if spec.name == name)
        self._results[name] = np.empty(tuple(port.get_shape()), np.dtype(spec.dtype))
        self._kept.append(self._engine.tensor(self._results[name]))
        self._request.set_tensor(name, self._kept[-1])
        return True


def _load_library() -> Any:
    """The `openvino` module. DeviceError (5) where it is not installed or cannot be loaded."""
    try:
        return importlib.import_module("openvino")
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise DeviceError(f"OpenVINO cannot be loaded: {error}. Reinstall it: {INSTALL}") from error
        raise DeviceError(f"the runtime 'openvino' is not installed. Install it with: {INSTALL}") from error
    except (ImportError, OSError) as error:
        raise DeviceError(f"OpenVINO is installed, but cannot be loaded: {error}. Reinstall it: {INSTALL}") from error


def _device_of(device: str, available: tuple[str, ...]) -> str:
    """OpenVINO's name of `cpu`, `gpu:1`...; DeviceError (5) where it is not one, or not here."""
    kind, _, number = device.partition(":")
    name = DEVICES.get(kind)
    if name is None or (number and not number.isdigit()):
        raise DeviceError(
            f"there is no device '{device}' for the runtime openvino. Its names are cpu, gpu (Intel's; gpu:1 is the "
            "second one) and npu. For NVIDIA's GPUs: --runtime onnxruntime --device cuda"
        )
    wanted = f"{name}.{number}" if number else name
    if not any(found == wanted or found.partition(".")[0] == wanted for found in available):
        raise DeviceError(
            f"the device '{device}' was asked for, and OpenVINO sees {', '.join(available) or 'none'} here. Install "
            "Intel's driver for it, or run on the processor: --device cpu"
        )
    return wanted


def _load_failed(error: Exception, path: Path) -> LivematteError:
    return ModelError(
        f"{path.name} cannot be run as a network by OpenVINO: {_words(error)}. The file is broken, or it uses "
        "operators that OpenVINO does not have; try it with --runtime onnxruntime."
    )


def _words(error: Exception) -> str:
    """The library's message on one line, without its source files' names."""
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and ".cpp:" not in line and not line.startswith("Exception from")]
    return " ".join(kept or lines).rstrip(".")[:400]
