"""What `livematte engine quantize` does: a network made smaller or quicker, measured, then written or refused."""

from __future__ import annotations

import importlib.util
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from livematte.config import ModelSettings, Quality
from livematte.errors import ModelError, SinkError, UsageError
from livematte.models.load import LoadedModel, load_model
from livematte.models.sizes import parse_size
from livematte.reporting import Reporter
from livematte.runtimes.graphs.facts import GraphFacts, Target, facts_of
from livematte.runtimes.graphs.libraries import require_onnx, require_quantizer

if TYPE_CHECKING:
    import onnx

    from livematte.runtimes.graphs.half import HalfGraph
    from livematte.runtimes.graphs.report import Contender, Report, ReportRow

_QUICKER = 0.95
"""Share of fp32's time that counts as quicker: two runs of one network differ by a few percent."""
_PROCESSOR_RUNTIMES = ("onnxruntime", "openvino")
Progress = Callable[[str, float], None]
"""(what is being done, share of it that is done, 0 to 1)."""


@dataclass(frozen=True)
class QuantizeRequest:
    """What the person asks for."""

    model: str
    """A network's name, or an .onnx file."""
    inputs: tuple[str, ...]
    """Clips, folders, pictures of the kind that the network will be used on."""
    precision: Literal["fp16", "int8"] = "int8"
    target: Target = "cpu"
    max_mad: float = 2.0
    """x 1e3: how far the mattes may be from the fp32 network's, on average."""
    output: Path | None = None
    """None: `<network>-<precision>-<target>.onnx` in the current folder."""
    frames: int = 48
    """Frames of each input, at most, for finding ranges and for measuring."""
    quality: Quality = "good"
    network_size: str | None = None
    threads: int = 0
    overwrite: bool = False
    allow_slower: bool = False
    """Write it even where it is no quicker than fp32 here."""
    runtime: str = "auto"
    """Whom it must be good with: `onnxruntime`, `openvino`; auto: every one of a processor that is installed."""


