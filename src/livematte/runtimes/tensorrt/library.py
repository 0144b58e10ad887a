"""Finding TensorRT and TensorRT-RTX, and what differs between them, as data.

Note [One API, three libraries]
    `tensorrt` 10, `tensorrt` 11 and `tensorrt_rtx` 1 share one Python API: builder, ONNX parser, strongly typed
    network, plan, runtime, execution context. What only some of them have is stated in `DIALECTS`, and nothing else
    in this package asks which library it has. `tests/runtimes/test_tensorrt_api.py` holds every name that is used
    against the real bindings of all three.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from livematte.errors import DeviceError, UsageError

RuntimeName: TypeAlias = Literal["tensorrt", "tensorrt-rtx"]

INSTALL: dict[str, str] = {
    "tensorrt": "pip install 'livematte[tensorrt]' (it fetches about 2 GB from NVIDIA's own package index)",
    "tensorrt-rtx": "pip install 'livematte[rtx]'",
}
"""The command that brings each library."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one library has that another has not."""

    runtime: RuntimeName
    module: str
    """The Python module."""
    major: int
    """Versions with this first number are meant."""
    network_flags: tuple[str, ...]
    """Names in NetworkDefinitionCreationFlag that make a network strongly typed; empty where every network is."""
    builder_flags: tuple[str, ...]
    """Names in BuilderFlag that every build sets."""
    has_timing_cache: bool
    """Measured kernel times can be kept for the next build."""
    has_targets: bool
    """Builds for named compute capabilities, without a GPU; else for the GPU of this machine."""
    has_runtime_cache: bool
    """Kernels are compiled on the user's GPU when a plan is first used, and can be kept."""


DIALECTS: tuple[Dialect, ...] = (
    Dialect("tensorrt", "tensorrt", 10, ("STRONGLY_TYPED",), (), True, False, False),
    # 11: STRONGLY_TYPED is deprecated, because there is nothing else.
    Dialect("tensorrt", "tensorrt", 11, (), (), True, False, False),
    # Without REQUIRE_USER_ALLOCATION its contexts allocate while they run, and cannot be captured as CUDA graphs.
    Dialect("tensorrt-rtx", "tensorrt_rtx", 1, ("STRONGLY_TYPED",), ("REQUIRE_USER_ALLOCATION",), False, True, True),
)
"""Every library that this package can drive."""

TYPES: dict[str, str] = {
    "FLOAT": "float32", "HALF": "float16", "INT32": "int32", "INT64": "int64", "INT8": "int8", "UINT8": "uint8",
    "BOOL": "bool",
}  # fmt: skip
"""Names in the library's DataType -> NumPy's. What is not here (BF16, FP8, ...) is no tensor that we can fill."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library that was found and loaded."""

    module: Any
    """`tensorrt` or `tensorrt_rtx`."""
    dialect: Dialect
    version: str

    @property
    def name(self) -> str:
        """For messages: `TensorRT 11.4.0`."""
        return f"{'TensorRT-RTX' if self.dialect.has_targets else 'TensorRT'} {self.version}"

    def network_flags(self) -> int:
        """The bit mask for `Builder.create_network` that makes a network strongly typed."""
        flags = self.module.NetworkDefinitionCreationFlag
        return sum(1 << int(getattr(flags, name)) for name in self.dialect.network_flags)

    def targets(self) -> tuple[str, ...]:
        """Compute capabilities that it builds for, as `sm_89`; empty: for the GPU of the machine only."""
        if not self.dialect.has_targets:
            return ()
        found = (re.fullmatch(r"SM(\d+)", name) for name in self.module.ComputeCapability.__members__)
        return tuple(f"sm_{match[1]}" for match in found if match)

    def check_targets(self, targets: tuple[str, ...]) -> None:
        """UsageError (2) where these targets cannot be built for, with those that can."""
        if targets and not self.dialect.has_targets:
            raise UsageError(
                f"--target names {', '.join(targets)}, and {self.name} builds a plan for the GPU of this machine only: "
                "it measures kernels on it. Leave --target out, or use --runtime tensorrt-rtx, which builds for other "
                "GPUs without having them."
            )
        known = self.targets()
        for target in targets:
            if target not in known:
                raise UsageError(
                    f"--target names '{target}', and {self.name} builds for {', '.join(known)}. Data-centre GPUs such "
                    "as sm_90 (H100, H200) and sm_100 need --runtime tensorrt."
                )

    def numpy_type(self, dtype: Any, tensor: str) -> str:
        """NumPy's name of one of the library's types. DeviceError where NumPy has none for it."""
        name = str(dtype.name)
        if name not in TYPES:
            raise DeviceError(
                f"the network's '{tensor}' is {name}, which cannot be filled or read here; export the network with "
                "float32 or float16 inputs and outputs."
            )
        return TYPES[name]

    def logger(self, messages: Messages) -> Any:
        """An object of the library's ILogger that hands everything to `messages`."""
        return implement(self.module.ILogger, {"log": lambda _self, severity, text: messages.add(severity.name, text)})


