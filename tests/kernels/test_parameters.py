"""The parameter block: the C struct and the NumPy dtype are one, and its values are those of the host's own path."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from kernels.shim.build import compiler

from livematte.matting.region import Region
from livematte.matting.temporal import STRENGTHS
from livematte.runtimes.kernels import FOLDER
from livematte.runtimes.kernels import parameters as p


def test_struct_and_dtype_are_one(tmp_path: Path) -> None:
    lines = ["#include <cstddef>", '#include "parameters.cuh"', f"static_assert(LM_BLUR_TAPS == {p.BLUR_TAPS});"]
    assert p.PARAMETERS.names is not None
    for name in p.PARAMETERS.names:
        kind, offset = p.PARAMETERS.fields[name][:2]  # type: ignore[index]
        lines.append(f"static_assert(offsetof(Parameters, {name}) == {offset});")
        lines.append(f"static_assert(sizeof(Parameters::{name}) == {kind.itemsize});")
    lines.append(f"static_assert(sizeof(Parameters) == {p.PARAMETERS.itemsize});")
    lines.append(
        f"auto [{', '.join(f'm{k}' for k in range(len(p.PARAMETERS.names)))}] = Parameters{{}};  // no member more"
    )
    source = tmp_path / "check.cpp"
    source.write_text("\n".join(lines) + "\n")
    command = [compiler(), "-std=c++20", "-fsyntax-only", f"-I{FOLDER}", str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    source.write_text(source.read_text().replace("== 944", "== 945"))
    assert subprocess.run(command, capture_output=True).returncode != 0


def test_bytes_share_memory() -> None:
    block = p.neutral(64, 48)
    view = p.as_bytes(block)
    assert view.shape == (944,)
    block["despill"] = 1.0
    offset = p.PARAMETERS.fields["despill"][1]  # type: ignore[index]
    assert view[offset : offset + 4].view(np.float32)[0] == 1.0


@pytest.mark.parametrize("interval", [None, 0.0, -1.0, 0.51])
def test_no_past(interval: float | None) -> None:
    block = p.neutral(8, 8)
    p.set_time(block, "ema", STRENGTHS["normal"], interval)
    assert block["is_first"][0] == 1
    assert not block["strength"].any()


def test_strengths() -> None:
    block, strength = p.neutral(8, 8), STRENGTHS["strong"]
    p.set_time(block, "adaptive", strength, 0.04)
    assert block["is_first"][0] == 0
    assert block["strength"][0, 0] == np.float32(1 - math.exp(-0.04 / 0.5))
    p.set_time(block, "one-euro", strength, 0.04)
    expected = (0.2513274 / 1.2513274, 0.2513274 * 8, 0.2513274 * 1, 25.0)
    np.testing.assert_allclose(block["strength"][0], expected, rtol=1e-6)
    p.set_time(block, "ofd", strength, 0.5)
    assert block["strength"][0, 0] == np.float32(0.05)


def test_region_in_pixels_is_what_the_host_clears() -> None:
    region = Region(0.1234, 0.0, 0.777, 0.5)
    for width, height in ((101, 57), (640, 360)):
        alpha = np.full((height, width), 255, np.uint8)
        region.clear_outside(alpha)
        block = p.neutral(width, height)
        p.set_region(block, region, width, height)
        left, top, right, bottom = block["keep_px"][0]
        kept = np.zeros_like(alpha)
        kept[top:bottom, left:right] = 255
        np.testing.assert_array_equal(kept, alpha)


@pytest.mark.parametrize("sigma", [1.2, 1.7, 2.39, 6.25])
def test_gaussian_is_opencvs(sigma: float) -> None:
    half = p.gaussian_half(sigma)
    picture = np.zeros((1, 201), np.float32)
    picture[0, 100] = 1
    seen = cv2.GaussianBlur(picture, (0, 0), sigma, sigmaY=1e-6, borderType=cv2.BORDER_REPLICATE)[0]
    found = np.flatnonzero(seen > 1e-9)
    assert len(half) == found[-1] - 100 + 1
    np.testing.assert_allclose(half, seen[100 : 100 + len(half)], atol=1e-7)


def test_blur_steps_and_limits() -> None:
    block = p.neutral(1920, 1080)
    p.set_blur(block, 40, 1920, 1080)
    assert block["blur_step"][0] == 8
    assert block["blur_radius"][0].tolist() == [5, 5]
    p.set_blur(block, p.smallest_blur_px(1920, 1080), 1920, 1080)
    assert block["blur_step"][0] == 1
    with pytest.raises(ValueError, match="too narrow"):
        p.set_blur(block, 4.7, 1920, 1080)
    p.set_blur(block, 400 * 4320 / 1080, 7680, 4320)
    assert block["blur_radius"][0, 0] < p.BLUR_TAPS
    with pytest.raises(ValueError, match="taps"):
        p.set_blur(block, 4000, 7680, 4320)
