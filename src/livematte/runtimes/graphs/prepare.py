"""A graph for one precision, one size and one kind of runtime: made once, then taken from the cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livematte.errors import UsageError
from livematte.models.weights import hash_file
from livematte.reporting import LogReporter, Reporter
from livematte.runtimes.graphs.facts import GraphFacts, Precision, Prepared, Shapes, Target
from livematte.runtimes.graphs.libraries import require_onnx, versions

if TYPE_CHECKING:
    import onnx

_NO_FACTS = GraphFacts()


def prepare(
    source: Path,
    *,
    precision: Precision,
    shapes: Shapes | None,
    for_: Target,
    facts: GraphFacts = _NO_FACTS,
    reporter: Reporter | None = None,
) -> Prepared:
    """The graph of `source` as a runtime can take it, from the cache where it was made before.

    shapes: every input's, for a static graph (TensorRT needs one wherever an extra input decides sizes); None leaves
    the sides free. fp32 leaves numbers as they are; fp16 converts around fp32 islands (`islands.py`); int8 takes a file
    that `livematte engine quantize` made, and for TensorRT puts its floating-point part into fp16.

    DeviceError (5): packages missing. ModelError (4): no network, or none that can be converted. UsageError (2): int8
    of a file that is not quantized.
    """
    require_onnx()
    source_hash = hash_file(source)
    key: dict[str, Any] = {
        "source": source_hash,
        "precision": precision,
        "shapes": None if shapes is None else {name: list(shape) for name, shape in sorted(shapes.items())},
        "for": for_,
        "facts": facts.as_dict(),
        "versions": versions(),
    }
    from livematte.runtimes.graphs.store import place_of

    place = place_of(f"{source.stem}-{precision}-{for_}", key)
    with place.building():
        found = place.find()
        if isinstance(found, Prepared):
            return found
        if found is not None:
            (reporter or LogReporter()).note(f"{found}.")
        model, prepared = _make(source, precision, shapes, for_, facts)
        return place.put(model, replace(prepared, path=place.path))


def _make(
    source: Path, precision: Precision, shapes: Shapes | None, for_: Target, facts: GraphFacts
) -> tuple[onnx.ModelProto, Prepared]:
    from livematte.runtimes.graphs import editing, half, static

    model = editing.load(source)
    if precision == "int8" and not half.is_quantized(model):
        raise UsageError(
            f"{source.name} is not quantized, and INT8 needs frames of yours to find its ranges. Make the file first: "
            f"livematte engine quantize {source} CLIP --for {for_}"
        )
    notes: tuple[str, ...] = ()
    full: dict[str, tuple[int, ...]] = {}
    if shapes is None:
        model = editing.copy_of(model)
        notes = static.cut_outputs(model, facts)
    else:
        made = static.make_static(model, shapes, facts)
        model, full, notes = made.model, made.shapes, made.notes
        facts = replace(facts, constants={})
    islands: tuple[tuple[str, str], ...] = ()
    wants_half = precision == "fp16" or (precision == "int8" and for_ == "tensorrt")
    if wants_half and half.is_half(model):
        notes = (*notes, "the file is in fp16 already and keeps its own islands")
    elif wants_half:
        converted = half.to_half(model, facts)
        model, islands, notes = converted.model, converted.islands, (*notes, *converted.notes)
    return model, Prepared(source, islands, notes, full)
