"""What fakecuda's tests do in their child processes. Each function is one scene, and returns what its test checks."""

from __future__ import annotations

import ctypes
from typing import Any

from fakecuda.driver import Cuda

SIZE = 4096


# --- order ---


def chain(seeds: int, *, waits: bool, blocking: bool = False) -> dict[str, int]:
    """A fills, B copies what A filled, A fills again once B is done. How many seeds give the right bytes."""
    right = 0
    for seed in range(seeds):
        cuda = Cuda(seed=seed)
        a, b = cuda.stream(blocking=blocking), cuda.stream(blocking=blocking)
        source, target = cuda.alloc(SIZE), cuda.alloc(SIZE)
        cuda.fill(source, 1, SIZE, a)
        if waits:
            cuda.wait(b, cuda.record(a))
        cuda.copy(target, source, SIZE, b)
        if waits:
            cuda.wait(a, cuda.record(b))
        cuda.fill(source, 2, SIZE, a)
        assert cuda.sync() == 0
        right += cuda.control.peek(target, SIZE) == b"\1" * SIZE
        assert cuda.control.damage() == []
    return {"right": right, "seeds": seeds}


def stream_order(seeds: int) -> int:
    """Work within one stream: how many seeds kept its order."""
    right = 0
    for seed in range(seeds):
        cuda = Cuda(seed=seed)
        stream, pointer = cuda.stream(), cuda.alloc(SIZE)
        for value in range(20):
            cuda.fill(pointer, value, SIZE, stream)
        right += cuda.download(pointer, SIZE, stream) == bytes([19]) * SIZE
    return right


def legacy(seeds: int, *, blocking: bool) -> int:
    """A fill in the legacy stream, then a copy in another one without an event; how many seeds kept the order."""
    right = 0
    for seed in range(seeds):
        cuda = Cuda(seed=seed)
        stream = cuda.stream(blocking=blocking)
        source, target = cuda.alloc(SIZE), cuda.alloc(SIZE)
        cuda.fill(source, 7, SIZE, 0)
        cuda.copy(target, source, SIZE, stream)
        cuda.fill(source, 9, SIZE, 0)
        assert cuda.sync() == 0
        right += cuda.control.peek(target, SIZE) == b"\7" * SIZE
    return right


def early_event(seeds: int) -> int:
    """A wait is for what was recorded when it was called, not for later records. How many seeds ran ahead."""
    ahead = 0
    for seed in range(seeds):
        cuda = Cuda(seed=seed)
        a, b = cuda.stream(), cuda.stream()
        pointer, copy = cuda.alloc(SIZE), cuda.alloc(SIZE)
        event = cuda.event()
        cuda.wait(b, event)  # never recorded: no wait at all
        cuda.fill(pointer, 5, SIZE, a)
        cuda.check("cuEventRecord", event, a)
        cuda.copy(copy, pointer, SIZE, b)
        assert cuda.sync() == 0
        ahead += cuda.control.peek(copy, 1) != b"\5"
    return ahead


def same_seed_same_order() -> bool:
    """The order is the seed's: the unordered scene gives the same bytes again."""

    def outcome(seed: int) -> bytes:
        cuda = Cuda(seed=seed)
        pointer = cuda.alloc(1)
        for value, stream in enumerate([cuda.stream() for _ in range(8)]):
            cuda.fill(pointer, value, 1, stream)
        assert cuda.sync() == 0
        return cuda.control.peek(pointer, 1)

    first = [outcome(seed) for seed in range(30)]
    return first == [outcome(seed) for seed in range(30)] and len(set(first)) > 4


# --- memory ---


def pinned_is_late(seeds: int) -> dict[str, int]:
    """Pinned memory changed after the call: how many seeds sent the new bytes; pageable memory: how many the old."""
    late = staged = 0
    for seed in range(seeds):
        cuda = Cuda(seed=seed)
        stream, one, two = cuda.stream(), cuda.alloc(SIZE), cuda.alloc(SIZE)
        pinned = cuda.pinned(b"a" * SIZE)
        pageable = ctypes.create_string_buffer(b"a" * SIZE, SIZE)
        cuda.upload(one, pinned, SIZE, stream)
        cuda.upload(two, ctypes.addressof(pageable), SIZE, stream)
        ctypes.memmove(pinned, b"b" * SIZE, SIZE)
        ctypes.memmove(pageable, b"b" * SIZE, SIZE)
        assert cuda.sync() == 0
        late += cuda.control.peek(one, 1) == b"b"
        staged += cuda.control.peek(two, 1) == b"a"
    return {"late": late, "staged": staged}


