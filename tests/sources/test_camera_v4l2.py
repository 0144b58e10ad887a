"""V4L2's structures, byte by byte as the kernel's header lays them out (made with it by a C compiler), and a device."""

from __future__ import annotations

import errno
import os
import struct
import sys
from fractions import Fraction

import pytest

from livematte.sources import camera_v4l2 as v4l2
from livematte.sources.camera_modes import Mode

CAPABILITY = bytes.fromhex(
    "757663766964656f000000000000000048442050726f2057656263616d204339323000000000000000000000000000007573622d30303030"
    "3a30303a31342e302d310000000000000000000000000000000106000100a08401002004000000000000000000000000"
)
FORMAT = bytes.fromhex("010000000100000001000000" + b"Motion-JPEG".ljust(32, b"\0").hex() + "4d4a5047" + "00" * 16)
SIZE_DISCRETE = bytes.fromhex("020000004d4a50470100000000050000d0020000" + "00" * 24)
SIZE_STEPWISE = bytes.fromhex(
    "00000000595559560300000020000000200a0000100000002000000098070000020000000000000000000000"
)
SIZE_CONTINUOUS = bytes.fromhex(
    "00000000595559560200000030000000000f0000010000002000000070080000010000000000000000000000"
)
RATE_DISCRETE = bytes.fromhex("000000004d4a504700050000d002000001000000010000001e000000" + "00" * 24)
RATE_CONTINUOUS = bytes.fromhex(
    "000000005955595600050000d0020000020000000100000078000000010000000200000001000000010000000000000000000000"
)


def test_the_structures_have_the_kernels_sizes() -> None:
    sizes = [len(one) for one in (CAPABILITY, FORMAT, SIZE_DISCRETE, SIZE_STEPWISE, RATE_DISCRETE, RATE_CONTINUOUS)]
    assert sizes == [104, 64, 44, 44, 52, 52]
    requests = (v4l2.QUERYCAP, v4l2.ENUM_FMT, v4l2.ENUM_FRAMESIZES, v4l2.ENUM_FRAMEINTERVALS)
    assert [request >> 16 & 0x3FFF for request in requests] == [104, 64, 44, 52]


def test_a_capability() -> None:
    found = v4l2.parse_capability(CAPABILITY)
    assert (found.driver, found.card, found.bus) == ("uvcvideo", "HD Pro Webcam C920", "usb-0000:00:14.0-1")
    assert found.device_caps == 0x04200001
    assert found.captures
    assert not any((found.outputs, found.is_codec, found.is_multi_planar, found.is_loopback))


@pytest.mark.parametrize(
    ("driver", "caps", "captures", "outputs"),
    [
        ("uvcvideo", 0x04A00000, False, False),  # metadata
        ("v4l2 loopback", 0x05200002, False, True),  # exclusive_caps, nobody writes
        ("v4l2 loopback", 0x05200001, True, False),  # exclusive_caps, somebody writes
        ("v4l2 loopback", 0x05200003, True, True),
        ("bcm2835-codec", 0x04208001, False, False),  # memory to memory
        ("qcom-camss", 0x04201000, False, False),  # several planes
        ("uvcvideo", 0x00200001, False, False),  # no streaming
    ],
)
def test_kinds_of_nodes(driver: str, caps: int, captures: bool, outputs: bool) -> None:
    found = v4l2.Capability(driver, "x", "y", caps)
    assert (found.captures, found.outputs) == (captures, outputs)
    assert found.is_loopback == driver.startswith("v4l2")


def test_formats_sizes_and_rates() -> None:
    assert v4l2.parse_format(FORMAT) == "MJPG"
    assert v4l2.parse_sizes(SIZE_DISCRETE) == [(1280, 720)]
    assert v4l2.parse_sizes(SIZE_STEPWISE)[-1] == (2592, 1944)
    assert (640, 480) in v4l2.parse_sizes(SIZE_STEPWISE)
    assert (1280, 720) in v4l2.parse_sizes(SIZE_CONTINUOUS)
    assert v4l2.parse_rates(RATE_DISCRETE) == [30]
    assert v4l2.parse_rates(RATE_CONTINUOUS) == [2, 15, 24, 25, 30, 50, 60, 120]


class Device:
    """A camera that answers as drivers do: EINVAL at the end of each list."""

    def __init__(self, formats: dict[str, dict[tuple[int, int], list[tuple[int, int]]]]) -> None:
        self.formats = formats
        self.asked = 0

    def __call__(self, request: int, data: bytearray) -> None:
        self.asked += 1
        index = struct.unpack_from("<I", data)[0]
        try:
            if request == v4l2.QUERYCAP:
                data[:] = CAPABILITY
            elif request == v4l2.ENUM_FMT:
                assert struct.unpack_from("<I", data, 4)[0] == 1
                struct.pack_into("<4s", data, 44, list(self.formats)[index].encode())
            else:
                sizes = self.formats[bytes(data[4:8]).decode()]
                if request == v4l2.ENUM_FRAMESIZES:
                    struct.pack_into("<III", data, 8, 1, *list(sizes)[index])
                else:
                    seconds = sizes[struct.unpack_from("<II", data, 8)][index]
                    struct.pack_into("<III", data, 16, 1, *seconds)
        except IndexError:
            raise OSError(errno.EINVAL, "Invalid argument") from None


def test_a_device_is_asked_for_everything() -> None:
    device = Device(
        {
            "YUYV": {(640, 480): [(1, 30), (1, 15)], (1280, 720): [(1, 10)]},
            "MJPG": {(1280, 720): [(1001, 30000)]},
            "Z16 ": {(640, 480): [(1, 30)]},
            "H264": {(1920, 1080): []},
        }
    )
    assert v4l2.capability(device).card == "HD Pro Webcam C920"
    assert v4l2.modes(device) == [
        Mode(640, 480, Fraction(15), "yuyv422"),
        Mode(640, 480, Fraction(30), "yuyv422"),
        Mode(1280, 720, Fraction(10), "yuyv422"),
        Mode(1280, 720, Fraction(30000, 1001), "mjpeg"),
        Mode(1920, 1080, Fraction(30), "h264"),  # a driver that tells no rates
    ]


def test_a_driver_that_never_ends_its_list() -> None:
    class Endless(Device):
        def __call__(self, request: int, data: bytearray) -> None:
            if request == v4l2.ENUM_FMT:
                struct.pack_into("<I", data, 0, 0)
            super().__call__(request, data)

    device = Endless({"YUYV": {(640, 480): [(1, 30)]}})
    assert v4l2.modes(device) == [Mode(640, 480, Fraction(30), "yuyv422")]
    assert device.asked < 2000


def test_an_unplugged_device_is_no_empty_list() -> None:
    def gone(request: int, data: bytearray) -> None:
        raise OSError(errno.ENODEV, "No such device")

    with pytest.raises(OSError, match="No such device"):
        v4l2.modes(gone)


@pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux'")
def test_a_file_is_no_camera() -> None:
    with pytest.raises(OSError) as caught, v4l2.opened(os.devnull) as ioctl:  # noqa: PT011  the number says which
        v4l2.capability(ioctl)
    assert caught.value.errno == errno.ENOTTY
