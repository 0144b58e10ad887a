"""What stands behind the person, for composites that are made on the device."""

from __future__ import annotations

from collections.abc import Sequence

from livematte.color import ColorSpec
from livematte.compositing.backgrounds import Background, open_background, parse_colour
from livematte.compositing.canvas import Canvas, flat_values
from livematte.compositing.compositor import parse_blur
from livematte.errors import UsageError
from livematte.frames import Composite, MattedFrame
from livematte.matting.device.slots import Behind, Slot
from livematte.matting.device.transfer import PictureLayout
from livematte.planes import PlaneArray
from livematte.reporting import Reporter
from livematte.runtimes.kernels.parameters import set_blur, set_colour


class Backdrop:
    """One background. Colours and the blur's radius are values of a slot's block, pictures and videos are planes."""

    def __init__(self, text: str | None, *, reporter: Reporter) -> None:
        """`text`: what `--background` names (`compositing.backgrounds.KINDS`); None: no composites are made.

        UsageError: no such kind; SourceError: a file that cannot be read.
        """
        self.kind: Behind = "nothing"
        self._colour: tuple[int, int, int] | None = None
        self._blur_px: float | None = None
        self._planes: Background | None = None
        if text is None:
            return
        self._blur_px = parse_blur(text)
        self._colour = parse_colour(text) if self._blur_px is None else None
        if self._blur_px is not None:
            self.kind = "blur"
        elif self._colour is not None:
            self.kind = "colour"
        else:
            self.kind, self._planes = "planes", open_background(text, reporter=reporter)

    def write(self, slot: Slot, at: PictureLayout, color: ColorSpec) -> None:
        """The values that do not change from frame to frame, into the slot's block.

        UsageError: a blur that is too narrow or too wide for the kernels at this size.
        """
        if self._colour is not None:
            set_colour(slot.block, flat_values(self._colour, Canvas(at.width, at.height, at.sw_format, color)))
        if self._blur_px is not None:
            try:
                set_blur(slot.block, self._blur_px * at.height / 1080, at.width, at.height)
            except ValueError as error:
                raise UsageError(f"--background blur={self._blur_px:g}: {error}") from error

    def planes(self, at: PictureLayout, color: ColorSpec, seconds: float) -> Sequence[PlaneArray] | None:
        """The background's planes at this moment; the same object as long as they are the same. None: it has none."""
        if self._planes is None:
            return None
        return self._planes.planes(Canvas(at.width, at.height, at.sw_format, color), seconds)

    def close(self) -> None:
        """Give files back."""
        if self._planes is not None:
            self._planes.close()


class ReadyCompositor:
    """`pipeline.Compositing` for mattes whose composite was made on the device already."""

    def composite(self, matted: MattedFrame) -> Composite | None:
        """The composite that came down with the matte; None where none was made."""
        made = matted.matte.composite
        return None if made is None else Composite(made, matted)

    def close(self) -> None:
        """Nothing is held."""
