"""ONNX Runtime on device memory, slot by slot: `matting.device.network.DeviceEngine` where there is no TensorRT.

Note [ONNX Runtime and CUDA graphs]
    The library captures its own graphs (`enable_cuda_graph`), one for each `gpu_graph_id`, which is one a slot here. We
    never capture it: its allocator may call the driver in the middle of a run. Its capture mode is global, so no other
    thread may allocate meanwhile; `warm` makes the captures before the first frame is decoded.

Note [Nothing waits]
    By itself `run` waits for the device at its end. `disable_synchronize_execution_providers` leaves that out: what
    comes after is ordered by the stream, which is the session's own (`user_compute_stream`), so a session is made at
    the first `enqueue`, for that stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from livematte.errors import DeviceError, LivematteError
from livematte.runtimes.cuda.base import DeviceArray, Driver, Stream
from livematte.runtimes.cuda.choice import open_driver
from livematte.runtimes.feeds import check_shapes
from livematte.runtimes.graphs import GraphFacts, Precision, Prepared, prepare
from livematte.runtimes.onnx_header import read_header
from livematte.runtimes.onnxruntime_engine import OnnxRuntimeEngine
from livematte.runtimes.options import EngineOptions
from livematte.runtimes.ort_library import (
    check_opened,
    check_provider,
    load_failed,
    load_library,
    provider_of,
    provider_settings,
    run_failed,
)

_SPARE_BYTES = 1 << 30
"""Device memory that is left to others: the desktop, the call, the decoder."""
_CAPTURING_RUNS = 3
"""Runs of a slot after which the library has captured its graph: it allocates in the first and captures after two."""


class OnnxRuntimeCudaEngine(OnnxRuntimeEngine):
    """A graph on CUDA: by itself for the host's path, and slot by slot (`DeviceEngine`) for the device's."""

    def __init__(self, path: Path, options: EngineOptions, driver: Driver) -> None:
        """`driver` was opened first, so that the device's context has our flags; it is closed with the engine."""
        self.driver = driver
        super().__init__(path, options)

    def open_slots(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        slots: int,
        driver: Driver,
        *,
        extra: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> OrtSlots:
        """Buffers for `slots` frames in flight, as `DeviceEngine.open_slots` says."""
        return open_slots(self._path, self.options, shapes, slots, driver, extra=extra)

    def close(self) -> None:
        """Give weights and device back."""
        super().close()
        self.driver.close()


def open_onnxruntime(path: Path, options: EngineOptions) -> OnnxRuntimeEngine:
    """The runtime `onnxruntime`; on CUDA with the driver layer where that is installed, and said where it is not."""
    kind, _, number = options.device.partition(":")
    if kind != "cuda":
        return OnnxRuntimeEngine(path, options)
    check_provider(load_library(), provider_of(options.device), options.device)
    try:
        driver = open_driver("auto", int(number or 0))
    except DeviceError as error:
        options.reporter.note(f"Only the network runs on the GPU, the rest of matting on the processor: {error}")
        return OnnxRuntimeEngine(path, options)
    try:
        return OnnxRuntimeCudaEngine(path, options, driver)
    except BaseException:
        driver.close()
        raise


def open_slots(
    path: Path,
    options: EngineOptions,
    shapes: Mapping[str, tuple[int, ...]],
    slots: int,
    driver: Driver,
    *,
    extra: Mapping[str, npt.NDArray[Any]] | None = None,
) -> OrtSlots:
    """Buffers for `slots` frames in flight on the driver's device; on the null driver, on the processor.

    DeviceError: no memory, no CUDA in the installed library. ModelError: shapes that the network cannot take.
    """
    check_shapes(read_header(path).inputs, shapes)
    facts = GraphFacts(
        states=options.states,
        outputs=options.outputs,
        constants={name: float(value.flat[0]) for name, value in (extra or {}).items()},
        keep_fp32=options.keep_fp32,
    )
    precision: Precision = "fp16" if options.precision == "fp16" else "fp32"
    ready = prepare(path, precision=precision, shapes=shapes, for_="tensorrt", facts=facts, reporter=options.reporter)
    return OrtSlots(ready, options, slots, driver)


class OrtSlots:
    """`DeviceNetwork` over one session; see Note [States of slots] of `matting/device/network.py`."""

    is_capturable = False
    """It makes its own graphs (Note [ONNX Runtime and CUDA graphs])."""

    def __init__(
        self, ready: Prepared, options: EngineOptions, slots: int, driver: Driver, *, prefer_nhwc: bool = False
    ) -> None:
        """`prefer_nhwc`: let convolutions run channels last; which is faster depends on the network."""
        self._library = load_library()
        self._ready = ready
        self._options = options
        self._driver = driver
        self._on_cuda = driver.name != "null"
        self._prefer_nhwc = prefer_nhwc
        self.slots = slots
        self.device = f"cuda:{driver.device.ordinal}" if self._on_cuda else "cpu"
        header = read_header(ready.path)
        pairs = dict(options.states)
        self.is_recurrent = bool(pairs)
        self._outputs = {spec.name: spec for spec in header.outputs}
        image = next(spec for spec in header.inputs if spec.name not in pairs)
        matte = next(spec for spec in header.outputs if spec.name not in pairs.values())
        self._image_name, self._alpha_name = image.name, matte.name
        self._images = [driver.array(ready.shapes[image.name], image.dtype) for _ in range(slots)]
        self._alphas = [driver.array(_fixed(matte.shape), matte.dtype) for _ in range(slots)]
        states = {spec.name: spec for spec in header.inputs if spec.name in pairs}
        self._written = [
            {name: driver.array(ready.shapes[name], spec.dtype) for name, spec in states.items()} for _ in range(slots)
        ]
        # One slot is its own predecessor: what it writes must not lie where it reads.
        self._read = (
            [self._written[at - 1] for at in range(slots)]
            if slots > 1
            else [{name: driver.array(ready.shapes[name], spec.dtype) for name, spec in states.items()}]
        )
        self._session: Any = None
        self._bindings: list[Any] = []
        self._stream: Stream | None = None

    def input(self, slot: int) -> DeviceArray:
        """The picture tensor of this slot."""
        return self._images[slot]

    def alpha(self, slot: int) -> DeviceArray:
        """The matte that `enqueue` writes for this slot."""
        return self._alphas[slot]

    def reset(self, slot: int, stream: Stream) -> None:
        """Zeros into the states that this slot reads."""
        for array in self._read[slot].values():
            array.fill(0, stream)

    def carry(self, slot: int, stream: Stream) -> None:
        """Copy the states that this slot wrote into those that it reads."""
        if self.slots == 1:  # `enqueue` has done it
            return
        for name, array in self._read[slot].items():
            array.copy_from(self._written[slot][name], stream)

    def warm(self, stream: Stream) -> None:
        """Let the library make its graphs, before another thread uses the device; what the slots hold is lost."""
        for slot in range(self.slots):
            for _ in range(_CAPTURING_RUNS):
                self.enqueue(slot, stream)
        stream.synchronize()

    def enqueue(self, slot: int, stream: Stream) -> None:
        """One step on `stream`, which must be the same in every call. DeviceError for what the library reports."""
        if self._session is None:
            self._open(stream)
        assert self._stream is not None
        if stream.handle != self._stream.handle:
            raise DeviceError("the network was opened for one stream and is run on another one; open it again.")
        if self._on_cuda:
            self._run(slot)
        else:
            stream.call(lambda: self._run(slot))
        if self.slots == 1:
            for name, array in self._read[0].items():
                array.copy_from(self._written[0][name], stream)

    def close(self) -> None:
        """Give session and buffers back."""
        self._bindings, self._session = [], None
        kept = [*self._images, *self._alphas]
        kept += [array for states in (*self._written, *self._read) for array in states.values()]
        for array in kept:
            array.close()

    def _run(self, slot: int) -> None:
        options = self._library.RunOptions()
        options.log_severity_level = 4
        if self._on_cuda:
            options.add_run_config_entry("gpu_graph_id", str(slot + 1))
            options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        try:
            self._session.run_with_iobinding(self._bindings[slot], options)
        except Exception as error:  # every class of the library is told apart in run_failed
            raise run_failed(error, self) from error

    def _open(self, stream: Stream) -> None:
        self._stream = stream
        options = self._library.SessionOptions()
        options.log_severity_level = 4
        provider, settings = "CPUExecutionProvider", dict[str, str]()
        if self._on_cuda:
            provider = "CUDAExecutionProvider"
            check_provider(self._library, provider, self.device)
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            settings = cuda_settings(
                self._driver, stream, precision=self._options.computes_in, prefer_nhwc=self._prefer_nhwc
            )
        try:
            self._session = self._library.InferenceSession(
                str(self._ready.path), options, providers=[(provider, settings)]
            )
        except LivematteError:
            raise
        except Exception as error:
            raise load_failed(error, self._ready.path, self.device) from error
        check_opened(self._session, provider, self._ready.path, self.device)
        self._bindings = [self._bound(slot) for slot in range(self.slots)]

    def _bound(self, slot: int) -> Any:
        binding = self._session.io_binding()
        kind, number = ("cuda", self._driver.device.ordinal) if self._on_cuda else ("cpu", 0)
        inputs = {self._image_name: self._images[slot], **self._read[slot]}
        outputs = {self._alpha_name: self._alphas[slot]}
        outputs |= {output: self._written[slot][source] for source, output in self._options.states}
        for name, array in inputs.items():
            binding.bind_input(name, kind, number, array.dtype.type, list(array.shape), array.pointer)
        for name, array in outputs.items():
            binding.bind_output(name, kind, number, array.dtype.type, list(array.shape), array.pointer)
        return binding


def cuda_settings(driver: Driver, stream: Stream, *, precision: str, prefer_nhwc: bool) -> dict[str, str]:
    """The CUDA provider's options for slots on one stream; all as text, as the library wants them."""
    settings = provider_settings("CUDAExecutionProvider", driver.device.ordinal, tf32=precision == "tf32")
    return settings | {
        "user_compute_stream": str(stream.handle),
        "enable_cuda_graph": "1",
        "prefer_nhwc": str(int(prefer_nhwc)),
        "gpu_mem_limit": str(max(driver.free_bytes() - _SPARE_BYTES, _SPARE_BYTES)),
    }


def _fixed(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    """A prepared graph's sides, which are all numbers."""
    if any(isinstance(side, str) for side in shape):
        raise DeviceError(f"the network's output has free sides ({shape}), so it cannot be bound to a slot.")
    return tuple(int(side) for side in shape)
