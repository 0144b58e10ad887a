"""Clips for the proofs, made on the spot from the demo's portrait: networks for persons find nobody in patterns."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from livematte.demo.clip import PORTRAIT
from proofs import is_rehearsal

PHASES = 24
"""Different pictures of a clip; they are shown forwards and backwards in turn."""


def pictures(width: int, height: int, count: int) -> Iterator[av.VideoFrame]:
    """yuv420p pictures of a person, tagged BT.709: the demo's portrait under a moving camera, with noise."""
    made = [_phase(width, height, phase) for phase in range(min(count, PHASES))]
    turn = [*made, *made[-2:0:-1]]
    for index in range(count):
        planes = turn[index % len(turn)]
        picture = av.VideoFrame(width, height, "yuv420p")
        for plane, values in zip(picture.planes, planes, strict=True):
            view = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
            view[:, : plane.width] = values
        picture.pts, picture.time_base = index, Fraction(1, 30)
        picture.colorspace, picture.color_range = 1, 1
        yield picture


def _phase(width: int, height: int, phase: int) -> list[np.ndarray]:
    portrait = cv2.cvtColor(np.asarray(Image.open(PORTRAIT).convert("RGB")), cv2.COLOR_RGB2BGR)
    scale = height / portrait.shape[0] * (1.1 + 0.004 * phase)
    left = width / 2 - scale * portrait.shape[1] * (0.45 + 0.003 * phase)
    moved = np.float32([[scale, 0, left], [0, scale, -0.04 * height]])
    shown = cv2.warpAffine(portrait, moved, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    noise = np.random.default_rng(phase).integers(-3, 4, (height, width, 1), np.int16)
    noisy = np.clip(shown + noise, 0, 255).astype(np.uint8)
    block = cv2.cvtColor(noisy, cv2.COLOR_BGR2YUV_I420)
    luma, chroma = block[:height], block[height:].reshape(2, height // 2, width // 2)
    return [luma, chroma[0], chroma[1]]


@contextmanager
def clip(width: int, height: int, count: int, *, codec: str = "libx264", pix_fmt: str = "yuv420p") -> Iterator[Path]:
    """A file of that many pictures with B-frames; a few in a rehearsal."""
    if is_rehearsal():
        width, height, count = 320, 180, min(count, 8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with av.open(str(path), "w") as container:
            options = {"preset": "ultrafast", "crf": "20", "bf": "2", "x265-params": "log-level=none"}
            stream = container.add_stream(codec, rate=30, options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            for picture in pictures(width, height, count):
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        yield path
