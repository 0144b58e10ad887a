"""The room is gone, the person is untouched, and the edge has the person's own colours."""

from __future__ import annotations

import numpy as np
import pytest
from formula_pictures import FORMATS, disc, mean_alphas, noise, over, picture_of, plane_shapes, smooth
from hypothesis import given, settings
from hypothesis import strategies as st

from livematte.color import ColorSpec
from livematte.matting import foreground, planar
from livematte.matting.foreground import clean, flat_colour
from livematte.matting.planar import mix, reduce_exactly
from livematte.planes import layout, plane_arrays


def covered_fully(pix_fmt: str, alpha: np.ndarray) -> list[np.ndarray]:
    return [mean == 1 for mean in mean_alphas(pix_fmt, alpha)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(96, 128), (97, 131), (5, 7), (1, 1)])
@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_opaque_samples_are_the_sources_own(pix_fmt: str, size: tuple[int, int], dtype: type) -> None:
    alpha = disc(*size, dtype=dtype)
    picture = picture_of(pix_fmt, noise(pix_fmt, *size))
    cleaned = clean(picture, alpha)
    assert (cleaned.format.name, cleaned.width, cleaned.height) == (pix_fmt, size[1], size[0])
    for before, after, opaque in zip(
        plane_arrays(picture), plane_arrays(cleaned), covered_fully(pix_fmt, alpha), strict=True
    ):
        assert np.array_equal(before[opaque], after[opaque])


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_under_alpha_0_nothing_depends_on_the_room(pix_fmt: str) -> None:
    """Two rooms of other noise, one person: every sample whose alpha is 0 must come out the same, bit for bit."""
    size = (96, 128)
    alpha = disc(*size)
    person, alphas = smooth(pix_fmt, *size), mean_alphas(pix_fmt, alpha)
    cleaned = [
        plane_arrays(clean(picture_of(pix_fmt, over(person, noise(pix_fmt, *size, seed), alphas)), alpha))
        for seed in (1, 2)
    ]
    for first, second, share, shape in zip(*cleaned, alphas, plane_shapes(pix_fmt, *size), strict=True):
        clear = share == 0
        assert clear.any()
        spread = np.abs(first[clear].astype(int) - second[clear]).max()
        # F^ is a mean of samples with alpha over a half, which hold a little of the room; never a sample of it.
        assert spread <= 0.13 * layout(pix_fmt).peak, shape


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_hunt_for_source_pixels(pix_fmt: str) -> None:
    """With a room of noise no sample under alpha 0, and hardly one at low alpha, is correlated with the source's."""
    size = (192, 256)
    alpha = disc(*size, soft_px=20)
    alphas = mean_alphas(pix_fmt, alpha)
    picture = picture_of(pix_fmt, over(smooth(pix_fmt, *size), noise(pix_fmt, *size), alphas))
    for before, after, share in zip(plane_arrays(picture), plane_arrays(clean(picture, alpha)), alphas, strict=True):
        clear, low = share == 0, (share > 0) & (share < 0.1)
        for where, most in ((clear, 0.05), (low, 0.2)):
            assert where.sum() > 50
            assert abs(correlation(before[where], after[where])) < most + 3 / np.sqrt(where.sum())
            texture = np.std(after[where].astype(float) - after[where].mean())
            assert texture < 0.5 * np.std(before[where].astype(float))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_far_from_the_person_there_is_one_flat_colour(pix_fmt: str) -> None:
    size = (192, 256)
    alpha = disc(*size, radius=40)
    cleaned = plane_arrays(clean(picture_of(pix_fmt, noise(pix_fmt, *size)), alpha))
    far = disc(*size, radius=40 + 24) == 0
    for plane, value, share in zip(
        cleaned, flat_colour(layout(pix_fmt)), mean_alphas(pix_fmt, (far * 255).astype(np.uint8)), strict=True
    ):
        assert (plane[share == 1] == value).all()


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_nobody_there_is_a_flat_picture(pix_fmt: str) -> None:
    cleaned = clean(picture_of(pix_fmt, noise(pix_fmt, 33, 47)), np.zeros((33, 47), np.uint8))
    for plane, value in zip(plane_arrays(cleaned), flat_colour(layout(pix_fmt)), strict=True):
        assert (plane == value).all()


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_edge_colours_are_at_least_twice_as_good_as_left_alone(pix_fmt: str, dtype: type) -> None:
    size = (270, 480)
    alpha = disc(*size, soft_px=16, dtype=dtype)
    alphas = mean_alphas(pix_fmt, alpha)
    person = smooth(pix_fmt, *size)
    # Darker than the person by a third of the scale, with texture: a room that would be seen shining through.
    room = [0.15 * n + 0.2 * s for n, s in zip(noise(pix_fmt, *size), smooth(pix_fmt, *size, phase=3), strict=True)]
    picture = picture_of(pix_fmt, over(person, room, alphas))
    cleaned = clean(picture, alpha)
    errors = np.zeros(2)
    for true, before, after, share in zip(person, plane_arrays(picture), plane_arrays(cleaned), alphas, strict=True):
        band = (share > 0) & (share < 1)
        errors += [(share[band] * np.abs(plane[band] - true[band])).sum() for plane in (after, before)]
    assert errors[0] <= 0.5 * errors[1]


