"""Captured graphs: what they replay, what may not be captured, and what they hold."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from test_cuda_contract import COUNT, on_thread, ramp

from livematte.errors import DeviceError, UsageError
from livematte.runtimes.cuda.base import Driver, Module
from livematte.runtimes.cuda.graphs import capture

ONE = (1, 1, 1)
GRID, BLOCK = (4, 1, 1), (256, 1, 1)


def test_nothing_runs_while_it_is_captured_and_each_launch_runs_all_of_it(driver: Driver, module: Module) -> None:
    stream = driver.stream()
    value = driver.array((COUNT,), np.float32)
    value.fill(0, stream)
    stream.synchronize()
    add = module.function("lm_test_add")
    with capture(driver, stream) as recording:
        for term in (1, 10):
            add.launch(GRID, BLOCK, [value, value, np.float32(term), np.int32(COUNT)], stream)
    graph = recording.finish()
    assert graph.nodes == 2
    got = np.zeros(COUNT, np.float32)
    value.download(got, stream)
    assert set(got.tolist()) == {0}
    for _ in range(3):
        graph.launch(stream)
    value.download(got, stream)
    assert set(got.tolist()) == {33}


def test_a_graph_replays_addresses_and_reads_memory_anew(driver: Driver, module: Module) -> None:
    stream = driver.stream()
    source, out = driver.array((COUNT,), np.float32), driver.array((COUNT,), np.float32)
    up, down = driver.pinned((COUNT,), np.float32), driver.pinned((COUNT,), np.float32)
    with capture(driver, stream) as recording:
        source.upload(up, stream)
        module.function("lm_test_add").launch(GRID, BLOCK, [out, source, np.float32(1), np.int32(COUNT)], stream)
        out.download(down, stream)
        graph = recording.finish()
    assert graph.nodes == 3
    for start in (0, 5):
        up.array[:] = ramp() + start
        graph.launch(stream)
        stream.synchronize()
        np.testing.assert_array_equal(down.array, ramp() + start + 1)


def test_a_fork_that_is_joined(driver: Driver, module: Module) -> None:
    stream, side = driver.stream(), driver.stream()
    source, left, right = (driver.array((COUNT,), np.float32) for _ in range(3))
    source.upload(ramp(), stream)
    side.synchronize()
    add, count = module.function("lm_test_add"), np.int32(COUNT)
    forked, joined = driver.event(), driver.event()
    with capture(driver, stream) as recording:
        add.launch(GRID, BLOCK, [source, source, np.float32(1), count], stream)
        forked.record(stream)
        side.wait(forked)
        add.launch(GRID, BLOCK, [left, source, np.float32(10), count], side)
        joined.record(side)
        add.launch(GRID, BLOCK, [right, source, np.float32(100), count], stream)
        stream.wait(joined)
        add.launch(GRID, BLOCK, [right, left, np.float32(1000), count], stream)
    graph = recording.finish()
    assert graph.nodes == 4
    graph.launch(stream)
    got = np.zeros(COUNT, np.float32)
    right.download(got, stream)
    np.testing.assert_array_equal(got, ramp() + 1011)
    # Both streams are free again.
    left.fill(0, side)
    side.synchronize()
    with pytest.raises(DeviceError, match="recorded inside a capture"):
        side.wait(joined)
    with pytest.raises(DeviceError, match="recorded inside a capture"):
        joined.synchronize()
    joined.record(side)
    joined.synchronize()


def test_a_fork_that_is_not_joined_is_an_error_and_nothing_stays(driver: Driver) -> None:
    stream, side, array = driver.stream(), driver.stream(), driver.array((4,), np.uint8)
    forked = driver.event()

    def fork() -> None:
        with capture(driver, stream):
            array.fill(1, stream)
            forked.record(stream)
            side.wait(forked)
            array.fill(2, side)

    with pytest.raises(DeviceError, match=r"904|901"):
        fork()
    array.fill(3, stream)
    array.fill(4, side)
    driver.synchronize()


def test_what_cannot_be_captured_is_refused(driver: Driver, image: bytes) -> None:
    stream, other, outside = driver.stream(), driver.stream(), driver.event()
    array, host = driver.array((4,), np.uint8), np.zeros(4, np.uint8)
    outside.record(other)
    inside = driver.event()
    refused: list[Callable[[], object]] = [
        lambda: stream.synchronize(),
        lambda: stream.is_done(),
        lambda: driver.synchronize(),
        lambda: driver.array((1,), np.uint8),
        lambda: driver.pinned((1,), np.uint8),
        lambda: driver.module(image),
        lambda: array.upload(host, stream),
        lambda: array.download(host, stream),
        lambda: stream.wait(outside),
        lambda: driver.legacy_stream.wait(inside),
        lambda: inside.synchronize(),
        lambda: inside.is_done(),
        lambda: driver.close(),
        lambda: capture(driver, other).__enter__(),
    ]
    with capture(driver, stream) as recording:
        array.fill(1, stream)
        inside.record(stream)
        for use in refused:
            with pytest.raises(DeviceError):
                use()
    recording.finish().launch(stream)
    stream.synchronize()
    with pytest.raises(DeviceError, match="legacy"), capture(driver, driver.legacy_stream):
        pass
    with pytest.raises(UsageError), capture(object(), stream):  # type: ignore[arg-type]
        pass
    with pytest.raises(DeviceError, match="gave it already"):
        recording.finish()


def test_an_exception_inside_ends_the_capture(driver: Driver) -> None:
    stream, array = driver.stream(), driver.array((COUNT,), np.uint8)
    array.fill(1, stream)

    def fail() -> None:
        with capture(driver, stream):
            array.fill(2, stream)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    got = np.zeros(COUNT, np.uint8)
    array.download(got, stream)
    assert set(got.tolist()) == {1}
    with capture(driver, stream) as again:
        array.fill(3, stream)
    again.finish().launch(stream)
    array.download(got, stream)
    assert set(got.tolist()) == {3}


def test_a_graph_keeps_what_it_uses(driver: Driver, module: Module) -> None:
    stream = driver.stream()
    out = driver.array((COUNT,), np.float32)
    source, part = driver.array((COUNT,), np.float32), driver.array((COUNT,), np.float32)
    source.upload(ramp(), stream)
    view = driver.view(part.pointer, (COUNT,), np.float32, part)
    with capture(driver, stream) as recording:
        view.copy_from(source, stream)
        module.function("lm_test_add").launch(GRID, BLOCK, [out, view, np.float32(1), np.int32(COUNT)], stream)
        source.close()
    graph = recording.finish()
    view.close()
    part.close()
    module.close()
    driver.synchronize()
    # Would be laid over what was freed.
    others = [driver.array((COUNT,), np.float32) for _ in range(8)]
    for other in others:
        other.fill(0, stream)
    before = driver.free_bytes()
    graph.launch(stream)
    got = np.zeros(COUNT, np.float32)
    out.download(got, stream)
    np.testing.assert_array_equal(got, ramp() + 1)
    graph.launch(stream)
    graph.close()
    graph.close()
    driver.synchronize()
    assert driver.free_bytes() > before or driver.name != "null"
    with pytest.raises(DeviceError, match="closed"):
        graph.launch(stream)


def test_host_functions_in_a_graph_run_at_each_launch(driver: Driver) -> None:
    stream, seen = driver.stream(), []

    def work() -> None:
        seen.append(len(seen))
        if len(seen) == 3:
            raise RuntimeError("third time")

    with capture(driver, stream) as recording:
        stream.call(work)
    graph = recording.finish()
    assert not seen
    other = driver.stream()
    for queue in (stream, other):
        graph.launch(queue)
        queue.synchronize()
    assert seen == [0, 1]
    graph.launch(other)
    with pytest.raises(DeviceError, match="third time"):
        other.synchronize()
    stream.synchronize()


def test_other_threads_go_on_during_a_capture(driver: Driver) -> None:
    stream, array = driver.stream(), driver.array((COUNT,), np.uint8)
    done = threading.Event()

    def other() -> int:
        driver.make_current()
        mine, queue = driver.array((COUNT,), np.uint8), driver.stream()
        mine.fill(8, queue)
        got = np.zeros(COUNT, np.uint8)
        mine.download(got, queue)
        mine.close()
        done.set()
        return int(got[0])

    with capture(driver, stream) as recording:
        array.fill(1, stream)
        assert on_thread(other) == 8
        array.fill(2, stream)
    graph = recording.finish()
    assert graph.nodes == 2


def test_a_capture_is_ended_by_the_thread_that_began_it(driver: Driver) -> None:
    stream, array = driver.stream(), driver.array((4,), np.uint8)
    with capture(driver, stream) as recording:
        array.fill(1, stream)
        with pytest.raises(DeviceError, match="thread"):
            on_thread(lambda: (driver.make_current(), recording.finish()))
    recording.finish().launch(stream)
    stream.synchronize()


def test_an_event_in_the_middle_may_be_a_stream_that_was_captured(driver: Driver) -> None:
    """Launches on different streams are ordered by events as any other work is."""
    first, second = driver.stream(), driver.stream()
    array = driver.array((COUNT,), np.uint8)
    with capture(driver, first) as recording:
        array.fill(6, first)
    graph = recording.finish()
    mark = driver.event()
    array.fill(1, first)
    graph.launch(first)
    mark.record(first)
    second.wait(mark)
    got = np.zeros(COUNT, np.uint8)
    array.download(got, second)
    assert set(got.tolist()) == {6}