@dataclass(frozen=True)
class QuantizeResult:
    """What came out."""

    path: Path | None
    """The converted network; None where it was refused."""
    manifest_path: Path | None
    """The manifest beside it."""
    refused: str | None
    """Why nothing was written, as a sentence for the person."""
    report: Report
    islands: tuple[tuple[str, str], ...] = ()
    """(node, reason) of what stays in fp32 (or, of INT8, is not quantized)."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Made:
    """Converted graphs on the way to being measured."""

    wanted: onnx.ModelProto
    """What is written."""
    measured: dict[str, onnx.ModelProto]
    """Label -> what is measured: the same, but for TensorRT in the form that computes in fp32 what a GPU would."""
    islands: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = field(default=())


def quantize_model(
    request: QuantizeRequest, *, reporter: Reporter, progress: Progress = lambda stage, share: None
) -> QuantizeResult:
    """Convert, measure beside fp32 and fp16 on the same frames, and write; or say why not.

    UsageError (2): no frames, a size the network cannot take, an output that exists. SourceError (3): an input cannot
    be read. ModelError (4): the network cannot be converted. DeviceError (5): packages are missing. A refusal is no
    error: it is in the result, with the figures.
    """
    require_onnx()
    if request.precision == "int8":
        require_quantizer()
    _check_request(request)
    settings = ModelSettings(
        model=request.model, runtime="onnxruntime", device="cpu", quality=request.quality,
        network_size=request.network_size, threads=request.threads,
    )  # fmt: skip
    loaded = load_model(settings, reporter=reporter)
    try:
        target = _target(request, loaded)
        made = _convert(request, loaded, reporter, progress)
        with tempfile.TemporaryDirectory(prefix="livematte-quantize-") as folder:
            report = _measure(request, loaded, made, Path(folder), reporter, progress)
    finally:
        loaded.close()
    refused = verdict(report, request)
    if refused is not None:
        return QuantizeResult(None, None, refused, report, made.islands, made.notes)
    manifest_path = _write(made, target, loaded, request)
    return QuantizeResult(target, manifest_path, None, report, made.islands, made.notes)


def verdict(report: Report, request: QuantizeRequest) -> str | None:
    """Why the conversion is refused, as a sentence; None where it is good.

    Its mattes must be within `max_mad` of fp32's on every runtime that was measured, and it must be quicker on one of
    them. Speed is judged for processors only: TensorRT's is another machine's.
    """
    rows = [row for row in report.rows if row.label == request.precision]
    off = [row for row in rows if not row.mad <= request.max_mad]
    is_timed = request.target == "cpu" and not request.allow_slower
    quicker = [row for row in rows if not is_timed or _is_quicker(report, row)]
    if off:
        worst = max(off, key=lambda row: math.inf if math.isnan(row.mad) else row.mad)
        good = next((row for row in quicker if row not in off), None)
        advice = (
            "Give more frames of the kind it will be used on, raise --max-mad if the flicker in the table (dtSSD) "
            "suits you, or stay with fp32."
            if good is None
            else f"With {good.runtime} alone it passes ({good.mad:.2f}): add --runtime {good.runtime}, and run it so."
        )
        return (
            f"the network in {request.precision} was refused: its mattes differ from fp32's by {worst.mad:.2f} (MAD "
            f"x1e3, with {worst.runtime}), and --max-mad allows {request.max_mad:g}. {advice}"
        )
    if quicker:
        return None
    pairs = [(row, before) for row in rows if (before := report.row("fp32", row.runtime)) is not None]
    times = "; ".join(f"{row.runtime} {row.ms:.1f} ms against {before.ms:.1f}" for row, before in pairs)
    return (
        f"the network in {request.precision} was refused: on this processor it is not quicker than fp32 ({times}). "
        "Stay with fp32, or make it on the machine that it is for."
    )


def _is_quicker(report: Report, row: ReportRow) -> bool:
    before = report.row("fp32", row.runtime)
    return before is not None and row.ms < _QUICKER * before.ms


def _check_request(request: QuantizeRequest) -> None:
    if not request.inputs:
        raise UsageError("no frames were given. Name a clip or a folder of the kind that the network will be used on.")
    if request.frames < 1:
        raise UsageError(f"the number of frames is {request.frames}; it must be 1 or more.")
    if request.runtime not in ("auto", *_PROCESSOR_RUNTIMES):
        raise UsageError(
            f"a converted network is measured with auto, {' or '.join(_PROCESSOR_RUNTIMES)}, and --runtime is "
            f"'{request.runtime}'."
        )
    if not request.max_mad > 0:
        raise UsageError(f"--max-mad is {request.max_mad:g}; it must be above 0 (2 is the default).")


def _target(request: QuantizeRequest, loaded: LoadedModel) -> Path:
    """Where the file goes. UsageError: it exists, or would replace the network that it is made of."""
    name = f"{loaded.path.stem}-{request.precision}-{request.target}.onnx"
    target = Path(name) if request.output is None else request.output.expanduser()
    if target.suffix.lower() != ".onnx":
        raise UsageError(f"the output '{target}' must end in .onnx: networks are read by that name.")
    if target.exists() and target.resolve() == loaded.path.resolve():
        raise UsageError(f"{target} is the network itself. Name another output with -o.")
    for path in (target, target.with_suffix(".toml")):
        if path.exists() and not request.overwrite:
            raise UsageError(f"{path} exists. Name another output with -o, or replace it with --overwrite.")
    return target


def _convert(request: QuantizeRequest, loaded: LoadedModel, reporter: Reporter, progress: Progress) -> _Made:
    from livematte.runtimes.graphs import editing, half

    model = editing.load(loaded.path)
    if half.is_quantized(model) or half.is_half(model):
        kind = "quantized" if half.is_quantized(model) else "in fp16"
        raise ModelError(f"{loaded.path} is {kind} already. Start from the network in fp32.")
    facts = _facts(loaded)
    progress("converting to fp16", 0.0)
    in_half = half.to_half(model, facts)
    measured = {"fp16": _as_computed(in_half, request.target)}
    if request.precision == "fp16":
        return _Made(in_half.model, measured, in_half.islands, in_half.notes)
    made = _quantize(request, loaded, model, reporter, progress)
    return replace(made, measured={**measured, **made.measured})


def _as_computed(in_half: HalfGraph, target: Target) -> onnx.ModelProto:
    """What is measured of a graph in fp16: for TensorRT a form that rounds each result as there, else the graph."""
    from livematte.runtimes.graphs.rounding import rounded

    return rounded(in_half.full, dict(in_half.islands)) if target == "tensorrt" else in_half.model


def _facts(loaded: LoadedModel) -> GraphFacts:
    """Facts for free sides: extra inputs stay inputs, and all outputs stay, so that the original's manifest fits."""
    from livematte.models.sizes import NetworkSize

    facts, _ = facts_of(loaded.contract, NetworkSize(1, 1, (0, 0, 1, 1)))
    keep = (*facts.keep_fp32, *facts.constants)
    return replace(facts, outputs=(), constants={}, keep_fp32=tuple(dict.fromkeys(keep)))