def test_keep_background_hands_the_picture_through() -> None:
    picture = picture_of("yuv420p", noise("yuv420p", 40, 60))
    assert clean(picture, disc(40, 60), keep_background=True) is picture


def test_the_source_is_not_written_to() -> None:
    picture = picture_of("yuv420p", noise("yuv420p", 40, 60))
    before = [plane.copy() for plane in plane_arrays(picture)]
    clean(picture, disc(40, 60), despill=1.0)
    assert all(np.array_equal(a, b) for a, b in zip(before, plane_arrays(picture), strict=True))


def test_wrong_size_is_said() -> None:
    with pytest.raises(ValueError, match="alpha is 60x40, the picture 60x42"):
        clean(picture_of("yuv420p", noise("yuv420p", 42, 60)), disc(40, 60))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(("screen", "other"), [((40, 200, 60), (200, 60, 40)), ((30, 60, 210), (200, 160, 40))])
def test_despill_takes_the_screen_out_of_the_band_only(
    screen: tuple[int, int, int], other: tuple[int, int, int], keep: bool
) -> None:
    """In planar RGB the spill can be read off: in the band the screen's channel falls to the mean of the others."""
    size = (120, 160)
    alpha = disc(*size, soft_px=20)
    alphas = mean_alphas("gbrp", alpha)
    green_blue_red = (screen[1], screen[2], screen[0])
    person = [np.full(size, float(value)) for value in (130, 130, 130)]
    tinted = [0.7 * p + 0.3 * s for p, s in zip(person, green_blue_red, strict=True)]
    picture = picture_of("gbrp", over(tinted, [np.full(size, float(v)) for v in green_blue_red], alphas))
    channel = int(np.argmax(green_blue_red))
    others = [number for number in range(3) if number != channel]
    plain, full = (plane_arrays(clean(picture, alpha, keep_background=keep, despill=amount)) for amount in (0.0, 1.0))
    band = (alpha > 25) & (alpha < 255)
    excess = [float((p[channel][band] - np.mean([p[n][band] for n in others], axis=0)).mean()) for p in (plain, full)]
    assert excess[0] > 10
    assert abs(excess[1]) < 1
    opaque = alpha == 255
    assert all(np.array_equal(a[opaque], b[opaque]) for a, b in zip(plain, full, strict=True))


def test_despill_in_yuv_agrees_with_despill_in_rgb() -> None:
    size, spec = (120, 160), ColorSpec("bt709", "tv")
    alpha = disc(*size, soft_px=20)
    colours = {"yuv444p": ((81, 104, 116), (140, 70, 60)), "gbrp": ((110, 60, 60), (230, 30, 40))}
    # The YUV triples need not be the RGB ones: what counts is that the excess of green goes.
    person, room = ([np.full(size, float(v)) for v in part] for part in colours["yuv444p"])
    picture = picture_of("yuv444p", over(person, room, mean_alphas("yuv444p", alpha)))
    luma, blue, red = (plane.astype(float) for plane in plane_arrays(clean(picture, alpha, despill=1.0, color=spec)))
    y, u, v = (luma - 16) / 219, (blue - 128) / 224, (red - 128) / 224
    red_channel, blue_channel = y + 1.5748 * v, y + 1.8556 * u
    green_channel = y - 0.1873 * u - 0.4681 * v
    band = (alpha > 25) & (alpha < 255)
    assert np.abs((green_channel - (red_channel + blue_channel) / 2)[band]).max() < 0.02


