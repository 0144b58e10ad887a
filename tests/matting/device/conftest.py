"""Helpers of these tests, and those of the kernels' tests, are importable from here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(_TESTS / "kernels"), str(_TESTS)]

from shim.build import shim_library  # noqa: E402

from fakecuda.plugin import fakecuda  # noqa: E402, F401
from livematte.runtimes.cuda.base import Driver  # noqa: E402
from livematte.runtimes.cuda.null import open_null  # noqa: E402
from livematte.runtimes.kernels import KernelLibrary  # noqa: E402

Machine = Callable[[int], tuple[Driver, KernelLibrary]]


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Opens null drivers that work late and in the order of a seed, with the kernels built for the CPU."""
    opened: list[tuple[Driver, KernelLibrary]] = []

    def open_one(seed: int) -> tuple[Driver, KernelLibrary]:
        driver = open_null(seed=seed)
        opened.append((driver, shim_library(driver)))
        return opened[-1]

    yield open_one
    for driver, kernels in opened:
        kernels.close()
        driver.close()
