"""TensorRT and TensorRT-RTX as engines: a plan from the user's cache, or built now, run through the CUDA layer."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from livematte.errors import DeviceError, ModelError, SinkError, UsageError
from livematte.runtimes.cuda.base import Driver
from livematte.runtimes.cuda.choice import open_driver
from livematte.runtimes.feeds import check_shapes
from livematte.runtimes.graphs import GraphFacts
from livematte.runtimes.onnx_header import read_header
from livematte.runtimes.options import EngineOptions
from livematte.runtimes.plans import Miss, PlanKey, PlanStore
from livematte.runtimes.tensorrt.binding import TensorRTBinding
from livematte.runtimes.tensorrt.library import Library, RuntimeName, load
from livematte.runtimes.tensorrt.opening import Obtained, PlanWish, is_kept, obtain
from livematte.runtimes.tensorrt.plan import LoadedPlan, PlanUnusable, RuntimeCache, load_plan
from livematte.runtimes.tensorrt.profile import Shape
from livematte.runtimes.tensorrt.progress import Milestones
from livematte.runtimes.tensorrt.request import PRECISIONS, BuildOptions
from livematte.runtimes.tensorrt.slots import TensorRTSlots

_SPARE_BYTES = 1 << 30
"""Device memory that a builder leaves to decoders and to the desktop."""


class TensorRTEngine:
    """A network as a TensorRT plan (see `EngineFactory` for the errors).

    The plan is opened by `bind` or `open_slots`, when its shapes are known: from the cache, or built then, with a line
    that says why. Plans stay loaded until `close`.
    """

    name: RuntimeName = "tensorrt"

    def __init__(self, path: Path, options: EngineOptions) -> None:
        self.library: Library = load(self.name)
        self.options = options
        self.precision = _precision(options)
        self.path = path
        header = read_header(path)
        self.inputs = header.inputs
        self.outputs = header.outputs
        self.driver: Driver = open_driver("auto", _ordinal(options.device, self.name))
        self.targets = _targets(self.library, self.driver)
        self.device = f"cuda:{self.driver.device.ordinal}"
        self.version = self.library.version
        self.threads = 0
        self.states = options.states
        self.wanted = options.outputs
        self.store = PlanStore(reporter=self.options.reporter)
        self._plans: dict[tuple[Any, ...], LoadedPlan] = {}
        self._lock = threading.Lock()

    def bind(self, shapes: Mapping[str, Shape]) -> TensorRTBinding:
        """Pinned host buffers for these input shapes. ValueError where they do not fit the graph."""
        check_shapes(self.inputs, shapes)
        return TensorRTBinding(self, shapes)

    def open_slots(
        self,
        shapes: Mapping[str, Shape],
        slots: int,
        driver: Driver,
        *,
        extra: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> TensorRTSlots:
        """Device buffers for `slots` frames in flight; see `matting/device/network.py`."""
        check_shapes(self.inputs, shapes)
        if driver.device.ordinal != self.driver.device.ordinal:
            raise DeviceError(f"the network is on {self.device}, and the frames are on cuda:{driver.device.ordinal}.")
        values = dict(extra or {})
        constants = {name: _constant(name, value) for name, value in values.items()}
        plan = self.plan(shapes, constants)
        return TensorRTSlots(plan, driver, slots, shapes=shapes, states=self.states, outputs=self.wanted, extra=values)

    def plan(self, shapes: Mapping[str, Shape], constants: Mapping[str, float]) -> LoadedPlan:
        """The plan for these shapes and constants, loaded; kept for the next clip of the same size."""
        rounded = {name: float(np.float32(value)) for name, value in constants.items()}
        key = (tuple(sorted(shapes.items())), tuple(sorted(rounded.items())))
        with self._lock:
            if key not in self._plans:
                self._plans[key] = self._load(self.wish(shapes, rounded))
            return self._plans[key]

    def wish(self, shapes: Mapping[str, Shape], constants: Mapping[str, float]) -> PlanWish:
        """What is asked of the cache and the builder."""
        facts = GraphFacts(
            states=self.states,
            outputs=self.wanted,
            constants=dict(constants),
            keep_fp32=self.options.keep_fp32,
        )
        is_tuned_here = not self.library.dialect.has_targets
        workspace = max(self.driver.free_bytes() - _SPARE_BYTES, 0) if is_tuned_here else 0
        return PlanWish(
            onnx=self.path,
            runtime=self.name,
            precision=self.precision,
            shapes=dict(shapes),
            facts=facts,
            targets=self.targets,
            gpu=self.driver.device if is_tuned_here else None,
            options=BuildOptions(workspace_bytes=workspace),
        )

    def is_built(self, shapes: Mapping[str, Shape], constants: Mapping[str, float]) -> bool:
        """Whether the plan for these shapes lies in the cache, so that opening it builds nothing."""
        return is_kept(self.wish(shapes, constants), self.store, self.options.reporter)

    def close(self) -> None:
        """Give the plans back, after every binding."""
        for plan in self._plans.values():
            plan.close()
        self._plans.clear()
        self.driver.close()

    def _load(self, wish: PlanWish) -> LoadedPlan:
        """From the cache or built; what the library refuses although the checksum is right is built again, once."""
        self.driver.make_current()
        reporter = self.options.reporter
        follow = Milestones(f"the {wish.runtime} plan of {wish.name}", reporter)
        got = obtain(wish, store=self.store, reporter=reporter, progress=follow)
        try:
            return self._open(wish, got)
        except PlanUnusable as error:
            if not got.from_cache:
                raise _refused(wish, self.library, error) from error
            reporter.note(f"the kept plan of {wish.name} is refused by {self.library.name}: {error}.")
        got = obtain(wish, store=self.store, reporter=reporter, progress=follow, rebuild=True)
        try:
            return self._open(wish, got)
        except PlanUnusable as error:
            raise _refused(wish, self.library, error) from error

    def _open(self, wish: PlanWish, got: Obtained) -> LoadedPlan:
        what = f"the {wish.runtime} plan of {wish.name}"
        if not got.from_cache:
            self.options.reporter.note(f"{what} was built in {got.seconds:.1f} s.")
        return load_plan(
            self.library,
            got.plan,
            self.driver,
            what=what,
            precision=wish.precision,
            cache=self._runtime_cache(got.key) if self.library.dialect.has_runtime_cache else None,
        )

    def _runtime_cache(self, key: PlanKey) -> RuntimeCache:
        """RTX's compiled kernels: code too, so they lie in the same store, under a header with their own checksum."""
        facts = self.driver.device
        gpu = f"{facts.name} sm_{facts.capability[0]}{facts.capability[1]} driver {facts.driver_version}"
        own = replace(key, options={**key.options, "part": "runtime-cache"}, gpu=gpu)

        def load_kernels() -> bytes | None:
            found = self.store.get(own)
            if isinstance(found, Miss):
                self.options.reporter.note("compiling kernels for this GPU; they are kept for the next start")
                return None
            return found.plan

        def save_kernels(kernels: bytes) -> None:
            try:
                self.store.put(own, kernels, {"model": self.path.stem, "builder": self.library.name})
            except SinkError as error:
                self.options.reporter.warn(f"{error} The kernels are compiled again next time.")

        return RuntimeCache(load_kernels, save_kernels)


