"""livematte in a program: alpha and cut-outs of pictures, and of frames one after another.

What comes in may be encoded bytes, a path, a PIL picture, an array or an `av.VideoFrame`; what goes out is of the
same kind. Arrays are RGB or RGBA, uint8 or uint16, (h, w, 3 or 4). OpenCV's arrays are BGR: nobody can tell the two
apart, so it is never guessed; turn them with `cv2.cvtColor(array, cv2.COLOR_BGR2RGB)` first.

The room is gone in cut-outs: colours at the edge are cleaned of it, and under alpha 0 there is one flat colour.

>>> import numpy as np
>>> import livematte
>>> picture = np.zeros((90, 160, 3), np.uint8)
>>> livematte.matte(picture).shape
(90, 160)
>>> livematte.cutout(picture).shape
(90, 160, 4)
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable, Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any, TypeAlias, TypeVar, cast, overload

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from livematte.api_inputs import FrameTaker, Picture
from livematte.color_convert import to_rgb
from livematte.config import MattingSettings, ModelSettings, Quality, Smooth
from livematte.errors import UsageError
from livematte.frames import Frame, MattedFrame
from livematte.matting.host import HostMatting
from livematte.models.load import LoadedModel, load_model
from livematte.models.session import Session as NetworkSession
from livematte.models.session import second_sessions
from livematte.photos.stills import Still, StillMatting, info_of, to_pixels, to_rgba
from livematte.planes import alpha_to_bits
from livematte.reporting import LogReporter, Reporter
from livematte.sources.timing import fraction

Alpha: TypeAlias = npt.NDArray[np.uint8]
"""(h, w) uint8, linear coverage: 255 is all person."""
PixelsT = TypeVar("PixelsT", bound=npt.NDArray[Any])


class Session:
    """A network that is loaded once and used for many pictures. Safe to share between threads; one works at a time.

    >>> import numpy as np
    >>> from livematte import Session
    >>> with Session(quality="fast") as session:
    ...     alpha = session.matte(np.zeros((48, 64, 3), np.uint8))
    >>> alpha.shape, alpha.dtype
    ((48, 64), dtype('uint8'))
    """

    def __init__(
        self,
        model: str = "auto",
        *,
        quality: Quality = "good",
        device: str = "auto",
        refine_with: str | None = None,
        settings: ModelSettings | None = None,
        matting: MattingSettings | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        """model: a network's name (`livematte model list`) or an .onnx file; quality: fast, good or best.
        refine_with: a second network, which sees the box around whom the first one finds, at full detail.

        settings: the whole table of the `model` section, instead of the four before it. matting: edge controls and
        smoothing. Errors: ModelError (unknown or broken), ModelMissing (not on this machine: `livematte model fetch`),
        DeviceError (the device is not there). Nothing is downloaded.
        """
        self._reporter = reporter or LogReporter()
        self._settings = settings or ModelSettings(model=model, quality=quality, device=device, refine_with=refine_with)
        self._matting = matting or MattingSettings()
        self._loaded: LoadedModel | None = load_model(self._settings, reporter=self._reporter)
        self._stills = StillMatting(self._loaded, self._matting, wants_foreground=True, reporter=self._reporter)
        self._lock = threading.Lock()

    def matte(self, image: Picture) -> Alpha:
        """Alpha of one picture: (h, w) uint8, upright by EXIF where the picture came encoded or from PIL."""
        frame, _ = self._frame(image)
        return _to_uint8(self._one(frame).matte.alpha)

    @overload
    def cutout(self, image: bytes) -> bytes: ...
    @overload
    def cutout(self, image: str | os.PathLike[str] | Image.Image) -> Image.Image: ...
    @overload
    def cutout(self, image: PixelsT) -> PixelsT: ...
    @overload
    def cutout(self, image: av.VideoFrame) -> av.VideoFrame: ...
    def cutout(self, image: Picture) -> Any:
        """The person alone, as RGBA: bytes -> PNG bytes, path or PIL -> PIL picture, array -> array, frame -> frame.

        Arrays keep their dtype (uint8 or uint16), PIL pictures and PNG bytes their colour profile. Frames become
        `rgba`, with the time they had.
        """
        frame, still = self._frame(image)
        matted = self._one(frame)
        if isinstance(image, av.VideoFrame):
            return _to_rgba_frame(matted, image)
        rgba = to_rgba(to_pixels(_foreground(matted)), matted.matte.alpha)
        if isinstance(image, np.ndarray):
            return rgba
        picture = Image.fromarray(rgba if rgba.dtype == np.uint8 else (rgba // 257).astype(np.uint8))
        if still is not None and still.icc_profile:
            picture.info["icc_profile"] = still.icc_profile
        if not isinstance(image, bytes):
            return picture
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", icc_profile=still.icc_profile if still else None)
        return buffer.getvalue()

    def matte_frames(
        self, frames: Iterable[Picture], *, frame_rate: float | Fraction = 30, smooth: Smooth | None = None
    ) -> Iterator[Alpha]:
        """Alpha of each frame of a clip, in order, one for one: with the network's memory, and smoothed in time.

        frame_rate: for frames that carry no time of their own (all but `av.VideoFrame`), frames a second. Some
        smoothings look one frame ahead, so the first alpha may come after the second frame was taken.

        >>> import numpy as np
        >>> from livematte import Session
        >>> clip = (np.zeros((48, 64, 3), np.uint8) for _ in range(3))
        >>> with Session(quality="fast") as session:
        ...     [alpha.shape for alpha in session.matte_frames(clip)]
        [(48, 64), (48, 64), (48, 64)]
        """
        rate = Fraction(frame_rate).limit_denominator(100_000)
        settings = self._matting if smooth is None else self._matting.model_copy(update={"smooth": smooth})
        matting: HostMatting | None = None
        take = FrameTaker(self._reporter, rate)
        try:
            for image in frames:
                frame, _ = take(image)
                if matting is None:
                    matting = self._streaming(frame, settings)
                with self._lock:
                    ready = matting.push([frame])
                for matted in ready:
                    yield _to_uint8(matted.matte.alpha)
            if matting is not None:
                for matted in matting.flush():
                    yield _to_uint8(matted.matte.alpha)
        finally:
            if matting is not None:
                matting.close()

    def describe(self) -> str:
        """Network, precision, runtime and device, and what was passed over and why."""
        return self._model().describe()

    def close(self) -> None:
        """Give the network's memory back. Closing twice is allowed."""
        with self._lock:
            self._stills.close()
            if self._loaded is not None:
                self._loaded.close()
            self._loaded = None

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _model(self) -> LoadedModel:
        if self._loaded is None:
            raise UsageError("this Session was closed; make a new one.")
        return self._loaded

    def _frame(self, image: Picture) -> tuple[Frame, Still | None]:
        return FrameTaker(self._reporter, Fraction(1))(image)

    def _streaming(self, frame: Frame, settings: MattingSettings) -> HostMatting:
        return HostMatting(
            NetworkSession(self._model(), is_file=True),
            settings,
            info=info_of(frame),
            wide_alpha=False,
            wants_foreground=False,
            reporter=self._reporter,
            second=second_sessions(self._model(), is_file=True),
        )

    def _one(self, frame: Frame) -> MattedFrame:
        self._model()
        with self._lock:
            return self._stills(frame)


