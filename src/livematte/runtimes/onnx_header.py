"""What an ONNX file says about its inputs and outputs, read without any ONNX library.

Note [Reading ONNX by hand]
    ONNX is a protobuf: a sequence of (field number, wire type, value). Only a dozen fields of it matter here, and
    the weights (initialisers) are skipped over unread, so a file of 200 MB takes milliseconds, and `model show`,
    the choice of a contract and the null runtime need neither `onnx` nor a runtime. Field numbers are those of
    onnx.proto3, which may only grow.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from livematte.errors import ModelError
from livematte.runtimes.base import TensorSpec

_DTYPES = {1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
           11: "float64", 16: "bfloat16"}  # fmt: skip
"""TensorProto.DataType -> NumPy's name."""


@dataclass(frozen=True, slots=True)
class Header:
    """Inputs and outputs as the graph declares them."""

    inputs: tuple[TensorSpec, ...]
    """Without those that are initialisers (old exporters list weights as inputs too)."""
    outputs: tuple[TensorSpec, ...]
    opset: int
    """Of the default operator set; 0 where none is stated."""


def read_header(path: Path) -> Header:
    """The header of an ONNX file. ModelError where the file is missing, empty, or something else."""
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise ModelError(f"{path} is empty, not an ONNX network. Fetch or export the file again.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                found = _read(data)
    except FileNotFoundError as error:
        raise ModelError(f"there is no file {path}. Give the path of an .onnx file, or a network's name.") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error}.") from error
    if isinstance(found, str):
        raise ModelError(
            f"{path} is not an ONNX network, or it is broken: {found}. Only ONNX files are read; checkpoints "
            "(.pth, .pt, .ckpt, .pkl, .safetensors) must be exported to ONNX first."
        )
    return found


def _read(data: mmap.mmap) -> Header | str:
    """The header, or what is wrong with the file.

    The reason leaves as text, not as an exception: a traceback would keep views alive, and a mapping with views
    cannot be closed.
    """
    view = memoryview(data)
    try:
        return _model(view)
    except IndexError:
        return "it ends too early"
    except (ValueError, UnicodeDecodeError) as error:
        return str(error)
    finally:
        view.release()


def _model(data: memoryview) -> Header:
    graph: memoryview | None = None
    opset = 0
    for number, value in _fields(data):
        if number == 7 and isinstance(value, memoryview):
            graph = value
        elif number == 8 and isinstance(value, memoryview):
            domain, version = "", 0
            for part, content in _fields(value):
                if part == 1 and isinstance(content, memoryview):
                    domain = str(content, "utf-8")
                elif part == 2 and isinstance(content, int):
                    version = content
            opset = version if domain in ("", "ai.onnx") else opset
    if graph is None:
        raise ValueError("it holds no graph")
    return _graph(graph, opset)


def _graph(data: memoryview, opset: int) -> Header:
    inputs: list[TensorSpec] = []
    outputs: list[TensorSpec] = []
    weights: set[str] = set()
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == 5:
            weights.add(next((str(v, "utf-8") for n, v in _fields(value) if n == 8 and isinstance(v, memoryview)), ""))
        elif number == 11:
            inputs.append(_value_info(value))
        elif number == 12:
            outputs.append(_value_info(value))
    used = tuple(spec for spec in inputs if spec.name not in weights)
    if not used or not outputs:
        raise ValueError("its graph has no inputs or no outputs")
    return Header(used, tuple(outputs), opset)


def _value_info(data: memoryview) -> TensorSpec:
    name, dtype = "", "float32"
    shape: tuple[int | str, ...] = ()
    for number, value in _fields(data):
        if number == 1 and isinstance(value, memoryview):
            name = str(value, "utf-8")
        elif number == 2 and isinstance(value, memoryview):
            tensor = next((v for n, v in _fields(value) if n == 1 and isinstance(v, memoryview)), None)
            if tensor is None:
                raise ValueError("an input or output is not a tensor")
            for part, content in _fields(tensor):
                if part == 1 and isinstance(content, int):
                    dtype = _DTYPES.get(content, f"type {content}")
                elif part == 2 and isinstance(content, memoryview):
                    shape = tuple(_dimension(v) for n, v in _fields(content) if n == 1 and isinstance(v, memoryview))
    return TensorSpec(name, dtype, shape)


def _dimension(data: memoryview) -> int | str:
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            return value
        if number == 2 and isinstance(value, memoryview):
            return str(value, "utf-8") or "?"
    return "?"


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) in order: ints for numbers, views for bytes, strings and messages."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ValueError("its structure is not that of a protobuf")
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("its structure is not that of a protobuf")
        if at + size > end:
            raise ValueError("it ends too early")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("its structure is not that of a protobuf")
