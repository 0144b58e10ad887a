"""What a caller of `convert_photos` gives and gets: options, a listener, the summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from livematte.errors import LivematteError


@dataclass(frozen=True, slots=True)
class PhotoOptions:
    """What `livematte photo` adds to the settings."""

    format: str | None = None
    """png, webp, tiff, avif or jpeg; default: by the output's name, else png (jpeg with a background)."""
    crop: bool = False
    """Cut to the person's box."""
    alpha_only: bool = False
    """Write alpha alone, as a grey picture."""
    background: str | None = None
    """A colour, an image or blur behind the person; the picture is then opaque."""
    keep_location: bool = False
    """Keep GPS positions."""
    overwrite: bool = False
    """Replace outputs that exist."""


@dataclass(frozen=True, slots=True)
class PhotoListener:
    """What a caller hears, and is asked, while photos are cut out; the command line prints it."""

    status: Callable[[str], None] = lambda line: None
    """Called once, before the first picture: what runs, and on what (`LoadedModel.describe`)."""
    progress: Callable[[int, int], None] = lambda done, total: None
    """Called after each picture, from the thread that made it: (done or failed, all)."""
    may_replace: Callable[[str], bool] = lambda target: False
    """Asked when one picture's output exists; several pictures' existing outputs are skipped and counted."""


@dataclass(slots=True)
class PhotoSummary:
    """What came of each picture, in the order given."""

    done: list[tuple[str, str]] = field(default_factory=list)
    """(input, output)."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """(input, output that exists already)."""
    failed: list[tuple[str, LivematteError]] = field(default_factory=list)
    model: str = ""
    """What ran, and on what (`LoadedModel.describe`)."""

    def add(self, later: PhotoSummary) -> None:
        """What came after this. A picture that failed here and came anew counts as it ended."""
        anew = {source for source, _ in (*later.done, *later.failed)}
        self.done = [one for one in self.done if one[0] not in anew] + later.done
        self.failed = [one for one in self.failed if one[0] not in anew] + later.failed
        self.skipped += later.skipped
        self.model = later.model or self.model

    @property
    def exit_code(self) -> int:
        """0, or 1 where any failed."""
        return 1 if self.failed else 0
