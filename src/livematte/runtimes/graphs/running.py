"""A graph run as it stands, on ONNX Runtime's CPU: to fold constants, to compare two graphs, to see that one runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from livematte.errors import ModelError
from livematte.runtimes.ort_library import load_library
from livematte.runtimes.threads import default_threads

Values = dict[str, npt.NDArray[Any]]
_DTYPES: dict[int, type[np.generic]] = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.FLOAT16: np.float16,
    onnx.TensorProto.DOUBLE: np.float64,
    onnx.TensorProto.INT64: np.int64,
    onnx.TensorProto.INT32: np.int32,
    onnx.TensorProto.UINT8: np.uint8,
    onnx.TensorProto.INT8: np.int8,
    onnx.TensorProto.BOOL: np.bool_,
}


class Network:
    """A session over a model in memory."""

    def __init__(self, model: onnx.ModelProto, *, what: str = "the network", optimize: bool = True) -> None:
        """what: names the graph in errors. optimize: False computes every node as it is written.

        ModelError (4) where ONNX Runtime does not take the graph: that is also the check that no operator mixes types.
        """
        library = load_library()
        options = library.SessionOptions()
        options.intra_op_num_threads = default_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if not optimize:
            options.graph_optimization_level = library.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._what = what
        try:
            self._session: Any = library.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library has a dozen classes; here each means the same
            raise ModelError(f"{what} cannot be opened by ONNX Runtime: {_words(error)}.") from error
        self.outputs: tuple[str, ...] = tuple(item.name for item in self._session.get_outputs())

    def run(self, feeds: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str] | None = None) -> Values:
        """Output -> values. ModelError where the run fails."""
        wanted = list(self.outputs if outputs is None else outputs)
        try:
            found = self._session.run(wanted, dict(feeds))
        except Exception as error:
            raise ModelError(f"{self._what} failed on a picture: {_words(error)}.") from error
        return {name: np.asarray(value) for name, value in zip(wanted, found, strict=True)}


def dtype_of(value: onnx.ValueInfoProto) -> np.dtype[Any]:
    """NumPy's type of an input or output. ModelError for a type that no network here has."""
    kind = value.type.tensor_type.elem_type
    if kind not in _DTYPES:
        raise ModelError(f"the network's '{value.name}' has a type that no network run here has.")
    return np.dtype(_DTYPES[kind])


def pictures(
    model: onnx.ModelProto,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    states: Sequence[str],
    constants: Mapping[str, float],
) -> Iterator[Values]:
    """Feeds without end: pictures of blobs that move, in 0..1; states and `constants` are the caller's and the same."""
    random = np.random.default_rng(0)
    fixed: Values = {}
    moving: dict[str, tuple[tuple[int, ...], np.dtype[Any], npt.NDArray[np.float32]]] = {}
    for value in model.graph.input:
        if value.name in states:
            continue
        dtype, shape = dtype_of(value), shapes.get(value.name, (1,))
        if value.name in constants:
            fixed[value.name] = np.full(shape, constants[value.name], dtype)
        elif np.issubdtype(dtype, np.floating) and len(shape) == 4:
            moving[value.name] = (shape, dtype, random.random((16, 16), np.float32))
        else:
            fixed[value.name] = np.zeros(shape, dtype)
    at = 0
    while True:
        feeds = dict(fixed)
        for name, (shape, dtype, seed) in moving.items():
            feeds[name] = _blobs(np.roll(seed, at, 1), shape).astype(dtype)
        yield feeds
        at += 1


def zero_states(
    model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], pairs: Sequence[tuple[str, str]]
) -> Values:
    """The past of a clip's first frame."""
    names = {source for source, _ in pairs}
    return {
        value.name: np.zeros(shapes[value.name], dtype_of(value)) for value in model.graph.input if value.name in names
    }


def play(
    network: Network, feeds: Iterator[Values], states: Values, pairs: Sequence[tuple[str, str]], *, frames: int
) -> Iterator[Values]:
    """The outputs of `frames` recurrent steps."""
    for _ in range(frames):
        found = network.run({**next(feeds), **states})
        states = {source: found[output] for source, output in pairs}
        yield found


def _blobs(seed: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """A smooth picture of this shape out of a small one: channels differ by a shift of the seed."""
    import cv2

    channels_last = shape[1] != 3 and shape[3] == 3
    height, width = shape[1:3] if channels_last else shape[2:]
    channels = shape[3] if channels_last else shape[1]
    planes = [
        cv2.resize(np.roll(seed, at, 0), (width, height), interpolation=cv2.INTER_LINEAR) for at in range(channels)
    ]
    picture = np.stack(planes, axis=-1 if channels_last else 0).astype(np.float32)
    return np.broadcast_to(picture, shape).copy()


def _words(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:500]