class Messages:
    """The newest errors and warnings of a library, from any of its threads; its other lines are dropped."""

    def __init__(self, most: int = 20) -> None:
        self._errors: deque[str] = deque(maxlen=most)
        self._warnings: deque[str] = deque(maxlen=most)
        self._lock = threading.Lock()

    def add(self, severity: str, text: str) -> None:
        """One line, with the name of its severity: INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE."""
        if severity not in ("INTERNAL_ERROR", "ERROR", "WARNING"):
            return
        line = " ".join(text.split())
        with self._lock:
            (self._warnings if severity == "WARNING" else self._errors).append(line)

    def errors(self) -> list[str]:
        """The newest errors, oldest first."""
        with self._lock:
            return list(self._errors)

    def warnings(self) -> list[str]:
        """The newest warnings, oldest first."""
        with self._lock:
            return list(self._warnings)

    def sum_up(self) -> str:
        """What went wrong, for a message of ours: the first and the last error, shortened."""
        errors = self.errors()
        if not errors:
            return "the library gave no reason"
        chosen = errors if len(errors) < 3 else [errors[0], errors[-1]]
        return "; ".join(line[:300].rstrip(".") for line in chosen)


def implement(base: Any, methods: Mapping[str, Callable[..., Any]]) -> Any:
    """An object that implements one of the library's interfaces (ILogger, IProgressMonitor).

    The interface's own __init__ must run: without it the first call from C++ ends the process.
    """

    def start(self: Any) -> None:
        base.__init__(self)

    return type(f"Livematte{base.__name__}", (base,), {"__init__": start, **methods})()


def load(runtime: RuntimeName) -> Library:
    """The library of a runtime. DeviceError (5) where it is missing, broken, or of a version unknown here."""
    name = next(dialect.module for dialect in DIALECTS if dialect.runtime == runtime)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise DeviceError(
                f"the runtime '{runtime}' is not installed. Install it with: {INSTALL[runtime]}"
            ) from error
        raise DeviceError(
            f"{name} is installed without its part '{error.name}'. Reinstall it: {INSTALL[runtime]}"
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise DeviceError(
            f"{name} is installed, but cannot be loaded: {' '.join(str(error).split())}. Its shared libraries come as "
            f"packages of their own; reinstall all of it: {INSTALL[runtime]}"
        ) from error
    return describe(runtime, module)


def describe(runtime: RuntimeName, module: Any) -> Library:
    """A loaded module with its dialect. DeviceError (5) for a version that is not known here."""
    version = str(getattr(module, "__version__", ""))
    major = re.match(r"(\d+)\.", version)
    known = [dialect for dialect in DIALECTS if dialect.runtime == runtime]
    for dialect in known:
        if major and int(major[1]) == dialect.major and hasattr(module, "Builder"):
            return Library(module, dialect, version)
    numbers = " and ".join(str(dialect.major) for dialect in known)
    raise DeviceError(
        f"the {known[0].module} installed here says it is version '{version or 'unknown'}', and livematte can drive "
        f"version {numbers}. Install one of these: {INSTALL[runtime]}"
    )


def version(runtime: RuntimeName) -> str:
    """The installed version, as it stands in a plan's key. DeviceError (5) where it is missing."""
    return load(runtime).version
