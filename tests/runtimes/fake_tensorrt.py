"""A TensorRT in Python over host memory: the library's own names and manners, the network run by ONNX Runtime.

`make(name, version)` gives the contents of a module for one of the three libraries; what only TensorRT-RTX has is
there for `tensorrt_rtx` alone. test_tensorrt_api.py proves that nothing here is missing in the real bindings, so code
that runs over this fake uses no name that the libraries do not have.

It is hostile where the libraries are: a run reads its inputs and writes its outputs when the stream gets there, not
when it is enqueued, in two steps between which other streams may come; it poisons its scratch memory and its outputs
first, and complains when somebody else wrote there; it keeps the addresses of the moment of enqueuing; RTX's contexts
do not keep their runtime cache alive; a plan of another version is refused with a None and a line in the log.

FAKE_TRT in the environment makes the builder misbehave: refuse, fail, abort, kill, hang, noisy, int8, tf32.
"""

from __future__ import annotations

import ctypes
import enum
import gc
import hashlib
import json
import os
import signal
import sys
import time
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

STREAMS: dict[int, Any] = {}
"""Stream handle -> the driver layer's Stream. Tests fill it; the fake has no other way to put work on a stream."""
COMPLAINTS: list[str] = []
"""What a real library would have answered with wrong pixels or a crash."""
LOG: list[str] = []
"""Every run that was really done, in order: the name of the context's first output address."""

MAGIC = b"FAKEPLAN"


def behaves(how: str) -> bool:
    return how in os.environ.get("FAKE_TRT", "").split(",")


def memory(pointer: int, nbytes: int) -> np.ndarray:
    """Host memory at an address, as bytes."""
    return np.frombuffer((ctypes.c_ubyte * nbytes).from_address(pointer), np.uint8)


