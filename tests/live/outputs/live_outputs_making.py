"""Live frames from formulas, a machine with virtual cameras in a folder, and back ends that act as the real ones do."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
from sinks.making import BT709, RGB, alpha, picture

from livematte.color import ColorSpec
from livematte.compositing.canvas import Canvas, flat_values
from livematte.config import Settings
from livematte.frames import Frame, Matte, MattedFrame, StreamInfo, Timestamp
from livematte.live.base import LiveFrame, Placeholder
from livematte.live.outputs.camera_backends import System
from livematte.live.outputs.video_nodes import Roots
from livematte.planes import layout, new_picture, plane_arrays

BASE = Fraction(1, 90_000)
WIDTH, HEIGHT = 96, 64
BT601 = ColorSpec("smpte170m", "tv")


def info(pix_fmt: str = "yuv420p", width: int = WIDTH, height: int = HEIGHT, color: ColorSpec = BT709) -> StreamInfo:
    spec = RGB if layout(pix_fmt).is_rgb else color
    return StreamInfo("camera 0", width, height, pix_fmt, spec, BASE, Fraction(30), layout(pix_fmt).bits)


def flat(rgb: tuple[int, int, int], pix_fmt: str, width: int, height: int, color: ColorSpec) -> av.VideoFrame:
    """A picture of one sRGB colour."""
    made = new_picture(pix_fmt, width, height)
    for plane, value in zip(plane_arrays(made), flat_values(rgb, Canvas(width, height, pix_fmt, color)), strict=True):
        plane[:] = value
    return made


@dataclass
class Shot:
    """Frames of a live source."""

    pix_fmt: str = "yuv420p"
    width: int = WIDTH
    height: int = HEIGHT
    color: ColorSpec = BT709
    rgb: tuple[int, int, int] | None = None
    """One colour for composite and foreground; None: gradients."""

    @property
    def spec(self) -> ColorSpec:
        return RGB if layout(self.pix_fmt).is_rgb else self.color

    def shown(self, number: int) -> av.VideoFrame:
        if self.rgb is None:
            return picture(self.pix_fmt, self.width, self.height, number)
        return flat(self.rgb, self.pix_fmt, self.width, self.height, self.spec)

    def frame(
        self, number: int, *, seconds: float | None = None, captured: float | None = None, generation: int = 1,
        composite: bool = True, straight: bool = True, base: Fraction = BASE,
    ) -> LiveFrame:  # fmt: skip
        """`seconds`: the source's own time; `captured`: the capture clock. Both default to 30 a second."""
        when = number / 30 if seconds is None else seconds
        time = Timestamp(round(when / base), base)
        shown = self.shown(number)
        matte = Matte(alpha(self.width, self.height, number), shown)
        matted = MattedFrame(Frame(shown, time, None, number, self.spec), matte) if straight else None
        return LiveFrame(
            number, generation, time, round((1000 + (when if captured is None else captured)) * 1e9), self.spec,
            self.width, self.height, shown if composite else None, matted,
        )  # fmt: skip


def placeholder(rgb: tuple[int, int, int] = (40, 90, 160), width: int = WIDTH, height: int = HEIGHT) -> Placeholder:
    return Placeholder(flat(rgb, "yuv420p", width, height, BT709), BT709, "The camera is off.")


