"""A manifest for an ONNX file of the user's: the one beside it, a shipped one that it equals, or one read off it."""

from __future__ import annotations

from pathlib import Path

from livematte.errors import ModelError
from livematte.models import catalogue
from livematte.models.manifest import (
    AlphaOutput,
    AreaSize,
    FixedSize,
    Graph,
    ImageInput,
    Licence,
    Manifest,
    PerQuality,
    Recognise,
    Weights,
)
from livematte.reporting import Reporter
from livematte.runtimes.base import TensorSpec
from livematte.runtimes.onnx_header import Header, read_header

_AREA = PerQuality(fast=86016, good=114688, best=184320)
"""Pixels for networks with free sides: those of the default network."""


def for_file(path: Path, *, reporter: Reporter) -> Manifest:
    """The contract of this file. ModelError (4) where it is not ONNX, broken, or cannot be inferred."""
    if path.suffix.lower() != ".onnx":
        raise ModelError(
            f"{path} is not an .onnx file. Only ONNX networks are run: checkpoints and pickles can run any code "
            "when they are opened. Export it to ONNX, or give a network's name (see 'livematte model list')."
        )
    header = read_header(path)
    beside = path.with_suffix(".toml")
    if beside.is_file():
        return catalogue.read(beside)
    size_bytes = path.stat().st_size
    for manifest in catalogue.shipped().values():
        if any(_equals(known, manifest.graph, header, size_bytes) for known in manifest.graph.recognise):
            reporter.note(f"{path.name} has the tensors of {manifest.name}, so it is run by that network's manifest.")
            return manifest
    return _infer(path, header, reporter)


def _equals(known: Recognise, graph: Graph, header: Header, size_bytes: int) -> bool:
    """Names equal, and where the file fixes its picture's sides, the manifest's size policy gives just these."""
    if not (known.min_bytes or 0) <= size_bytes <= (known.max_bytes or size_bytes):
        return False
    inputs = {spec.name for spec in header.inputs}
    outputs = tuple(spec.name for spec in header.outputs)
    if inputs != set(known.inputs) or len(outputs) != (known.output_count or len(known.outputs)):
        return False
    if known.output_count is None and set(outputs) != set(known.outputs):
        return False
    if known.output_count is not None and outputs[: len(known.outputs)] != known.outputs:
        return False
    spec = graph.input
    if spec is None:
        return False
    image = next((item for item in header.inputs if item.name == spec.name), header.inputs[0])
    if len(image.shape) != 4:
        return False
    height, width = image.shape[1:3] if spec.layout == "NHWC" else image.shape[2:4]
    channels = image.shape[3] if spec.layout == "NHWC" else image.shape[1]
    if channels not in (3, "?") and isinstance(channels, int):
        return False
    if isinstance(spec.size, FixedSize):
        return all(isinstance(got, str) or got == want for got, want in ((height, spec.size.height),
                                                                         (width, spec.size.width)))  # fmt: skip
    return isinstance(height, str) and isinstance(width, str)


def _infer(path: Path, header: Header, reporter: Reporter) -> Manifest:
    """One picture in, a one-channel map out; what no file states (the numbers' range) is assumed, and said."""
    images = [spec for spec in header.inputs if _picture_layout(spec) is not None]
    if len(header.inputs) != 1 or len(images) != 1:
        raise _cannot(path, header, "it does not take one picture and nothing else")
    image = images[0]
    layout = "NHWC" if _picture_layout(image) == "NHWC" else "NCHW"
    position = next((at for at, spec in enumerate(header.outputs) if _is_map(spec, layout)), None)
    if position is None:
        raise _cannot(path, header, "none of its outputs is a map of one channel")
    height, width = image.shape[1:3] if layout == "NHWC" else image.shape[2:4]
    size = (
        FixedSize(policy="fixed", width=width, height=height, fit="stretch")
        if isinstance(width, int) and isinstance(height, int)
        else AreaSize(policy="area", pixels=_AREA)
    )
    reporter.warn(
        f"{path.name} has no manifest. Its layout and size were read off the file; that it takes RGB from 0 to 1 and "
        f"that '{header.outputs[position].name}' is alpha from 0 to 1 are assumptions. If the matte looks wrong, write "
        f"{path.with_suffix('.toml').name} beside it (engines/ has examples)."
    )
    return Manifest(
        format=1,
        name="".join(c if c.isalnum() else "-" for c in path.stem.lower()).strip("-") or "file",
        title=path.name,
        subjects=("people",),
        about="A file of yours; its contract was inferred.",
        licence=Licence(spdx="LicenseRef-unknown", commercial="unclear", text="A file of yours.", evidence="u"),
        graphs=(
            Graph(
                input=ImageInput(name=image.name, layout=layout, size=size),
                alpha=AlphaOutput(position=position),
                weights=(Weights(source="bring", file="file.onnx", export="It is a file of yours."),),
            ),
        ),
    )


def _picture_layout(spec: TensorSpec) -> str | None:
    """NCHW or NHWC by where the three channels are; None for what is no picture."""
    if spec.dtype not in ("float32", "float16") or len(spec.shape) != 4:
        return None
    if spec.shape[1] == 3:
        return "NCHW"
    return "NHWC" if spec.shape[3] == 3 else None


def _is_map(spec: TensorSpec, layout: str) -> bool:
    channels_at = -1 if layout == "NHWC" else 1
    is_float = spec.dtype in ("float32", "float16")
    return is_float and (len(spec.shape) == 3 or (len(spec.shape) == 4 and spec.shape[channels_at] in (1, "?")))


def _cannot(path: Path, header: Header, why: str) -> ModelError:
    def listed(specs: tuple[TensorSpec, ...]) -> str:
        return "; ".join(f"{s.name} {s.dtype} ({', '.join(map(str, s.shape))})" for s in specs)

    return ModelError(
        f"what {path} is cannot be told from the file: {why}. It takes {listed(header.inputs)} and gives "
        f"{listed(header.outputs)}. Write {path.with_suffix('.toml').name} beside it, which names the picture, the "
        "matte, recurrent pairs and fixed inputs; engines/rvm-mobilenetv3.toml is an example with all of them."
    )
