"""Timing on the device: what a copy moves, what an empty graph node costs, and what a chain of launches takes.

Note [Floors]
    A chain cannot be faster than the bytes that it must move at the copy bandwidth measured here, and its graph not
    faster than its nodes at the time of an empty one. Buffers are given in several sets that together are larger than
    the L2 cache, and one graph goes over all of them in turn, so that no set is still in the cache when its turn comes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from proofs import is_rehearsal

COPY_BYTES = 256 << 20
EMPTY_NODES = 512
ROUNDS = 15
EMPTY = 'extern "C" __global__ void nothing(int ignored) {}\n'
Enqueue = Callable[[Any], None]


def graph_ms(driver: Any, work: Sequence[Enqueue], *, rounds: int = ROUNDS) -> tuple[float, int]:
    """(median ms of one of the chains, nodes of one) when all of `work` is captured into one graph and replayed."""
    from livematte.runtimes.cuda.graphs import capture

    stream = driver.stream()
    for enqueue in work:
        enqueue(stream)  # loads and compiles
    stream.synchronize()
    with capture(driver, stream) as recording:
        for enqueue in work:
            enqueue(stream)
    graph = recording.finish()
    begin, end = driver.event(timing=True), driver.event(timing=True)
    times = []
    for _ in range(1 if is_rehearsal() else rounds + 3):
        begin.record(stream)
        graph.launch(stream)
        end.record(stream)
        end.synchronize()
        times.append(end.elapsed_ms(begin))
    nodes = graph.nodes
    graph.close()
    for thing in (begin, end, stream):
        thing.close()
    kept = times[3:] or times
    return statistics.median(kept) / len(work), max(1, nodes // len(work))


def copy_bandwidth(driver: Any) -> float:
    """Bytes a second that a copy within the device moves, reads and writes counted; about 3.0e12 on an H100."""
    size = 1 << 16 if is_rehearsal() else COPY_BYTES
    one, two = driver.array((size,), np.uint8), driver.array((size,), np.uint8)
    ms, _ = graph_ms(driver, [lambda stream: two.copy_from(one, stream), lambda stream: one.copy_from(two, stream)])
    one.close()
    two.close()
    return 2 * size / max(ms, 1e-6) * 1e3


def empty_node_ms(driver: Any) -> float:
    """Milliseconds of a graph node that does nothing, one after another in one stream."""
    kernel, module = _nothing(driver)
    value = np.int32(0)

    def enqueue(stream: Any) -> None:
        kernel.launch((1, 1, 1), (32, 1, 1), [value], stream)

    ms, _ = graph_ms(driver, [enqueue] * EMPTY_NODES)
    module.close()
    return ms


def floor_ms(bytes_moved: float, nodes: int, bandwidth: float, node_ms: float) -> float:
    """Note [Floors]."""
    return bytes_moved / bandwidth * 1e3 + nodes * node_ms


def _nothing(driver: Any) -> tuple[Any, Any]:
    if is_rehearsal():
        from fakecuda.control import IMAGE_OF_REGISTERED, Control

        control = Control()
        control.kernel("nothing", lambda *_: None, sizes=[4])
        _KEPT.append(control)
        module = driver.module(IMAGE_OF_REGISTERED)
    else:
        from cuda.core import Program, ProgramOptions

        major, minor = driver.device.capability
        made = Program(EMPTY, "c++", ProgramOptions(arch=f"sm_{major}{minor}")).compile("cubin")
        module = driver.module(bytes(made.code))
    return module.function("nothing"), module


_KEPT: list[Any] = []