def poison() -> dict[str, Any]:
    """What fresh and freed memory holds, and what is seen of a write behind an allocation and after its release."""
    cuda = Cuda()
    cuda.control.policy("eager")
    pointer = cuda.alloc(1000)
    fresh = set(cuda.control.peek(pointer, 1000))
    host = cuda.make("cuMemHostAlloc", 64, 0)
    pinned = set(ctypes.string_at(host, 64))
    refused = {
        "behind": cuda.code("cuMemsetD8Async", pointer, 1, 1001, 0),
        "host": cuda.code("cuMemcpyDtoH_v2", ctypes.create_string_buffer(8), 12345, 8),
        "double": [cuda.code("cuMemFree_v2", pointer), cuda.code("cuMemFree_v2", pointer)],
        "freed": cuda.code("cuMemsetD8Async", pointer, 1, 10, 0),
        "too_much": cuda.code("cuMemAlloc_v2", ctypes.byref(ctypes.c_void_p()), 1 << 40),
        "nothing": cuda.code("cuMemAlloc_v2", ctypes.byref(ctypes.c_void_p()), 0),
    }
    before = cuda.control.damage()
    ctypes.memset(host + 64, 1, 1)  # one byte behind
    cuda.check("cuMemFreeHost", host)
    after_overrun = cuda.control.damage()
    ctypes.memset(host, 1, 1)
    return {
        "fresh": sorted(fresh), "pinned": sorted(pinned), **refused, "before": before, "overrun": after_overrun,
        "late_write": cuda.control.damage()[len(after_overrun) :],
    }  # fmt: skip


def kernel_overrun() -> dict[str, Any]:
    """A kernel that writes one byte too many: the damage, and the codes of the calls after it."""
    cuda = Cuda()

    def writes(_grid: Any, _block: Any, _shared: int, arguments: list[int]) -> None:
        target = ctypes.c_uint64.from_address(arguments[0]).value
        count = ctypes.c_int.from_address(arguments[1]).value
        ctypes.memset(target, 3, count)

    cuda.control.kernel("writes", writes, sizes=[8, 4])
    kernel, stream, pointer = cuda.kernel("writes"), cuda.stream(), cuda.alloc(100)
    good = cuda.launch(kernel, [ctypes.c_uint64(pointer), ctypes.c_int(100)], stream), cuda.sync()
    bad = cuda.launch(kernel, [ctypes.c_uint64(pointer), ctypes.c_int(101)], stream), cuda.sync()
    return {"good": good, "bad": bad, "later": cuda.code("cuMemFree_v2", pointer), "damage": cuda.control.damage()}


def stale_pointer() -> dict[str, Any]:
    """A launch whose buffer is freed before it runs."""
    cuda = Cuda()
    cuda.control.policy("lazy")
    cuda.control.kernel("touch", lambda *_: None, sizes=[8])
    kernel, stream, pointer = cuda.kernel("touch"), cuda.stream(), cuda.alloc(100)
    assert cuda.launch(kernel, [ctypes.c_uint64(pointer)], stream) == 0
    cuda.check("cuMemFree_v2", pointer)
    return {"sync": cuda.sync(), "damage": cuda.control.damage()}


def touch_on_the_host() -> None:
    """Reads device memory from the host: must not come back."""
    cuda = Cuda()
    print(ctypes.string_at(cuda.alloc(64), 1))  # noqa: T201


def ordered_allocation(seeds: int) -> dict[str, int]:
    """Memory from cuMemAllocAsync used in another stream: with an event always fine, without one seen for some seed."""
    clean = {True: 0, False: 0}
    for waits in (True, False):
        for seed in range(seeds):
            cuda = Cuda(seed=seed)
            a, b = cuda.stream(), cuda.stream()
            pointer = cuda.make("cuMemAllocAsync", SIZE, a)
            if waits:
                cuda.wait(b, cuda.record(a))
            code = cuda.code("cuMemsetD8Async", pointer, 1, SIZE, b)
            clean[waits] += code == 0 and cuda.sync() == 0 and not cuda.control.damage()
    return {"with": clean[True], "without": clean[False]}
