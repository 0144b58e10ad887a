"""From settings to a network that is ready to run: manifest, file, runtime, device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from livematte.config import ModelSettings
from livematte.errors import DeviceError, ModelError
from livematte.models import catalogue
from livematte.models.contract import Contract, tie
from livematte.models.infer_manifest import for_file
from livematte.models.manifest import Manifest
from livematte.models.sizes import network_size, parse_size
from livematte.models.weights import locate
from livematte.reporting import Reporter
from livematte.runtimes import RUNTIMES
from livematte.runtimes.base import Engine
from livematte.runtimes.choice import Candidate, candidates, passed_over_gpu
from livematte.runtimes.onnx_header import read_header
from livematte.runtimes.options import EngineOptions
from livematte.runtimes.threads import cpu_name


@dataclass(slots=True)
class LoadedModel:
    """A network with its weights on a device; several sessions (threads, clips) may share it."""

    manifest: Manifest
    engine: Engine
    settings: ModelSettings
    contract: Contract
    path: Path
    """The ONNX file."""
    passed_over: tuple[str, ...] = ()
    """What `auto` saw and did not take, each with the reason and the command that would take it."""
    second: LoadedModel | None = None
    """The network of `refine_with`; it may share this one's engine."""

    def describe(self) -> str:
        """For the status line: network, precision, runtime, device, and what was passed over and why; of both networks
        where `refine_with` names a second one.
        """
        if self.second is None:
            return "; ".join((self._line(), *self.passed_over))
        passed_over = dict.fromkeys((*self.passed_over, *self.second.passed_over))
        return "; ".join((f"{self._line()}, refined with {self.second._line()}", *passed_over))

    def _line(self) -> str:
        version = getattr(self.engine, "version", "")
        threads = getattr(self.engine, "threads", 0)
        where = self.engine.device
        if where == "cpu" and threads:
            where = f"cpu ({cpu_name()}, {threads} thread{'s' * (threads != 1)})"
        return f"{self.manifest.name} in {self.engine.precision} on {where}, {self.engine.name} {version}".rstrip(" -")

    def count_providers(self, width: int = 1280, height: int = 720) -> dict[str, int]:
        """Nodes of the graph by the provider that really ran them, for a picture of this size; one profiled run.

        Empty for runtimes without providers.
        """
        return _count(self.engine, self.contract, self.settings, (width, height))

    def close(self) -> None:
        """Give the weights back, after every session is closed."""
        self.engine.close()
        if self.second is not None and self.second.engine is not self.engine:
            self.second.engine.close()


def load_model(settings: ModelSettings, *, reporter: Reporter) -> LoadedModel:
    """The network that `settings` name, opened.

    ModelError (4): unknown, broken, or not the network its manifest says. ModelMissing (4): known but not on this
    machine. DeviceError (5): the device or runtime is not there. Nothing is downloaded, and nothing is replaced by
    something else: only `auto` chooses, and what it passed over is in `passed_over`. With `refine_with` the second
    network is loaded too, by the same rules.
    """
    loaded = _load(settings, reporter)
    if settings.refine_with is None:
        return loaded
    try:
        changes = {"model": settings.refine_with, "refine_with": None, "network_size": None}
        loaded.second = _load(settings.model_copy(update=changes), reporter, first=loaded)
    except BaseException:
        loaded.close()
        raise
    return loaded


