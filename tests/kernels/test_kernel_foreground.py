"""means.cu and foreground.cu: equal to their NumPy reference, and near the host's own cleaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from formula_pictures import picture_of
from kernels.pictures import FULL, LIMITED, person, place, scene
from kernels.shim.cases import STREAM, Workbench

from livematte.color import ColorSpec
from livematte.matting import foreground as host
from livematte.planes import plane_arrays
from livematte.runtimes.kernels import parameters as p
from livematte.runtimes.kernels import reference_foreground as reference
from livematte.runtimes.kernels.ops_foreground import ForegroundOps, foreground_scratch, means_layout

AnyArray = npt.NDArray[Any]
SIZES = [(17, 13), (131, 75), (210, 118), (401, 271)]
WAYS = [
    ("nv12", "nv12", 8, np.uint8),
    ("nv12", "yuv420p", 8, np.uint16),
    ("yuv420p", "yuv420p", 8, np.uint8),
    ("p010le", "yuv420p10le", 10, np.uint16),
    ("p010le", "p010le", 10, np.uint8),
    ("yuv420p10le", "p010le", 10, np.uint16),
]
GREEN_ROOM = (150, 60, 40)


def run(
    planes: list[AnyArray],
    alpha: AnyArray,
    *,
    pix_fmt: str,
    out: str | None,
    bench: Workbench | None = None,
    color: ColorSpec = LIMITED,
    despill: float | None = None,
    keep_background: bool = False,
    gap: int = 3,
) -> list[AnyArray]:
    """The kernels' picture; `out` None: in place."""
    bench = bench or Workbench()
    height, width = alpha.shape
    source = place(bench, pix_fmt, planes, gap=gap, color=color)
    target = source if out is None else place(bench, out, (width, height), gap=gap + 2)
    scratch = bench.array(np.full(foreground_scratch(width, height, despill=despill is not None), 0xFF, np.uint8))
    block = p.neutral(width, height)
    p.set_edges(block, height=height, despill=despill or 0.0)
    ForegroundOps(bench.library).clean(
        source.planes,
        bench.array(alpha),
        target.planes,
        scratch,
        bench.array(block),
        STREAM,
        keep_background=keep_background,
        despill=despill is not None,
    )
    return target.read()


def largest(ours: list[AnyArray], wanted: list[AnyArray]) -> int:
    return max(int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in zip(ours, wanted, strict=True))


def assert_equal_but_for_sums(ours: list[AnyArray], wanted: list[AnyArray]) -> None:
    """Sums over the grid add up in another order: a mean may round to the other side, and what is made of it."""
    for mine, theirs in zip(ours, wanted, strict=True):
        apart = np.abs(mine.astype(int) - theirs.astype(int))
        assert apart.max() <= 1
        assert np.count_nonzero(apart) <= 0.002 * apart.size


