"""Nothing that a stream or a graph still uses is given back, in whatever order things are closed."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref

import numpy as np
import pytest
from test_cuda_contract import COUNT, on_thread, ramp

from livematte.errors import DeviceError
from livematte.runtimes.cuda.base import Driver, Module
from livematte.runtimes.cuda.graphs import capture

ONE = (1, 1, 1)


def allowance(driver: Driver) -> int:
    """Bytes by which a GPU's free memory may differ for reasons of its own."""
    return 0 if driver.name == "null" else 8 << 20


def test_closing_twice_is_harmless_and_using_after_is_an_error(driver: Driver, module: Module) -> None:
    stream, event, array = driver.stream(), driver.event(), driver.array((4,), np.uint8)
    pinned, live = driver.pinned((4,), np.uint8), driver.stream()
    view = driver.view(array.pointer, (2,), np.uint8, array)
    kernel = module.function("lm_test_nothing")
    for thing in (stream, event, view, array, pinned, module):
        thing.close()
        thing.close()
    host = np.zeros(4, np.uint8)
    for use in (
        lambda: stream.synchronize(),
        lambda: stream.wait(event),
        lambda: event.record(live),
        lambda: live.wait(event),
        lambda: array.upload(host, live),
        lambda: array.pointer,
        lambda: array.__cuda_array_interface__,
        lambda: view.pointer,
        lambda: view.fill(0, live),
        lambda: pinned.array,
        lambda: pinned.pointer,
        lambda: kernel.launch(ONE, ONE, [], live),
        lambda: driver.array((4,), np.uint8).fill(1, stream),
    ):
        with pytest.raises(DeviceError, match="closed"):
            use()


def test_everything_may_be_closed_while_the_device_is_at_work(driver: Driver, image: bytes) -> None:
    got = driver.pinned((COUNT,), np.float32)
    done = driver.event()

    def work() -> None:
        stream, module = driver.stream(), driver.module(image)
        source, middle, out = (driver.array((COUNT,), np.float32) for _ in range(3))
        pinned = driver.pinned((COUNT,), np.float32)
        pinned.array[:] = ramp()
        source.upload(pinned, stream)
        pinned.close()
        slow = module.function("lm_test_slow")
        for _ in range(6):
            slow.launch(ONE, ONE, [middle, source, np.int32(COUNT), np.int32(100)], stream)
        source.close()
        module.function("lm_test_add").launch(
            (4, 1, 1), (256, 1, 1), [out, middle, np.float32(1), np.int32(COUNT)], stream
        )
        middle.close()
        out.download(got, stream)
        out.close()
        module.close()
        done.record(stream)
        stream.close()

    before = driver.free_bytes()
    work()
    done.synchronize()
    np.testing.assert_array_equal(got.array, ramp() + 100)
    driver.synchronize()
    assert driver.free_bytes() == before or driver.name != "null"


def test_what_is_dropped_is_given_back(driver: Driver) -> None:
    size = 1 << 20
    stream = driver.stream()
    driver.array((size,), np.uint8).fill(1, stream)
    driver.pinned((size,), np.uint8)
    driver.synchronize()
    gc.collect()
    before = driver.free_bytes()
    for _ in range(20):
        driver.array((size,), np.uint8).fill(1, stream)
    gc.collect()
    driver.synchronize()
    assert driver.free_bytes() >= before - allowance(driver)


def test_closing_on_a_thread_without_the_context_waits_for_one_that_has_it(driver: Driver) -> None:
    before = driver.free_bytes()
    array, stream = driver.array((16 << 20,), np.uint8), driver.stream()
    array.fill(1, stream)
    on_thread(array.close)
    on_thread(stream.close)
    with pytest.raises(DeviceError, match="closed"):
        _ = array.pointer
    driver.synchronize()
    assert driver.free_bytes() >= before - allowance(driver)


def test_memory_that_was_just_closed_can_be_had_again(driver: Driver) -> None:
    size = driver.free_bytes() * 2 // 3
    stream = driver.stream()
    for _ in range(3):
        array = driver.array((size,), np.uint8)
        driver.view(array.pointer, (COUNT,), np.uint8, array).fill(1, stream)
        array.close()


