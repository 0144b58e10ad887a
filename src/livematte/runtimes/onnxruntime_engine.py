"""ONNX Runtime as an engine: CPU, and by name CUDA, TensorRT, Core ML and DirectML.

Note [Providers are asked, then checked]
    ONNX Runtime lists CUDA as available on machines without a GPU, and a session that asks for it alone is made on
    the CPU without an exception. So after opening, the session's first provider is compared with what was asked
    for, and where a GPU was asked, one profiled run counts on which provider the graph's nodes really were.

Note [Two state sets]
    A recurrent network reads its last state and writes the next. Three bindings are made once: `start` reads
    zeros and writes set 0; `steps[0]` reads set 0 and writes set 1; `steps[1]` the reverse. A run only picks one of
    them, so that no state is copied and no buffer bound again. Output shapes are learned from the first run, because
    graphs seldom state them.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from livematte.errors import DeviceError, LivematteError, ModelError
from livematte.runtimes.base import DeviceStream, Tensor, TensorSpec
from livematte.runtimes.feeds import InputBuffers, check_shapes
from livematte.runtimes.options import EngineOptions
from livematte.runtimes.ort_library import (
    PROVIDERS,
    check_opened,
    check_provider,
    load_failed,
    load_library,
    provider_of,
    provider_settings,
    run_failed,
)
from livematte.runtimes.placement import NodeRun, node_runs
from livematte.runtimes.threads import default_threads

_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
          "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(uint8)": "uint8", "tensor(bool)": "bool",
          "tensor(int8)": "int8"}  # fmt: skip


class OnnxRuntimeEngine:
    """A graph opened by ONNX Runtime (see `EngineFactory` for the errors)."""

    name = "onnxruntime"

    def __init__(self, path: Path, options: EngineOptions) -> None:
        self._library = load_library()
        self._path = path
        self._options = options
        provider = provider_of(options.device)
        if options.computes_in == "tf32" and provider != "CUDAExecutionProvider":
            raise DeviceError(
                f"tf32 is arithmetic of NVIDIA GPUs, and {options.device} has none. Use --precision fp32."
            )
        check_provider(self._library, provider, options.device)
        self.threads = options.threads or default_threads()
        try:
            self.session = self._open(provider, self._session_options())
        except LivematteError:
            raise
        except Exception as error:  # every class of the library is told apart in load_failed
            raise load_failed(error, path, options.device) from error
        check_opened(self.session, provider, path, options.device)
        self.device = _device_name(options.device)
        self.precision = options.computes_in or options.precision
        self.inputs = tuple(_spec(item) for item in self.session.get_inputs())
        self.outputs = tuple(_spec(item) for item in self.session.get_outputs())
        self.version: str = self._library.__version__
        self.memory = ("cuda", int(self.device.partition(":")[2])) if self.device.startswith("cuda") else ("cpu", 0)

    def bind(self, shapes: Mapping[str, tuple[int, ...]]) -> OnnxRuntimeBinding:
        """Buffers for these input shapes. ValueError where they do not fit the graph."""
        check_shapes(self.inputs, shapes)
        return OnnxRuntimeBinding(self, shapes)

    def node_runs(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[NodeRun, ...]:
        """The graph's operations and where each really ran, from the profile of one run on zeros in its own session."""
        check_shapes(self.inputs, shapes)
        with tempfile.TemporaryDirectory(prefix="livematte-profile-") as folder:
            options = self._session_options()
            options.enable_profiling = True
            options.profile_file_prefix = os.path.join(folder, "run")
            session = self._open(provider_of(self._options.device), options)
            feeds = {spec.name: np.zeros(shapes[spec.name], np.dtype(spec.dtype)) for spec in self.inputs}
            try:
                session.run(None, feeds)
            except Exception as error:
                raise run_failed(error, self) from error
            events: list[dict[str, Any]] = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return node_runs(events)

    def close(self) -> None:
        """Give the weights back."""
        self.session = None

    def _session_options(self) -> Any:
        options = self._library.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        # Spinning threads burn the cores that decoding and encoding need: 110 ms against 183 ms a frame under load.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # What goes wrong comes as an exception and is said by us; the library's own lines on stderr are not.
        options.log_severity_level = 4
        if _shares_state_sizes(self._path, self._options.states):
            # RVM's published file names the sides of its four states alike although they differ, and a memory plan
            # that believed it put one state into another's buffer for others. Version 1.32 gave bit-equal answers
            # either way; older ones were not tried, and the caution costs 40 MB at 720p.
            options.enable_mem_reuse = False
        return options

    def _open(self, provider: str, options: Any) -> Any:
        number = int(self._options.device.partition(":")[2] or 0)
        settings = provider_settings(provider, number, tf32=self._options.computes_in == "tf32")
        return self._library.InferenceSession(str(self._path), options, providers=[(provider, settings)])

    @property
    def options(self) -> EngineOptions:
        """What it was opened with."""
        return self._options

    @property
    def library(self) -> Any:
        """The `onnxruntime` module."""
        return self._library


