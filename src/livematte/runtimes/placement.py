"""Where a graph's operations really ran: read from ONNX Runtime's own profile, because its lists of providers lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

PROCESSOR: Final = "CPUExecutionProvider"
SHAPE_BYTES: Final = 1024
"""What works out sizes (Shape, Gather, Concat) is put on the processor on purpose, and gives a few numbers. An
operation whose output is larger than this computes on the picture."""


@dataclass(frozen=True, slots=True)
class NodeRun:
    """One operation of a graph in one run."""

    name: str
    operator: str
    """`Conv`, `Resize`..."""
    provider: str
    """ONNX Runtime's name: `CUDAExecutionProvider`."""
    output_bytes: int


def node_runs(events: Iterable[Mapping[str, Any]]) -> tuple[NodeRun, ...]:
    """Every operation once, from the events of a profile of ONNX Runtime."""
    found: dict[str, NodeRun] = {}
    for event in events:
        facts = event.get("args", {})
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or not name.endswith("_kernel_time") or "provider" not in facts:
            continue
        name = name.removesuffix("_kernel_time")
        operator = str(facts.get("op_name", "?"))
        found[name] = NodeRun(name, operator, str(facts["provider"]), int(facts.get("output_size", 0) or 0))
    return tuple(found.values())


def count_providers(runs: Iterable[NodeRun]) -> dict[str, int]:
    """Operations by provider."""
    return dict(Counter(run.provider for run in runs))


def computing_on_processor(runs: Iterable[NodeRun]) -> dict[str, int]:
    """Operators that computed on the picture on the processor, and how many of each; shape arithmetic apart."""
    return dict(Counter(run.operator for run in runs if run.provider == PROCESSOR and run.output_bytes > SHAPE_BYTES))