def test_views_of_page_locked_memory_outlive_it(driver: Driver) -> None:
    pinned = driver.pinned((COUNT,), np.float32)
    pinned.array[:] = ramp()
    view = pinned.array[10:20]
    pinned.close()
    for _ in range(5):
        driver.pinned((COUNT,), np.float32).array[:] = -1
    np.testing.assert_array_equal(view, ramp()[10:20])


def test_a_view_keeps_its_owner_until_the_streams_are_past_it(driver: Driver) -> None:
    class Surface:
        pass

    array, stream = driver.array((COUNT,), np.uint8), driver.stream()
    surface, gone = Surface(), []
    weakref.finalize(surface, gone.append, True)
    view = driver.view(array.pointer + 256, (100,), np.uint8, surface)
    assert view.pointer == array.pointer + 256
    for _ in range(30):
        view.fill(5, stream)
    del surface
    gc.collect()
    assert not gone
    view.close()
    gc.collect()
    assert not gone or stream.is_done()
    driver.synchronize()
    gc.collect()
    assert gone
    got = np.zeros(COUNT, np.uint8)
    array.download(got, stream)
    assert set(got[256:356].tolist()) == {5}


def test_closing_a_driver_with_live_arrays_is_said(driver: Driver, module: Module) -> None:
    stream = driver.stream()
    array, pinned = driver.array((1 << 20,), np.uint8), driver.pinned((COUNT,), np.float32)
    array.fill(1, stream)
    with capture(driver, stream) as recording:
        array.fill(2, stream)
    graph = recording.finish()
    view = pinned.array
    view[:] = 3
    with pytest.warns(ResourceWarning, match=r"1 of kind 'array', 1 of kind 'graph', 1 of kind 'page-locked array'"):
        driver.close()
    # The memory under a NumPy view must stay: reading it must not end the process.
    assert set(view.tolist()) == {3}
    driver.close()
    for thing in (array, pinned, graph, stream, module):
        thing.close()
    for use in (
        lambda: array.pointer,
        lambda: graph.launch(stream),
        lambda: stream.synchronize(),
        lambda: driver.make_current(),
        lambda: driver.array((1,), np.uint8),
        lambda: module.function("lm_test_add"),
    ):
        with pytest.raises(DeviceError, match="closed"):
            use()


def test_closing_a_tidy_driver_says_nothing(driver: Driver) -> None:
    array, stream = driver.array((COUNT,), np.uint8), driver.stream()
    array.fill(1, stream)
    array.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        driver.close()


def test_a_second_driver_of_the_device_stands_on_its_own(driver: Driver) -> None:
    if driver.name == "null":
        pytest.skip("each null driver is a device of its own")
    from livematte.runtimes.cuda.ctypes_driver import CtypesBackend
    from livematte.runtimes.cuda.driver import CudaDriver

    array, stream = driver.array((COUNT,), np.uint8), driver.stream()
    CudaDriver(CtypesBackend(0)).close()

    def still() -> list[int]:
        driver.make_current()
        got = np.zeros(COUNT, np.uint8)
        array.fill(4, stream)
        array.download(got, stream)
        return sorted(set(got.tolist()))

    assert on_thread(still) == [4]


def test_threads_that_take_and_give_back_at_once(driver: Driver) -> None:
    def rounds(byte: int) -> int:
        driver.make_current()
        stream, good = driver.stream(), 0
        for _ in range(30):
            array, copy = driver.array((COUNT,), np.uint8), driver.array((COUNT,), np.uint8)
            pinned, event = driver.pinned((COUNT,), np.uint8), driver.event()
            array.fill(byte, stream)
            copy.copy_from(array, stream)
            array.close()
            copy.download(pinned, stream)
            copy.close()
            event.record(stream)
            event.synchronize()
            good += set(pinned.array.tolist()) == {byte}
            pinned.close()
        stream.close()
        return good

    results: list[int] = []
    threads = [threading.Thread(target=lambda byte=byte: results.append(rounds(byte))) for byte in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert results == [30, 30, 30]