def unpacked(pixel: str, width: int, height: int, sent: np.ndarray) -> list[np.ndarray]:
    """The channels of a camera's bytes: Y, U, V, or R, G, B and, for RGBA, A."""
    if pixel in ("YUYV", "UYVY"):
        quads = sent.reshape(height, width // 2, 4)
        first, blue, second, red = (0, 1, 2, 3) if pixel == "YUYV" else (1, 0, 3, 2)
        luma = np.stack([quads[..., first], quads[..., second]], -1).reshape(height, width)
        return [luma, quads[..., blue], quads[..., red]]
    count = width * height
    if pixel == "I420":
        parts = [sent[:count], sent[count : count * 5 // 4], sent[count * 5 // 4 :]]
        shapes = [(height, width), (height // 2, width // 2), (height // 2, width // 2)]
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
    if pixel == "NV12":
        pairs = sent[count:].reshape(height // 2, width // 2, 2)
        return [sent[:count].reshape(height, width), pairs[..., 0], pairs[..., 1]]
    return list(np.moveaxis(sent.reshape(height, width, len(pixel)), -1, 0))


# -- back ends as pyvirtualcam's are (read in their sources) ---------------------------------------------------

FOURCC = {"raw ": "RGB", "24BG": "BGR", "ABGR": "RGBA", "J400": "GRAY", "I420": "I420", "NV12": "NV12", "YUY2": "YUYV",
          "UYVY": "UYVY"}  # fmt: skip


class FakeCamera:
    """What `pyvirtualcam.register_backend` takes. Keeps copies of what it was sent; never wrote outside the process."""

    takes: ClassVar[frozenset[str]] = frozenset(FOURCC.values())
    refused: ClassVar[str] = "Unsupported image format."
    only_device: ClassVar[str | None] = None
    fails_to_open: ClassVar[str | None] = None
    fails_to_send: ClassVar[bool] = False
    made: ClassVar[list[FakeCamera]] = []

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None, **extra: Any) -> None:
        self.pixel = FOURCC["".join(chr(fourcc >> shift & 255) for shift in (0, 8, 16, 24))]
        if self.pixel not in self.takes:
            raise RuntimeError(self.refused)
        if self.only_device is not None and device not in (None, self.only_device):
            raise ValueError(f"This backend supports only the '{self.only_device}' device.")
        if self.fails_to_open is not None:
            raise RuntimeError(self.fails_to_open.replace("DEVICE", str(device)))
        self.size, self.fps, self.name = (width, height), fps, device or self.only_device or "fake"
        self.pictures: list[np.ndarray] = []
        self.closed = 0
        FakeCamera.made.append(self)

    def send(self, frame: np.ndarray) -> None:
        assert frame.dtype == np.uint8
        assert frame.ndim == 1
        if self.fails_to_send:
            raise RuntimeError("Stream does not exist.")
        self.pictures.append(frame.copy())

    def channels(self, number: int = -1) -> list[np.ndarray]:
        return unpacked(self.pixel, *self.size, self.pictures[number])

    def device(self) -> str:
        return self.name

    def native_fourcc(self) -> int | None:
        return None

    def close(self) -> None:
        self.closed += 1


class FakeLoopback(FakeCamera):
    takes = frozenset({"RGB", "BGR", "GRAY", "I420", "NV12", "YUYV", "UYVY"})


class FakeWindowsObs(FakeCamera):
    takes = frozenset({"RGB", "BGR", "I420", "YUYV"})
    refused = "Unsupported image format, must RGB, BGR, or I420."


class FakeMacObs(FakeCamera):
    takes = frozenset({"RGB", "BGR", "GRAY", "I420", "NV12", "YUYV", "UYVY"})
    only_device = "OBS Virtual Camera"


class FakeUnity(FakeCamera):
    """Takes everything; RGBA as it is."""


class FakeOwn(FakeCamera):
    """A back end that somebody registered under a name of their own; it can tell who watches."""

    formats = ("NV12",)
    takes = frozenset({"NV12"})
    label = "Own Camera"
    watched: ClassVar[int] = 2

    @staticmethod
    def watchers() -> int:
        return FakeOwn.watched


@dataclass
class Machine:
    """A machine's folders, as Linux has them."""

    folder: Path
    system: System = field(init=False)

    def __post_init__(self) -> None:
        roots = Roots(*(self.folder / name for name in ("sys", "dev", "proc", "modules")))
        for path in (roots.sys / "class" / "video4linux", roots.dev, roots.proc, roots.modules):
            path.mkdir(parents=True)
        self.system = System("linux", roots)

    @property
    def roots(self) -> Roots:
        return self.system.roots

    def node(self, number: int, label: str, *, loopback: bool = True) -> str:
        """A video node; returns its path."""
        entry = self.roots.sys / "class" / "video4linux" / f"video{number}"
        entry.mkdir()
        (entry / "name").write_text(label + "\n")
        if loopback:
            (entry / "max_openers").write_text("10\n")
        path = self.roots.dev / f"video{number}"
        path.write_bytes(b"")
        return str(path)

    def format(self, number: int, text: str) -> None:
        """What the module says that a node carries."""
        (self.roots.sys / "class" / "video4linux" / f"video{number}" / "format").write_text(text + "\n")

    def process(self, pid: int, name: str, *holds: str) -> None:
        """A process that has these files open."""
        descriptors = self.roots.proc / str(pid) / "fd"
        descriptors.mkdir(parents=True)
        (descriptors.parent / "comm").write_text(name + "\n")
        for number, path in enumerate(("/dev/null", *holds)):
            (descriptors / str(number)).symlink_to(path)


def settings(**sections: dict[str, Any]) -> Settings:
    return Settings.model_validate(sections)
