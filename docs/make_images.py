"""Writes docs/images/before-after.jpg from the demo's own output: livematte demo && python docs/make_images.py"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from livematte.config import InputSettings
from livematte.demo.show import CLIP, COMPOSITE, DEMO_FOLDER, MOV
from livematte.frames import Frame
from livematte.reporting import ListReporter
from livematte.sheet import checker
from livematte.sources import open_source

SIDE_PX = 480
MOMENT = 45
"""Which frame: late enough that the head fills the picture."""


def main() -> None:
    """Before, over checker as the MOV really holds it, and over the demo's background; under 300 KB."""
    before, after, composite = (_frame(DEMO_FOLDER / name) for name in (CLIP, MOV, COMPOSITE))
    assert after.alpha is not None
    peak = 255 if after.alpha.dtype == np.uint8 else 65535
    alpha = Image.fromarray((after.alpha / peak * 255).round().astype(np.uint8)).resize((SIDE_PX, SIDE_PX))
    cut = Image.fromarray(checker(SIDE_PX, SIDE_PX, 16))
    cut.paste(Image.fromarray(after.rgb(width=SIDE_PX, height=SIDE_PX)), mask=alpha)
    panels = [before.rgb(width=SIDE_PX, height=SIDE_PX), np.asarray(cut), composite.rgb(width=SIDE_PX, height=SIDE_PX)]
    path = Path(__file__).resolve().parent / "images" / "before-after.jpg"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.hstack(panels)).save(path, quality=88, optimize=True)
    assert path.stat().st_size < 300_000


def _frame(path: Path) -> Frame:
    source = open_source(str(path), InputSettings(), reporter=ListReporter())
    try:
        return next(item for item in source if isinstance(item, Frame) and item.index == MOMENT)
    finally:
        source.close()


if __name__ == "__main__":
    main()
