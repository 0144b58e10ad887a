"""Pictures that a decoder left on the device: copied once, turned upright, and given back no sooner."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from cases import difference
from host_reference import HostReference
from rigging import Clip, load, make
from surfaces import Decoder

from livematte.config import MattingSettings
from livematte.errors import DeviceError
from livematte.frames import DevicePicture
from livematte.planes import plane_arrays

PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le"}


def decoded_run(machine, folder: Path, seed: int, *, sw_format="nv12", rotation=0, kind=None, slots=3, **more):
    """(matted frames, what they must be, the matting's copies)."""
    driver, kernels = machine(seed)
    clip = Clip(seed, 64, 48, PLANAR[sw_format], count=5, cuts=(3,))
    loaded = load(folder)
    matting = make(loaded, driver, kernels, clip, slots=slots, **({"kind": kind} if kind else {}), **more)
    decoder = Decoder(driver, sw_format, rotation=rotation)
    matted = [one for frame in decoder.frames(clip.frames()) for one in matting.push([frame])] + matting.flush()
    matting.close()
    gc.collect()
    assert decoder.released == 5
    decoder.close()
    foreground, background = more.pop("foreground", True), more.pop("background", None)
    settings = MattingSettings(**more)
    reference = HostReference(loaded, settings, clip.info(), wide=False, foreground=foreground, background=background)
    return matted, reference.run(clip.frames()), matting.copies


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("sw_format", ["nv12", "p010le"])
def test_it_equals_the_reference(sw_format: str, rotation: int, machine, tmp_path: Path) -> None:
    matted, expected, copies = decoded_run(machine, tmp_path, rotation + 1, sw_format=sw_format, rotation=rotation)
    assert difference(matted, expected) <= 1
    assert copies.across == 2 * 5
    assert copies.up == 5  # blocks of parameters alone
    assert copies.down == 3 * 5  # statistics, alpha, foreground
    assert all(one.frame.picture is one.matte.foreground for one in matted)
    assert matted[0].matte.foreground.format.name == PLANAR[sw_format]


def test_guided_alpha_reads_the_high_bits(machine, tmp_path: Path) -> None:
    matted, expected, _ = decoded_run(machine, tmp_path, 9, sw_format="p010le", refine="guided", slots=1)
    assert difference(matted, expected) <= 1


def test_alpha_alone_leaves_a_picture_without_memory(machine, tmp_path: Path) -> None:
    matted, expected, copies = decoded_run(machine, tmp_path, 10, foreground=False)
    assert difference(matted, expected) <= 1
    assert copies.down == 2 * 5
    for one in matted:
        assert isinstance(one.frame.picture, DevicePicture)
        assert (one.frame.width, one.frame.height) == (64, 48)
        assert one.frame.picture.planes == ()
        assert one.frame.picture.owner is None


def test_colours_that_are_kept_come_down_as_they_are(machine, tmp_path: Path) -> None:
    matted, _, _ = decoded_run(machine, tmp_path, 11, keep_background=True)
    for one, frame in zip(matted, Clip(11, 64, 48, count=5, cuts=(3,)).frames(), strict=True):
        pairs = zip(plane_arrays(one.matte.foreground), plane_arrays(frame.picture), strict=True)
        assert all((mine == theirs).all() for mine, theirs in pairs)


def test_composites_take_the_pictures_place(machine, tmp_path: Path) -> None:
    matted, expected, _ = decoded_run(machine, tmp_path, 12, foreground=False, background="blur=400")
    assert difference(matted, expected) <= 1
    assert all(one.frame.picture is one.matte.composite for one in matted)


def test_the_host_decoder_may_take_over(machine, tmp_path: Path) -> None:
    """A source that goes on with the CPU decoder changes where pictures lie, not the scene."""
    driver, kernels = machine(13)
    clip = Clip(13, 64, 48, count=6, cuts=())
    loaded = load(tmp_path)
    matting = make(loaded, driver, kernels, clip, temporal="none")
    decoder = Decoder(driver, "nv12")
    frames = clip.frames()
    matted = [one for frame in decoder.frames(frames[:3]) for one in matting.push([frame])]
    matted += [one for frame in frames[3:] for one in matting.push([frame])] + matting.flush()
    matting.close()
    decoder.close()
    settings = MattingSettings(temporal="none")
    expected = HostReference(loaded, settings, clip.info(), wide=False, foreground=True).run(frames)
    assert difference(matted, expected) <= 1


def test_a_surface_format_without_kernels(machine, tmp_path: Path) -> None:
    driver, kernels = machine(14)
    clip = Clip(14, 64, 48, count=1)
    matting = make(load(tmp_path), driver, kernels, clip)
    frame = clip.frames()[0]
    frame.picture = DevicePicture(((1, 64),), 64, 48, "yuv444p16le", frame.color, None)
    with pytest.raises(DeviceError, match="yuv444p16le"):
        matting.push([frame])
    matting.close()
