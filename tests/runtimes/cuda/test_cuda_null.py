"""The null driver finds what a GPU forgives: missing waits, late writes, writes past the end."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cuda_contract import COUNT, chain, ramp

from livematte.errors import DeviceError
from livematte.runtimes.cuda.base import Driver
from livematte.runtimes.cuda.driver import CudaDriver
from livematte.runtimes.cuda.errors import CudaError
from livematte.runtimes.cuda.graphs import capture
from livematte.runtimes.cuda.null import NullBackend, open_null
from livematte.runtimes.cuda.simulator import SimulatedEvent, Simulator

SEEDS = range(20)
Pipeline = Callable[[CudaDriver, str], list[int]]


def ring(driver: CudaDriver, left_out: str) -> list[int]:
    """Six frames through two slots: up on one stream, work on a second, down on a third, read by the host.

    The pattern of the device path. `left_out` names one of its waits.
    """
    up, work, down = driver.stream(), driver.stream(), driver.stream()
    slots = [
        {
            "host": driver.pinned((COUNT,), np.uint8),
            "in": driver.array((COUNT,), np.uint8),
            "out": driver.array((COUNT,), np.uint8),
            "result": driver.pinned((COUNT,), np.uint8),
            **{name: driver.event() for name in ("uploaded", "worked", "downloaded")},
        }
        for _ in range(2)
    ]
    got: list[int] = []

    def collect(slot: dict[str, Any]) -> None:
        if left_out != "host waits for the download":
            slot["downloaded"].synchronize()
        got.append(int(slot["result"].array[-1]))

    for frame in range(6):
        slot: dict[str, Any] = slots[frame % 2]
        if frame >= 2:
            collect(slot)
            # The host may write again, and the copy up may overwrite what the copy down still needs no more.
            slot["uploaded"].synchronize()
            up.wait(slot["downloaded"])
        slot["host"].array[:] = frame + 1
        slot["in"].upload(slot["host"], up)
        slot["uploaded"].record(up)
        if left_out != "work waits for the upload":
            work.wait(slot["uploaded"])
        slot["out"].copy_from(slot["in"], work)
        slot["worked"].record(work)
        if left_out != "download waits for the work":
            down.wait(slot["worked"])
        slot["out"].download(slot["result"], down)
        slot["downloaded"].record(down)
    for frame in (6, 7):
        collect(slots[frame % 2])
    driver.synchronize()
    return got


def outcome(pipeline: Pipeline, left_out: str, seed: int | None) -> list[int]:
    driver = open_null(seed=seed)
    try:
        return pipeline(driver, left_out)
    finally:
        for resource in list(driver.reclaimer._live.values()):
            resource.is_returned = True
        driver.close()


@pytest.mark.parametrize("seed", [None, *SEEDS])
def test_a_pipeline_with_all_its_waits_is_right_for_every_seed(seed: int | None) -> None:
    assert outcome(ring, "", seed) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "left_out", ["work waits for the upload", "download waits for the work", "host waits for the download"]
)
def test_a_wait_that_is_left_out_is_found(left_out: str) -> None:
    wrong = [seed for seed in SEEDS if outcome(ring, left_out, seed) != [1, 2, 3, 4, 5, 6]]
    # A GPU that happens to be fast, or the null driver at once, would not show it.
    assert outcome(ring, left_out, None) == [1, 2, 3, 4, 5, 6]
    assert len(wrong) >= len(SEEDS) // 2


def test_the_contracts_own_wait_is_needed(host_image: bytes) -> None:
    wrong = 0
    for seed in SEEDS:
        driver = open_null(seed=seed)
        module = driver.module(host_image)
        result = chain(driver, module, driver.stream(), driver.stream(), waits=False)
        wrong += not np.array_equal(result, ramp() + 50)
        driver.close()
    assert wrong >= len(SEEDS) // 4


def test_a_graph_whose_join_is_left_out_is_found() -> None:
    def run(seed: int, *, waits: bool) -> bool:
        driver = open_null(seed=seed)
        stream, side = driver.stream(), driver.stream()
        first, second = driver.array((4,), np.uint8), driver.array((4,), np.uint8)
        first.fill(0, stream)
        stream.synchronize()
        forked, joined = driver.event(), driver.event()
        with capture(driver, stream) as recording:
            forked.record(stream)
            side.wait(forked)
            first.fill(5, side)
            joined.record(side)
            if waits:
                stream.wait(joined)
            second.copy_from(first, stream)
            if not waits:
                stream.wait(joined)
        graph = recording.finish()
        graph.launch(stream)
        got = np.zeros(4, np.uint8)
        second.download(got, stream)
        for thing in (graph, first, second):
            thing.close()
        driver.close()
        return set(got.tolist()) == {5}

    assert all(run(seed, waits=True) for seed in SEEDS)
    assert sum(not run(seed, waits=False) for seed in SEEDS) >= 3


def test_fresh_memory_is_poison_and_differs_from_seed_to_seed() -> None:
    seen = set()
    for seed in range(4):
        driver = open_null(seed=seed)
        array = driver.array((16,), np.uint8)
        got = np.zeros(16, np.uint8)
        array.download(got, driver.stream())
        assert len(set(got.tolist())) == 1
        assert set(driver.pinned((16,), np.uint8).array.tolist()) == set(got.tolist())
        seen.add(int(got[0]))
        array.close()
        driver.close()
    assert len(seen) == 4


def test_a_write_past_the_end_is_found() -> None:
    driver = open_null()
    array = driver.array((100,), np.uint8)
    ctypes.memset(array.pointer, 0, 101)
    array.close()
    with pytest.raises(DeviceError, match="past the end of an array of 100 bytes"):
        driver.close()


def test_a_write_after_the_end_of_life_is_found() -> None:
    driver = open_null()
    array = driver.array((100,), np.uint8)
    pointer = array.pointer
    array.close()
    ctypes.memset(pointer, 0, 1)
    with pytest.raises(DeviceError, match="after it was given back"):
        driver.close()


def test_work_on_freed_memory_is_an_illegal_address_and_ends_everything(host_image: bytes) -> None:
    driver = open_null()
    stream = driver.stream()
    array = driver.array((COUNT,), np.float32)
    pointer = array.pointer
    kernel = driver.module(host_image).function("lm_test_add")
    array.close()
    with pytest.raises(CudaError, match="ILLEGAL_ADDRESS") as caught:
        kernel.launch((1, 1, 1), (1, 1, 1), [pointer, pointer, np.float32(1), np.int32(1)], stream)
    assert caught.value.is_fatal
    assert driver.is_dead
    with pytest.raises(CudaError, match="ILLEGAL_ADDRESS"):
        stream.synchronize()
    # Closing a dead driver works, and is silent about what can no longer be helped.
    stream.close()
    driver.close()


def test_functions_of_the_host_must_not_use_cuda() -> None:
    for seed in (None, 1):
        driver = open_null(seed=seed)
        stream = driver.stream()
        stream.call(lambda driver=driver: driver.synchronize())  # type: ignore[misc]
        with pytest.raises(DeviceError, match="NOT_PERMITTED"):
            stream.synchronize()
        driver.close()


def test_the_pretended_memory_is_counted(tmp_path: Path) -> None:
    driver = open_null(total_bytes=1000)
    first = driver.array((600,), np.uint8)
    assert driver.free_bytes() == 400
    with pytest.raises(DeviceError, match="do not fit"):
        driver.array((401,), np.uint8)
    first.close()
    assert driver.free_bytes() == 1000
    broken = tmp_path / "broken.so"
    broken.write_text("no library")
    with pytest.raises(DeviceError, match=r"broken\.so"):
        driver.module(b"LMSHIM\0" + str(broken).encode() + b"\0")
    driver.close()


def test_the_raw_calls_answer_misuse_as_cuda_does() -> None:
    """The objects never let this happen; foreign code on the same streams might."""
    simulator = Simulator(None)
    stream, other = simulator.new_stream(), simulator.new_stream()
    event, outside = SimulatedEvent(), SimulatedEvent()

    def code_of(call: Callable[[], object]) -> int:
        with pytest.raises(CudaError) as caught:
            call()
        return caught.value.code

    assert code_of(lambda: simulator.end(stream)) == 903
    simulator.record(outside, other)
    simulator.begin(stream)
    assert code_of(lambda: simulator.wait(stream, outside)) == 905
    assert code_of(lambda: simulator.end(stream)) == 901
    simulator.begin(stream)
    assert code_of(lambda: simulator.finish_stream(stream)) == 900
    assert code_of(lambda: simulator.end(stream)) == 901
    simulator.begin(stream)
    simulator.begin(other)
    simulator.record(event, stream)
    assert code_of(lambda: simulator.wait(other, event)) == 902
    assert code_of(lambda: simulator.finish_event(event)) == 907
    simulator.end(stream)
    assert code_of(lambda: simulator.wait(other, event)) == 907
    simulator.end(other)


def test_the_backend_is_hidden_behind_the_same_objects() -> None:
    driver: Driver = CudaDriver(NullBackend())
    assert driver.name == "null"
    driver.close()