def _quantize(
    request: QuantizeRequest,
    loaded: LoadedModel,
    model: onnx.ModelProto,
    reporter: Reporter,
    progress: Progress,
) -> _Made:
    from livematte.runtimes.graphs import editing, half
    from livematte.runtimes.graphs.calibrate import FrameRequest, calibrate
    from livematte.runtimes.graphs.exclusions import Search
    from livematte.runtimes.graphs.islands import find_islands
    from livematte.runtimes.graphs.quantize import PER_CHANNEL_OPSET

    facts = _facts(loaded)
    model = editing.at_least(model, PER_CHANNEL_OPSET)
    half.fold_batch_norms(model)
    override = parse_size(request.network_size) if request.network_size else None
    frames = FrameRequest(request.inputs, request.frames, request.quality, override)
    seen = calibrate(
        model, loaded.contract, frames, reporter=reporter,
        progress=lambda share: progress("finding the ranges of its values", share),
    )  # fmt: skip
    search = Search(
        model, seen, target=request.target, alpha=loaded.contract.alpha.name, islands=find_islands(model, facts),
        progress=lambda share: progress("finding what INT8 harms", share),
    )  # fmt: skip
    choice = search.run(request.max_mad)
    wanted, measured, notes = choice.model, choice.model, choice.notes
    if request.target == "tensorrt":
        converted = half.to_half(choice.model, facts)
        wanted, measured = converted.model, _as_computed(converted, request.target)
        notes = (*notes, *converted.notes)
    return _Made(wanted, {"int8": measured}, choice.excluded, (*notes, f"ranges were found on {seen.frames} frames"))


def _measure(
    request: QuantizeRequest,
    loaded: LoadedModel,
    made: _Made,
    folder: Path,
    reporter: Reporter,
    progress: Progress,
) -> Report:
    from livematte.runtimes.graphs.report import Contender, measure

    contenders: list[Contender] = []
    for label, model in made.measured.items():
        (folder / f"{label}.onnx").write_bytes(model.SerializeToString())
    for runtime in _runtimes(request):
        contenders.append(Contender("fp32", loaded.path, "fp32", runtime))
        contenders += [Contender(label, folder / f"{label}.onnx", label, runtime) for label in made.measured]
    report = measure(
        contenders, loaded.manifest, request.inputs, loaded.settings, frames=request.frames, reporter=reporter,
        progress=lambda share: progress("measuring", share),
    )  # fmt: skip
    return _without_times(report) if request.target == "tensorrt" else report


def _without_times(report: Report) -> Report:
    """A processor's milliseconds say nothing about TensorRT."""
    note = "mattes as TensorRT would round them, computed here; its milliseconds: livematte bench, on the GPU"
    rows = tuple(row if row.label == "fp32" else replace(row, ms=math.nan, p95_ms=math.nan) for row in report.rows)
    return replace(report, rows=rows, notes=(*report.notes, note))


def _runtimes(request: QuantizeRequest) -> tuple[str, ...]:
    """The runtimes to measure on; for TensorRT the one that keeps every rounding as it is written."""
    if request.target == "tensorrt":
        return ("onnxruntime",)
    if request.runtime != "auto":
        return (request.runtime,)
    from livematte.runtimes import RUNTIMES

    has_openvino = "openvino" in RUNTIMES and importlib.util.find_spec("openvino") is not None
    return ("onnxruntime", "openvino") if has_openvino else ("onnxruntime",)


def _write(made: _Made, target: Path, loaded: LoadedModel, request: QuantizeRequest) -> Path:
    from livematte.runtimes.graphs.beside import manifest_of, write_manifest
    from livematte.runtimes.graphs.store import write_whole

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, made.wanted.SerializeToString())
        notes = (f"Made of {loaded.path.name} by 'livematte engine quantize', for {request.target}.", *made.notes)
        manifest = manifest_of(
            loaded.manifest, target, precision=request.precision, source=loaded.manifest.name, notes=notes
        )
        write_manifest(manifest, target.with_suffix(".toml"))
    except OSError as error:
        raise SinkError(f"{target} cannot be written: {error}. Name another output with -o.") from error
    return target.with_suffix(".toml")
