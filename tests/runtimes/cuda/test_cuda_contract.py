"""What every back end of the CUDA layer owes: order, values, threads, errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from livematte.errors import DeviceError, UsageError
from livematte.runtimes.cuda.base import Driver, Module, Stream

COUNT = 1000


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.0005)


def on_thread(work: Callable[[], Any]) -> Any:
    """What `work` gives or raises, on a thread of its own."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="other")
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    if errors:
        raise errors[0]
    return results[0]


def ramp(dtype: str = "float32") -> np.ndarray[Any, Any]:
    return np.arange(COUNT).astype(dtype)


def test_facts(driver: Driver) -> None:
    facts = driver.device
    assert facts.name
    assert facts.ordinal == 0
    assert 0 < driver.free_bytes() <= facts.total_bytes
    assert len(facts.capability) == 2


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "int64"])
def test_values_come_back_through_pinned_and_ordinary_arrays(driver: Driver, dtype: str) -> None:
    stream = driver.stream()
    source = ramp(dtype).reshape(10, 100)
    array = driver.array((10, 100), dtype)
    assert (array.shape, array.dtype, array.nbytes) == ((10, 100), np.dtype(dtype), source.nbytes)
    assert array.pointer % 256 == 0
    array.upload(source, stream)
    ordinary = np.zeros_like(source)
    array.download(ordinary, stream)
    np.testing.assert_array_equal(ordinary, source)
    up, down = driver.pinned((10, 100), dtype), driver.pinned((10, 100), dtype)
    up.array[:] = source[::-1]
    down.array[:] = 0
    array.upload(up, stream)
    array.download(down, stream)
    stream.synchronize()
    np.testing.assert_array_equal(down.array, source[::-1])
    assert down.nbytes == source.nbytes
    assert down.pointer == down.array.ctypes.data


def test_structures_travel(driver: Driver) -> None:
    kind = np.dtype([("at", np.int32), ("value", np.float32, 3)], align=True)
    source = np.zeros((1,), kind)
    source["value"] = (1, 2, 3)
    array, pinned, stream = driver.array((1,), kind), driver.pinned((1,), kind), driver.stream()
    array.upload(source, stream)
    array.download(pinned, stream)
    stream.synchronize()
    assert pinned.array["value"].tolist() == [[1, 2, 3]]
    assert array.__cuda_array_interface__["descr"] == kind.descr


