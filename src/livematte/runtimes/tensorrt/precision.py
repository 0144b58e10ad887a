"""What a network really computes in: the types in its ONNX file, and those of a built engine's layers.

Note [Precision is in the file]
    Strongly typed networks compute in the types that the ONNX file states, so a file that is called fp16 and is not
    would silently give an fp32 engine. The file is checked before every build; the engine's own account of its layers
    is checked wherever a plan can be loaded. One thing only that account shows: TF32, which keeps the type float32.
"""

from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from livematte.errors import DeviceError, ModelError

HEAVY = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))
"""The operators that nearly all of a network's time goes into."""
_FLOATS = {1: "fp32", 10: "fp16", 16: "bf16", 11: "fp64"}
"""TensorProto.DataType -> our name, of the types that networks compute in."""
_ALLOWED = {
    "fp32": frozenset(("fp32",)),
    "tf32": frozenset(("fp32",)),
    "fp16": frozenset(("fp16", "fp32")),
    "int8": frozenset(("fp16", "fp32", "int8")),
}
"""Precision -> what heavy operators may compute in. `mixed` is not checked."""
_WANTED = {"fp32": "fp32", "tf32": "fp32", "fp16": "fp16", "int8": "int8"}
"""Precision -> what at least half of the heavy operators must compute in (int8: at least one)."""


def check_graph(path: Path, precision: str) -> dict[str, int]:
    """How many heavy operators of an ONNX file compute in what: {"fp16": 50, "fp32": 2}.

    ModelError (4) where the file is not in the precision that it is said to be, or is no ONNX network. DeviceError (5)
    where the package `onnx` is missing.
    """
    counted, odd = graph_types(path)
    if precision not in _ALLOWED:
        return counted
    wrong = sorted(kind for kind in counted if kind not in _ALLOWED[precision])
    wanted = counted.get(_WANTED[precision], 0)
    enough = wanted > 0 if precision == "int8" else 2 * wanted >= sum(counted.values())
    if counted and (wrong or not enough):
        found = ", ".join(f"{number} in {kind}" for kind, number in sorted(counted.items()))
        first = f", first '{odd[wrong[0]]}'" if wrong else ""
        raise ModelError(
            f"{path.name} is to become a plan in {precision}, and of its convolutions and matrix products there are "
            f"{found}{first}. Give the file in {precision}, or ask for what it is in. livematte engine quantize makes "
            "fp16 and int8 files."
        )
    return counted