def make(name: str, version: str) -> dict[str, Any]:
    """The names of one of the three libraries."""
    is_rtx = name == "tensorrt_rtx"
    major = int(version.split(".")[0])

    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    class ILogger:
        def __init__(self) -> None:
            self._ready = True

    ILogger.Severity = Severity

    def tell(logger: Any, severity: Severity, text: str) -> None:
        assert logger._ready, "ILogger.__init__ was never called"
        logger.log(severity, text)

    class IProgressMonitor:
        def __init__(self) -> None:
            self._ready = True

    class DataType(enum.Enum):
        FLOAT = 0
        HALF = 1
        INT8 = 2
        INT32 = 3
        BOOL = 4
        UINT8 = 5
        INT64 = 8

    class TensorIOMode(enum.Enum):
        NONE = 0
        INPUT = 1
        OUTPUT = 2

    class NetworkDefinitionCreationFlag(enum.IntEnum):
        STRONGLY_TYPED = 1

    flags = ["DEBUG", "TF32", "STRIP_PLAN"] + (["REQUIRE_USER_ALLOCATION"] if is_rtx else [])
    BuilderFlag = enum.IntEnum("BuilderFlag", {flag: at for at, flag in enumerate(flags)})  # noqa: N806

    class ProfilingVerbosity(enum.Enum):
        LAYER_NAMES_ONLY = 0
        DETAILED = 1

    class MemoryPoolType(enum.Enum):
        WORKSPACE = 0

    class LayerInformationFormat(enum.Enum):
        ONELINE = 0
        JSON = 1

    class ExecutionContextAllocationStrategy(enum.Enum):
        STATIC = 0
        ON_PROFILE_CHANGE = 1
        USER_MANAGED = 2

    of_numpy = {"float32": DataType.FLOAT, "float16": DataType.HALF, "int64": DataType.INT64,
                "int32": DataType.INT32, "bool": DataType.BOOL, "uint8": DataType.UINT8}  # fmt: skip

    class ITensor:
        def __init__(self, value: Any) -> None:
            import onnx

            kind = value.type.tensor_type
            self.name = value.name
            self.dtype = of_numpy[str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))]
            self.shape = tuple(side.dim_value if side.HasField("dim_value") else -1 for side in kind.shape.dim)
            self.is_shape_tensor = len(self.shape) < 2 and self.dtype is not DataType.FLOAT

    class INetworkDefinition:
        def __init__(self, flags: int) -> None:
            self._is_typed = major == 11 or flags == 1 << int(NetworkDefinitionCreationFlag.STRONGLY_TYPED)
            self._model: Any = None
            self._path = ""

        @property
        def num_inputs(self) -> int:
            return len(self._model.graph.input)

        @property
        def num_outputs(self) -> int:
            return len(self._model.graph.output)

        @property
        def num_layers(self) -> int:
            return len(self._model.graph.node)

        def get_input(self, index: int) -> ITensor:
            return ITensor(self._model.graph.input[index])

        def get_output(self, index: int) -> ITensor:
            return ITensor(self._model.graph.output[index])

    class ParserError:
        def __init__(self, description: str, name: str, operator: str) -> None:
            self._all = (description, name, operator)

        def desc(self) -> str:
            return self._all[0]

        def node_name(self) -> str:
            return self._all[1]

        def node_operator(self) -> str:
            return self._all[2]

    class OnnxParser:
        def __init__(self, network: INetworkDefinition, logger: Any) -> None:
            self._network = network
            self._errors: list[ParserError] = []

        def parse_from_file(self, model: str) -> bool:
            import onnx

            self._network._model = onnx.load(model)
            self._network._path = model
            known = {"DeformConv", "NonMaxSuppression"}
            for node in self._network._model.graph.node:
                if node.op_type in known or behaves("refuse"):
                    self._errors.append(ParserError("no importer for this operator", node.name, node.op_type))
            return not self._errors

        @property
        def num_errors(self) -> int:
            return len(self._errors)

        def get_error(self, index: int) -> ParserError:
            return self._errors[index]

    class IOptimizationProfile:
        def __init__(self) -> None:
            self._shapes: dict[str, Any] = {}

        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
            self._shapes[input] = [tuple(min), tuple(opt), tuple(max)]

    class ITimingCache:
        def __init__(self, data: bytes) -> None:
            self._data = data

        def serialize(self) -> bytes:
            return b"TIMES" + self._data[5:] + b"+"

    class IBuilderConfig:
        def __init__(self) -> None:
            self._flags = {BuilderFlag.TF32}  # on by default, as in the real ones
            self._profiles: list[IOptimizationProfile] = []
            self._capabilities: list[Any] = []
            self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
            self.builder_optimization_level = 3
            self.progress_monitor: Any = None
            self._cache: Any = None
            self._workspace = 0

        def set_flag(self, flag: Any) -> None:
            self._flags.add(flag)

        def clear_flag(self, flag: Any) -> None:
            self._flags.discard(flag)

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            assert pool is MemoryPoolType.WORKSPACE
            self._workspace = pool_size

        def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
            self._profiles.append(profile)
            return len(self._profiles) - 1

        if is_rtx:

            @property
            def num_compute_capabilities(self) -> int:
                return len(self._capabilities)

            @num_compute_capabilities.setter
            def num_compute_capabilities(self, value: int) -> None:
                self._capabilities = [None] * value

            def set_compute_capability(self, compute_capability: Any, index: int) -> bool:
                if index >= len(self._capabilities):
                    return False  # it says no more than that
                self._capabilities[index] = compute_capability
                return True

        else:

            def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
                return ITimingCache(bytes(serialized_timing_cache))

            def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
                self._cache = cache
                return cache._data[:5] in (b"", b"TIMES")

            def get_timing_cache(self) -> ITimingCache:
                return self._cache

    class Builder:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            return INetworkDefinition(flags)

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig()

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> Any:
            misbehave()
            tell(self._logger, Severity.INFO, "building")
            monitor = config.progress_monitor
            if monitor is not None:
                assert monitor._ready
                monitor.phase_start("Building", None, 2)
                for step in range(2):
                    monitor.phase_start("inner", "Building", 4)
                    for at in range(4):
                        assert monitor.step_complete("inner", at) is True
                    monitor.phase_finish("inner")
                    monitor.step_complete("Building", step)
                monitor.phase_finish("Building")
            if behaves("fail") or not network._is_typed:
                tell(self._logger, Severity.ERROR, "Error Code 10: could not find any implementation for node /conv")
                return None
            free = [at for at in range(network.num_inputs) if -1 in network.get_input(at).shape]
            if free and not config._profiles:
                tell(self._logger, Severity.ERROR, "Network has dynamic inputs, but no optimization profile")
                return None
            header = {
                "library": f"{name} {version}",
                "flags": sorted(flag.name for flag in config._flags),
                "capabilities": [str(capability.name) for capability in config._capabilities],
                "profile": config._profiles[0]._shapes if config._profiles else {},
                "detailed": config.profiling_verbosity is ProfilingVerbosity.DETAILED,
                "level": config.builder_optimization_level,
                "how": "int8" if behaves("int8") else "tf32" if "TF32" in [f.name for f in config._flags] else "",
            }
            text = json.dumps(header).encode()
            return MAGIC + len(text).to_bytes(4, "little") + text + Path(network._path).read_bytes()

    def misbehave() -> None:
        if behaves("noisy"):
            sys.stdout.write("[TRT] printed to stdout\n")
            sys.stdout.flush()
            os.write(1, b'{"facts": "a lie"}\n')
        if behaves("abort"):
            sys.stderr.write("terminate called after throwing an instance of std::bad_alloc\n")
            sys.stderr.flush()
            os.abort()
        if behaves("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        while behaves("hang"):
            time.sleep(0.05)

    class IRuntimeCache:
        def __init__(self) -> None:
            self._data = b""

        def serialize(self) -> bytes:
            return self._data

        def deserialize(self, serialized_cache: bytes) -> bool:
            if not bytes(serialized_cache).startswith(b"KERNELS"):
                return False
            self._data = bytes(serialized_cache)
            return True

    class IRuntimeConfig:
        def __init__(self) -> None:
            self._strategy = ExecutionContextAllocationStrategy.STATIC
            self._cache: Any = None

        def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
            self._strategy = strategy

        if is_rtx:
            dynamic_shapes_kernel_specialization_strategy = "LAZY"

            def create_runtime_cache(self) -> IRuntimeCache:
                return IRuntimeCache()

            def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
                self._cache = weakref.ref(cache)
                return True

    class IExecutionContext:
        def __init__(self, engine: ICudaEngine, config: IRuntimeConfig) -> None:
            self._engine = engine
            self._config = config
            self._shapes: dict[str, tuple[int, ...]] = {}
            self._addresses: dict[str, int] = {}
            self._scratch = (0, 0)
            self._tag = len(engine._contexts) + 1
            engine._contexts.append(self)

        def set_input_shape(self, name: str, shape: Any) -> bool:
            declared = self._engine._tensors[name][2]
            ranges = self._engine._header["profile"].get(name)
            shape = tuple(shape)
            fits = len(shape) == len(declared) and all(a in (-1, b) for a, b in zip(declared, shape, strict=True))
            if fits and ranges:
                fits = all(low <= side <= high for low, side, high in zip(ranges[0], shape, ranges[2], strict=True))
            if not fits:
                tell(self._engine._logger, Severity.ERROR, f"{name}: {shape} does not satisfy any profile")
                return False
            self._shapes[name] = shape
            return True

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            if name in self._shapes:
                return self._shapes[name]
            declared = self._engine._tensors[name][2]
            if -1 not in declared:
                return tuple(declared)
            feeds = {n: np.zeros(s, self._engine._dtype(n)) for n, s in self._shapes.items()}
            if len(feeds) < sum(mode is TensorIOMode.INPUT for mode, _, _ in self._engine._tensors.values()):
                return tuple(declared)
            return tuple(self._engine._run(feeds)[name].shape)

        def update_device_memory_size_for_shapes(self) -> int:
            assert self._config._strategy is ExecutionContextAllocationStrategy.USER_MANAGED
            return 4096

        def set_device_memory(self, memory: int, size: int) -> None:
            assert size >= 4096
            self._scratch = (memory, size)

        def set_tensor_address(self, name: str, memory: int) -> bool:
            if name not in self._engine._tensors or memory % 256:
                return False
            self._addresses[name] = memory
            return True

        if is_rtx:

            def is_stream_capturable(self, stream_handle: int) -> bool:
                return "REQUIRE_USER_ALLOCATION" in self._engine._header["flags"]

        def execute_async_v3(self, stream_handle: int) -> bool:
            missing = [n for n in self._engine._tensors if n not in self._addresses]
            if missing or not self._scratch[0]:
                tell(self._engine._logger, Severity.ERROR, f"no address was set for {missing or 'scratch memory'}")
                return False
            if self._config._cache is not None:
                gc.collect()
                if self._config._cache() is None:
                    COMPLAINTS.append("the runtime cache was let go of: the real library ends the process here")
                else:
                    self._config._cache()._data = b"KERNELS of " + self._engine._digest
            addresses = dict(self._addresses)
            held: dict[str, Any] = {}
            stream = STREAMS[stream_handle]
            stream.call(lambda: self._begin(addresses, held))
            stream.call(lambda: self._end(addresses, held))
            return True

        def _place(self, addresses: dict[str, int], name: str) -> np.ndarray:
            shape, dtype = self.get_tensor_shape(name), self._engine._dtype(name)
            nbytes = int(np.prod(shape)) * dtype.itemsize
            return memory(addresses[name], nbytes).view(dtype).reshape(shape)

        def _begin(self, addresses: dict[str, int], held: dict[str, Any]) -> None:
            modes = {name: mode for name, (mode, _, _) in self._engine._tensors.items()}
            inputs = [name for name, mode in modes.items() if mode is TensorIOMode.INPUT]
            held.update(self._engine._run({name: self._place(addresses, name).copy() for name in inputs}))
            memory(self._scratch[0], 4096)[:] = self._tag
            for name, mode in modes.items():
                if mode is TensorIOMode.OUTPUT:
                    self._place(addresses, name).view(np.uint8)[...] = 0xFF

        def _end(self, addresses: dict[str, int], held: dict[str, Any]) -> None:
            if (memory(self._scratch[0], 4096) != self._tag).any():
                COMPLAINTS.append("two runs used one scratch memory at the same time")
            for name, value in held.items():
                place = self._place(addresses, name)
                if not (place.view(np.uint8) == 0xFF).all():
                    COMPLAINTS.append(f"somebody wrote into '{name}' while the network ran")
                place[...] = value
            LOG.append(f"context {self._tag}")

    class EngineInspector:
        def __init__(self, engine: ICudaEngine) -> None:
            self._engine = engine

        def get_engine_information(self, format: Any) -> str:
            header = self._engine._header
            if not header["detailed"]:
                return json.dumps({"Layers": ["/conv", "/sigmoid"]})
            import onnx

            weights = onnx.load_from_string(self._engine._onnx).graph.initializer
            said = "Half" if any(weight.data_type == onnx.TensorProto.FLOAT16 for weight in weights) else "Float"
            tactic = "sm80_xmma_fprop_implicit_gemm_tf32f32" if header["how"] == "tf32" else "sm80_fprop"
            tensor = {"Name": "x", "Format/Datatype": "Int8 NC/32HW32" if header["how"] == "int8" else f"{said} NCHW"}
            layer = {"Name": "/conv", "LayerType": "CaskConvolution", "Inputs": [tensor], "Outputs": [tensor],
                     "TacticName": tactic}  # fmt: skip
            moved = layer | {"Name": "copy", "LayerType": "Reformat"}
            return json.dumps({"Layers": [layer, moved]})

    class ICudaEngine:
        def __init__(self, logger: Any, header: dict[str, Any], onnx_bytes: bytes) -> None:
            import onnxruntime

            self._logger = logger
            self._header = header
            self._onnx = onnx_bytes
            self._digest = hashlib.sha256(onnx_bytes).hexdigest()[:8].encode()
            self._contexts: list[Any] = []
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 4
            self._session = onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])
            kinds = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64"}
            self._tensors: dict[str, Any] = {}
            for mode, items in (
                (TensorIOMode.INPUT, self._session.get_inputs()),
                (TensorIOMode.OUTPUT, self._session.get_outputs()),
            ):
                for item in items:
                    shape = tuple(side if isinstance(side, int) else -1 for side in item.shape)
                    self._tensors[item.name] = (mode, of_numpy[kinds[item.type]], shape)

        def _dtype(self, name: str) -> Any:
            back = {kind: numpy_name for numpy_name, kind in of_numpy.items()}
            return np.dtype(back[self._tensors[name][1]])

        def _run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            names = [item.name for item in self._session.get_outputs()]
            return dict(zip(names, self._session.run(names, feeds), strict=True))

        @property
        def num_io_tensors(self) -> int:
            return len(self._tensors)

        def get_tensor_name(self, index: int) -> str:
            return list(self._tensors)[index]

        def get_tensor_mode(self, name: str) -> Any:
            return self._tensors[name][0]

        def get_tensor_dtype(self, name: str) -> Any:
            return self._tensors[name][1]

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return self._tensors[name][2]

        def create_engine_inspector(self) -> EngineInspector:
            return EngineInspector(self)

        def create_runtime_config(self) -> IRuntimeConfig:
            return IRuntimeConfig()

        def create_execution_context(self, strategy_or_config: Any) -> IExecutionContext:
            if isinstance(strategy_or_config, IRuntimeConfig):
                return IExecutionContext(self, strategy_or_config)
            config = IRuntimeConfig()
            config.set_execution_context_allocation_strategy(strategy_or_config)
            return IExecutionContext(self, config)

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
            plan = bytes(serialized_engine)
            size = int.from_bytes(plan[8:12], "little")
            header = json.loads(plan[12 : 12 + size]) if plan[:8] == MAGIC else {}
            if header.get("library") != f"{name} {version}":
                tell(
                    self._logger, Severity.ERROR, f"the serialized engine is of {header.get('library')}, not {version}"
                )
                return None
            return ICudaEngine(self._logger, header, plan[12 + size :])

    found: dict[str, Any] = {
        key: value
        for key, value in locals().items()
        if key[0].isupper() and key != "Severity" and (is_rtx or key not in ("IRuntimeCache",))
    }
    if is_rtx:
        found["ComputeCapability"] = enum.Enum("ComputeCapability", {"NONE": 0, "CURRENT": 1, "SM00": 100, "SM75": 75,
                                                                     "SM80": 80, "SM89": 89})  # fmt: skip
        found["DynamicShapesKernelSpecializationStrategy"] = enum.Enum(
            "DynamicShapesKernelSpecializationStrategy", {"LAZY": 0, "EAGER": 1, "NONE": 2}
        )
        del found["ITimingCache"]
    return found | {"__version__": version}


def namespace(name: str, version: str) -> SimpleNamespace:
    """The same as an object, for tests that hand it in."""
    return SimpleNamespace(**make(name, version))
