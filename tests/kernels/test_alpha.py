"""`alpha.cu` on the CPU: equal to its NumPy reference bit for bit, and close to `matting/refine.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from kernels.shim.cases import STREAM, Workbench

from livematte.errors import UsageError
from livematte.matting.refine import Bicubic, Guided, settle_ends
from livematte.runtimes.kernels import reference_alpha as reference
from livematte.runtimes.kernels.ops_alpha import AlphaOps, guided_scratch
from livematte.runtimes.kernels.planes import Plane

SIZES = [
    ((18, 32), (135, 241)),
    ((36, 64), (720, 1280)),
    ((40, 24), (40, 24)),
    ((36, 64), (20, 130)),
    ((17, 31), (1, 1)),
    ((9, 7), (64, 128)),
]


def soft_alpha(shape: tuple[int, int], *, seed: int = 1) -> npt.NDArray[np.float32]:
    """A blurred random matte that runs past both ends, as networks' do."""
    noise = np.random.default_rng(seed).random(shape).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 1.0) * np.float32(3) - np.float32(1)


def luma_for(shape: tuple[int, int], peak: int, *, seed: int = 2) -> npt.NDArray[Any]:
    coarse = np.random.default_rng(seed).random((max(shape[0] // 6, 1), max(shape[1] // 6, 1))).astype(np.float32)
    grown = cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.rint(grown * peak).astype(np.uint8 if peak == 255 else np.uint16)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("small", "full"), SIZES)
@pytest.mark.parametrize("number", [np.float32, np.float16])
def test_upsampling(dtype: Any, small: tuple[int, int], full: tuple[int, int], number: Any) -> None:
    bench = Workbench()
    alpha = soft_alpha(small).astype(number)
    out = bench.array(np.full(full, 7, dtype))
    AlphaOps(bench.library).upsample(bench.array(alpha[None, None]), out, STREAM)
    np.testing.assert_array_equal(out.array, reference.upsample(alpha, full, dtype))
    # The host's integers round once more for uint8; both settle the ends, where a difference of a step can be larger.
    host = Bicubic(wide=dtype == np.uint16).refine(alpha.astype(np.float32), np.zeros(full, np.uint8), 255)
    difference = np.abs(out.array.astype(np.int64) - host)
    assert (difference > 1).mean() < 1e-4
    assert difference.max() <= (1 if dtype == np.uint8 else 130)


def test_a_picture_much_smaller_than_the_network_is_read_directly() -> None:
    bench = Workbench()
    alpha = soft_alpha((256, 448))
    out = bench.array(np.zeros((9, 16), np.uint16))
    AlphaOps(bench.library).upsample(bench.array(alpha), out, STREAM)
    assert bench.recorded[-1].kernel == "lm_upsample_u16_direct"
    np.testing.assert_array_equal(out.array, reference.upsample(alpha, (9, 16), np.uint16))


def test_the_ends_settle() -> None:
    bench = Workbench()
    alpha = np.array([[0.0019, 0.0021], [0.9979, 0.9981]], np.float32)
    out = bench.array(np.zeros((2, 2), np.uint16))
    AlphaOps(bench.library).upsample(bench.array(alpha), out, STREAM)
    assert out.array.tolist() == [[0, 138], [65397, 65535]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_padded_networks(dtype: Any) -> None:
    """Only the picture's part of the network's alpha is enlarged."""
    bench = Workbench()
    alpha = soft_alpha((24, 40))
    out = bench.array(np.zeros((90, 160), dtype))
    AlphaOps(bench.library).upsample(bench.array(alpha), out, STREAM, content=(3, 5, 32, 18))
    np.testing.assert_array_equal(out.array, reference.upsample(alpha[5:23, 3:35], (90, 160), dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("peak", "shift"), [(255, 0), (1023, 0), (1023, 6)])
@pytest.mark.parametrize(("small", "full"), SIZES)
@pytest.mark.parametrize("radius", [1, 3])
def test_guided_filter(
    dtype: Any, peak: int, shift: int, small: tuple[int, int], full: tuple[int, int], radius: int
) -> None:
    bench = Workbench()
    alpha, luma = soft_alpha(small), luma_for(full, peak)
    out = bench.array(np.zeros(full, dtype))
    raised = luma << luma.dtype.type(shift)
    padded = np.zeros((full[0], full[1] + 3), luma.dtype)
    padded[:, : full[1]] = raised
    plane = Plane(bench.array(padded).pointer, padded.strides[0], full[1], full[0], luma.itemsize)
    scratch = bench.array(np.zeros(guided_scratch(*small), np.uint8))
    AlphaOps(bench.library).guided(bench.array(alpha), plane, peak, out, scratch, STREAM, shift=shift, radius_px=radius)
    expected = reference.guided(alpha, raised, peak, dtype, shift=shift, radius=radius)
    np.testing.assert_array_equal(out.array, expected)
    if full[0] < small[0] and full[1] > small[1]:
        return  # OpenCV interpolates luma there, along both axes, without averaging: not worth copying
    host = Guided(wide=dtype == np.uint16, radius_px=radius).refine(alpha, luma, peak)
    # OpenCV adds its boxes up in float64.
    difference = np.abs(out.array.astype(np.int64) - host)
    allowed = 1 if dtype == np.uint8 else 12
    assert (difference > allowed).mean() < 1e-3
    assert difference.max() <= (2 if dtype == np.uint8 else 140)


def test_a_picture_much_larger_than_the_network_is_averaged_directly() -> None:
    bench = Workbench()
    alpha, luma = soft_alpha((4, 4)), luma_for((900, 2000), 1023)
    held, out = bench.array(luma), bench.array(np.zeros(luma.shape, np.uint16))
    scratch = bench.array(np.zeros(guided_scratch(4, 4), np.uint8))
    plane = Plane(held.pointer, luma.strides[0], 2000, 900, 2)
    AlphaOps(bench.library).guided(bench.array(alpha), plane, 1023, out, scratch, STREAM)
    assert "lm_guide_u16_direct" in [launch.kernel for launch in bench.recorded]
    np.testing.assert_array_equal(out.array, reference.guided(alpha, luma, 1023, np.uint16))


def test_guided_filter_takes_edges_from_luma() -> None:
    """A soft step in alpha over a sharp one in luma comes out sharp; bicubic leaves it soft."""
    small, full = (32, 32), (128, 128)
    alpha = np.repeat(np.clip((np.arange(32) - 14) / 4, 0, 1).astype(np.float32)[None], 32, 0)
    luma = np.repeat(np.where(np.arange(128) < 64, 40, 200).astype(np.uint8)[None], 128, 0)
    bench = Workbench()
    sharp, soft = bench.array(np.zeros(full, np.uint8)), bench.array(np.zeros(full, np.uint8))
    held = bench.array(luma)
    scratch = bench.array(np.zeros(guided_scratch(*small), np.uint8))
    ops = AlphaOps(bench.library)
    ops.guided(bench.array(alpha), Plane(held.pointer, 128, 128, 128, 1), 255, sharp, scratch, STREAM, epsilon=1e-4)
    ops.upsample(bench.array(alpha), soft, STREAM)
    steps = [np.abs(np.diff(plane.array[64].astype(int))).max() for plane in (sharp, soft)]
    assert steps[0] > 3 * steps[1]


def test_wrong_sizes_and_types_are_refused() -> None:
    bench = Workbench()
    ops = AlphaOps(bench.library)
    alpha, full = bench.array(soft_alpha((8, 8))), bench.array(np.zeros((16, 16), np.uint8))
    luma = Plane(full.pointer, 16, 16, 16, 1)
    with pytest.raises(UsageError, match="uint8 or uint16"):
        ops.upsample(alpha, bench.array(np.zeros((16, 16), np.float32)), STREAM)
    with pytest.raises(UsageError, match="float16 or float32"):
        ops.upsample(full, full, STREAM)
    with pytest.raises(UsageError, match="does not lie inside"):
        ops.upsample(alpha, full, STREAM, content=(4, 0, 5, 8))
    with pytest.raises(UsageError, match="100 bytes"):
        ops.guided(alpha, luma, 255, full, bench.array(np.zeros(100, np.uint8)), STREAM)
    with pytest.raises(UsageError, match="one size"):
        ops.guided(alpha, Plane(full.pointer, 16, 8, 16, 1), 255, full, full, STREAM)


def test_settled_ends_agree_with_the_host() -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(reference.quantise(every.astype(np.float32), np.uint16), settle_ends(every.copy()))


@pytest.mark.slow
@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_under_sanitizers(sanitize: str, tmp_path: Path) -> None:
    bench = Workbench()
    ops = AlphaOps(bench.library)
    for small, full in (((18, 32), (67, 121)), ((17, 31), (5, 3)), ((9, 7), (64, 128))):
        alpha, luma = soft_alpha(small), luma_for(full, 255)
        for dtype in (np.uint8, np.uint16):
            ops.upsample(bench.array(alpha), bench.array(np.zeros(full, dtype)), STREAM)
        held = bench.array(luma)
        scratch = bench.array(np.zeros(guided_scratch(*small), np.uint8))
        plane = Plane(held.pointer, full[1], full[1], full[0], 1)
        ops.guided(bench.array(alpha), plane, 255, bench.array(np.zeros(full, np.uint16)), scratch, STREAM, radius_px=2)
    bench.again(sanitize, tmp_path=tmp_path)
