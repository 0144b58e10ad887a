"""The embedded network in every runtime that works on device memory here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from proofs import NotRun, is_rehearsal

WAYS = (
    ("onnxruntime", "fp32"),
    ("onnxruntime", "fp16"),
    ("tensorrt", "fp16"),
    ("tensorrt-rtx", "fp16"),
)
"""(runtime, precision), the fastest that is expected last."""


@dataclass
class OrtNetwork:
    """ONNX Runtime as a `DeviceEngine` that opens no driver of its own."""

    path: Path
    options: Any
    name: str = "onnxruntime"

    def open_slots(self, shapes: Any, slots: int, driver: Any, *, extra: Any = None) -> Any:
        """See `DeviceEngine.open_slots`."""
        from livematte.runtimes.ort_slots import open_slots

        made_in = replace(self.options, precision=self.options.computes_in or self.options.precision)
        return open_slots(self.path, made_in, shapes, slots, driver, extra=extra)

    def close(self) -> None:
        """Nothing is held."""


@contextmanager
def loaded_network(runtime: str, precision: str) -> Iterator[Any]:
    """A `LoadedModel` whose engine is a `DeviceEngine`; NotRun with the reason where there is none of the kind."""
    from livematte.config import ModelSettings
    from livematte.errors import LivematteError
    from livematte.models.load import LoadedModel, find_network
    from livematte.reporting import ListReporter
    from livematte.runtimes.options import EngineOptions

    settings = ModelSettings()
    found = find_network(settings, reporter=ListReporter())
    options = EngineOptions(
        device="cuda:0",
        precision=found.precision,
        computes_in="" if precision == found.precision else precision,
        keep_fp32=found.contract.graph.keep_fp32,
        states=tuple((state.input, state.output) for state in found.contract.states),
        outputs=(found.contract.alpha.name,),
    )
    try:
        engine = _engine(runtime, found.path, options)
    except (LivematteError, ImportError) as error:
        raise NotRun(str(error)) from error
    try:
        yield LoadedModel(found.manifest, engine, settings, found.contract, found.path)
    finally:
        engine.close()


def _engine(runtime: str, path: Path, options: Any) -> Any:
    if is_rehearsal():
        import sys

        from livematte.errors import DeviceError

        if (runtime, options.computes_in) != ("onnxruntime", ""):
            raise DeviceError("this is a rehearsal, which has the processor's network alone")
        sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests" / "matting" / "device"))
        from cpu_network import CpuEngine

        return CpuEngine(path, options.outputs[0], options.states, True)
    if runtime == "onnxruntime":
        from livematte.runtimes.ort_library import check_provider, load_library

        check_provider(load_library(), "CUDAExecutionProvider", options.device)
        return OrtNetwork(path, options)
    from livematte.runtimes.tensorrt.engine import TensorRTEngine, TensorRTRTXEngine

    module = runtime.replace("-", "_")
    if importlib.util.find_spec(module) is None:
        raise NotRun(f"{runtime} is not installed")
    return {"tensorrt": TensorRTEngine, "tensorrt-rtx": TensorRTRTXEngine}[runtime](path, options)


@contextmanager
def best_network(precision: str) -> Iterator[tuple[str, Any]]:
    """(runtime, loaded) of the fastest that is here in this precision; NotRun with every reason where none is."""
    reasons = []
    for runtime, made_in in reversed(WAYS):
        if made_in != precision:
            continue
        try:
            context = loaded_network(runtime, precision)
            loaded = context.__enter__()
        except NotRun as reason:
            reasons.append(f"{runtime}: {reason}")
            continue
        try:
            yield runtime, loaded
        finally:
            context.__exit__(None, None, None)
        return
    raise NotRun("; ".join(reasons))
