"""`picture.cu` on the CPU: equal to its NumPy reference bit for bit, and close to the host's own path."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from kernels.picture_cases import ALIGNED, BT709, on_bench, random_planes
from kernels.shim.cases import STREAM, Workbench

from livematte.color import ColorSpec
from livematte.color_convert import to_rgb
from livematte.errors import UsageError
from livematte.frames import Frame, Timestamp
from livematte.matting.preprocess import Preprocessor
from livematte.models.manifest import FixedSize, ImageInput
from livematte.models.sizes import NetworkSize
from livematte.planes import new_picture, plane_arrays
from livematte.runtimes.kernels import reference_picture as reference
from livematte.runtimes.kernels.ops_picture import PictureOps, PreprocessSpec
from livematte.runtimes.kernels.planes import FORMATS, Plane

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run(
    bench: Workbench,
    pix_fmt: str,
    size: tuple[int, int],
    shape: tuple[int, ...],
    spec: PreprocessSpec,
    *,
    color: ColorSpec = BT709,
    dtype: Any = np.float32,
    padding: int = 0,
    odd: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """(what the kernel writes, what its reference says)."""
    planes = random_planes(np.random.default_rng(size[0] * 7 + size[1]), pix_fmt, *size)
    there = on_bench(bench, pix_fmt, planes, color, padding=padding, odd=odd)
    out = bench.array(np.full(shape, 77, dtype))
    PictureOps(bench.library).preprocess(there, out, STREAM, spec=spec)
    return out.array, reference.preprocess(planes, pix_fmt, color, shape, spec, dtype=dtype)


@pytest.mark.parametrize("pix_fmt", sorted(FORMATS))
@pytest.mark.parametrize("padding", [ALIGNED, 6])
def test_every_format_is_bit_equal_to_the_reference(pix_fmt: str, padding: int) -> None:
    spec = PreprocessSpec(mean=MEAN, std=STD)
    got, expected = run(Workbench(), pix_fmt, (131, 75), (1, 3, 19, 37), spec, padding=padding)
    np.testing.assert_array_equal(got, expected)
    assert got.std() > 0.1


@pytest.mark.parametrize("colorspace", ["bt709", "smpte170m", "bt2020nc"])
@pytest.mark.parametrize("color_range", ["tv", "pc"])
@pytest.mark.parametrize("pix_fmt", ["nv12", "p010le"])
def test_matrix_and_range(colorspace: str, color_range: str, pix_fmt: str) -> None:
    color = ColorSpec(colorspace, color_range)
    got, expected = run(Workbench(), pix_fmt, (64, 48), (1, 3, 24, 32), PreprocessSpec(), color=color)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_rotation_equals_turning_the_planes_first(rotation: Any, mirrored: bool, layout: Any) -> None:
    """The planes turned by NumPy and averaged upright give the same tensor, up to the order of float additions."""
    spec = PreprocessSpec(rotation=rotation, mirrored=mirrored, layout=layout, chroma="center")
    shape = (1, 3, 21, 33) if layout == "NCHW" else (1, 21, 33, 3)
    size = (90, 64) if rotation in (0, 180) else (64, 90)
    got, expected = run(Workbench(), "yuv420p", size, shape, spec)
    np.testing.assert_array_equal(got, expected)
    planes = random_planes(np.random.default_rng(size[0] * 7 + size[1]), "yuv420p", *size)
    upright = [reference.turned(plane, rotation)[:, :: -1 if mirrored else 1] for plane in planes]
    plain = reference.preprocess(upright, "yuv420p", BT709, shape, PreprocessSpec(layout=layout, chroma="center"))
    np.testing.assert_allclose(got, plain, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "shape"), [((33, 17), (1, 3, 40, 64)), ((64, 40), (1, 3, 40, 64)), ((48, 90), (1, 3, 40, 64))]
)
@pytest.mark.parametrize("pix_fmt", ["nv12", "yuv444p"])
def test_enlarging_one_axis_or_both(size: tuple[int, int], shape: tuple[int, ...], pix_fmt: str) -> None:
    got, expected = run(Workbench(), pix_fmt, size, shape, PreprocessSpec())
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("pix_fmt", ["nv12", "yuv420p10le"])
def test_bilinear_is_antialiased(pix_fmt: str) -> None:
    spec = PreprocessSpec(scaling="bilinear")
    got, expected = run(Workbench(), pix_fmt, (130, 70), (1, 3, 16, 24), spec)
    np.testing.assert_array_equal(got, expected)
    assert 0.02 < got.std() < 0.15, "white noise averaged over some thirty samples"


@pytest.mark.parametrize("chroma", ["left", "center", "topleft", "top", "bottomleft", "bottom"])
@pytest.mark.parametrize(
    ("size", "shape"), [((131, 75), (1, 3, 19, 37)), ((64, 40), (1, 3, 40, 64)), ((40, 30), (1, 3, 50, 66))]
)
@pytest.mark.parametrize("pix_fmt", ["nv12", "yuv422p"])
def test_where_chroma_lies(chroma: Any, size: tuple[int, int], shape: tuple[int, ...], pix_fmt: str) -> None:
    spec = PreprocessSpec(chroma=chroma)
    got, expected = run(Workbench(), pix_fmt, size, shape, spec)
    np.testing.assert_array_equal(got, expected)


def test_chroma_on_the_left_is_a_quarter_sample_further_right() -> None:
    """A ramp of chroma along x, averaged over 4 samples: seen a quarter of its step later where it lies on the left."""
    ramp = np.repeat(np.arange(0, 160, 4, dtype=np.uint8)[None] + np.uint8(40), 20, 0)
    planes = [np.full((40, 80), 128, np.uint8), ramp, np.full((20, 40), 128, np.uint8)]
    made = [
        reference.preprocess(planes, "yuv420p", BT709, (1, 3, 5, 10), PreprocessSpec(chroma=place))[0, 1, 2]
        for place in ("center", "left")
    ]
    step = (made[0][5] - made[0][4]) / 4
    np.testing.assert_allclose((made[1] - made[0])[2:8], step / 4, rtol=1e-3)


@pytest.mark.shared
def test_a_decoded_clip_looks_to_the_network_as_on_the_host(shared: Path) -> None:
    """H.264 puts chroma on the left, and libswscale follows the decoder: only the rounding to 8 bits differs."""
    with av.open(shared / "clips" / "juggle.mp4") as clip:
        picture = next(clip.decode(video=0))
    host = to_rgb(picture, BT709, 512, 288).transpose(2, 0, 1)[None]
    ours = reference.preprocess(plane_arrays(picture), "yuv420p", BT709, host.shape, PreprocessSpec()) * 255
    assert np.abs(ours - host).mean() < 0.3
    assert np.abs(ours - host).max() < 1.1


def test_letterbox_bgr_half() -> None:
    spec = PreprocessSpec(content=(3, 5, 30, 17), channels="BGR", mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    got, expected = run(Workbench(), "nv12", (131, 75), (1, 3, 32, 40), spec, dtype=np.float16)
    np.testing.assert_array_equal(got, expected)
    outside = got.copy()
    outside[0, :, 5:22, 3:33] = 0
    assert not outside.any()


@pytest.mark.parametrize(("padding", "odd"), [(0, False), (13, False), (7, True)])
@pytest.mark.parametrize("pix_fmt", ["nv12", "yuv420p"])
def test_odd_pitches_and_addresses(padding: int, odd: bool, pix_fmt: str) -> None:
    """Where rows cannot be read 16 bytes at a time they are read byte by byte."""
    got, expected = run(Workbench(), pix_fmt, (131, 75), (1, 3, 19, 37), PreprocessSpec(), padding=padding, odd=odd)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(
    ("size", "pix_fmt"), [((1280, 720), "p010le"), ((5000, 40), "nv12"), ((3000, 1200), "yuv444p16le")]
)
def test_large_ratios_take_smaller_tiles_or_none(size: tuple[int, int], pix_fmt: str) -> None:
    bench = Workbench()
    got, expected = run(bench, pix_fmt, size, (1, 3, 8, 8), PreprocessSpec())
    np.testing.assert_array_equal(got, expected)
    assert any("direct" in launch.kernel or launch.block != (32, 8, 1) for launch in bench.recorded)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("color", [BT709, ColorSpec("smpte170m", "pc"), ColorSpec("bt2020nc", "tv")])
@pytest.mark.parametrize("size", [(1280, 720), (633, 357)])
def test_close_to_the_hosts_own_preprocessing(pix_fmt: str, color: ColorSpec, size: tuple[int, int]) -> None:
    """libswscale rounds to 8 bits on its way; ours does not: half a step at most, and no bias."""
    rng = np.random.default_rng(3)
    picture = new_picture(pix_fmt, *size)
    for plane, noise in zip(plane_arrays(picture), random_planes(rng, pix_fmt, *size), strict=True):
        # Colours that RGB has, in patches: blocks of 8 x 8 in the middle of the range.
        patches = np.repeat(np.repeat(noise[::8, ::8], 8, 0), 8, 1)[: plane.shape[0], : plane.shape[1]]
        plane[...] = patches // 3 + noise.dtype.type(FORMATS[pix_fmt].peak // 3)
    picture.colorspace = {"bt709": 1, "smpte170m": 6, "bt2020nc": 9}[color.colorspace]
    target = np.empty((1, 3, 256, 448), np.float32)
    size_spec = FixedSize(policy="fixed", width=448, height=256, fit="stretch")
    host = Preprocessor(ImageInput(size=size_spec), NetworkSize(448, 256, (0, 0, 448, 256)), target)
    host.fill(Frame(picture, Timestamp(0, Fraction(1, 30)), None, 0, color))
    # A frame that no decoder made has no chroma location, and libswscale centres it.
    spec = PreprocessSpec(chroma="center")
    ours = reference.preprocess(plane_arrays(picture), pix_fmt, color, target.shape, spec)
    difference = (ours - target) * 255
    assert np.abs(difference).mean() < 0.45
    assert np.abs(difference).max() < 2.5
    assert abs(difference.mean()) < 0.12, "no bias: libswscale's default flags would show 2"


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("element", [1, 2, 4])
@pytest.mark.parametrize(
    ("width", "height", "padding"), [(128, 64, 0), (131, 77, 4), (60, 200, 12), (1, 5, 0), (70, 3, 4)]
)
def test_turning_is_exact(rotation: int, element: int, width: int, height: int, padding: int) -> None:
    dtype = {1: np.uint8, 2: np.uint16, 4: np.uint32}[element]
    rng = np.random.default_rng(width)
    samples = rng.integers(0, np.iinfo(dtype).max, (height, width), dtype, endpoint=True)
    bench = Workbench()
    pitch = width * element + padding
    memory = np.full((height, pitch), 0x5A, np.uint8)
    memory[:, : width * element] = samples.view(np.uint8)
    expected = reference.turned(samples, rotation)
    other = expected.shape[1] * element + 2 * padding
    source, target = bench.array(memory), bench.array(np.full((expected.shape[0], other), 0x77, np.uint8))
    PictureOps(bench.library).transpose(
        Plane(source.pointer, pitch, width, height, element),
        Plane(target.pointer, other, expected.shape[1], expected.shape[0], element),
        rotation,
        STREAM,
    )
    used = expected.shape[1] * element
    np.testing.assert_array_equal(np.ascontiguousarray(target.array[:, :used]).view(dtype), expected)
    assert (target.array[:, used:] == 0x77).all(), "padding is left alone"


def test_what_has_no_kernel_is_refused() -> None:
    bench = Workbench()
    planes = on_bench(
        bench,
        "nv12",
        random_planes(np.random.default_rng(0), "nv12", 16, 16),
        ColorSpec("bt2020nc", "tv", "bt2020", "smpte2084"),
    )
    ops = PictureOps(bench.library)
    out = bench.array(np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(UsageError, match="HDR"):
        ops.preprocess(planes, out, STREAM, spec=PreprocessSpec())
    plain = on_bench(bench, "nv12", random_planes(np.random.default_rng(0), "nv12", 16, 16), BT709)
    with pytest.raises(UsageError, match="layout NHWC"):
        ops.preprocess(plain, out, STREAM, spec=PreprocessSpec(layout="NHWC"))
    with pytest.raises(UsageError, match="float64"):
        ops.preprocess(plain, bench.array(np.zeros((1, 3, 8, 8))), STREAM, spec=PreprocessSpec())
    with pytest.raises(UsageError, match="16x16"):
        ops.transpose(plain.planes[0], plain.planes[1], 90, STREAM)


@pytest.mark.slow
@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_under_sanitizers(sanitize: str, tmp_path: Path) -> None:
    bench = Workbench()
    spec = PreprocessSpec(content=(1, 1, 29, 17), rotation=90, mean=MEAN, std=STD)
    for pix_fmt, padding in (("nv12", 13), ("nv12", ALIGNED), ("p010le", 0), ("yuv422p12le", ALIGNED)):
        run(bench, pix_fmt, (67, 45), (1, 3, 19, 31), spec, dtype=np.float16, padding=padding)
    # The second tile of columns begins at sample 59: fetched from 48 on.
    run(bench, "nv12", (131, 75), (1, 3, 19, 70), PreprocessSpec(), padding=ALIGNED)
    run(bench, "nv12", (3000, 1200), (1, 3, 4, 4), PreprocessSpec())
    ops = PictureOps(bench.library)
    for dtype in (np.uint8, np.uint16, np.uint32):
        size = np.dtype(dtype).itemsize
        for rotation in (0, 90, 180, 270):
            # 68 x 70: rows begin at multiples of four elements, and half of the turned tiles do not.
            source, target = (bench.array(np.arange(72 * 72 * size).astype(np.uint8)) for _ in range(2))
            across, down = (68, 70) if rotation in (0, 180) else (70, 68)
            there = Plane(target.pointer, 72 * size, across, down, size)
            ops.transpose(Plane(source.pointer, 72 * size, 68, 70, size), there, rotation, STREAM)
    bench.again(sanitize, tmp_path=tmp_path)
