"""The shim does what CUDA does, and its checks find what they are there for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernels.shim.build import HERE
from kernels.shim.cases import STREAM, Workbench

ONE = (1, 1, 1)


def reverse(bench: Workbench, count: int = 100) -> Any:
    out = bench.array(np.zeros(count, np.float32))
    given = bench.array(np.arange(count, dtype=np.float32))
    bench.kernel("trial", "lm_reverse").launch((2, 1, 1), (64, 1, 1), [given, out, np.int32(count)], STREAM)
    return out.array


def add_up(bench: Workbench) -> tuple[int, int]:
    given = bench.array(np.arange(200, dtype=np.int32))
    total, seen = bench.array(np.zeros(1, np.int32)), bench.array(np.zeros(1, np.uint32))
    arguments = [given, total, seen, np.int32(200)]
    bench.kernel("trial", "lm_sum").launch((4, 1, 1), (64, 1, 1), arguments, STREAM, shared_bytes=8)
    return int(total.array[0]), int(seen.array[0])


def square(bench: Workbench) -> Any:
    given, out = bench.array(np.arange(100, dtype=np.float32)), bench.array(np.zeros(100, np.float32))
    bench.kernel("trial", "lm_square").launch((2, 1, 1), (64, 1, 1), [given, out, np.int32(100)], STREAM)
    return out.array


def bench(*extra: str) -> Workbench:
    return Workbench(folder=HERE, extra=tuple(f"-D{name}=1" for name in extra))


def test_barriers_shuffles_atomics_and_shared_memory() -> None:
    here = bench()
    for _ in range(2):  # forwards and backwards
        np.testing.assert_array_equal(reverse(here), np.arange(100))
        assert add_up(here) == (sum(range(200)), 4)
        np.testing.assert_array_equal(square(here), np.square(np.arange(100, dtype=np.float32)))


def test_a_missing_barrier_shows_without_any_sanitizer() -> None:
    """Threads of a block go one after another, and shared memory holds NaN until it is written."""
    made = [reverse(bench("NO_BARRIER")) for _ in range(2)]
    assert any(not np.array_equal(each, np.arange(100)) for each in made)


def test_a_thread_that_misses_a_barrier_ends_the_process() -> None:
    code = (
        "from kernels.test_shim import bench, reverse\n"
        "reverse(bench('EARLY_RETURN'))\n"
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE.parents[1])
    assert done.returncode != 0
    assert "lm_reverse: barrier divergence" in done.stderr


def test_half_precision_is_exact_to_the_bit() -> None:
    here = bench()
    every = np.arange(65536, dtype=np.uint16)
    wide, back = here.array(np.zeros(65536, np.float32)), here.array(np.zeros(65536, np.uint16))
    arguments = [here.array(every), wide, back, np.int32(65536)]
    here.kernel("trial", "lm_halves").launch((256, 1, 1), (256, 1, 1), arguments, STREAM)
    number = ~np.isnan(every.view(np.float16))
    np.testing.assert_array_equal(wide.array[number], every.view(np.float16).astype(np.float32)[number])
    np.testing.assert_array_equal(back.array[number], every[number])
    assert np.isnan(wide.array[~number]).all()


def test_rounding_to_half_is_numpys() -> None:
    here = bench()
    bits = np.random.default_rng(0).integers(0, 1 << 32, 200_000, np.uint64).astype(np.uint32)
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    ties = (halves[:-1].astype(np.float64) + halves[1:]) / 2  # exactly between two halves
    edges = [0.0, -0.0, 65504, 65519.99, 65520, 1e9, np.inf, -np.inf, 5.9e-8, 2.9e-8, 2.98e-8, 6.1e-5, 6.0976e-5]
    given = np.concatenate(
        [bits.view(np.float32), ties.astype(np.float32), -ties.astype(np.float32), np.float32(edges)]
    )
    given = given[~np.isnan(given)]
    out = here.array(np.zeros(given.size, np.uint16))
    grid = (-(-given.size // 256), 1, 1)
    here.kernel("trial", "lm_to_half").launch(grid, (256, 1, 1), [here.array(given), out, np.int32(given.size)], STREAM)
    with np.errstate(over="ignore"):
        expected = given.astype(np.float16).view(np.uint16)
    np.testing.assert_array_equal(out.array, expected)


@pytest.mark.slow
@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_sanitizers_are_quiet_where_nothing_is_wrong(sanitize: str, tmp_path: Path) -> None:
    here = bench()
    reverse(here), add_up(here), square(here)
    here.again(sanitize, tmp_path=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutant", "sanitize", "run", "words"),
    [
        ("OVERRUN", "address,undefined", square, "heap-buffer-overflow"),
        ("MISALIGNED", "address,undefined", square, "misaligned address"),
        ("SHARED_OVERRUN", "address,undefined", add_up, "heap-buffer-overflow"),
        ("RACE", "thread", square, "data race"),
        ("NO_BARRIER", "thread", reverse, "data race"),
    ],
)
def test_each_kind_of_mistake_is_found(mutant: str, sanitize: str, run: Any, words: str, tmp_path: Path) -> None:
    here = bench()
    run(here)  # recorded on the right build, run again on the wrong one
    here.extra = (f"-D{mutant}=1",)
    done, _ = here.child(sanitize, tmp_path=tmp_path)
    assert done.returncode != 0
    assert words in done.stderr
