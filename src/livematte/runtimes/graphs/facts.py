"""What a conversion is told about a graph, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from livematte import resources
from livematte.models.contract import Contract
from livematte.models.sizes import NetworkSize

Precision = Literal["fp32", "fp16", "int8"]
Target = Literal["tensorrt", "cpu"]
"""Who will run the graph: TensorRT and TensorRT-RTX, or the engines of a processor (ONNX Runtime, OpenVINO)."""
FloatType = Literal["fp32", "fp16"]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class GraphFacts:
    """What no ONNX file says about itself; `facts_of` reads it off a manifest."""

    states: tuple[tuple[str, str], ...] = ()
    """Recurrent pairs: (input, output)."""
    outputs: tuple[str, ...] = ()
    """The outputs that are wanted besides the states; empty: all. The others are cut off."""
    constants: Mapping[str, float] = field(default_factory=dict)
    """Inputs with one value for the whole clip (`downsample_ratio`), which a static graph has folded in."""
    keep_fp32: tuple[str, ...] = ()
    """Operators, nodes or tensors that stay in fp32 in a graph of lower precision."""
    io: FloatType = "fp32"
    """Type of the picture and the matte of a graph in fp16; fp32 graphs keep their own."""
    state_io: FloatType = "fp16"
    """Type of the recurrent states of a graph in fp16."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the cache's key."""
        return {
            "states": [list(pair) for pair in self.states],
            "outputs": list(self.outputs),
            "constants": dict(sorted(self.constants.items())),
            "keep_fp32": list(self.keep_fp32),
            "io": self.io,
            "state_io": self.state_io,
        }


@dataclass(frozen=True)
class Prepared:
    """A graph that a runtime can take."""

    path: Path
    islands: tuple[tuple[str, str], ...] = ()
    """(node, reason) of all that stays in fp32 in a graph of lower precision."""
    notes: tuple[str, ...] = ()
    """Sentences about what was done."""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Every input's shape where the graph is static, states at their full size; empty: the sides are free."""
    from_cache: bool = False


def facts_of(contract: Contract, size: NetworkSize) -> tuple[GraphFacts, dict[str, tuple[int, ...]]]:
    """(facts, shapes of every input) of a network at one input size, for `prepare`."""
    constants = {
        extra.name: size.ratio if extra.value == "ratio" else float(extra.value)
        for extra in contract.extra
    }  # fmt: skip
    facts = GraphFacts(
        states=tuple((state.input, state.output) for state in contract.states),
        outputs=(contract.alpha.name,),
        constants=constants,
        keep_fp32=contract.graph.keep_fp32,
    )
    return facts, contract.shapes(size)


def graphs_dir() -> Path:
    """Folder of converted graphs, in the user's cache; not created here."""
    return resources.cache_dir() / "graphs"