def test_despill_leaves_other_rooms_alone() -> None:
    size = (60, 80)
    alpha = disc(*size)
    grey = [np.full(size, 120.0)] * 3
    picture = picture_of("gbrp", over([np.full(size, v) for v in (90.0, 60.0, 60.0)], grey, mean_alphas("gbrp", alpha)))
    plain, full = (plane_arrays(clean(picture, alpha, despill=amount)) for amount in (0.0, 1.0))
    assert all(np.array_equal(a, b) for a, b in zip(plain, full, strict=True))


PLANES = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("in_place", [False, True])
def test_mix_leaves_the_base_where_there_is_no_weight(dtype: type, in_place: bool) -> None:
    """Strips without any weight, with some, and columns beyond it; the target's old samples never stay."""
    peak = int(np.iinfo(dtype).max)
    base, plus = np.full((700, 400), 20, dtype), np.full((700, 400), 220, dtype)
    weight = np.zeros((700, 400), dtype)
    weight[500:620, 30:90] = peak
    out = base if in_place else np.full((700, 400), 99, dtype)
    mix(base, plus, base, weight, out)
    assert np.array_equal(out, np.where(weight > 0, 220, 20))


@given(PLANES, st.sampled_from([np.uint8, np.uint16]))
@settings(max_examples=40)
def test_mix_is_the_over_operator_to_half_a_step(random: np.random.Generator, dtype: type) -> None:
    peak = np.iinfo(dtype).max
    base, plus, weight = (random.integers(0, peak + 1, (9, 13)).astype(dtype) for _ in range(3))
    weight[0], weight[1] = 0, peak
    exact = base + weight / peak * (plus.astype(float) - base)
    mixed = mix(base, plus, base, weight, np.empty_like(base))
    assert np.abs(mixed - exact).max() <= 0.5 + 1e-2
    assert np.array_equal(mixed[0], base[0])
    assert np.array_equal(mixed[1], plus[1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("block", [(2, 1), (2, 2), (1, 2), (4, 1), (4, 4)])
def test_reduce_exactly_is_the_mean_of_each_block(block: tuple[int, int], dtype: type) -> None:
    across, down = block
    plane = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (7, 11)).astype(dtype)
    padded = np.pad(plane, ((0, -7 % down), (0, -11 % across)), mode="edge").astype(float)
    rows, columns = padded.shape
    mean = padded.reshape(rows // down, down, columns // across, across).mean(axis=(1, 3))
    assert np.abs(reduce_exactly(plane, across, down) - mean).max() <= 0.5


@pytest.mark.parametrize("pix_fmt", FORMATS)
@pytest.mark.parametrize("shape", [(144, 256), (288, 512)])
def test_only_where_something_is_mixed_is_it_computed(
    pix_fmt: str, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around the person alone, and only where there is any weight: the same as when all of the planes is computed."""
    alpha = np.zeros(shape, np.uint8)
    alpha[20:60, 90:131] = disc(40, 41, dtype=np.uint8)
    picture = picture_of(pix_fmt, noise(pix_fmt, *shape))
    quick = [plane.copy() for plane in plane_arrays(clean(picture, alpha))]

    def everything(plane: np.ndarray) -> tuple[slice, slice]:
        return slice(0, plane.shape[0]), slice(0, plane.shape[1])

    monkeypatch.setattr(foreground, "bounds", everything)
    monkeypatch.setattr(planar, "bounds", everything)
    for plane, other in zip(quick, plane_arrays(clean(picture, alpha)), strict=True):
        # The widest window of the room's colour is cut off at the area's edge: a rounding step of 8 bits.
        assert np.abs(plane.astype(int) - other).max() <= (layout(pix_fmt).peak + 1) // 256