def matte(image: Picture, *, session: Session | None = None) -> Alpha:
    """Alpha of one picture: (h, w) uint8, 255 is all person. Without `session`: the default network, loaded once.

    >>> import numpy as np
    >>> from livematte import matte
    >>> int(matte(np.full((64, 64, 3), 90, np.uint8)).max())  # nobody there
    0
    """
    return (session or _default()).matte(image)


@overload
def cutout(image: bytes, *, session: Session | None = None) -> bytes: ...
@overload
def cutout(image: str | os.PathLike[str] | Image.Image, *, session: Session | None = None) -> Image.Image: ...
@overload
def cutout(image: PixelsT, *, session: Session | None = None) -> PixelsT: ...
@overload
def cutout(image: av.VideoFrame, *, session: Session | None = None) -> av.VideoFrame: ...
def cutout(image: Picture, *, session: Session | None = None) -> Any:
    """The person alone, as RGBA, in the kind that came in (`Session.cutout`).

    >>> from PIL import Image
    >>> from livematte import cutout
    >>> cutout(Image.new("RGB", (80, 60), "navy")).mode
    'RGBA'
    """
    return (session or _default()).cutout(cast(Any, image))


def matte_frames(
    frames: Iterable[Picture],
    *,
    session: Session | None = None,
    frame_rate: float | Fraction = 30,
    smooth: Smooth | None = None,
) -> Iterator[Alpha]:
    """Alpha of each frame of a clip, one for one, smoothed in time (`Session.matte_frames`).

    >>> import numpy as np
    >>> from livematte import matte_frames
    >>> sum(1 for alpha in matte_frames(np.zeros((48, 64, 3), np.uint8) for _ in range(4)))
    4
    """
    return (session or _default()).matte_frames(frames, frame_rate=frame_rate, smooth=smooth)


_default_lock = threading.Lock()
_default_session: list[Session] = []


def _default() -> Session:
    """The session of the plain functions: the default network, loaded at the first call and kept."""
    with _default_lock:
        if not _default_session:
            _default_session.append(Session())
        return _default_session[0]


def _to_uint8(alpha: npt.NDArray[Any]) -> Alpha:
    return cast(Alpha, alpha_to_bits(alpha, 8))


def _foreground(matted: MattedFrame) -> av.VideoFrame:
    assert isinstance(matted.matte.foreground, av.VideoFrame)  # StillMatting was asked for it, on the host
    return matted.matte.foreground


def _to_rgba_frame(matted: MattedFrame, source: av.VideoFrame) -> av.VideoFrame:
    """RGBA of 8 bits with the time of the frame it came from."""
    foreground = _foreground(matted)
    rgb = to_rgb(foreground, matted.frame.color, foreground.width, foreground.height)
    made = av.VideoFrame.from_ndarray(to_rgba(rgb, matted.matte.alpha), format="rgba")
    made.pts = source.pts
    time_base = fraction(source.time_base)
    if time_base is not None:  # a frame that was made, rather than decoded, has none
        made.time_base = time_base
    return made