def test_what_does_not_fit_is_refused(driver: Driver) -> None:
    stream = driver.stream()
    array = driver.array((4, 6), np.float32)
    for wrong in (np.zeros((6, 4), np.float32), np.zeros((4, 6), np.float64), np.zeros((6, 4), np.float32).T):
        with pytest.raises(UsageError):
            array.upload(wrong, stream)
        with pytest.raises(UsageError):
            array.download(wrong, stream)
    frozen = np.zeros((4, 6), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(UsageError, match="read-only"):
        array.download(frozen, stream)
    with pytest.raises(UsageError, match="list"):
        array.upload([1.0], stream)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        array.copy_from(driver.array((4, 6), np.int32), stream)
    with pytest.raises(UsageError, match="256"):
        array.fill(256, stream)
    for shape, dtype in (((0, 3), np.uint8), ((3,), object), ((-1,), np.uint8)):
        with pytest.raises(UsageError):
            driver.array(shape, dtype)
        with pytest.raises(UsageError):
            driver.pinned(shape, dtype)
    with pytest.raises(UsageError, match="address"):
        driver.view(0, (1,), np.uint8, None)


def test_copies_and_fills(driver: Driver) -> None:
    stream = driver.stream()
    first, second = driver.array((COUNT,), np.uint8), driver.array((COUNT,), np.uint8)
    first.fill(7, stream)
    second.copy_from(first, stream)
    first.fill(9, stream)
    got = np.zeros(COUNT, np.uint8)
    second.download(got, stream)
    assert set(got.tolist()) == {7}


def test_the_array_interface(driver: Driver) -> None:
    array = driver.array((3, 5), np.float16)
    interface = array.__cuda_array_interface__
    assert interface["shape"] == (3, 5)
    assert interface["typestr"] == "<f2"
    assert interface["data"] == (array.pointer, False)
    assert interface["version"] == 3
    assert interface["strides"] is None
    stream = driver.stream()
    assert stream.__cuda_stream__() == (0, stream.handle)
    assert driver.legacy_stream.handle == 0


def test_kernels_take_each_kind_of_argument(driver: Driver, module: Module) -> None:
    stream = driver.stream()
    out, floats = driver.array((1,), np.float64), driver.array((2,), np.float32)
    floats.upload(np.array([5, 6], np.float32), stream)
    arguments = [np.uint8(200), np.int16(-3), np.int32(70_000), np.int64(1 << 40), np.float32(0.5), np.float64(0.25)]
    for pointer in (floats, floats.pointer):
        module.function("lm_test_kinds").launch((1, 1, 1), (1, 1, 1), [out, *arguments, pointer], stream)
        got = np.zeros(1)
        out.download(got, stream)
        assert got[0] == 200 - 3 + 70_000 + float(1 << 40) + 0.5 + 0.25 + 6
    module.function("lm_test_nothing").launch((1, 1, 1), (1, 1, 1), [], stream)
    stream.synchronize()


def test_wrong_arguments_never_reach_the_device(driver: Driver, module: Module) -> None:
    stream = driver.stream()
    array = driver.array((COUNT,), np.float32)
    add = module.function("lm_test_add")
    one = (1, 1, 1)
    right = [array, array, np.float32(1), np.int32(COUNT)]
    for wrong in (0.5, True, None, -1, 1 << 64, np.zeros(3)):
        with pytest.raises(UsageError, match="argument 2"):
            add.launch(one, one, [array, array, wrong, np.int32(1)], stream)  # type: ignore[list-item]
    for grid, block in (
        ((0, 1, 1), one),
        (one, (1025, 1, 1)),
        (one, (32, 64, 1)),
        ((1, 70_000, 1), one),
        (one, (1, 1, 65)),
    ):
        with pytest.raises(UsageError, match="lm_test_add"):
            add.launch(grid, block, right, stream)
    for shared in (-1, 48 * 1024 + 1):
        with pytest.raises(UsageError, match="shared memory"):
            add.launch(one, one, right, stream, shared_bytes=shared)
    with pytest.raises(DeviceError, match="lm_test_absent"):
        module.function("lm_test_absent")
    with pytest.raises(DeviceError):
        driver.module(b"not an image at all")


def test_number_and_sizes_of_arguments_are_checked_where_they_are_known(driver: Driver, module: Module) -> None:
    stream = driver.stream()
    array = driver.array((COUNT,), np.float32)
    add = module.function("lm_test_add")
    if driver.device.driver_version and driver.device.driver_version < 12_040:
        pytest.skip("this driver does not tell")
    for wrong in ([array, array], [array, array, np.float64(1), np.int32(1)]):
        with pytest.raises(UsageError, match="bytes"):
            add.launch((1, 1, 1), (1, 1, 1), wrong, stream)


def chain(driver: Driver, module: Module, first: Stream, second: Stream, *, waits: bool) -> np.ndarray[Any, Any]:
    """in -> (slow, on first) -> middle -> (add, on second) -> out, read by the host."""
    source, middle, out = (driver.array((COUNT,), np.float32) for _ in range(3))
    pinned = driver.pinned((COUNT,), np.float32)
    pinned.array[:] = ramp()
    source.upload(pinned, first)
    one, count = (1, 1, 1), np.int32(COUNT)
    module.function("lm_test_slow").launch(one, one, [middle, source, count, np.int32(50)], first)
    done = driver.event()
    done.record(first)
    if waits:
        second.wait(done)
    module.function("lm_test_add").launch((4, 1, 1), (256, 1, 1), [out, middle, np.float32(1), count], second)
    got = driver.pinned((COUNT,), np.float32)
    got.array[:] = -1
    out.download(got, second)
    second.synchronize()
    first.synchronize()
    return got.array.copy()


@pytest.mark.parametrize("high_priority", [False, True])
def test_an_event_orders_two_streams(driver: Driver, module: Module, high_priority: bool) -> None:
    first, second = driver.stream(), driver.stream(high_priority=high_priority)
    np.testing.assert_array_equal(chain(driver, module, first, second, waits=True), ramp() + 50)


def test_the_legacy_stream_works_and_is_ordered_by_events(driver: Driver, module: Module) -> None:
    np.testing.assert_array_equal(chain(driver, module, driver.legacy_stream, driver.stream(), waits=True), ramp() + 50)
    np.testing.assert_array_equal(chain(driver, module, driver.stream(), driver.legacy_stream, waits=True), ramp() + 50)
    driver.legacy_stream.close()
    driver.legacy_stream.synchronize()


def test_recording_again_moves_the_mark(driver: Driver) -> None:
    stream, other = driver.stream(), driver.stream()
    array = driver.array((COUNT,), np.uint8)
    event = driver.event()
    assert event.is_done()
    event.synchronize()
    other.wait(event)
    array.fill(1, stream)
    event.record(stream)
    array.fill(2, stream)
    event.record(stream)
    other.wait(event)
    got = np.zeros(COUNT, np.uint8)
    array.download(got, other)
    assert set(got.tolist()) == {2}
    event.synchronize()
    assert event.is_done()


def test_polling_comes_to_an_end(driver: Driver) -> None:
    stream = driver.stream()
    array = driver.array((COUNT,), np.uint8)
    event = driver.event()
    array.fill(3, stream)
    event.record(stream)
    wait_until(event.is_done)
    wait_until(stream.is_done)
    driver.synchronize()


def test_time_between_events(driver: Driver) -> None:
    stream = driver.stream()
    begin, end, plain = driver.event(timing=True), driver.event(timing=True), driver.event()
    with pytest.raises(DeviceError, match="never recorded"):
        end.elapsed_ms(begin)
    begin.record(stream)
    driver.array((COUNT,), np.uint8).fill(1, stream)
    end.record(stream)
    end.synchronize()
    assert end.elapsed_ms(begin) >= 0
    plain.record(stream)
    plain.synchronize()
    with pytest.raises(DeviceError, match=r"timing=True"):
        end.elapsed_ms(plain)


def test_host_functions_run_in_order_and_their_errors_are_raised_once(driver: Driver) -> None:
    stream = driver.stream()
    seen: list[int] = []
    for at in range(5):
        stream.call(lambda at=at: seen.append(at))  # type: ignore[misc]
    stream.synchronize()
    assert seen == [0, 1, 2, 3, 4]

    def fails() -> None:
        raise ValueError("the network broke")

    stream.call(fails)
    stream.call(lambda: seen.append(9))
    with pytest.raises(DeviceError, match="the network broke") as caught:
        stream.synchronize()
    assert isinstance(caught.value.__cause__, ValueError)
    assert seen[-1] == 9
    stream.synchronize()


def test_each_thread_needs_the_context(driver: Driver, module: Module) -> None:
    stream, event, array = driver.stream(), driver.event(), driver.array((4,), np.uint8)
    host = np.zeros(4, np.uint8)
    nothing = module.function("lm_test_nothing")
    uses: list[Callable[[], object]] = [
        lambda: driver.array((1,), np.uint8),
        lambda: driver.pinned((1,), np.uint8),
        lambda: driver.stream(),
        lambda: driver.event(),
        lambda: driver.module(b""),
        lambda: driver.free_bytes(),
        lambda: driver.synchronize(),
        lambda: driver.view(array.pointer, (1,), np.uint8, None),
        lambda: stream.synchronize(),
        lambda: stream.is_done(),
        lambda: stream.wait(event),
        lambda: stream.call(lambda: None),
        lambda: event.record(stream),
        lambda: event.synchronize(),
        lambda: array.upload(host, stream),
        lambda: array.download(host, stream),
        lambda: array.fill(1, stream),
        lambda: nothing.launch((1, 1, 1), (1, 1, 1), [], stream),
    ]
    for use in uses:
        with pytest.raises(DeviceError, match="make_current"):
            on_thread(use)

    def works() -> list[int]:
        driver.make_current()
        driver.make_current()
        array.upload(np.arange(4, dtype=np.uint8), stream)
        array.download(host, stream)
        return list(host.tolist())

    assert on_thread(works) == [0, 1, 2, 3]


def test_things_of_another_driver_are_refused(driver: Driver) -> None:
    from livematte.runtimes.cuda.null import open_null

    other = open_null()
    theirs, event, array = other.stream(), other.event(), other.array((1,), np.uint8)
    mine = driver.array((1,), np.uint8)
    for use in (
        lambda: mine.fill(1, theirs),
        lambda: mine.copy_from(array, driver.stream()),
        lambda: driver.stream().wait(event),
        lambda: driver.event().record(theirs),
        lambda: mine.upload(other.pinned((1,), np.uint8), driver.stream()),
    ):
        with pytest.raises(UsageError, match="driver"):
            use()
    array.close()
    other.close()


def test_memory_that_does_not_fit_is_said_and_nothing_breaks(driver: Driver) -> None:
    with pytest.raises(DeviceError, match=r"MB do not fit on cuda:0 .* are free"):
        driver.array((driver.device.total_bytes * 2,), np.uint8)
    driver.array((COUNT,), np.uint8).fill(1, driver.stream())
    driver.synchronize()
