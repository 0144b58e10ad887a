"""A plan's slots through the real driver layer (cuda-core) over a libcuda in host memory, in many orders of work."""

from __future__ import annotations

import importlib.util

import pytest

from fakecuda.plugin import FakeCuda, fakecuda  # noqa: F401

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("cuda") is None,
        reason="cuda-core is not installed: pip install cuda-core cuda-bindings",
    ),
]


@pytest.mark.parametrize("graphs_too", [False, True])
@pytest.mark.parametrize("slots", [1, 3])
def test_states_through_slots(fakecuda: FakeCuda, slots: int, graphs_too: bool) -> None:  # noqa: F811
    wrong = fakecuda.call("runtimes.trt_over_fakecuda:through_slots", seeds=10, slots=slots, graphs_too=graphs_too)
    assert wrong == []
