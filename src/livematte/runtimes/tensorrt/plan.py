"""A plan loaded onto a device: its tensors, its execution contexts, and the kernels that RTX compiles for it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from livematte.errors import DeviceError, ModelError
from livematte.runtimes.cuda.base import DeviceArray, Driver
from livematte.runtimes.cuda.errors import describe
from livematte.runtimes.tensorrt.library import Library, Messages
from livematte.runtimes.tensorrt.precision import check_layers, read_back
from livematte.runtimes.tensorrt.profile import Shape

_OUT_OF_MEMORY = 2
"""CUDA's number for it."""


class PlanUnusable(Exception):
    """The library does not take these bytes: another version, another chip, or damage that the checksum did not see."""


@dataclass(frozen=True, slots=True)
class PlanTensor:
    """One input or output of a plan."""

    name: str
    is_input: bool
    dtype: str
    """NumPy's name."""
    shape: Shape
    """-1 where the side is free."""


@dataclass(slots=True)
class RuntimeCache:
    """Where RTX's compiled kernels are kept between runs; see `LoadedPlan.keep_kernels`."""

    load: Callable[[], bytes | None]
    save: Callable[[bytes], None]


class LoadedPlan:
    """A plan on a device. Contexts made from it share its weights; it must outlive them."""

    def __init__(
        self,
        library: Library,
        plan: bytes,
        *,
        what: str,
        precision: str,
        cache: RuntimeCache | None = None,
        driver_version: int = 0,
    ) -> None:
        """Loads it into the current CUDA context.

        PlanUnusable: the library refuses it. DeviceError (5): CUDA failed, no memory, or it computes in another
        precision than `precision`.
        """
        self.library = library
        self.what = what
        self._messages = Messages()
        self._logger = library.logger(self._messages)
        self._runtime = library.module.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            reason = self._messages.sum_up()
            _check_reason(reason, what, driver_version)
            raise PlanUnusable(reason)
        self.tensors = {tensor.name: tensor for tensor in self._describe()}
        self.layers = read_back(library.module, self._engine)
        check_layers(self.layers, precision, what)
        self._cache = cache if library.dialect.has_runtime_cache else None
        self._config: Any = None
        self._kernels: Any = None
        self._kept = b""
        self._lock = threading.Lock()

    @property
    def is_dynamic(self) -> bool:
        """Whether some input has a free side."""
        return any(-1 in tensor.shape for tensor in self.tensors.values() if tensor.is_input)

    def context(self, shapes: Mapping[str, Shape]) -> Context:
        """A context for these input shapes, without memory for its activations yet. DeviceError, ModelError."""
        trt = self.library.module
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if self.library.dialect.has_runtime_cache:
            raw = self._engine.create_execution_context(self._configured(strategy))
        else:
            raw = self._engine.create_execution_context(strategy)
        if raw is None:
            raise DeviceError(f"{self.library.name} cannot run {self.what}: {self._messages.sum_up()}.")
        return Context(self, raw, shapes)

    def keep_kernels(self) -> None:
        """Save what RTX compiled for this GPU, where it is more than what was loaded. Nothing for others."""
        if self._cache is None or self._kernels is None:
            return
        with self._lock:
            serialized = self._kernels.serialize()
            kernels = b"" if serialized is None else bytes(serialized)
            if kernels and kernels != self._kept:
                self._cache.save(kernels)
                self._kept = kernels

    @property
    def compiles_kernels(self) -> bool:
        """Whether the first run will compile kernels for this GPU, because none were kept."""
        return self._cache is not None and not self._kept

    def failure(self) -> str:
        """The library's newest reason."""
        return self._messages.sum_up()

    def close(self) -> None:
        """Give the weights back, after every context."""
        self._kernels = self._config = self._engine = self._runtime = None

    def _configured(self, strategy: Any) -> Any:
        """RTX's runtime configuration, one for all contexts.

        It does not keep its runtime cache alive itself: letting go of ours would end the process.
        """
        with self._lock:
            if self._config is not None:
                return self._config
            config = self._engine.create_runtime_config()
            config.set_execution_context_allocation_strategy(strategy)
            if self.is_dynamic:
                # The default compiles in the background and changes kernels between runs: no graph could hold that.
                config.dynamic_shapes_kernel_specialization_strategy = (
                    self.library.module.DynamicShapesKernelSpecializationStrategy.EAGER
                )
            self._kernels = config.create_runtime_cache()
            kept = self._cache.load() if self._cache else None
            if kept and self._kernels.deserialize(kept):
                self._kept = kept
            config.set_runtime_cache(self._kernels)
            self._config = config
            return config

    def _describe(self) -> list[PlanTensor]:
        engine, module = self._engine, self.library.module
        found = []
        for at in range(engine.num_io_tensors):
            name = engine.get_tensor_name(at)
            is_input = engine.get_tensor_mode(name) == module.TensorIOMode.INPUT
            dtype = self.library.numpy_type(engine.get_tensor_dtype(name), name)
            found.append(PlanTensor(name, is_input, dtype, tuple(engine.get_tensor_shape(name))))
        return found