class TensorRTRTXEngine(TensorRTEngine):
    """The same by TensorRT-RTX, for GeForce and RTX GPUs: a small library whose plans are built in seconds."""

    name: RuntimeName = "tensorrt-rtx"


def _ordinal(device: str, runtime: str) -> int:
    """The number of `cuda` or `cuda:1`. DeviceError (5) for what is no NVIDIA GPU."""
    kind, _, number = device.partition(":")
    if kind != "cuda" or (number and not number.isdigit()):
        raise DeviceError(
            f"the runtime {runtime} runs on NVIDIA GPUs only, and --device names '{device}'. Use --device cuda, or "
            "cuda:1 for the second one."
        )
    return int(number or 0)


def _precision(options: EngineOptions) -> str:
    """What the plan is to compute in. UsageError (2) for what plans have not (bf16)."""
    wanted = options.computes_in or options.precision
    if wanted not in PRECISIONS:
        raise UsageError(f"there is no precision '{wanted}' for plans; there are {', '.join(PRECISIONS)}.")
    return wanted


def _targets(library: Library, driver: Driver) -> tuple[str, ...]:
    """What a plan for this GPU is built for. DeviceError (5) where the library does not know the chip."""
    if not library.dialect.has_targets:
        return ()
    facts = driver.device
    chip = f"sm_{facts.capability[0]}{facts.capability[1]}"
    if chip not in library.targets():
        driver.close()
        raise DeviceError(
            f"{library.name} knows the chips {', '.join(library.targets())}, and {facts.name} is {chip}. Data-centre "
            "GPUs need --runtime tensorrt; --runtime onnxruntime --device cuda runs on every NVIDIA GPU."
        )
    return (chip,)


def _constant(name: str, value: npt.NDArray[Any]) -> float:
    if value.size != 1:
        raise ModelError(f"the input '{name}' has {value.size} values; only single ones can be folded into a plan.")
    return float(value.reshape(-1)[0])


def _refused(wish: PlanWish, library: Library, error: PlanUnusable) -> DeviceError:
    return DeviceError(
        f"{library.name} built a plan of {wish.name} and cannot load it: {error}. See 'livematte doctor', or run it "
        "with --runtime onnxruntime."
    )
