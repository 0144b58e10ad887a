"""Mirroring: every plane turned over, chroma right for odd widths."""

from __future__ import annotations

import numpy as np
import pytest
from formula_pictures import frame_of, noise, picture_of

from livematte.planes import plane_arrays
from livematte.sources.mirror import mirror_picture, mirrored


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv422p10le", "gbrp"])
@pytest.mark.parametrize("width", [64, 65, 1])
def test_luma_and_full_chroma_are_exactly_turned_over(pix_fmt: str, width: int) -> None:
    planes = noise(pix_fmt, 18, width)
    picture = picture_of(pix_fmt, planes)
    made = plane_arrays(mirror_picture(picture))
    for number, (source, target) in enumerate(zip(planes, made, strict=True)):
        if number == 0 or source.shape[1] == width or width % 2 == 0:
            np.testing.assert_array_equal(target, source[:, ::-1])
    for source, kept in zip(planes, plane_arrays(picture), strict=True):
        np.testing.assert_array_equal(kept, source)  # the picture itself is shared: not a sample of it may change


def test_odd_widths_keep_chroma_over_its_pixels() -> None:
    """A step between two colours lies over the same pixels after the mirror, as exactly as 4:2:0 can say it."""
    luma = np.zeros((4, 7), np.uint8)
    chroma = np.array([[0, 0, 100, 201]] * 2, np.uint8)  # pixels 0-1, 2-3, 4-5, and 6 alone
    made = plane_arrays(mirror_picture(picture_of("yuv420p", [luma, chroma, chroma])))
    # Out: pixels 0-1 were 6 and 5, 2-3 were 4 and 3, 4-5 were 2 and 1, 6 was 0.
    np.testing.assert_array_equal(made[1], [[151, 50, 0, 0]] * 2)
    np.testing.assert_array_equal(made[2], made[1])


def test_alpha_and_tags_go_along() -> None:
    alpha = np.arange(48, dtype=np.uint8).reshape(6, 8)
    picture = picture_of("yuv420p", noise("yuv420p", 6, 8))
    picture.colorspace, picture.color_range = 5, 2
    frame = frame_of(picture, alpha=alpha)
    made = mirrored(frame)
    assert made.alpha is not None
    np.testing.assert_array_equal(made.alpha, alpha[:, ::-1])
    assert (made.host_picture().colorspace, made.host_picture().color_range) == (5, 2)
    assert (made.time, made.index, made.color) == (frame.time, frame.index, frame.color)