class OnnxRuntimeBinding:
    """Bound buffers and two state sets; see Note [Two state sets]."""

    def __init__(self, engine: OnnxRuntimeEngine, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._engine = engine
        self._pairs = engine.options.states
        self._buffers = InputBuffers(engine.inputs, shapes, frozenset(name for name, _ in self._pairs))
        taken = {output for _, output in self._pairs}
        wanted = engine.options.outputs or tuple(spec.name for spec in engine.outputs if spec.name not in taken)
        self._wanted = wanted
        share = engine.library.OrtValue.ortvalue_from_numpy  # on the CPU it shares the array's memory
        self._values = {name: share(array) for name, array in self._buffers.arrays.items()}
        dtypes = {spec.name: np.dtype(spec.dtype) for spec in engine.inputs}
        self._zeros = {name: self._state_value(shapes[name], dtypes[name], zero=True) for name, _ in self._pairs}
        self._results: dict[str, Tensor] = {}
        self._bindings: list[Any] = []
        self._turn = 0

    def buffer(self, name: str) -> Tensor:
        """The host buffer of an input; what is written there is read by the next run, without a copy."""
        return self._buffers.get(name)

    def run(self, feeds: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """One step; the arrays that come back are overwritten by the next one."""
        self._buffers.fill(feeds)
        if not self._bindings:
            return self._first_run()
        self._run(self._bindings[self._turn])
        self._turn = 2 if self._turn == 1 else 1
        return self._results

    def enqueue(self, stream: DeviceStream) -> None:
        """One step, at once: this binding's buffers are the host's."""
        self.run({})

    def reset(self) -> None:
        """The next run starts from zeros."""
        self._turn = 0

    def close(self) -> None:
        """Give the buffers back."""
        self._bindings, self._results, self._values, self._zeros = [], {}, {}, {}

    def _run(self, binding: Any) -> None:
        try:
            self._engine.session.run_with_iobinding(binding)
        except Exception as error:
            raise run_failed(error, self._engine) from error

    def _state_value(self, shape: tuple[int, ...], dtype: Any, *, zero: bool = False) -> Any:
        """Memory for one state where the network runs."""
        ort_value = self._engine.library.OrtValue
        if self._engine.memory[0] == "cpu" or zero:
            return ort_value.ortvalue_from_numpy(np.zeros(shape, dtype), *self._engine.memory)
        return ort_value.ortvalue_from_shape_and_type(list(shape), dtype.type, *self._engine.memory)

    def _first_run(self) -> Mapping[str, Tensor]:
        """Let the library allocate once, learn the shapes, then bind everything for good."""
        binding = self._engine.session.io_binding()
        self._bind_inputs(binding, self._zeros)
        for name in self._wanted:
            binding.bind_output(name, "cpu", 0)
        for _, name in self._pairs:
            binding.bind_output(name, *self._engine.memory)
        self._run(binding)
        found = dict(zip((*self._wanted, *(name for _, name in self._pairs)), binding.get_outputs(), strict=True))
        self._results = {name: found[name].numpy() for name in self._wanted}
        dtypes = {spec.name: np.dtype(spec.dtype) for spec in self._engine.outputs}
        sets = [
            {source: found[output] for source, output in self._pairs},
            {source: self._state_value(tuple(found[out].shape()), dtypes[out]) for source, out in self._pairs},
        ]
        self._bindings = [self._complete(read, write) for read, write in ((self._zeros, sets[0]), sets, sets[::-1])]
        self._turn = 1
        return self._results

    def _complete(self, read: Mapping[str, Any], write: Mapping[str, Any]) -> Any:
        binding = self._engine.session.io_binding()
        self._bind_inputs(binding, read)
        for name, result in self._results.items():
            binding.bind_output(name, "cpu", 0, result.dtype.type, list(result.shape), result.ctypes.data)
        for source, output in self._pairs:
            binding.bind_ortvalue_output(output, write[source])
        return binding

    def _bind_inputs(self, binding: Any, states: Mapping[str, Any]) -> None:
        for name, value in (*self._values.items(), *states.items()):
            binding.bind_ortvalue_input(name, value)


def _spec(item: Any) -> TensorSpec:
    shape = tuple(side if isinstance(side, int) else (side or "?") for side in item.shape)
    if item.type not in _TYPES:
        raise ModelError(f"the network's '{item.name}' is a {item.type}, which no network that is run here has.")
    return TensorSpec(item.name, _TYPES[item.type], shape)


def _device_name(device: str) -> str:
    """`cuda` -> `cuda:0`; others with a number likewise; `cpu` stays."""
    kind, _, number = device.partition(":")
    return kind if kind in ("cpu", "coreml") else f"{kind}:{number or 0}"


def _shares_state_sizes(path: Path, states: tuple[tuple[str, str], ...]) -> bool:
    """True where two recurrent inputs of the graph have the same free sides by name."""
    if len(states) < 2:
        return False
    from livematte.runtimes.onnx_header import read_header

    names = {name for name, _ in states}
    shapes = [tuple(spec.shape[-2:]) for spec in read_header(path).inputs if spec.name in names]
    return len(set(shapes)) < len(shapes) and any(isinstance(side, str) for shape in shapes for side in shape)


__all__ = ["PROVIDERS", "OnnxRuntimeBinding", "OnnxRuntimeEngine"]
