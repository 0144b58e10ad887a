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
from livematte.runtimes.placement import PROCESSOR, NodeRun, computing_on_processor, count_providers
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
        return count_providers(_node_runs(self.engine, self.contract, self.settings, (width, height)))

    def close(self) -> None:
        """Give the weights back, after every session is closed."""
        self.engine.close()
        if self.second is not None and self.second.engine is not self.engine:
            self.second.engine.close()


@dataclass(frozen=True, slots=True)
class FoundNetwork:
    """A network's file, and what is to be made of it; nothing is opened yet."""

    manifest: Manifest
    path: Path
    """The ONNX file."""
    contract: Contract
    precision: str
    """What the file is in."""
    computes_in: str
    """Another precision that the runtime shall make of it; empty: the file's own."""


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
    found = find_network(settings, reporter=reporter)
    manifest, path, contract, precision = found.manifest, found.path, found.contract, found.precision
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


def find_network(settings: ModelSettings, *, reporter: Reporter) -> FoundNetwork:
    """The file of the network that `settings` name, held against its manifest.

    ModelError (4): unknown, broken, not the network its manifest says, or in another precision than was asked for.
    ModelMissing (4): known but not on this machine.
    """
    manifest, path = _find(settings, reporter)
    contract = tie(manifest.graph, read_header(path), str(path))
    precision = _precision(manifest, path, contract)
    is_made = _is_made(settings)
    if settings.precision not in ("auto", precision) and _is_path(settings.model) and not is_made:
        raise ModelError(
            f"{path} is a network in {precision}, and --precision asks for {settings.precision}. Give a file in "
            f"{settings.precision}, or leave --precision at auto."
        )
    return FoundNetwork(manifest, path, contract, precision, settings.precision if is_made else "")


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
    return manifest, locate(manifest, manifest.weights("auto" if _is_made(settings) else settings.precision))


MADE_PRECISIONS = {
    "openvino": ("bf16",),
    "onnxruntime": ("tf32",),
    # fp16 from the fp32 file with its fp32 islands; int8 only from a file that `engine quantize` made.
    "tensorrt": ("tf32", "fp16", "int8"),
    "tensorrt-rtx": ("tf32", "fp16", "int8"),
    "auto": ("tf32",),
}
"""Precisions that a runtime computes in by itself, from a file of another one."""


def _is_made(settings: ModelSettings) -> bool:
    """True where the runtime makes the precision that is asked for; else a file in it is looked for."""
    return settings.precision in MADE_PRECISIONS.get(settings.runtime, ())


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
            computes_in=settings.precision if _is_made(settings) else "",
            keep_fp32=contract.graph.keep_fp32,
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
            passed_over.append(f"{candidate.runtime} on {candidate.device} was passed over: {error}")
            reporter.warn(passed_over[-1])
    raise AssertionError("candidates() gave none")


def _node_runs(
    engine: Engine, contract: Contract, settings: ModelSettings, picture_size: tuple[int, int]
) -> tuple[NodeRun, ...]:
    """Of runtimes that tell where their operations ran."""
    look = getattr(engine, "node_runs", None)
    spec = contract.graph.input
    if look is None or spec is None:
        return ()
    override = parse_size(settings.network_size) if settings.network_size else None
    size = network_size(spec.size, *picture_size, quality=settings.quality, override=override)
    runs: tuple[NodeRun, ...] = look(contract.shapes(size))
    return runs


def _check_nodes(engine: Engine, contract: Contract, settings: ModelSettings, reporter: Reporter) -> None:
    """Where a GPU was asked for: DeviceError where an operation computed on the processor; shape arithmetic is said."""
    if engine.device == "cpu":
        return
    runs = _node_runs(engine, contract, settings, (1280, 720))
    computing = computing_on_processor(runs)
    if computing:
        engine.close()
        named = ", ".join(f"{count} {operator}" for operator, count in computing.items())
        raise DeviceError(
            f"{engine.device} was opened, but {sum(computing.values())} of this network's {len(runs)} operations "
            f"compute on the processor instead ({named}). Update the graphics driver and ONNX Runtime ('livematte "
            "doctor' names both), take another network, or run on the processor: --device cpu"
        )
    left = sum(run.provider == PROCESSOR for run in runs)
    if left:
        reporter.note(
            f"{left} of the network's {len(runs)} operations, which work out sizes, run on the processor, the others "
            f"on {engine.device}."
        )
