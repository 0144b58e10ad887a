"""From foreground and alpha to an encoder's planes: what is exact, and how far the rest may be off."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from livematte.color import ColorSpec
from livematte.config import OutputSettings
from livematte.frames import StreamInfo
from livematte.planes import alpha_to_bits, layout, new_picture, plane_arrays
from livematte.reporting import ListReporter
from livematte.sinks import chroma
from livematte.sinks.encodings import encoding_for
from livematte.sinks.formats import FORMATS
from livematte.sinks.pixels import Packer, packed_array, write_alpha
from sinks.making import BT709, RGB, Shot, alpha, picture


def _pack(name: str, shot: Shot, **settings: object) -> object:
    info: StreamInfo = shot.info
    encoding = encoding_for(FORMATS[name], OutputSettings.model_validate(settings), info)
    packer = Packer(encoding, shot.width, shot.height, reporter=ListReporter())
    shown = picture(shot.pix_fmt, shot.width, shot.height)
    return packer.pack(shown, shot.spec, alpha(shot.width, shot.height, wide=encoding.alpha_bits > 8))


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
def test_alpha_is_rounded_exactly_for_every_value(bits: int) -> None:
    for every in (np.arange(65536, dtype=np.uint16).reshape(256, 256), np.arange(256, dtype=np.uint8).reshape(16, 16)):
        target = np.zeros(every.shape, np.uint8 if bits == 8 else np.uint16)
        write_alpha(target, every, bits)
        assert np.array_equal(target, alpha_to_bits(every, bits))


@pytest.mark.parametrize("name", ["webm", "mkv"])
def test_420_planes_are_copied_bit_for_bit(name: str) -> None:
    got = plane_arrays(_pack(name, Shot(width=101, height=63)))
    for plane, meant in zip(got[:3], plane_arrays(picture("yuv420p", 101, 63)), strict=True):
        assert np.array_equal(plane, meant)
    assert np.array_equal(got[3], alpha(101, 63))


def test_prores_luma_is_an_exact_shift_and_alpha_exact() -> None:
    luma, _, _, fourth = plane_arrays(_pack("mov", Shot(width=101, height=63)))
    assert np.array_equal(luma, plane_arrays(picture("yuv420p", 101, 63))[0].astype(np.uint16) << 2)
    assert np.array_equal(fourth, alpha_to_bits(alpha(101, 63), 10))


def test_10_bit_420_chroma_is_only_interpolated() -> None:
    got = plane_arrays(_pack("mov", Shot(pix_fmt="yuv420p10le")))
    meant = plane_arrays(picture("yuv420p10le", 96, 64))
    assert np.array_equal(got[0], meant[0])
    # Even columns carry the samples themselves, between two rows: 3/4 of the nearer, 1/4 of the farther one.
    rows = meant[1].astype(np.float64)
    assert np.abs(got[1][2:-2:2, 0::2] - (0.75 * rows[1:-1] + 0.25 * rows[:-2])).max() <= 0.5


def test_chroma_goes_up_with_left_siting() -> None:
    ramp = np.tile(np.arange(20, 84, dtype=np.uint16) * 4, (16, 1))
    wide = np.empty((32, 128), np.uint16)
    chroma.enlarge(ramp, wide)
    assert np.array_equal(wide[:, :-1], np.tile(np.arange(80, 80 + 2 * 127, 2), (32, 1)))
    column = np.ascontiguousarray(ramp.T)
    tall = np.empty((128, 32), np.uint16)
    chroma.enlarge(column, tall)
    assert np.array_equal(tall[1:-1, 0], np.arange(81, 81 + 2 * 126, 2))


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (32, 33), (63, 101)])
def test_chroma_down_undoes_up_on_flat_planes_and_fits_odd_sizes(shape: tuple[int, int]) -> None:
    half = ((shape[0] + 1) // 2, (shape[1] + 1) // 2)
    full = np.empty(shape, np.uint16)
    chroma.enlarge(np.full(half, 321, np.uint16), full)
    assert (full == 321).all()
    small = chroma.reduce(full, *half)
    assert small.shape == half
    assert (small == 321).all()


def test_chroma_goes_down_with_left_siting() -> None:
    ramp = np.tile(np.arange(0, 256, dtype=np.uint8), (4, 1))
    assert np.array_equal(chroma.reduce(ramp, 2, 128)[:, 1:], np.tile(np.arange(2, 256, 2), (2, 1)))


def test_full_range_becomes_limited_for_prores() -> None:
    shot = Shot(pix_fmt="yuv444p", color=ColorSpec("bt709", "pc"))
    luma, blue, _, fourth = plane_arrays(_pack("mov", shot))
    source = [plane.astype(np.float64) for plane in plane_arrays(picture("yuv444p", 96, 64))]
    assert np.abs(luma - (64 + source[0] * 876 / 255)).max() <= 0.5
    assert np.abs(blue - (512 + (source[1] - 128) * 896 / 255)).max() <= 0.5
    assert np.array_equal(fourth, alpha_to_bits(alpha(96, 64), 10))


@pytest.mark.parametrize("name", ["webm", "mp4"])
def test_full_range_stays_full_where_the_file_says_so(name: str) -> None:
    shot = Shot(color=ColorSpec("bt709", "pc"))
    got = plane_arrays(_pack(name, shot, background="green" if name == "mp4" else None))
    assert np.array_equal(got[0], plane_arrays(picture("yuv420p", 96, 64))[0])


@pytest.mark.parametrize("pix_fmt", ["gbrp", "gbrp10le"])
def test_rgb_becomes_bt709(pix_fmt: str) -> None:
    luma, blue, red, _ = (
        plane.astype(np.float64) for plane in plane_arrays(_pack("mov", Shot(pix_fmt=pix_fmt, color=RGB)))
    )
    green, b, r = (plane / layout(pix_fmt).peak for plane in plane_arrays(picture(pix_fmt, 96, 64)))
    bright = 0.2126 * r + 0.7152 * green + 0.0722 * b
    assert np.abs(luma - (64 + 876 * bright)).max() <= 0.51
    assert np.abs(blue - (512 + 896 * (b - bright) / 1.8556)).max() <= 0.51
    assert np.abs(red - (512 + 896 * (r - bright) / 1.5748)).max() <= 0.51


def test_a_10_bit_picture_is_rounded_for_vp9() -> None:
    got = plane_arrays(_pack("webm", Shot(pix_fmt="yuv420p10le")))
    meant = np.minimum((plane_arrays(picture("yuv420p10le", 96, 64))[0].astype(int) + 2) >> 2, 255)
    assert np.array_equal(got[0], meant)


def test_rgba_alpha_is_exact_and_rgb_of_rgb_sources_too() -> None:
    got = packed_array(_pack("nut", Shot(pix_fmt="gbrp", color=RGB)))
    green, blue, red = plane_arrays(picture("gbrp", 96, 64))
    for channel, meant in enumerate((red, green, blue, alpha(96, 64))):
        assert np.array_equal(got[..., channel], meant)


def test_padding_repeats_the_edge() -> None:
    got = plane_arrays(_pack("mp4", Shot(width=5, height=3), background="green"))
    assert got[0].shape == (4, 6)
    assert np.array_equal(got[0][:, 5], got[0][:, 4])
    assert np.array_equal(got[0][3], got[0][2])


def test_a_held_picture_is_not_overwritten() -> None:
    """An encoder that still refers to a picture keeps it: reuse must not show through."""
    import av

    encoding = encoding_for(FORMATS["nut"], OutputSettings(), Shot().info)
    packer = Packer(encoding, 96, 64, reporter=ListReporter())
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 96, 64, "rgba", Fraction(1, 25)
    codec.thread_count, codec.thread_type = 8, "FRAME"
    packets = []
    for index in range(12):
        packed = packer.pack(picture("yuv420p", 96, 64, index), BT709, alpha(96, 64, index))
        packed.pts = index
        packets += codec.encode(packed)
    packets += codec.encode(None)
    reader = av.CodecContext.create("png", "r")
    for index, packet in enumerate(packets):
        got = packed_array(reader.decode(packet)[0])
        assert np.array_equal(got[..., 3], alpha(96, 64, index))


def test_the_null_sink_makes_the_planes_that_prores_gets() -> None:
    made = encoding_for(FORMATS["null"], OutputSettings(), Shot().info)
    real = encoding_for(FORMATS["mov"], OutputSettings(), Shot().info)
    assert (made.pix_fmt, made.color, made.alpha_bits) == (real.pix_fmt, real.color, real.alpha_bits)
    assert made.pix_fmt == new_picture("yuva444p10le", 2, 2).format.name
