"""The null output: counts, and hands out what a virtual camera would have got."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from live_outputs_making import Shot, flat, info, placeholder, settings, unpacked

from livematte.color import ColorSpec
from livematte.live.outputs.camera_pixels import Bytes
from livematte.live.outputs.null import NullOutput, Received
from livematte.planes import plane_arrays
from livematte.reporting import ListReporter


def test_it_counts_and_hands_out_what_a_camera_would_get() -> None:
    got: list[tuple[Received, Bytes]] = []
    output = NullOutput(
        "null", settings(), reporter=ListReporter(), kept=3, receive=lambda one, sent: got.append((one, sent.copy()))
    )
    output.open(info(), Fraction(30))
    first, second, card = Shot(rgb=(200, 150, 120)).frame(0), Shot().frame(1), placeholder()
    for item in (first, first, second, card, card):
        output.send(item)
    assert (output.frames, output.placeholders, output.repeats) == (2, 1, 2)
    assert [one.is_repeat for one, _ in got] == [False, True, False, False, True]
    assert [one.item for one in output.received] == [second, card, card]
    assert [one.sent_ns for one, _ in got] == sorted(one.sent_ns for one, _ in got)
    wanted = plane_arrays(flat((200, 150, 120), "yuv422p", 96, 64, ColorSpec("smpte170m", "tv")))
    for channel, plane in zip(unpacked("YUYV", 96, 64, got[1][1]), wanted, strict=True):
        assert np.abs(channel.astype(int) - plane).max() <= 1
    output.close()


def test_it_keeps_nothing_unless_asked_and_watchers_can_be_set() -> None:
    output = NullOutput("null", settings(), reporter=ListReporter())
    output.open(info(), Fraction(30))
    output.send(Shot().frame(0))
    assert not output.received
    assert output.watchers() is None
    output.watched = 0
    assert output.watchers() == 0
    output.close()
