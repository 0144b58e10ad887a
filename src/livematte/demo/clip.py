"""A short clip with a moving camera, made from one portrait.

The portrait is NASA's of the astronaut Eileen Collins (NASA image GPN-2000-001177, public domain), at 512x512 as
scikit-image ships it.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from livematte.errors import SinkError

PORTRAIT = Path(__file__).with_name("portrait.jpg")
SIZE_PX = 720
"""Width and height of the clip."""
FRAME_RATE = Fraction(24)
FRAMES = 60
"""2.5 seconds: long enough to see the matte hold still, short enough for a minute on two cores."""

_NOISE_PATTERNS = 4
"""Patterns of sensor noise that are made and then used in turn, shifted: making one costs more than a frame's matte."""
_NOISE_SIGMA = 2.0
"""Standard deviation of the noise in 8-bit steps: a phone indoors."""


def write_clip(path: Path) -> None:
    """Write the clip as H.264 in MP4, BT.709 and tagged. Its pictures are always the same.

    Raises `SinkError` where the file cannot be written.
    """
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "14", "preset": "veryfast"})
            stream.width = stream.height = SIZE_PX
            stream.pix_fmt = "yuv420p"
            _tag(stream.codec_context)
            for number, picture in enumerate(clip_pictures()):
                frame = _to_frame(picture)
                frame.pts, frame.time_base = number, 1 / FRAME_RATE
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except OSError as error:
        raise SinkError(f"{path} cannot be written: {error.strerror or error}.") from error


def clip_pictures() -> list[npt.NDArray[np.uint8]]:
    """The clip's pictures, (SIZE_PX, SIZE_PX, 3) uint8 RGB."""
    with Image.open(PORTRAIT) as opened:
        portrait = np.asarray(opened.convert("RGB"))
    random = np.random.default_rng(1)
    shape = (SIZE_PX, SIZE_PX, 1)
    noise = [random.normal(0, _NOISE_SIGMA, shape).astype(np.float32) for _ in range(_NOISE_PATTERNS)]
    return [_picture(portrait, number, noise) for number in range(FRAMES)]


def _picture(
    portrait: npt.NDArray[np.uint8], number: int, noise: list[npt.NDArray[np.float32]]
) -> npt.NDArray[np.uint8]:
    moved = cv2.warpAffine(
        portrait, camera(number), (SIZE_PX, SIZE_PX), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    exposure = 1.0 + 0.06 * math.sin(2 * math.pi * number / FRAMES)
    pattern = np.roll(noise[number % len(noise)], (37 * number, 53 * number), axis=(0, 1))
    exposed = np.asarray(moved, np.float32) * exposure + pattern
    return np.asarray(np.clip(exposed, 0, 255).round(), np.uint8)


def camera(number: int) -> npt.NDArray[np.float64]:
    """(2, 3) affine matrix from the portrait to frame `number`: a slow zoom and pan, held by an unsteady hand.

    Head and shoulders, as a webcam or a phone sees a person; the face is at about (225, 110) of the portrait.
    """
    progress = number / (FRAMES - 1)
    eased = progress * progress * (3 - 2 * progress)
    window = 332.0 - 42.0 * eased
    seconds = number / float(FRAME_RATE)
    shake_x = 2.2 * math.sin(7.1 * seconds) + 1.1 * math.sin(17.3 * seconds + 1.0)
    shake_y = 1.8 * math.sin(8.7 * seconds + 2.0) + 0.9 * math.sin(19.9 * seconds)
    angle = math.radians(0.7 * math.sin(3.1 * seconds))
    center_x = 214.0 + 12.0 * eased + shake_x
    center_y = 173.0 - 19.0 * eased + shake_y
    scale = SIZE_PX / window
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    half = SIZE_PX / 2
    return np.array(
        [
            [cos, -sin, half - cos * center_x + sin * center_y],
            [sin, cos, half - sin * center_x - cos * center_y],
        ]
    )


def _to_frame(picture: npt.NDArray[np.uint8]) -> av.VideoFrame:
    """RGB to BT.709 limited-range 4:2:0, said explicitly: swscale's own choice would be BT.601."""
    full = av.VideoFrame.from_ndarray(picture, format="rgb24")
    return full.reformat(format="yuv420p", dst_colorspace=1, dst_color_range=1)


def _tag(context: av.VideoCodecContext) -> None:
    context.colorspace = context.color_primaries = context.color_trc = context.color_range = 1
