"""smooth.cu: equal to its NumPy reference bit for bit, and near the host's own smoothing and scene cuts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from kernels.pictures import person, place, scene
from kernels.shim.cases import STREAM, Workbench

from livematte.matting import scene as host_scene
from livematte.matting import temporal
from livematte.matting.region import Region
from livematte.runtimes.kernels import parameters as p
from livematte.runtimes.kernels import reference_smooth as reference
from livematte.runtimes.kernels.ops_smooth import SmoothOps, cut_shape, gate_shape

AnyArray = npt.NDArray[Any]
SIZES = [(7, 5), (33, 9), (67, 41), (96, 64)]
FORMATS = [("nv12", 8), ("p010le", 10), ("yuv420p", 8), ("yuv420p10le", 10)]


def small_alpha(width: int, height: int, seed: int) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    soft = person(width, height, np.uint16).astype(np.float32) / 65535
    return np.clip(soft + rng.normal(0, 0.03, soft.shape), 0, 1).astype(np.float32)


def block_for(mode: p.Mode, interval: float | None = 0.04, region: Region | None = None) -> p.Block:
    block = p.neutral(64, 64)
    p.set_time(block, mode, temporal.STRENGTHS["normal"], interval)
    p.set_region(block, region, 64, 64)
    return block


def poison(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return np.full(shape, np.nan, np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_number_by_number(width: int, height: int, dtype: type[np.floating]) -> None:
    bench, region = Workbench(), Region(0.1, 0.0, 0.83, 0.9)
    ops, shape = SmoothOps(bench.library), (height, width)
    alphas = [small_alpha(width, height, seed).astype(dtype) for seed in range(3)]
    for interval in (None, 0.04):
        now = bench.array(alphas[0][None, None])
        block = block_for("ema", interval, region)
        past = poison(shape) if interval is None else alphas[1].astype(np.float32)
        out = bench.array(poison(shape))
        ops.ema(now, bench.array(past), out, bench.array(block), STREAM)
        np.testing.assert_array_equal(out.array, reference.ema(alphas[0], past, block))
        ops.keep(now, out, bench.array(block), STREAM)
        np.testing.assert_array_equal(out.array, reference.keep(alphas[0], block))

        block = block_for("one-euro", interval, region)
        state = tuple(poison(shape) if interval is None else a.astype(np.float32) for a in alphas)
        outs = [bench.array(poison(shape)) for _ in range(3)]
        ops.one_euro(now, [bench.array(s) for s in state], outs, bench.array(block), STREAM)
        for got, wanted in zip(outs, reference.one_euro(alphas[0], state, block), strict=True):  # type: ignore[arg-type]
            np.testing.assert_array_equal(got.array, wanted)

        block = block_for("ofd", interval)
        frames = [a.astype(np.float32) for a in alphas]
        frames[0] = poison(shape) if interval is None else frames[0]
        ops.ofd([bench.array(f) for f in frames], out, bench.array(block), STREAM)
        np.testing.assert_array_equal(out.array, reference.ofd(*frames, block))


@pytest.mark.parametrize(("width", "height"), [*SIZES, (457, 261), (300, 520)])
def test_adaptive(width: int, height: int) -> None:
    """Sizes above 256 have a coarser gate than alpha."""
    bench = Workbench()
    ops, shape, gate = SmoothOps(bench.library), (height, width), gate_shape(height, width)
    rng = np.random.default_rng(3)
    alpha, past = small_alpha(width, height, 1), small_alpha(width, height, 2)
    last = rng.uniform(0, 255, gate).astype(np.float32)
    luma = np.clip(last + rng.normal(0, 2.5, gate) * (rng.random(gate) > 0.5), 0, 255).astype(np.float32)
    block = block_for("adaptive")
    out = bench.array(poison(shape))
    quiet = bench.array(luma), bench.array(last)
    ops.adaptive(bench.array(alpha), bench.array(past), quiet, out, bench.array(block), STREAM)
    wanted = reference.adaptive(alpha, past, luma, last, block)
    np.testing.assert_array_equal(out.array, wanted)
    assert 0 < np.count_nonzero(np.abs(wanted - alpha) > 1e-4) < wanted.size  # some of it moves, some stands still
    first, nothing = block_for("adaptive", None), bench.array(poison(gate))
    ops.adaptive(
        bench.array(alpha), bench.array(past), (nothing, bench.array(poison(gate))), out, bench.array(first), STREAM
    )
    np.testing.assert_array_equal(out.array, alpha)


@pytest.mark.parametrize(("pix_fmt", "bits"), FORMATS)
@pytest.mark.parametrize(("width", "height"), [(67, 41), (320, 180), (181, 322)])
def test_luma(pix_fmt: str, bits: int, width: int, height: int) -> None:
    bench, peak = Workbench(), (1 << bits) - 1
    planes = scene(width, height, bits)
    placed = place(bench, pix_fmt, planes, gap=5)
    ops, alpha_shape = SmoothOps(bench.library), (48, 85)
    quiet = bench.array(poison(gate_shape(*alpha_shape)))
    ops.quiet_luma(placed.planes, quiet, STREAM)
    np.testing.assert_array_equal(quiet.array, reference.quiet_luma(planes[0], peak, alpha_shape))
    cut = bench.array(poison(cut_shape(height, width)))
    ops.cut_statistics(placed.planes, cut, STREAM)
    np.testing.assert_array_equal(cut.array, reference.cut_luma(planes[0], peak))


def test_content_of_a_padded_network() -> None:
    bench = Workbench()
    alpha = small_alpha(40, 32, 5)
    out = bench.array(poison((20, 33)))
    SmoothOps(bench.library).keep(bench.array(alpha), out, bench.array(p.neutral(8, 8)), STREAM, content=(3, 7, 33, 20))
    np.testing.assert_array_equal(out.array, alpha[7:27, 3:36])


# --- against the host's path ---


@pytest.mark.parametrize("mode", ["ema", "adaptive", "one-euro", "ofd"])
def test_like_the_hosts_smoothers(mode: p.Mode) -> None:
    """Twelve frames. 1e-6 for float32 in another order.

    2e-3 for adaptive: one sample of luma a step apart moves the gate by 1 / 25 / 2.5, times alpha's change.
    """
    smoother = temporal.make_smoother(mode, "normal")
    strength = temporal.STRENGTHS["normal"]
    state: Any = None
    last: Any = None
    kept: list[AnyArray] = []
    worst = 0.0
    for number in range(12):
        alpha = small_alpha(96, 54, number)
        luma = scene(321, 181, 8, seed=number // 3)[0]
        if number >= 6:
            luma = np.roll(luma, 2 * number, axis=1)
        host = smoother.push(alpha, 0.04 * number, luma, 255)
        block = p.neutral(321, 181)
        gap = 0.04 if number > (1 if mode == "ofd" else 0) else None
        p.set_time(block, mode, strength, gap)
        if mode == "ema":
            state = ours = reference.ema(alpha, state, block)
        elif mode == "one-euro":
            state = reference.one_euro(alpha, state, block)
            ours = state[0]
        elif mode == "adaptive":
            quiet = reference.quiet_luma(luma, 255, alpha.shape)
            state = ours = reference.adaptive(alpha, state, quiet, last, block)
            last = quiet
        else:
            kept = [*kept[-2:], reference.keep(alpha, block)]
            if host is None:
                continue
            before = kept[-3] if len(kept) == 3 else kept[0]
            ours = reference.ofd(before, kept[-2], kept[-1], block)
        assert host is not None
        worst = max(worst, float(np.abs(ours - host).max()))
    assert worst < (2e-3 if mode == "adaptive" else 1e-6)


@pytest.mark.parametrize(("bits", "width", "height"), [(8, 1280, 720), (8, 333, 517), (10, 640, 360)])
def test_luma_is_the_hosts(bits: int, width: int, height: int) -> None:
    """What decides about cuts is equal. Of the quiet luma one sample in a thousand is a step apart, over 25."""
    luma, peak = scene(width, height, bits)[0], (1 << bits) - 1
    mine = reference.cut_luma(luma, peak)
    theirs = host_scene._reduce(luma, peak)
    assert mine.shape == theirs.shape
    np.testing.assert_array_equal(mine, theirs)
    shape = (256, 455)
    quiet = reference.quiet_luma(luma, peak, (288, 512))
    host = temporal._quiet_luma(luma, peak, (288, 512))
    assert quiet.shape == host.shape == shape
    assert np.abs(quiet - host).max() <= 0.081
    assert np.abs(quiet - host).mean() <= 1e-3


def test_region_is_the_hosts() -> None:
    alpha, region = small_alpha(97, 55, 0), Region(0.2, 0.1, 0.9, 1.0)
    mine = reference.keep(alpha, block_for("none", region=region))
    np.testing.assert_allclose(mine, region.keep_inside(alpha), atol=1e-5)


# --- misuse, and the sanitizers ---


def test_errors_say_what_differs() -> None:
    bench = Workbench()
    ops, block = SmoothOps(bench.library), bench.array(p.neutral(8, 8))
    alpha, out = bench.array(small_alpha(8, 8, 0)), bench.array(poison((8, 8)))
    with pytest.raises(ValueError, match="same memory"):
        ops.ema(alpha, out, out, block, STREAM)
    with pytest.raises(ValueError, match="float16 or float32"):
        ops.keep(bench.array(np.zeros((8, 8), np.uint8)), out, block, STREAM)
    with pytest.raises(ValueError, match=r"is \(7, 8\) float32"):
        ops.keep(alpha, out, block, STREAM, content=(0, 0, 8, 7))
    with pytest.raises(ValueError, match="does not lie inside"):
        ops.keep(alpha, out, block, STREAM, content=(1, 0, 8, 8))
    gate = bench.array(poison((8, 9)))
    with pytest.raises(ValueError, match="quiet luma"):
        ops.adaptive(alpha, bench.array(poison((8, 8))), (gate, bench.array(poison((8, 9)))), out, block, STREAM)


@pytest.mark.slow
@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_sanitizers(sanitize: str, tmp_path: Path) -> None:
    bench = Workbench()
    ops, shape = SmoothOps(bench.library), (21, 37)
    placed = place(bench, "p010le", scene(45, 23, 10), gap=3)
    quiet = [bench.array(poison(gate_shape(*shape))) for _ in range(2)]
    for one in quiet:
        ops.quiet_luma(placed.planes, one, STREAM)
    ops.cut_statistics(placed.planes, bench.array(poison(cut_shape(23, 45))), STREAM)
    alpha, block = bench.array(small_alpha(37, 21, 0).astype(np.float16)), bench.array(block_for("adaptive"))
    arrays = [bench.array(small_alpha(37, 21, seed)) for seed in range(7)]
    ops.adaptive(alpha, arrays[0], (quiet[0], quiet[1]), arrays[1], block, STREAM)
    ops.one_euro(alpha, arrays[1:4], arrays[4:7], bench.array(block_for("one-euro")), STREAM)
    bench.again(sanitize, tmp_path=tmp_path)