@pytest.mark.parametrize(("pix_fmt", "out", "bits", "dtype"), WAYS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_kernel_is_its_reference(
    width: int, height: int, pix_fmt: str, out: str, bits: int, dtype: type[np.uint8] | type[np.uint16]
) -> None:
    planes, alpha = scene(width, height, bits), person(width, height, dtype)
    wanted = reference.clean(planes, alpha, bits)
    assert_equal_but_for_sums(run(planes, alpha, pix_fmt=pix_fmt, out=out), wanted)
    assert_equal_but_for_sums(run(planes, alpha, pix_fmt=pix_fmt, out=None), wanted)


@pytest.mark.parametrize("gap", [0, 6])
def test_vectors_and_samples_are_one(gap: int) -> None:
    """Rows at multiples of 16 go in vectors, others sample by sample."""
    planes, alpha = scene(256, 64, 8), person(256, 64, np.uint8)
    assert_equal_but_for_sums(
        run(planes, alpha, pix_fmt="yuv420p", out="nv12", gap=gap), reference.clean(planes, alpha, 8)
    )


@pytest.mark.parametrize("alpha", ["none", "all", "haze"])
def test_plain_alphas(alpha: str) -> None:
    planes = scene(143, 87, 8)
    share = np.full((87, 143), {"none": 0, "all": 255, "haze": 7}[alpha], np.uint8)
    done = run(planes, share, pix_fmt="nv12", out="nv12")
    if alpha == "all":
        assert largest(done, planes) == 0
    else:  # below SEEN_SHARE nobody is there: one flat colour
        assert all((plane == 128).all() for plane in done)


@pytest.mark.parametrize("keep_background", [False, True])
@pytest.mark.parametrize(
    ("pix_fmt", "bits", "color"), [("nv12", 8, LIMITED), ("nv12", 8, FULL), ("p010le", 10, LIMITED)]
)
def test_despill(pix_fmt: str, bits: int, color: ColorSpec, keep_background: bool) -> None:
    planes, alpha = scene(203, 117, bits, room=GREEN_ROOM), person(203, 117, np.uint8, soft=0.2)
    asked: dict[str, Any] = {"despill": 0.8, "color": color, "keep_background": keep_background}
    wanted = reference.clean(planes, alpha, bits, **asked)
    plain = planes if keep_background else reference.clean(planes, alpha, bits)
    assert largest(wanted, plain) > 4, "the room of this test must be a screen"
    for out in (pix_fmt, None):
        ours = run(planes, alpha, pix_fmt=pix_fmt, out=out, **asked)
        for mine, theirs in zip(ours, wanted, strict=True):
            apart = np.abs(mine.astype(int) - theirs.astype(int))
            assert apart.max() <= 2
            assert np.count_nonzero(apart) <= 0.005 * apart.size


def test_a_room_that_is_no_screen_stays() -> None:
    planes, alpha = scene(203, 117, 8), person(203, 117, np.uint8, soft=0.2)
    plain = run(planes, alpha, pix_fmt="nv12", out="nv12")
    assert largest(run(planes, alpha, pix_fmt="nv12", out="nv12", despill=1.0), plain) == 0


# --- against the host's path ---


def host_clean(planes: list[AnyArray], alpha: AnyArray, bits: int, **asked: Any) -> list[AnyArray]:
    picture: av.VideoFrame = picture_of("yuv420p" if bits == 8 else f"yuv420p{bits}le", planes)
    return [plane.copy() for plane in plane_arrays(host.clean(picture, alpha, **asked))]


@pytest.mark.parametrize("despill", [0.0, 0.7])
@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (8, np.uint16), (10, np.uint16)])
@pytest.mark.parametrize(("width", "height"), [(210, 118), (960, 540), (955, 537)])
def test_near_the_hosts(
    width: int, height: int, bits: int, dtype: type[np.uint8] | type[np.uint16], despill: float
) -> None:
    """What is opaque is equal; elsewhere each of the roundings on the way may fall to the other side.

    The host's 8-bit interpolation is fixed point and low by an eighth of a step on average. Where its grid divides the
    picture (960x540) its windows see a rectangle around the person alone. Sizes at which the middle of a sample falls
    between two pixels are left out: there OpenCV's choice differs by version.
    """
    planes = scene(width, height, bits, room=GREEN_ROOM if despill else None)
    alpha = person(width, height, dtype)
    asked: dict[str, Any] = {"despill": despill, "color": LIMITED}
    theirs = host_clean(planes, alpha, bits, **asked)
    ours = reference.clean(planes, alpha, bits, despill=despill or None, color=LIMITED)
    steps = 1 << (bits - 8)
    opaque = alpha == np.iinfo(dtype).max
    assert (ours[0][opaque] == theirs[0][opaque]).all()
    report = []
    for mine, his in zip(ours, theirs, strict=True):
        apart = np.abs(mine.astype(int) - his.astype(int)) / steps
        report.append((float(apart.max()), float(apart.mean())))
    assert max(worst for worst, _ in report) <= (3 if despill else 1)
    assert max(mean for _, mean in report) <= 0.03


# --- misuse, and the sanitizers ---


def test_errors_say_what_differs() -> None:
    planes, alpha = scene(64, 48, 8), person(64, 48, np.uint8)
    with pytest.raises(ValueError, match="nothing to clean"):
        run(planes, alpha, pix_fmt="nv12", out="nv12", keep_background=True)
    with pytest.raises(ValueError, match="size and depth must agree"):
        run(planes, alpha, pix_fmt="nv12", out="p010le")
    with pytest.raises(ValueError, match="uint8 or uint16"):
        run(planes, alpha.astype(np.float32), pix_fmt="nv12", out="nv12")  # type: ignore[arg-type]
    bench = Workbench()
    picture, block = place(bench, "nv12", planes).planes, bench.array(p.neutral(64, 48))
    ops, enough = ForegroundOps(bench.library), bench.array(np.zeros(means_layout(64, 48).nbytes, np.uint8))
    with pytest.raises(ValueError, match="one size"):
        ops.clean(picture, bench.array(alpha[:-1]), picture, enough, block, STREAM)
    with pytest.raises(ValueError, match="foreground_scratch"):
        ops.clean(picture, bench.array(alpha), picture, bench.array(enough.array[1:]), block, STREAM)


@pytest.mark.slow
@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_sanitizers(sanitize: str, tmp_path: Path) -> None:
    bench = Workbench()
    width, height = (61, 39) if sanitize == "thread" else (203, 117)
    for pix_fmt, out, bits, dtype in (("nv12", "yuv420p", 8, np.uint8), ("p010le", None, 10, np.uint16)):
        planes = scene(width, height, bits, room=GREEN_ROOM)
        run(planes, person(width, height, dtype, soft=0.2), pix_fmt=pix_fmt, out=out, bench=bench, despill=0.5)
    bench.again(sanitize, tmp_path=tmp_path)
