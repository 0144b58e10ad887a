"""blur.cu and composite.cu: equal to their NumPy references, and near the host's own compositing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from formula_pictures import picture_of
from kernels.pictures import FULL, LIMITED, person, place, scene
from kernels.shim.cases import STREAM, Workbench

from livematte.color import ColorSpec
from livematte.color_convert import to_rgb
from livematte.compositing import compositor
from livematte.compositing.canvas import Canvas, flat_values
from livematte.matting.planar import split_groups
from livematte.planes import alpha_to_bits, layout
from livematte.runtimes.kernels import parameters as p
from livematte.runtimes.kernels import reference_composite as reference
from livematte.runtimes.kernels.ops_composite import CompositeOps, blur_layout, blur_scratch, growth, rgb_matrix

AnyArray = npt.NDArray[Any]
SIZES = [(17, 13), (130, 70), (203, 117)]
WAYS = [
    ("nv12", "nv12", 8, np.uint8),
    ("yuv420p", "nv12", 8, np.uint16),
    ("p010le", "yuv420p10le", 10, np.uint16),
    ("yuv420p10le", "p010le", 10, np.uint8),
]
BLURS = [None, 9.0, 20.0, 70.0, 160.0]
"""Radii in px of a picture; None: the narrowest. The grid has steps 1, 1, 4, 8 or 16."""


def blocks(width: int, height: int, bits: int, px: float | None = None) -> p.Block:
    block, least = p.neutral(width, height), p.smallest_blur_px(width, height)
    p.set_colour(block, [40 << (bits - 8), 200 << (bits - 8), (90 << (bits - 8)) + 1])
    p.set_blur(block, least if px is None else px, width, height)
    return block


class Stage:
    """A person, a room and a way out in one bench."""

    def __init__(self, width: int, height: int, way: tuple[str, str, int, type[Any]], bench: Workbench | None = None):
        self.pix_fmt, self.out_fmt, self.bits, dtype = way
        self.bench = bench or Workbench()
        self.ops = CompositeOps(self.bench.library)
        self.size = width, height
        self.front, self.room = scene(width, height, self.bits, seed=1), scene(width, height, self.bits, seed=2)
        self.alpha = person(width, height, dtype)

    def place(self, planes: list[AnyArray], pix_fmt: str | None = None, color: ColorSpec = LIMITED) -> Any:
        return place(self.bench, pix_fmt or self.pix_fmt, planes, gap=3, color=color).planes

    def target(self) -> Any:
        return place(self.bench, self.out_fmt, self.size, gap=5)

    def rgba(self) -> Any:
        return self.bench.array(np.full((self.size[1], self.size[0], 4), 0xA5, np.uint8))


def assert_equal(ours: list[AnyArray], wanted: list[AnyArray]) -> None:
    for mine, theirs in zip(ours, wanted, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_over_colour_and_image(width: int, height: int, way: tuple[str, str, int, type[Any]]) -> None:
    stage = Stage(width, height, way)
    block = blocks(width, height, stage.bits)
    alpha, target = stage.bench.array(stage.alpha), stage.target()
    stage.ops.over_colour(stage.place(stage.front), alpha, target.planes, stage.bench.array(block), STREAM)
    assert_equal(target.read(), reference.over(stage.front, stage.alpha, reference.colour_planes(stage.front, block)))
    behind = stage.place(stage.room, stage.out_fmt)
    stage.ops.over_image(stage.place(stage.front), alpha, behind, target.planes, STREAM)
    assert_equal(target.read(), reference.over(stage.front, stage.alpha, stage.room))


def test_vectors_and_samples_are_one() -> None:
    """Rows at multiples of 16 go in vectors."""
    stage = Stage(256, 64, WAYS[0])
    target = place(stage.bench, "yuv420p", stage.size)
    front = place(stage.bench, "nv12", stage.front).planes
    stage.ops.over_image(
        front, stage.bench.array(stage.alpha), place(stage.bench, "yuv420p", stage.room).planes, target.planes, STREAM
    )
    assert_equal(target.read(), reference.over(stage.front, stage.alpha, stage.room))


@pytest.mark.parametrize("color", [LIMITED, FULL])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_rgba(width: int, height: int, way: tuple[str, str, int, type[Any]], color: ColorSpec) -> None:
    stage = Stage(width, height, way)
    block, matrix = blocks(width, height, stage.bits), rgb_matrix(color, stage.bits)
    front, alpha, out = stage.place(stage.front, color=color), stage.bench.array(stage.alpha), stage.rgba()
    device_block = stage.bench.array(block)
    stage.ops.straight(front, alpha, out, device_block, STREAM)
    np.testing.assert_array_equal(out.array, reference.rgba(stage.front, stage.alpha, matrix))
    stage.ops.over_colour(front, alpha, out, device_block, STREAM)
    made = reference.over(stage.front, stage.alpha, reference.colour_planes(stage.front, block))
    np.testing.assert_array_equal(out.array, reference.rgba(made, None, matrix))
    stage.ops.over_image(front, alpha, stage.place(stage.room), out, STREAM)
    made = reference.over(stage.front, stage.alpha, stage.room)
    np.testing.assert_array_equal(out.array, reference.rgba(made, None, matrix))


@pytest.mark.parametrize("px", BLURS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("width", "height"), [(130, 70), (203, 117)])
def test_over_blur(width: int, height: int, way: tuple[str, str, int, type[Any]], px: float | None) -> None:
    """The sum over all blocks adds up in another order, so that a mean may round to the other side."""
    stage = Stage(width, height, way)
    block = blocks(width, height, stage.bits, px)
    scratch = stage.bench.array(np.full(blur_scratch(width, height, px), 0xFF, np.uint8))
    target, out = stage.target(), stage.rgba()
    front, picture, alpha = stage.place(stage.front), stage.place(stage.room), stage.bench.array(stage.alpha)
    device_block = stage.bench.array(block)
    stage.ops.over_blur(front, alpha, picture, target.planes, scratch, device_block, STREAM, least_px=px)
    wanted = reference.over(stage.front, stage.alpha, reference.blurred_room(stage.room, stage.alpha, block))
    for mine, theirs in zip(target.read(), wanted, strict=True):
        apart = np.abs(mine.astype(int) - theirs.astype(int))
        assert apart.max() <= 1
        assert np.count_nonzero(apart) <= 0.002 * apart.size
    stage.ops.over_blur(front, alpha, picture, out, scratch, device_block, STREAM, least_px=px)
    shown = reference.rgba(target.read(), None, rgb_matrix(LIMITED, stage.bits))
    np.testing.assert_array_equal(out.array, shown)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize(("width", "height", "pitch"), [(131, 7, None), (130, 5, 600), (256, 4, 512)])
def test_alpha_plane(width: int, height: int, pitch: int | None, bits: int, dtype: type[Any]) -> None:
    """Exactly the host's table, for every value there is."""
    bench, peak = Workbench(), int(np.iinfo(dtype).max)
    alpha = np.linspace(0, peak, width * height).astype(dtype).reshape(height, width)
    plane_type = np.uint8 if bits == 8 else np.uint16
    columns = width if pitch is None else pitch // np.dtype(plane_type).itemsize
    out = bench.array(np.full((height, columns), 0xA5, plane_type))
    CompositeOps(bench.library).alpha_plane(bench.array(alpha), out, bits, STREAM, pitch=pitch)
    np.testing.assert_array_equal(out.array[:, :width], alpha_to_bits(alpha, bits))
    assert (out.array[:, width:] == 0xA5).all()


