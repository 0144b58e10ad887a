"""`edges.cu` on the CPU: equal to its NumPy reference bit for bit, and within a step of `matting/edges.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernels.shim.cases import STREAM, Workbench
from kernels.test_alpha import soft_alpha

from livematte.errors import UsageError
from livematte.matting.edges import Edges, move_edge, soften, stretch_levels
from livematte.runtimes.kernels import parameters
from livematte.runtimes.kernels import reference_alpha as reference
from livematte.runtimes.kernels.ops_alpha import AlphaOps, EdgeKinds, edges_scratch

SHAPE = (137, 211)


def matte(dtype: Any, shape: tuple[int, int] = SHAPE) -> npt.NDArray[Any]:
    """Blobs with hard and soft edges, some of them touching the border."""
    small = soft_alpha((9, 13), seed=5) * np.float32(2)
    return reference.upsample(np.clip(small, 0, 1), shape, dtype)


def block(**values: Any) -> npt.NDArray[np.void]:
    made = parameters.neutral(SHAPE[1], SHAPE[0])
    for name, value in values.items():
        made[name][0] = value
    return made


def run(
    bench: Workbench, alpha: npt.NDArray[Any], record: npt.NDArray[np.void], has: EdgeKinds, *, in_place: bool = False
) -> npt.NDArray[Any]:
    source = bench.array(alpha)
    out = source if in_place else bench.array(np.full_like(alpha, 99))
    scratch = bench.array(np.full(edges_scratch(*alpha.shape, alpha.dtype), 0xEE, np.uint8))
    held = bench.array(parameters.as_bytes(record))
    AlphaOps(bench.library).edges(source, out, scratch, held, STREAM, has=has)
    result: npt.NDArray[Any] = out.array
    return result


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("levels", [(0.0, 1.0), (0.05, 0.95), (0.5, 0.50001), (0.2, 1.0)])
@pytest.mark.parametrize("in_place", [False, True])
def test_levels(dtype: Any, levels: tuple[float, float], in_place: bool) -> None:
    alpha = matte(dtype)
    got = run(Workbench(), alpha, block(levels=levels), EdgeKinds(), in_place=in_place)
    np.testing.assert_array_equal(got, reference.levels(alpha, *np.float32(levels)))
    host = alpha if levels == (0.0, 1.0) else stretch_levels(alpha, *levels)
    difference = np.abs(got.astype(np.int64) - host)
    steep = levels[1] - levels[0] < 0.01  # there a rounding of the ramp is worth many steps
    assert difference.max() <= (1 if not steep else 400)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("px", [0.4, 1.0, 2.5, 9.0, 16.0, 17.3, 40.0, -0.7, -3.0, -20.25])
def test_shrink_and_grow(dtype: Any, px: float) -> None:
    alpha = matte(dtype)
    got = run(Workbench(), alpha, block(shrink_px=px), EdgeKinds(widest_shrink_px=50))
    np.testing.assert_array_equal(got, reference.moved(alpha, np.float32(px)))
    difference = np.abs(got.astype(np.int64) - move_edge(alpha, float(np.float32(px))))
    assert difference.max() <= 1, "only the blend of a fraction may round the other way"
    assert (got != alpha).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("px", [0.05, 0.8, 2.0, 3.9, 4.0, 6.5, 20.0, 90.0])
def test_feather(dtype: Any, px: float) -> None:
    alpha = matte(dtype)
    got = run(Workbench(), alpha, block(feather_px=px), EdgeKinds(widest_feather_px=100))
    expected = reference.softened(alpha, np.float32(px))
    # expf differs by an ulp between C libraries and NumPy: below 4 px a value may round the other way.
    assert np.abs(got.astype(np.int64) - expected).max() <= (1 if px < 4 else 0)
    difference = np.abs(got.astype(np.int64) - soften(alpha, float(np.float32(px))))
    assert difference.max() <= (1 if dtype == np.uint8 else 12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_everything_together_with_a_region(dtype: Any) -> None:
    alpha = matte(dtype)
    record = block(levels=(0.1, 0.9), shrink_px=3.5, feather_px=7.0, keep_px=(10, 20, 190, 120))
    got = run(Workbench(), alpha, record, EdgeKinds.widest(SHAPE[0] * 8), in_place=True)
    np.testing.assert_array_equal(got, reference.edges(alpha, record[0]))
    assert not got[:20].any()
    assert not got[:, 190:].any()
    assert got[40:100, 60:150].any()
    host = Edges(3.5 * 1080 / SHAPE[0], 7.0 * 1080 / SHAPE[0], 0.1, 0.9).apply(alpha)
    inside = got[20:120, 10:190].astype(np.int64) - host[20:120, 10:190]
    assert np.abs(inside).max() <= (2 if dtype == np.uint8 else 40)


def test_the_same_launches_with_other_values() -> None:
    """A captured graph keeps its launches: whatever the block says, they must do it, neutral too."""
    alpha, has = matte(np.uint16), EdgeKinds.widest(SHAPE[0] * 4)
    launched = []
    for values in ({}, {"shrink_px": 2.0}, {"feather_px": 1.0}, {"shrink_px": -18.0, "feather_px": 12.0}):
        bench = Workbench()
        record = block(**values)
        np.testing.assert_array_equal(run(bench, alpha, record, has), reference.edges(alpha, record[0]))
        launched.append([(launch.kernel, launch.grid) for launch in bench.recorded])
    assert all(other == launched[0] for other in launched)


def test_what_the_launches_cannot_do_is_cut_to_what_they_can() -> None:
    alpha = matte(np.uint8)
    got = run(Workbench(), alpha, block(shrink_px=40, feather_px=30), EdgeKinds(5.0, 3.0))
    expected = reference.softened(reference.moved(alpha, np.float32(5)), np.float32(3))
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_neutral_controls_are_one_launch() -> None:
    bench = Workbench()
    alpha = matte(np.uint16)
    np.testing.assert_array_equal(run(bench, alpha, block(), EdgeKinds.of(Edges(), 1080)), alpha)
    assert [launch.kernel for launch in bench.recorded] == ["lm_levels_u16"]


def test_scratch_that_is_too_small_is_refused() -> None:
    bench = Workbench()
    alpha = bench.array(matte(np.uint8))
    with pytest.raises(UsageError, match="10 bytes"):
        AlphaOps(bench.library).edges(
            alpha, alpha, bench.array(np.zeros(10, np.uint8)), alpha, STREAM, has=EdgeKinds(widest_shrink_px=1)
        )


@pytest.mark.slow
@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_under_sanitizers(sanitize: str, tmp_path: Path) -> None:
    bench = Workbench()
    for shape, record in (
        ((67, 131), block(levels=(0.1, 0.9), shrink_px=18.5, feather_px=3.0)),
        ((5, 3), block(shrink_px=-4.0, feather_px=90.0)),
    ):
        for dtype in (np.uint8, np.uint16):
            run(bench, matte(dtype, shape), record, EdgeKinds(40, 100))
    bench.again(sanitize, tmp_path=tmp_path)
