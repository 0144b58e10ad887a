"""Where the commands keep what they share: caches of decoded pictures and the validation set, in one folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import torch

from training import pictures, validation
from training.files import Files
from training.pictures import Loaded
from training.sources import DataList, Holdout, Part, Sources
from training.validation import HeldOut


@dataclass(frozen=True)
class Workspace:
    """Paths and settings of the data; everything else is derived."""

    data: Path
    """Pictures and labels, as a folder or as parts (see files.Files)."""
    folder: Path
    """Scratch: 6 GB at 448 pixels."""
    side: int = 448
    """Longest side of a cached picture; pictures are at most 512."""
    without: Collection[str] = ()
    """Sources left out, by name."""
    workers: int = 2
    holdout: Holdout | None = None
    """None: the one in holdout.txt."""

    def load(self, part: Part, device: torch.device) -> Loaded:
        """The pictures of a part on `device`, decoded first if they are not yet."""
        files = Files.open(self.data)
        listed = DataList.read(files, Sources.read(without=self.without), self.holdout or Holdout.read(), part)
        folder = self.folder / "cache" / part
        return pictures.load(files, listed, folder, side=self.side, workers=self.workers, device=device)

    def held_out(self, share: float = 1.0, size: tuple[int, int] = validation.SIZE) -> HeldOut:
        """The validation set, composed on the CPU first if it is not there yet (so that it is the same everywhere)."""
        folder = self.folder / "validation"
        if not (folder / "kinds.json").exists():
            validation.make(self.load("validation", torch.device("cpu")), folder, share=share, size=size)
        return HeldOut.open(folder)
