"""Sources of pictures: video files, URLs, stdin, image sequences, and a formula for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livematte.sources.inputs import InputKind, InputSpec, expand_inputs, kind_of

if TYPE_CHECKING:
    from livematte.config import InputSettings
    from livematte.reporting import Reporter
    from livematte.sources.base import Source

__all__ = ["InputKind", "InputSpec", "expand_inputs", "kind_of", "open_source"]


def open_source(spec: str, settings: InputSettings, *, reporter: Reporter) -> Source:
    """Open one input: a video file, an image folder or `%04d` pattern, a picture, `-`, a URL, `synthetic:...`.

    Its `info` is complete when this returns. SourceError where it cannot be read (with what to do), UsageError where
    `--start`, `--end`, `--size` or the rate make no sense for it.
    """
    kind = kind_of(spec)
    if kind == "synthetic":
        from livematte.sources.synthetic import open_synthetic

        return open_synthetic(spec, settings, reporter=reporter)
    if kind in ("images", "picture"):
        from livematte.sources.images import open_images

        return open_images(spec, settings, reporter=reporter)
    from livematte.sources.video import open_video

    return open_video(spec, settings, reporter=reporter)
