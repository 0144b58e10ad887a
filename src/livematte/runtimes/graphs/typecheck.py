"""Types of a graph's operators, held against ONNX's own schemas: no operator may mix two floating-point types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
from onnx import defs

from livematte.errors import ModelError
from livematte.runtimes.graphs import editing

_NAMES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "tensor(float)",
    onnx.TensorProto.FLOAT16: "tensor(float16)",
    onnx.TensorProto.DOUBLE: "tensor(double)",
}
_FULL, _HALF = "tensor(float)", "tensor(float16)"


def parameters(node: onnx.NodeProto, version: int) -> Iterator[tuple[str, str, frozenset[str]]]:
    """(tensor, type variable, types that it may be) of every input and output of a node, those left out skipped.

    Parameters of one type variable must have one type. Nothing for operators that ONNX does not know.
    """
    schema = _schema(node, version)
    if schema is None:
        return
    bound = {one.type_param_str: frozenset(one.allowed_type_strs) for one in schema.type_constraints}
    for names, declared in ((node.input, schema.inputs), (node.output, schema.outputs)):
        for at, name in enumerate(names):
            if not name or not declared:
                continue
            formal = declared[min(at, len(declared) - 1)]
            variable = formal.type_str
            if _is_mixed(formal):
                variable = f"{variable} {at}"
            yield name, variable, bound.get(formal.type_str, frozenset((formal.type_str,)))


def takes_only_full(node: onnx.NodeProto, version: int) -> set[str]:
    """Tensors of a node that must be float32 whatever the others are (the scales of a Resize)."""
    return {name for name, _, allowed in parameters(node, version) if _FULL in allowed and _HALF not in allowed}


def has_half_form(node: onnx.NodeProto, version: int) -> bool:
    """False for operators that ONNX does not know, and for those whose data can be float32 and not float16.

    Operators that are fixed to float32 in a side parameter only (a Resize's scales) have a half form.
    """
    found = list(parameters(node, version))
    if not found:
        return False
    floats = [(name, allowed) for name, _, allowed in found if _FULL in allowed]
    outputs = set(node.output)
    makes = [allowed for name, allowed in floats if name in outputs]
    main = makes or [allowed for _, allowed in floats[:1]]
    return all(_HALF in allowed for allowed in main)


def check_types(model: onnx.ModelProto) -> None:
    """ModelError where an operator mixes floating-point types, or where a float tensor's type cannot be inferred."""
    types = editing.value_types(model)
    version = editing.opset(model)
    for node in model.graph.node:
        bound: dict[str, int] = {}
        for name, variable, allowed in parameters(node, version):
            kind = types.get(name)
            if kind is None:
                if _FULL in allowed:
                    raise ModelError(f"the type of '{name}' ({node.op_type} '{node.name}') cannot be told.")
                continue
            if kind in _NAMES and _NAMES[kind] not in allowed:
                raise ModelError(f"'{name}' of {node.op_type} '{node.name}' is {_NAMES[kind]}, which it cannot be.")
            if bound.setdefault(variable, kind) != kind:
                raise ModelError(
                    f"{node.op_type} '{node.name}' mixes types: '{name}' is {_NAMES.get(kind, kind)}, and its other "
                    f"tensors are {_NAMES.get(bound[variable], bound[variable])}."
                )


def _schema(node: onnx.NodeProto, version: int) -> Any:
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        return defs.get_schema(node.op_type, version, domain)
    except defs.SchemaError:
        return None


def _is_mixed(formal: Any) -> bool:
    """A repeated parameter whose members may differ in type."""
    return formal.option == defs.OpSchema.FormalParameterOption.Variadic and not formal.is_homogeneous
