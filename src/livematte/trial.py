"""`--try`: see six frames, the size and the time before an hour is spent."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from livematte import outputs as naming
from livematte.config import Settings
from livematte.conversion import Conversion
from livematte.errors import SourceError, UsageError
from livematte.frames import Frame, MattedFrame, StreamInfo
from livematte.matting.host import HostMatting
from livematte.models.load import LoadedModel, load_model
from livematte.models.session import Session, second_sessions
from livematte.progress import readable_bytes
from livematte.reporting import ListReporter, Once, Reporter
from livematte.sheet import cell, contact_sheet
from livematte.sinks.formats import STDOUT
from livematte.sources import open_source
from livematte.sources.timing import parse_time

_PICTURES = 6
_FRAMES_BEFORE = 4
"""Frames matted before the one that is shown, so that smoothing has a past: 0.15 s of a clip."""
_SAMPLE_SECONDS = 1.5
"""Length of the piece that is really converted to forecast size and time."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial found."""

    sheet: Path
    expected_bytes: int | None
    """Of all outputs together; None where the input's length is not known."""
    expected_seconds: float | None
    fps: float
    status: str


def try_conversion(
    source: str, targets: list[str], *, settings: Settings, reporter: Reporter, sheet: Path | None = None
) -> Trial:
    """Matte six frames spread over the clip, convert a short piece, write the contact sheet `<stem>_try.png`.

    Raises what a conversion raises. Nothing is written but the sheet, which may be replaced.
    """
    if source == STDOUT:
        raise UsageError("--try reads the clip several times, which a pipe does not allow. Save it to a file first.")
    reporter = Once(reporter)
    # Nothing is written under these names, so they may exist.
    names = naming.resolve_targets(source, targets, settings.output.model_copy(update={"overwrite": True}))
    loaded = load_model(settings.model, reporter=reporter)
    try:
        info = _describe(source, settings, reporter)
        matted = _matted_pictures(source, info, loaded, settings, reporter)
        sample = _convert_sample(source, names, info, loaded, settings)
    finally:
        loaded.close()
    name = f"{naming.stem_of(source) or 'livematte'}_try.png"
    path = sheet or Path(naming.default_target(source, settings.output)).with_name(name)
    lines = [*_forecast_lines(sample), f"options: {_options(settings)}", sample.status]
    cells = [cell(one, f"{float(one.frame.time.seconds):.2f} s") for one in matted]
    Image.fromarray(contact_sheet(cells, lines)).save(path)
    return Trial(path, sample.expected_bytes, sample.expected_seconds, sample.fps, sample.status)


def _begin(settings: Settings) -> float:
    """Seconds of the input before `--start`."""
    return float(parse_time(settings.input.start, "--start")) if settings.input.start is not None else 0.0


def _describe(source: str, settings: Settings, reporter: Reporter) -> StreamInfo:
    opened = open_source(source, settings.input, reporter=reporter)
    try:
        return opened.info
    finally:
        opened.close()


def _matted_pictures(
    source: str, info: StreamInfo, loaded: LoadedModel, settings: Settings, reporter: Reporter
) -> list[MattedFrame]:
    begin, length = _begin(settings), info.duration_seconds or 0.0
    latest = max(0.0, length - (_FRAMES_BEFORE + 2) / float(info.frame_rate or 25))
    spread = {min(length * (number + 0.5) / _PICTURES, latest) for number in range(_PICTURES)}
    moments = [begin + moment for moment in sorted(spread)]
    found = [_matte_at(source, moment, loaded, settings, reporter) for moment in moments]
    matted = [one for one in found if one is not None]
    if not matted:
        raise SourceError(f"{info.name}: no frame could be decoded for --try.")
    return matted


def _matte_at(
    source: str, moment: float, loaded: LoadedModel, settings: Settings, reporter: Reporter
) -> MattedFrame | None:
    """The frame a few frames after `moment`, matted with those before it as its past."""
    opened = open_source(source, settings.input.model_copy(update={"start": f"{moment:.3f}"}), reporter=reporter)
    matting = HostMatting(
        Session(loaded, is_file=True),
        settings.matting,
        info=opened.info,
        wide_alpha=False,
        wants_foreground=True,
        reporter=reporter,
        second=second_sessions(loaded, is_file=True),
    )
    newest: MattedFrame | None = None
    try:
        pushed = 0
        for item in opened:
            if isinstance(item, Frame):
                newest = [newest, *matting.push([item])][-1]
                pushed += 1
                if pushed > _FRAMES_BEFORE + matting.delay_frames:
                    break
        newest = [newest, *matting.flush()][-1]
    finally:
        matting.close()
        opened.close()
    if newest is not None:
        absolute = newest.frame.time
        newest.frame.time = type(absolute)(absolute.pts + round(moment / float(absolute.time_base)), absolute.time_base)
    return newest


@dataclass(frozen=True, slots=True)
class _Sample:
    expected_bytes: int | None
    expected_seconds: float | None
    fps: float
    status: str


def _convert_sample(
    source: str, names: list[str], info: StreamInfo, loaded: LoadedModel, settings: Settings
) -> _Sample:
    """Convert a piece from the middle for real, into a scratch folder, and scale what it took to the whole."""
    begin = _begin(settings)
    middle = begin + max(0.0, (info.duration_seconds or 0.0) / 2 - _SAMPLE_SECONDS / 2)
    piece = {"start": f"{middle:.3f}", "end": f"{middle + _SAMPLE_SECONDS:.3f}"}
    sampled = settings.model_copy(
        update={
            "input": settings.input.model_copy(update=piece),
            "output": settings.output.model_copy(update={"overwrite": True}),
        }
    )
    with tempfile.TemporaryDirectory(prefix="livematte-try-") as scratch:
        targets = [str(Path(scratch, f"{number}", Path(name).name)) for number, name in enumerate(names) if name != "-"]
        for target in targets:
            Path(target).parent.mkdir()
        conversion = Conversion(source, targets, sampled, ListReporter(), loaded)  # its messages are about the piece
        conversion.prepare()
        started = time.monotonic()
        summary = conversion.run()
        seconds = time.monotonic() - started
    frames = info.frame_count
    if frames is None or not summary.frames:
        return _Sample(None, None, summary.fps, conversion.status)
    written = sum(output.bytes for output in summary.outputs)
    return _Sample(
        expected_bytes=written * frames // summary.frames,
        expected_seconds=seconds * frames / summary.frames,
        fps=summary.frames / seconds,
        status=conversion.status,
    )


def _forecast_lines(sample: _Sample) -> list[str]:
    if sample.expected_bytes is None or sample.expected_seconds is None:
        return [
            f"{sample.fps:.1f} frames a second here; the input's length is not known, so neither is the output's size"
        ]
    minutes, seconds = divmod(round(sample.expected_seconds), 60)
    return [
        f"expected: about {readable_bytes(sample.expected_bytes)} in {minutes} min {seconds} s "
        f"({sample.fps:.1f} frames a second here)"
    ]


def _options(settings: Settings) -> str:
    """The options that differ from the defaults, as they would be typed."""
    changed = settings.model_dump(exclude_defaults=True)
    words = [_typed(key, value) for section in changed.values() for key, value in section.items()]
    return " ".join(words) or "all defaults"


def _typed(key: str, value: object) -> str:
    option = key.replace("_", "-")
    if isinstance(value, bool):
        return f"--{option}" if value else f"--no-{option}"
    return f"--{option} {','.join(f'{one:g}' for one in value) if isinstance(value, tuple) else value}"