def graph_types(path: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Heavy operators by what they compute in, and the name of the first node of each kind.

    A convolution whose data comes from a DequantizeLinear computes in int8.
    """
    onnx = _onnx()
    try:
        model = onnx.load(str(path), load_external_data=False)
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=False)
    except Exception as error:  # the package raises protobuf's and its own classes
        raise ModelError(f"{path.name} is not an ONNX network, or it is broken: {_one_line(error)}.") from error
    counted: Counter[str] = Counter()
    first: dict[str, str] = {}
    for graph in _graphs(inferred.graph):
        types = _element_types(graph)
        dequantized = {out for node in graph.node if node.op_type == "DequantizeLinear" for out in node.output}
        for node in graph.node:
            if node.op_type not in HEAVY or node.domain not in ("", "ai.onnx"):
                continue
            numbers = [types[name] for name in (*node.input[:2], *node.output[:1]) if name in types]
            kind = next((_FLOATS[number] for number in numbers if number in _FLOATS), "unknown")
            kind = "int8" if node.input[0] in dequantized else kind
            counted[kind] += 1
            first.setdefault(kind, node.name or f"the {node.op_type} that makes {node.output[0]}")
    return dict(counted), first


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and those inside its If and Loop nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                if inner.node:
                    yield from _graphs(inner)


def _element_types(graph: Any) -> dict[str, int]:
    """Tensor name -> TensorProto.DataType, where it is known."""
    types = {tensor.name: int(tensor.data_type) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        number = int(value.type.tensor_type.elem_type)
        if number:
            types[value.name] = number
    return types


def _onnx() -> Any:
    """The package `onnx`, with its shape inference."""
    try:
        onnx = importlib.import_module("onnx")
        importlib.import_module("onnx.shape_inference")
    except ImportError as error:
        raise DeviceError(
            f"building plans needs the package onnx, which cannot be loaded ({error}). Install it: pip install onnx"
        ) from error
    return onnx


def layer_types(information: str) -> dict[str, int]:
    """Layers of a built engine by what they compute in, from the engine inspector's JSON.

    Keys: fp32, tf32, fp16, bf16, int8, fp8; `mixed` for a layer that reads one float type and writes another;
    `unknown` where the engine does not say. Layers that only move or reshape data are left out.
    """
    try:
        layers = json.loads(information).get("Layers", [])
    except (ValueError, AttributeError):
        return {}
    counted: Counter[str] = Counter()
    for layer in layers:
        if not isinstance(layer, dict):  # built without detailed verbosity: bare names
            counted["unknown"] += 1
        elif str(layer.get("LayerType", "")).lower() not in _MOVERS:
            counted[_layer_type(layer)] += 1
    return dict(counted)


_MOVERS = frozenset(
    ("reformat", "noop", "constant", "shuffle", "slice", "concatenation", "shape", "signal", "wait", "identity", "cast")
)
_WORDS = (
    ("bf16", re.compile(r"\b(bf16|bfloat16)\b")),
    ("fp16", re.compile(r"\b(half|fp16|float16)\b")),
    ("fp8", re.compile(r"\b(fp8|e4m3)\w*\b")),
    ("int8", re.compile(r"\bint8\b")),
    ("fp32", re.compile(r"\b(float|fp32|float32)\b")),
)


def _layer_type(layer: Mapping[str, Any]) -> str:
    tactic = str(layer.get("TacticName", "")).lower()
    reads = set(_tensor_types(layer.get("Inputs", ())))
    writes = set(_tensor_types(layer.get("Outputs", ())))
    if "int8" in reads or "i8i8" in tactic:
        return "int8"
    if re.search(r"tf32", tactic):
        return "tf32"
    kinds = reads | writes
    if not kinds:
        return "unknown"
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _tensor_types(tensors: Iterable[Any]) -> Iterator[str]:
    """What the inspector says of each tensor: `Half`, `Row major linear FP16 format`, `Int8 NCHW`..."""
    for tensor in tensors:
        if isinstance(tensor, Mapping):
            said = " ".join(str(tensor.get(key, "")) for key in ("Format/Datatype", "Datatype", "DataType")).lower()
            found = next((kind for kind, word in _WORDS if word.search(said)), None)
            if found:
                yield found


def check_layers(counted: Mapping[str, int], precision: str, what: str) -> None:
    """DeviceError (5) where a built engine computes in something that was not asked for.

    An engine that does not tell (`unknown` only, or nothing) passes: the file's types were checked.
    """
    never = {
        "fp32": ("tf32", "fp16", "bf16", "int8", "fp8"),
        "tf32": ("fp16", "bf16", "int8", "fp8"),
        "fp16": ("tf32", "bf16", "int8", "fp8"),
        "int8": ("tf32", "bf16", "fp8"),
    }.get(precision, ())
    wrong = [f"{counted[kind]} layers in {kind}" for kind in never if counted.get(kind)]
    told = sum(number for kind, number in counted.items() if kind != "unknown")
    needed = {"fp16": ("fp16", "mixed"), "int8": ("int8",)}.get(precision, ())
    if needed and told and not any(counted.get(kind) for kind in needed):
        wrong.append(f"no layer in {needed[0]}")
    if wrong:
        raise DeviceError(
            f"{what} was built for {precision}, and the library made {' and '.join(wrong)} of it. That is a fault of "
            "the library's version: use another one, or --runtime onnxruntime."
        )


def read_back(module: Any, engine: Any) -> dict[str, int]:
    """What a loaded engine's layers compute in; see `layer_types`. {} where the library gives no account."""
    inspector = engine.create_engine_inspector()
    if inspector is None:
        return {}
    text = inspector.get_engine_information(module.LayerInformationFormat.JSON)
    return layer_types(str(text)) if text else {}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:300]
