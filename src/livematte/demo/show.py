"""The demo's run: make the clip, convert it as anybody would, and show the result on a contact sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from livematte.config import InputSettings, MattingSettings, ModelSettings, OutputSettings, Settings
from livematte.conversion import Conversion, ConvertSummary
from livematte.demo.clip import FRAME_RATE, FRAMES, SIZE_PX, write_clip
from livematte.errors import AlphaLost, SinkError
from livematte.frames import Frame
from livematte.models.load import LoadedModel, load_model
from livematte.progress import Observer
from livematte.reporting import Reporter
from livematte.sheet import Cell, contact_sheet, shrunk_alpha
from livematte.sources import open_source

DEMO_FOLDER = Path("livematte-demo")
CLIP, MOV, WEBM, PAGE = "clip.mp4", "transparent.mov", "transparent.webm", "page.html"
BACKGROUND, COMPOSITE, SHEET = "background.png", "composite.mp4", "sheet.png"
CREDIT = "Portrait: NASA, Eileen Collins, GPN-2000-001177, public domain."
_PICTURES = 6
_CELL_PX = 320

_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>livematte demo</title>
<style>
body { margin: 0; min-height: 100vh; display: grid; place-items: center;
       background: repeating-conic-gradient(#c8f 0 25%, #fff 0 50%) 0 0 / 48px 48px; }
video { max-width: 90vmin; }
</style>
<video src="transparent.webm" autoplay loop muted playsinline></video>
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """One file of the demo and a program that shows it."""

    path: Path
    what: str
    program: str


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo did."""

    transparent: ConvertSummary
    composite: ConvertSummary
    files: tuple[Shown, ...]


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How the demo's clip is matted, and who listens."""

    model: ModelSettings
    matting: MattingSettings
    reporter: Reporter
    status: Callable[[str], None]
    """Gets one line before each of the two conversions: device, runtime, model, decoder, encoders."""
    observer: Observer | None = None


def run_demo(folder: Path, options: DemoOptions) -> Demo:
    """Write the demo's files into `folder`, replacing those of an earlier demo, and say where each is seen.

    Raises what a conversion raises, and `SinkError` where the folder cannot be written.
    """
    _prepare(folder)
    write_clip(folder / CLIP)
    loaded = load_model(options.model, reporter=options.reporter)
    try:
        transparent = _convert(folder, [MOV, WEBM], None, loaded, options)
        composite = _convert(folder, [COMPOSITE], str(folder / BACKGROUND), loaded, options)
    finally:
        loaded.close()
    lines = [CREDIT, f"Read back from {MOV}, as {loaded.describe()} made it."]
    Image.fromarray(contact_sheet(_cells(folder, options.reporter), lines)).save(folder / SHEET)
    return Demo(transparent, composite, _files(folder))


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PAGE).write_text(_PAGE, encoding="utf-8")
        Image.fromarray(_background()).save(folder / BACKGROUND)
    except OSError as error:
        raise SinkError(
            f"the demo writes into the folder {folder}, which cannot be written: {error.strerror or error}. Run it "
            "in a folder of your own, or name another one with -o DIR."
        ) from error


def _background() -> npt.NDArray[np.uint8]:
    """(SIZE_PX, SIZE_PX, 3): an evening sky by a formula, dark above and orange below."""
    height = np.linspace(0.0, 1.0, SIZE_PX)[:, None, None]
    top, middle, bottom = np.array([24, 32, 88.0]), np.array([196, 92, 120.0]), np.array([255, 190, 110.0])
    upper = top + (middle - top) * np.minimum(height * 1.6, 1.0)
    sky = upper + (bottom - upper) * np.clip((height - 0.55) / 0.45, 0.0, 1.0)
    return np.asarray(np.broadcast_to(np.rint(sky), (SIZE_PX, SIZE_PX, 3)).astype(np.uint8))


def _convert(
    folder: Path, names: list[str], background: str | None, loaded: LoadedModel, options: DemoOptions
) -> ConvertSummary:
    settings = Settings(
        model=options.model,
        matting=options.matting,
        output=OutputSettings(overwrite=True, background=background),
    )
    targets = [str(folder / name) for name in names]
    conversion = Conversion(str(folder / CLIP), targets, settings, options.reporter, loaded)
    conversion.prepare()
    options.status(conversion.status)
    return conversion.run(options.observer)


def _cells(folder: Path, reporter: Reporter) -> list[Cell]:
    """Six moments, read from the files: the clip's picture, and colours and alpha out of the transparent MOV."""
    wanted = {round((number + 0.5) * FRAMES / _PICTURES) for number in range(_PICTURES)}
    cells = []
    pairs = zip(_frames(folder / CLIP, reporter), _frames(folder / MOV, reporter), strict=True)
    for number, (before, after) in enumerate(pairs):
        if number in wanted:
            cells.append(_cell(before, after, f"{number / float(FRAME_RATE):.2f} s"))
    return cells


def _cell(before: Frame, after: Frame, label: str) -> Cell:
    alpha = after.alpha
    if alpha is None:
        raise AlphaLost(f"{MOV} came back without alpha.")
    side = _CELL_PX
    return Cell(
        source=before.rgb(width=side, height=side),
        foreground=after.rgb(width=side, height=side),
        alpha=shrunk_alpha(alpha, side, side),
        label=label,
    )


def _frames(path: Path, reporter: Reporter) -> Iterator[Frame]:
    with closing(open_source(str(path), InputSettings(), reporter=reporter)) as source:
        for item in source:
            if isinstance(item, Frame):
                yield item


def _files(folder: Path) -> tuple[Shown, ...]:
    shown = (
        (SHEET, "six frames: before, over checker, over magenta", "any picture viewer"),
        (MOV, "transparent, ProRes 4444", "DaVinci Resolve, Premiere Pro, Final Cut Pro, or OBS"),
        (WEBM, "transparent, VP9", f"Chrome, Edge or Firefox: open {PAGE} beside it"),
        (COMPOSITE, "over another background, H.264", "any video player"),
        (CLIP, "the clip it was made from", "any video player"),
    )
    return tuple(Shown(folder / name, what, program) for name, what, program in shown)