def test_every_alpha_of_16_bits() -> None:
    alpha = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    for bits in (8, 10, 12, 16):
        np.testing.assert_array_equal(reference.alpha_plane(alpha, bits), alpha_to_bits(alpha, bits))


# --- against the host's path ---


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (8, np.uint16), (10, np.uint8), (10, np.uint16)])
@pytest.mark.parametrize(("width", "height"), [(203, 117), (322, 182)])
def test_over_is_the_hosts(width: int, height: int, bits: int, dtype: type[Any]) -> None:
    front, room = scene(width, height, bits, seed=1), scene(width, height, bits, seed=2)
    alpha = person(width, height, dtype)
    ours = reference.over(front, alpha, room)
    kind = layout("yuv420p" if bits == 8 else "yuv420p10le")
    for group in split_groups(alpha, kind):
        for number in group.planes:
            theirs = np.empty_like(front[number])
            compositor.over(front[number], room[number], group, theirs)
            np.testing.assert_array_equal(ours[number], theirs)


@pytest.mark.parametrize("px", [40.0, 100.0])
@pytest.mark.parametrize("bits", [8, 10])
def test_blur_is_near_the_hosts(bits: int, px: float) -> None:
    """The host rounds weighted planes, blocks and interpolation to 8 bits: up to 2 steps, a fifth of one on average.

    Compared where the room shows at all (alpha below 1 / 8 after growing); behind the person nothing is seen of it.
    """
    width, height = 640, 360
    room, alpha = scene(width, height, bits, seed=2), person(width, height, np.uint8)
    block = blocks(width, height, bits, px * height / 1080)
    ours = reference.blurred_room(room, alpha, block)
    kind = layout("yuv420p" if bits == 8 else "yuv420p10le")
    theirs = [np.empty_like(plane) for plane in room]
    compositor.blur_without_person(room, split_groups(alpha, kind), px * height / 1080, theirs)
    steps = 1 << (bits - 8)
    shows = alpha < 250
    for mine, his in zip(ours, theirs, strict=True):
        seen = cv2.resize(shows.astype(np.uint8), mine.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
        apart = (np.abs(mine.astype(int) - his.astype(int)) / steps)[seen]
        assert apart.max() <= 2
        assert apart.mean() <= 0.25


@pytest.mark.parametrize("height", [360, 720, 1080, 1440, 2160, 4320])
def test_growth_is_move_edges(height: int) -> None:
    from livematte.matting.edges import move_edge

    rows = height // 2
    rng = np.random.default_rng(0)
    alpha = (rng.random((40, 50)) > 0.98).astype(np.uint8) * 200
    square, crosses, part = growth(height)
    theirs = move_edge(alpha, -4.0 * rows / 1080)
    grown = cv2.dilate(alpha, np.ones((2 * square + 1, 2 * square + 1), np.uint8))
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    grown = cv2.dilate(grown, cross, iterations=crosses) if crosses else grown
    if part:
        grown = cv2.addWeighted(grown, 1 - part, cv2.dilate(grown, cross), part, 0)
    np.testing.assert_array_equal(grown, theirs)


@pytest.mark.parametrize(("bits", "color"), [(8, LIMITED), (8, FULL), (10, LIMITED)])
def test_rgb_is_near_libswscales(bits: int, color: ColorSpec) -> None:
    """The same matrix, range and place of chroma: a step at most, one sample in two hundred.

    Without 10 bits in full range: libswscale's own pass into 48-bit RGB at the same size is wrong there.
    """
    planes = [cv2.GaussianBlur(plane, (0, 0), 2) for plane in scene(320, 180, bits)]
    picture: av.VideoFrame = picture_of("yuv420p" if bits == 8 else "yuv420p10le", planes)
    theirs = to_rgb(picture, color, 320, 180).astype(int)
    ours = reference.rgba(planes, None, rgb_matrix(color, bits))[..., :3].astype(int)
    apart = ours - theirs
    assert np.abs(apart).max() <= 1
    assert np.abs(apart).mean() <= 0.01


def test_colour_is_the_hosts() -> None:
    """A colour of the host's canvas behind nobody is the very RGB that was asked for, everywhere."""
    stage = Stage(64, 48, WAYS[0])
    block = p.neutral(64, 48)
    p.set_colour(block, flat_values((120, 255, 155), Canvas(64, 48, "yuv420p", LIMITED)))
    nobody, out = stage.bench.array(np.zeros_like(stage.alpha)), stage.rgba()
    stage.ops.over_colour(stage.place(stage.front), nobody, out, stage.bench.array(block), STREAM)
    assert np.abs(out.array[0, 0, :3].astype(int) - (120, 255, 155)).max() <= 1
    assert (out.array == out.array[0, 0]).all()


# --- misuse, and the sanitizers ---


def test_errors_say_what_differs() -> None:
    stage = Stage(64, 48, WAYS[0])
    block, alpha, front = stage.bench.array(blocks(64, 48, 8)), stage.bench.array(stage.alpha), stage.place(stage.front)
    with pytest.raises(ValueError, match="uint8, got"):
        stage.ops.over_colour(front, alpha, stage.bench.array(np.zeros((48, 64, 3), np.uint8)), block, STREAM)
    with pytest.raises(ValueError, match="size and depth"):
        stage.ops.over_image(front, alpha, place(stage.bench, "nv12", (62, 48)).planes, stage.rgba(), STREAM)
    short = stage.bench.array(np.zeros(blur_layout(64, 48).nbytes - 1, np.uint8))
    with pytest.raises(ValueError, match="blur_scratch"):
        stage.ops.over_blur(front, alpha, front, stage.rgba(), short, block, STREAM)
    with pytest.raises(ValueError, match="cannot go into"):
        stage.ops.alpha_plane(alpha, stage.bench.array(np.zeros((48, 64), np.uint8)), 10, STREAM)
    wide = place(stage.bench, "yuv444p", (64, 48)).planes
    with pytest.raises(ValueError, match="host's path"):
        stage.ops.over_image(wide, alpha, wide, stage.rgba(), STREAM)


@pytest.mark.slow
@pytest.mark.parametrize("sanitize", ["address,undefined", "thread"])
def test_sanitizers(sanitize: str, tmp_path: Path) -> None:
    bench = Workbench()
    width, height = (71, 37) if sanitize == "thread" else (203, 117)
    for way, px in ((WAYS[0], 9.0), (WAYS[2], 40.0)):
        stage = Stage(width, height, way, bench)
        block, alpha = bench.array(blocks(width, height, stage.bits, px)), bench.array(stage.alpha)
        front, room, scratch = stage.place(stage.front), stage.place(stage.room), None
        scratch = bench.array(np.zeros(blur_scratch(width, height, px), np.uint8))
        for out in (stage.target().planes, stage.rgba()):
            stage.ops.over_colour(front, alpha, out, block, STREAM)
            stage.ops.over_image(front, alpha, room, out, STREAM)
            stage.ops.over_blur(front, alpha, room, out, scratch, block, STREAM, least_px=px)
        stage.ops.alpha_plane(alpha, bench.array(np.zeros((height, width), np.uint16)), 10, STREAM)
    bench.again(sanitize, tmp_path=tmp_path)