class Context:
    """One execution context for fixed shapes. Addresses are set once; running only enqueues."""

    def __init__(self, plan: LoadedPlan, raw: Any, shapes: Mapping[str, Shape]) -> None:
        """ModelError (4) where the plan was not built for these shapes."""
        self._plan = plan
        self._raw = raw
        for name, shape in shapes.items():
            if not raw.set_input_shape(name, shape):
                raise ModelError(
                    f"{plan.what} takes no '{name}' of the shape {shape}: {plan.failure()}. Build a plan for this size."
                )
        self.shapes: dict[str, Shape] = {name: tuple(raw.get_tensor_shape(name)) for name in plan.tensors}
        unknown = [name for name, shape in self.shapes.items() if any(side < 0 for side in shape)]
        if unknown:
            raise ModelError(
                f"{plan.what}: the shape of {', '.join(unknown)} depends on the picture's content, which fixed buffers "
                "cannot hold. Run this network with --runtime onnxruntime."
            )
        self.scratch_bytes = int(raw.update_device_memory_size_for_shapes())
        """Device memory that its activations need."""

    def use_scratch(self, scratch: DeviceArray) -> None:
        """Memory for the activations, at least `scratch_bytes`. Contexts that never run at once may share it."""
        self._raw.set_device_memory(scratch.pointer, scratch.nbytes)

    def set_address(self, name: str, array: DeviceArray) -> None:
        """Where a tensor lies from now on."""
        if not self._raw.set_tensor_address(name, array.pointer):
            raise DeviceError(f"{self._plan.what} does not take the address of '{name}': {self._plan.failure()}.")

    def enqueue(self, handle: int) -> None:
        """One run, in order on the stream of this handle. DeviceError where it cannot even be enqueued."""
        if not self._raw.execute_async_v3(handle):
            raise DeviceError(
                f"{self._plan.library.name} could not run {self._plan.what}: {self._plan.failure()}. See 'livematte "
                "doctor'."
            )

    def is_capturable(self, handle: int) -> bool:
        """Whether a run may be captured into a CUDA graph; only RTX has contexts that may not."""
        if not self._plan.library.dialect.has_runtime_cache:
            return True
        return bool(self._raw.is_stream_capturable(handle))

    def close(self) -> None:
        """Give it back. Its work must be done, and graphs that captured it closed."""
        self._raw = None


def load_plan(
    library: Library, plan: bytes, driver: Driver, *, what: str, precision: str, cache: RuntimeCache | None = None
) -> LoadedPlan:
    """`LoadedPlan` in the driver's context."""
    driver.make_current()
    version = driver.device.driver_version
    return LoadedPlan(library, plan, what=what, precision=precision, cache=cache, driver_version=version)


def _check_reason(reason: str, what: str, driver_version: int) -> None:
    """DeviceError (5) where a plan was not loaded for a reason that no new plan would change: CUDA, memory."""
    code = re.search(r"cudaError (\d+)", reason)
    if code is not None and int(code[1]) != _OUT_OF_MEMORY:
        raise DeviceError(f"{what} could not be loaded: {describe(int(code[1]), driver_version)}")
    if code is not None or "out of memory" in reason.lower() or "outofmemory" in reason.lower():
        raise DeviceError(
            f"not enough memory on the GPU for {what}: {reason}. Close other programs that use the GPU, or use a "
            "smaller --network-size."
        )
