"""Real v4l2loopback nodes, where this machine has them: written by the output, read back through FFmpeg.

`sudo modprobe v4l2loopback devices=1 video_nr=10 exclusive_caps=1 max_buffers=2 card_label="livematte"` makes one.
"""

from __future__ import annotations

import threading
from fractions import Fraction

import av
import numpy as np
import pytest
from live_outputs_making import BT601, Shot, flat, info, settings

from livematte.errors import SinkError
from livematte.live.outputs.camera_backends import System
from livematte.live.outputs.loopback import Node, nodes
from livematte.live.outputs.video_nodes import Roots, capabilities, present_size
from livematte.live.outputs.virtual_camera import VirtualCameraOutput
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter


@pytest.fixture
def node() -> Node:
    pytest.importorskip("pyvirtualcam", reason="the extra 'webcam' is not installed")
    loops = [one for one in nodes(Roots()) if one.is_loopback]
    if not loops:
        pytest.skip("no v4l2loopback node at /dev/video* on this machine")
    return loops[0]


def output_to(node: Node) -> VirtualCameraOutput:
    return VirtualCameraOutput(
        "virtual", settings(live={"device_name": node.path}), reporter=ListReporter(), system=System()
    )


def test_what_is_written_is_read_back_by_another_reader(node: Node) -> None:
    output, stop = output_to(node), threading.Event()
    output.open(info(width=320, height=240), Fraction(30))
    frame = Shot(width=320, height=240, rgb=(200, 150, 120)).frame(0)

    def write() -> None:
        while not stop.wait(1 / 30):
            output.send(frame)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with av.open(node.path, format="v4l2") as container:
            picture = next(container.decode(video=0))
        assert output.watchers() == 0  # ourselves do not count
    finally:
        stop.set()
        writer.join()
        output.close()
    assert (picture.width, picture.height, picture.format.name) == (320, 240, "yuyv422")
    wanted = flat((200, 150, 120), "yuv422p", 320, 240, BT601)
    for plane, value in zip(plane_arrays(picture.reformat(format="yuv422p")), plane_arrays(wanted), strict=True):
        assert np.abs(plane.astype(int) - value).max() <= 2


def test_its_capabilities_and_size_can_be_asked(node: Node) -> None:
    output = output_to(node)
    output.open(info(width=320, height=240), Fraction(30))
    output.send(Shot(width=320, height=240).frame(0))
    assert capabilities(node.path) is not None
    assert present_size(node.path, Roots()) in ((320, 240), None)
    output.close()


def test_a_second_writer_is_refused(node: Node) -> None:
    first = output_to(node)
    first.open(info(width=320, height=240), Fraction(30))
    try:
        first.send(Shot(width=320, height=240).frame(0))
        with pytest.raises(SinkError):
            output_to(node).open(info(width=320, height=240), Fraction(30))
    finally:
        first.close()
