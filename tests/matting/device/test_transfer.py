"""How pictures lie in slots, and arrays that are used again."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from formula_pictures import noise, picture_of

from livematte.color import COLOR_RANGES, COLORSPACES, ColorSpec
from livematte.matting.device.transfer import Recycled, fill_block, peak_and_shift, picture_from, picture_layout
from livematte.planes import plane_arrays

SPEC = ColorSpec("bt2020nc", "pc")


@pytest.mark.parametrize("size", [(96, 64), (97, 63), (1, 1), (130, 3)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "yuv420p12le", "yuv422p", "yuv444p10le"])
def test_a_picture_comes_back_from_its_block(pix_fmt: str, size: tuple[int, int]) -> None:
    width, height = size
    picture = picture_of(pix_fmt, noise(pix_fmt, height, width))
    at = picture_layout(pix_fmt, width, height)
    block = np.zeros(at.nbytes, np.uint8)
    fill_block(block, at, picture)
    back = picture_from(block, at, SPEC, picture)
    for one, other in zip(plane_arrays(picture), plane_arrays(back), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "nv12", "p010le"])
def test_planes_do_not_touch_and_rows_begin_on_words(pix_fmt: str) -> None:
    at = picture_layout(pix_fmt, 97, 63)
    end = 0
    for place in at.planes:
        assert place.offset >= end
        assert place.offset % 256 == 0
        assert place.pitch % 16 == 0
        assert place.pitch >= place.width * place.element_bytes
        end = place.offset + place.pitch * place.height
    assert at.nbytes >= end


@pytest.mark.parametrize(("sw_format", "planar", "shift"), [("nv12", "yuv420p", 0), ("p010le", "yuv420p10le", 6)])
def test_semi_planar_blocks_become_planar_pictures(sw_format: str, planar: str, shift: int) -> None:
    picture = picture_of(planar, noise(planar, 46, 70))
    at = picture_layout(sw_format, 70, 46)
    block = np.zeros(at.nbytes, np.uint8)
    luma, pairs = at.arrays(block)
    planes = plane_arrays(picture)
    luma[:] = planes[0] << shift
    pairs[:, 0::2], pairs[:, 1::2] = planes[1] << shift, planes[2] << shift
    back = picture_from(block, at, SPEC, None)
    assert back.format.name == planar
    assert (back.colorspace, back.color_range) == (COLORSPACES["bt2020nc"], COLOR_RANGES["pc"])
    for one, other in zip(planes, plane_arrays(back), strict=True):
        assert np.array_equal(one, other)


def test_peaks() -> None:
    assert peak_and_shift("nv12") == (255, 0)
    assert peak_and_shift("p010le") == (1023, 6)
    assert peak_and_shift("yuv420p12le") == (4095, 0)


def test_packed_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="working format"):
        picture_layout("yuyv422", 64, 48)


def test_memory_is_used_again_only_when_no_view_is_left() -> None:
    store = Recycled((4, 6), np.uint8)
    first = store.copy_of(np.full((4, 6), 1, np.uint8))
    corner = first[1:, ::2]
    address = first.ctypes.data
    del first
    gc.collect()
    second = store.copy_of(np.full((4, 6), 2, np.uint8))
    assert second.ctypes.data != address
    assert (corner == 1).all()
    del corner
    gc.collect()
    third = store.copy_of(np.full((4, 6), 3, np.uint8))
    assert third.ctypes.data == address
    assert (second == 2).all()
    assert third.flags.writeable


def test_recycled_memory_outlives_its_store() -> None:
    store = Recycled((64, 64), np.uint16)
    kept = store.copy_of(np.full((64, 64), 7, np.uint16))
    del store
    gc.collect()
    assert (kept == 7).all()