def _load(settings: ModelSettings, reporter: Reporter, *, first: LoadedModel | None = None) -> LoadedModel:
    """The network `settings.model`; of the same file as `first`, it shares that one's engine."""
    manifest, path = _find(settings, reporter)
    contract = tie(manifest.graph, read_header(path), str(path))
    precision = _precision(manifest, path, contract)
    if settings.precision not in ("auto", precision) and _is_path(settings.model):
        raise ModelError(
            f"{path} is a network in {precision}, and --precision asks for {settings.precision}. Give a file in "
            f"{settings.precision}, or leave --precision at auto."
        )
    if first is not None and path == first.path:
        return LoadedModel(manifest, first.engine, settings, contract, path)
    wanted = candidates(settings.runtime, settings.device)
    engine, passed_over = _open(wanted, path, contract, precision, settings, reporter)
    if engine.device == "cpu" and precision == "fp16" and engine.name == "onnxruntime":
        better = "give the fp32 file to --model" if _is_path(settings.model) else "take --precision fp32"
        reporter.note(
            "This network's file is in half precision, which a processor computes more slowly than fp32 (about 1.2 "
            f"times as long). On a processor, {better}."
        )
    if engine.device == "cpu" and engine.name != "null" and settings.device == "auto":
        passed_over = (*passed_over, *passed_over_gpu())
    return LoadedModel(manifest, engine, settings, contract, path, passed_over)


def _is_path(model: str) -> bool:
    """A name has no folder and no suffix that files have."""
    return "/" in model or "\\" in model or Path(model).suffix.lower() in _FILE_SUFFIXES


_FILE_SUFFIXES = frozenset(
    (".onnx", ".pth", ".pt", ".ckpt", ".pkl", ".safetensors", ".tflite", ".ort", ".engine", ".plan", ".bin")
)


def _find(settings: ModelSettings, reporter: Reporter) -> tuple[Manifest, Path]:
    if _is_path(settings.model):
        path = Path(settings.model).expanduser()
        return for_file(path, reporter=reporter), path
    manifest = catalogue.by_name(settings.model)
    return manifest, locate(manifest, manifest.weights(settings.precision))


def _precision(manifest: Manifest, path: Path, contract: Contract) -> str:
    """What the manifest says of this file; for files it does not know, what the picture tensor is in."""
    known = next((file.precision for file in manifest.graph.weights if file.file == path.name), None)
    return known or ("fp16" if contract.image.dtype == "float16" else "fp32")


def _open(
    wanted: tuple[Candidate, ...],
    path: Path,
    contract: Contract,
    precision: str,
    settings: ModelSettings,
    reporter: Reporter,
) -> tuple[Engine, tuple[str, ...]]:
    passed_over: list[str] = []
    for at, candidate in enumerate(wanted):
        options = EngineOptions(
            device=candidate.device,
            precision=precision,
            threads=settings.threads,
            states=tuple((state.input, state.output) for state in contract.states),
            outputs=(contract.alpha.name,),
            reporter=reporter,
        )
        try:
            engine = RUNTIMES.load(candidate.runtime)(path, options)
            _check_nodes(engine, contract, settings, reporter)
            return engine, tuple(passed_over)
        except DeviceError as error:
            if at == len(wanted) - 1:
                raise
            passed_over.append(f"{candidate.device} was passed over: {error}")
            reporter.warn(passed_over[-1])
    raise AssertionError("candidates() gave none")


def _count(
    engine: Engine, contract: Contract, settings: ModelSettings, picture_size: tuple[int, int]
) -> dict[str, int]:
    count = getattr(engine, "count_providers", None)
    spec = contract.graph.input
    if count is None or spec is None:
        return {}
    override = parse_size(settings.network_size) if settings.network_size else None
    size = network_size(spec.size, *picture_size, quality=settings.quality, override=override)
    counted: dict[str, int] = count(contract.shapes(size))
    return counted


def _check_nodes(engine: Engine, contract: Contract, settings: ModelSettings, reporter: Reporter) -> None:
    """Where a GPU was asked for: how many nodes really ran there. DeviceError where none did; some left are said."""
    if engine.device == "cpu":
        return
    counted = _count(engine, contract, settings, (1280, 720))
    total = sum(counted.values())
    left = counted.get("CPUExecutionProvider", 0)
    if total and left == total:
        engine.close()
        raise DeviceError(
            f"{engine.device} was opened, but all {total} operations of this network ran on the processor. See "
            "'livematte doctor', or run on the processor: --device cpu"
        )
    if left:
        reporter.note(
            f"{left} of the network's {total} operations run on the processor, the others on {engine.device}."
        )
