"""Slot payloads from formulas, and a process that writes them; a spawned child imports this module."""

from __future__ import annotations

import time
from fractions import Fraction
from multiprocessing.connection import Connection

import numpy as np
from formula_pictures import noise, picture_of

from livematte.color import ColorSpec
from livematte.frames import StreamInfo, Timestamp
from livematte.live.ring import Ring
from livematte.live.ring_slot import SlotPayload
from livematte.planes import layout

COLOR = ColorSpec("bt709", "tv", "bt709", "iec61966-2-1", frozenset({"color_range"}))


def info_of(width: int, height: int, pix_fmt: str = "yuv420p") -> StreamInfo:
    rate = Fraction(30000, 1001)
    return StreamInfo("formula", width, height, pix_fmt, COLOR, 1 / rate, rate, bits=layout(pix_fmt).bits)


def payload_of(
    number: int,
    width: int,
    height: int,
    pix_fmt: str = "yuv420p",
    *,
    composite: bool = True,
    alpha: type | None = np.uint8,
    before: tuple[int, int] | None = None,
) -> SlotPayload:
    """Noise everywhere, another one for each number. `before` is (width, height)."""
    random = np.random.default_rng(number)
    straight = alpha is not None
    return SlotPayload(
        number=number,
        generation=3,
        time=Timestamp(1001 * number, Fraction(1, 30000)),
        duration=1001,
        captured_ns=1_000_000_007 * (number + 1),
        color=COLOR,
        pix_fmt=pix_fmt,
        width=width,
        height=height,
        composite=picture_of(pix_fmt, noise(pix_fmt, height, width, number)) if composite else None,
        foreground=picture_of(pix_fmt, noise(pix_fmt, height, width, number + 1000)) if straight else None,
        alpha=random.integers(0, np.iinfo(alpha).max + 1, (height, width), alpha) if alpha is not None else None,
        before=random.integers(0, 256, (before[1], before[0], 3), np.uint8) if before is not None else None,
    )


def write_and_wait(name: str, connection: Connection) -> None:
    """A child: write one frame into the ring, tell, and live on."""
    ring = Ring.attach(name)
    connection.send(ring.write(payload_of(7, 64, 48)))
    time.sleep(600)
